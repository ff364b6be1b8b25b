"""`fusionkit compare`: draws what is missing, measures it, goes on where it was, and overwrites nothing unasked."""

from __future__ import annotations

import csv
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Run
from warm import Warm, command

from fusionkit.comparison.tables import FORMATS, table_of
from fusionkit.models.devices import device_name
from fusionkit.pictures.image import read_metadata

OUT = Path("out/compare/r")
COMPARE = ("compare", "r.yaml", "--set", "steps=1", "--metrics", "variance,ssim,coverage")
VARY = ("--vary", "plugins.style-alignment.alpha=0,0.5")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pictures(folder: Path) -> dict[str, int]:
    """Every picture with the time it was written."""
    found = (path for path in folder.rglob("*.png") if not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in found}


def test_a_comparison_is_one_folder_with_everything_in_it(fusionkit: Run) -> None:
    ran = fusionkit(*COMPARE, *VARY, "--seeds", "0-1", "--reference-seeds", "0-1")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1] == str(OUT / "index.html")
    assert (OUT / "index.html").is_file()
    assert sorted(pictures(OUT)) == [
        "pictures/alpha-0.5/p000-s0.png",
        "pictures/alpha-0.5/p000-s1.png",
        "pictures/alpha-0/p000-s0.png",
        "pictures/alpha-0/p000-s1.png",
        "reference/p000-s0.png",
        "reference/p000-s1.png",
    ]
    scores = rows(OUT / "scores.csv")
    assert [(row["setting"], row["metric"]) for row in scores] == [
        (setting, metric) for setting in ("alpha-0", "alpha-0.5") for metric in ("variance", "ssim", "coverage")
    ]
    report = json.loads((OUT / "report.json").read_text())
    assert [setting["changes"] for setting in report["settings"]] == [
        {"plugins.style-alignment.alpha": 0},
        {"plugins.style-alignment.alpha": 0.5},
    ]
    assert report["settings"][0]["scores"]["ssim"] is None, "the first setting has nothing to be compared with"
    assert 0 < report["settings"][1]["scores"]["ssim"]["value"] < 1
    first, second = (setting["scores"]["variance"]["value"] for setting in report["settings"])
    assert report["settings"][1]["differences"]["variance"]["value"] == pytest.approx(second - first)

    own = [float(row["variance"]) for row in rows(OUT / "pictures.csv") if row["setting"] == "alpha-0"]
    assert first == pytest.approx(sum(own) / 2)
    assert {row["forward-passes"] for row in rows(OUT / "pictures.csv")} == {"6"}  # three windows, with and without
    assert len(rows(OUT / "costs.csv")) == 4
    assert all(float(row["seconds"]) > 0 and int(row["peak-memory"]) > 0 for row in rows(OUT / "costs.csv"))
    assert {row["device"] for row in rows(OUT / "costs.csv")} == {device_name(torch.device("cpu"))}

    for name, form in FORMATS.items():
        assert (OUT / name).read_text() == table_of(report, form).whole()
    caption = (OUT / "scores.md").read_text().splitlines()[-1]
    assert caption.startswith(
        "1 prompt with 2 seeds each: 2 pictures a setting, of 256 \N{MULTIPLICATION SIGN} 128 pix"
    )
    assert "in 1 step, by" in caption
    words = report["settings"][1]["larger"]
    assert [words[index] for index in (0, 1, 2, 3, 5, 6)] == [
        *("fusionkit", "run", "{picture}", "--set"),
        *("-o", "{output}"),
    ]
    larger = fusionkit("plan", str(OUT / "pictures/alpha-0.5/p000-s1.png"), "--set", words[4])
    assert larger.code == 0, larger.err
    assert "512x256" in larger.out

    recipe = fusionkit("validate", str(OUT / "recipes" / "alpha-0.5.yaml"))
    assert recipe.code == 0, recipe.err


def test_the_same_seed_starts_all_settings_from_the_same_noise(fusionkit: Run) -> None:
    """At alpha 0 style alignment changes nothing, so leaving it out gives the very same picture."""
    Path("c.yaml").write_text(
        "recipe: r.yaml\nset: {steps: 1, plugins.style-alignment.alpha: 0}\nseeds: 5\nmetrics: [ssim]\n"
        "settings:\n  with: {}\n  without: {plugins.style-alignment: false}\n"
    )
    assert fusionkit("compare", "c.yaml", "--out", "o", "-q").code == 0
    hashes = {read_metadata(path)["latents"] for path in Path("o/pictures").rglob("*.png")}
    assert len(hashes) == 1
    (row,) = (row for row in rows(Path("o/scores.csv")) if row["setting"] == "without")
    assert float(row["value"]) == pytest.approx(1, abs=1e-9)


def test_a_second_run_draws_nothing_and_more_seeds_draw_only_those(fusionkit: Run) -> None:
    fusionkit(*COMPARE, *VARY, "--seeds", "0", "-q")
    before, tables = pictures(OUT), (OUT / "scores.csv").read_text()
    assert fusionkit(*COMPARE, *VARY, "--seeds", "0", "-q").code == 0
    assert pictures(OUT) == before
    assert (OUT / "scores.csv").read_text() == tables
    assert fusionkit(*COMPARE, *VARY, "--seeds", "0-1", "-q").code == 0
    after = pictures(OUT)
    assert {name: after[name] for name in before} == before
    assert len(after) == 2 * len(before)


def started(*more: str) -> Warm:
    return Warm(command, [*COMPARE, *VARY, "--seeds", "0-2", "-q", *more])


def wait_for(folder: Path, count: int, process: Warm) -> None:
    for _ in range(2400):
        if len(pictures(folder)) >= count or process.poll() is not None:
            return
        time.sleep(0.05)
    raise AssertionError("nothing was drawn for two minutes")


@pytest.mark.parametrize("count", [1, 4], ids=["after-one", "after-four"])
def test_killed_at_any_moment_it_loses_nothing_and_does_nothing_twice(fusionkit: Run, count: int) -> None:
    with started() as process:
        wait_for(OUT, count, process)
        process.kill()
    kept = pictures(OUT)
    assert count <= len(kept) < 6, "it was killed in the middle"
    ran = fusionkit(*COMPARE, *VARY, "--seeds", "0-2", "-q")
    assert ran.code == 0, ran.err
    after = pictures(OUT)
    assert {name: after[name] for name in kept} == kept
    assert not [*OUT.rglob(".p*"), *OUT.rglob(".fusionkit-*")], "half a picture was left behind"

    assert fusionkit(*COMPARE, *VARY, "--seeds", "0-2", "-q", "--out", "whole").code == 0
    for name in ("scores.csv", "pictures.csv"):
        assert (OUT / name).read_text() == (Path("whole") / name).read_text()


def test_ctrl_c_says_what_is_kept_and_how_to_go_on() -> None:
    with started() as process:
        wait_for(OUT, 1, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    drawn = len(pictures(OUT))
    assert err == f"interrupted; {drawn} of 6 pictures are drawn in {OUT}; the same command goes on from there\n"
    assert out == ""


def test_show_measures_what_every_setting_has_drawn(fusionkit: Run) -> None:
    fusionkit(*COMPARE, *VARY, "--seeds", "0-1", "-q", "--reference-seeds", "0")
    (OUT / "pictures/alpha-0.5/p000-s1.png").unlink()
    (OUT / "reference/p000-s0.png").unlink()
    ran = fusionkit(*COMPARE, *VARY, "--seeds", "0-1", "--reference-seeds", "0", "--show")
    assert ran.code == 0, ran.err
    assert "the reference is not drawn yet; what compares with it is left out" in ran.out
    assert {row["file"][-10:] for row in rows(OUT / "pictures.csv")} == {"000-s0.png"}
    assert len(pictures(OUT)) == 3


def test_another_comparison_is_never_overwritten_unasked(fusionkit: Run) -> None:
    fusionkit(*COMPARE, *VARY, "--seeds", "0", "-q")
    before = pictures(OUT)
    ran = fusionkit(*COMPARE, *VARY, "--seeds", "1", "-q")
    assert (ran.code, ran.err) == (
        2,
        f"{OUT}: holds another comparison, 'r' (2 of its 2 pictures are not in this one); "
        "give another folder: --out DIR, or --replace to delete its pictures\n",
    )
    assert pictures(OUT) == before
    (OUT / "mine.txt").write_text("keep me")
    assert fusionkit(*COMPARE, *VARY, "--seeds", "1", "-q", "--replace", "--metrics", "nonsense").code == 2
    assert pictures(OUT) == before, "nothing is deleted before all else is found right"
    assert fusionkit(*COMPARE, *VARY, "--seeds", "1", "-q", "--replace").code == 0
    assert sorted(pictures(OUT)) == ["pictures/alpha-0.5/p000-s1.png", "pictures/alpha-0/p000-s1.png"]
    assert (OUT / "mine.txt").read_text() == "keep me"


def case(*arguments: str, says: str | list[str], name: str) -> Any:
    return pytest.param(arguments, [says] if isinstance(says, str) else says, id=name)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        case("r.yaml", "--out", "r.yaml", says="r.yaml: is a file; give a folder: --out DIR", name="file"),
        case(
            "r.yaml",
            "--out",
            "site",
            says="site: holds other files (notes.txt), no comparison; give another folder: --out DIR",
            name="other-files",
        ),
        case(
            "r.yaml",
            *("--vary", "plugins.style-alignment.alpa=0,1", "--seeds", "0"),
            says="--vary plugins.style-alignment.alpa: style-alignment has no option 'alpa'; did you mean 'alpha'?",
            name="misspelt-key",
        ),
        case(
            "nowhere.yaml",
            *("--vary", "x", "--seeds", "2-1", "--prompts", "none.txt", "--set", "steps"),
            says=[
                "no recipe 'nowhere.yaml'",
                "--set steps: write it as KEY=VALUE, such as steps=30",
                "--vary x: write it as KEY=VALUES, such as plugins.style-alignment.alpha=0:1:0.1",
                "--seeds must count upwards: 1-2, not 2-1",
                "none.txt: can't be read: No such file or directory",
            ],
            name="all-at-once",
        ),
        case("r.yaml", "--metrics", "varianc", says="no metric 'varianc'; did you mean 'variance'?", name="metric"),
        case(
            "r.yaml",
            *("--metrics", "variance", "--reference", "none"),
            says="no such folder: 'none'",
            name="reference",
        ),
        case(
            "r.yaml",
            *("--reference", "none", "--reference-seeds", "0"),
            says="--reference and --reference-seeds: give a folder of pictures, or seeds to draw them; not both",
            name="two-references",
        ),
        case(
            "r.yaml",
            *("--vary", "steps=1,0"),
            says="--vary steps: 'steps' must be at least 1, not 0",
            name="value",
        ),
        case(
            "papers/table-1-tinyworld",
            "r.yaml",
            says="papers/table-1-tinyworld: is a comparison of its own; give it alone, or give recipes",
            name="file-and-recipe",
        ),
        case(
            "papers/table-1-tinyworld",
            *("--vary", "steps=1,2"),
            says="--vary: a comparison file says that itself; change it there",
            name="file-and-vary",
        ),
    ],
)
def test_bad_input_is_one_line_each_before_anything_is_drawn(
    fusionkit: Run, arguments: tuple[str, ...], lines: list[str]
) -> None:
    Path("site").mkdir(exist_ok=True)
    Path("site/notes.txt").write_text("")
    ran = fusionkit("compare", *arguments)
    assert ran.code == 2
    found = ran.err.splitlines()
    assert len(found) == len(lines)
    for line, expected in zip(found, lines, strict=True):
        assert line.startswith(expected)
    assert not Path("out").exists()


def test_run_says_that_a_comparison_is_not_a_recipe(fusionkit: Run) -> None:
    Path("c.yaml").write_text("recipe: r.yaml\nsettings: {a: {}}\n")
    ran = fusionkit("run", "c.yaml")
    assert (ran.code, ran.err) == (
        2,
        "c.yaml: is a comparison, not a recipe; run it with: fusionkit compare c.yaml\n",
    )


def test_flags_of_validate_are_values_and_a_comparison_s_prompts_are_its_own(fusionkit: Run) -> None:
    file = "recipe: r.yaml\nprompts: [a hill, a lake]\nsettings:\n  A: {}\n"
    Path("c.yaml").write_text(file)
    line = "--prompt: 'c.yaml' is a comparison, which says its prompts itself; change them there\n"
    for prompt in ("[a, b]", "a lake"):
        assert fusionkit("validate", "c.yaml", "--prompt", prompt) == (2, "", line)
    ran = fusionkit("validate", "c.yaml", "--size", "250x128", "--steps", "0", "--seed", "3")
    assert [each.split(": ")[0] for each in ran.err.splitlines()] == ["--steps"]
    ran = fusionkit("validate", "c.yaml", "--size", "250x128", "--steps", "4", "--seed", "3")
    assert (ran.code, ran.err.partition(": ")[0]) == (2, "--size"), ran.err
    ran = fusionkit("validate", "c.yaml", "--size", "384x128", "--steps", "4", "--seed", "3")
    assert (ran.code, ran.out) == (0, "c.yaml: valid (1 setting, 2 prompts, 1 seed: 2 pictures)\n")


def test_validate_checks_comparisons_too(fusionkit: Run) -> None:
    ran = fusionkit("validate", "papers/figure-5-tinyworld", "r.yaml")
    assert ran.code == 0, ran.err
    first, second = ran.out.splitlines()
    assert first.endswith("figure-5-tinyworld.yaml: valid (11 settings, 10 prompts, 5 seeds: 950 pictures)")
    assert second == "r.yaml: valid (1 picture, 256x128, 4 plugins)"


def test_recipes_lists_comparisons_and_prints_one(fusionkit: Run) -> None:
    ran = fusionkit("recipes")
    assert "papers/table-1-tinyworld" in ran.out
    assert fusionkit("recipes", "papers/table-1").out.startswith("# Run it:  fusionkit compare papers/table-1\n")
