"""`run --skip-existing` draws what is missing of a list, and takes no other file for what it draws."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from command_line import CHECKPOINTS, Run
from PIL import Image

from fusionkit.pictures.image import read_metadata

SKIP = ("run", "r.yaml", "-q", "--skip-existing", "-o", "out/{prompt}-{seed}.png")
LIST = f"""model: {CHECKPOINTS / "tiny-sd"}
prompt: [a hill, a lake]
size: 64x64
window: 64x64
steps: 1
"""
HILL, LAKE = Path("out/a-hill-0.png"), Path("out/a-lake-0.png")


@pytest.fixture(autouse=True)
def _list(folder: Path) -> None:
    Path("r.yaml").write_text(LIST)


def made() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path("out").iterdir()}


def prompt_in(path: Path) -> str:
    return next(line for line in read_metadata(path)["recipe"].splitlines() if line.startswith("prompt"))


def test_a_list_goes_on_where_it_was(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fusionkit(*SKIP)
    assert (first.code, first.out, first.err) == (0, f"{HILL}\n{LAKE}\n", "")
    before = made()
    LAKE.unlink()
    again = fusionkit(*SKIP)
    assert (again.code, again.out, again.err) == (0, f"{HILL}\n{LAKE}\n", "")
    after = made()
    assert after[HILL.name] == before[HILL.name]
    assert sorted(after) == sorted(before)
    # Where nothing is missing, the model does not load.
    monkeypatch.setattr("fusionkit.models.load.load_models", lambda *_: pytest.fail("loaded"))
    told = fusionkit(*(each for each in SKIP if each != "-q"))
    was = "  was there, whole, and drawn from the same recipe\n"
    assert (told.code, told.out, told.err) == (0, f"{HILL}\n{was}{LAKE}\n{was}", "")
    assert made() == after


def test_other_seeds_are_other_pictures(fusionkit: Run) -> None:
    for seed in (0, 1, 0, 1):
        assert fusionkit(*SKIP, "--seed", str(seed)).code == 0
    assert sorted(made()) == ["a-hill-0.png", "a-hill-1.png", "a-lake-0.png", "a-lake-1.png"]


def test_another_recipe_under_that_name_is_told_and_kept(fusionkit: Run) -> None:
    assert fusionkit(*SKIP).code == 0
    before = made()
    ran = fusionkit(*SKIP, "--set", "steps=2", "--set", "guidance-scale=3")
    assert (ran.code, ran.out) == (0, "out/a-hill-0-2.png\nout/a-lake-0-2.png\n")
    reason = "is the picture of another recipe (steps, guidance-scale), and is kept: the new one gets a number"
    assert ran.err.splitlines() == [f"note: '{each}' {reason}" for each in (HILL, LAKE)]
    assert made().items() > before.items()
    # The next time both are found, each under its own name.
    after = made()
    assert fusionkit(*SKIP, "--set", "steps=2", "--set", "guidance-scale=3").out == ran.out
    assert fusionkit(*SKIP).out == f"{HILL}\n{LAKE}\n"
    assert made() == after
    # With --overwrite, what is not the picture is replaced, and what is one is not.
    replaced = fusionkit(*SKIP, "--set", "steps=3", "--overwrite")
    assert replaced.out == f"{HILL}\n{LAKE}\n"
    assert replaced.err.splitlines()[0].endswith("(steps), and is replaced")
    assert "steps: 3" in read_metadata(HILL)["recipe"]
    now = made()
    assert fusionkit(*SKIP, "--set", "steps=3", "--overwrite").err == ""
    assert made() == now


def test_how_fast_a_picture_is_drawn_does_not_matter(fusionkit: Run) -> None:
    assert fusionkit(*SKIP).code == 0
    before = made()
    assert fusionkit(*SKIP, "--set", "batch-size=1", "--set", "name=other", "--device", "cpu").err == ""
    assert made() == before


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("empty", "is empty, not a picture"),
        ("half", "is damaged: it is cut off"),
        ("last bytes", "is damaged"),
        ("zeros", "is damaged"),
        ("other", "carries no recipe"),
        ("text", "is no picture of a known format"),
    ],
)
def test_what_is_no_whole_picture_of_ours_is_drawn_again(damage: str, says: str, fusionkit: Run) -> None:
    assert fusionkit(*SKIP).code == 0
    whole = HILL.read_bytes()
    if damage == "other":
        Image.new("RGB", (64, 64)).save(HILL)
    else:
        HILL.write_bytes(
            {
                "empty": b"",
                "half": whole[: len(whole) // 2],
                "last bytes": whole[:-3],
                "zeros": whole[:4096] + bytes(len(whole) - 4096),
                "text": b"a text",
            }[damage]
        )
    damaged = HILL.read_bytes()
    ran = fusionkit(*SKIP)
    assert (ran.code, ran.out) == (0, f"out/a-hill-0-2.png\n{LAKE}\n")
    assert ran.err.startswith(f"note: '{HILL}' {says}")
    assert ran.err.endswith(", and is kept: the new one gets a number\n")
    assert HILL.read_bytes() == damaged
    assert Path("out/a-hill-0-2.png").read_bytes() == whole


def test_one_name_for_all_of_a_list(fusionkit: Run) -> None:
    command = ("run", "r.yaml", "-q", "--skip-existing", "-o", "all.png")
    Path("r.yaml").write_text(LIST.replace("[a hill, a lake]", "[a hill, a lake, a hill]"))
    assert fusionkit(*command).out == "all.png\nall-2.png\nall-3.png\n"
    Path("all-2.png").unlink()
    ran = fusionkit(*command)
    assert (ran.code, ran.out, ran.err) == (0, "all.png\nall-2.png\nall-3.png\n", "")
    assert [prompt_in(Path(each)) for each in ran.out.split()] == ["prompt: a hill", "prompt: a lake", "prompt: a hill"]


def test_a_file_that_the_recipe_reads_and_that_is_another_one_now(fusionkit: Run) -> None:
    def noise(seed: int) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save("start.png")

    noise(0)
    Path("r.yaml").write_text(LIST + "plugins:\n  - progressive-upscaling: {from: start.png}\n")
    assert fusionkit(*SKIP, "--set", "size=128x128").code == 0
    before = made()
    assert fusionkit(*SKIP, "--set", "size=128x128").err == ""
    noise(1)
    ran = fusionkit(*SKIP, "--set", "size=128x128")
    assert ran.err.splitlines()[0] == (
        f"note: '{HILL}' was drawn with another 'start.png', and is kept: the new one gets a number"
    )
    assert len(made()) == 2 * len(before)


def test_a_picture_that_was_decoded_in_tiles_for_want_of_memory(fusionkit: Run) -> None:
    assert fusionkit(*SKIP, "--set", "vae-tiling=true").code == 0
    before = made()
    assert fusionkit(*SKIP).out == f"{HILL}\n{LAKE}\n"
    assert made() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_a_pipe_is_not_waited_for(fusionkit: Run) -> None:
    Path("out").mkdir()
    os.mkfifo(HILL)
    ran = fusionkit(*SKIP)
    assert (ran.code, ran.out) == (0, f"out/a-hill-0-2.png\n{LAKE}\n")
    assert ran.err.startswith(f"note: '{HILL}' is a pipe, not a picture, and is kept")


def test_what_is_there_needs_no_room_on_the_disk(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fusionkit(*SKIP).code == 0
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("fusionkit.pictures.image.shutil.disk_usage", lambda folder: usage)
    assert fusionkit(*SKIP).code == 0
    LAKE.unlink()
    ran = fusionkit(*SKIP)
    assert (ran.code, ran.out) == (2, "")
    assert "output folder 'out' has 100 bytes free, and the pictures may need 1.1 MB" in ran.err


def test_pictures_of_one_run_do_not_replace_each_other(fusionkit: Run) -> None:
    ran = fusionkit("run", "r.yaml", "-q", "-o", "all.png", "--overwrite")
    told = "several prompts would be written to 'all.png', each over the one before; add {index} or {prompt}"
    assert (ran.code, ran.out, ran.err) == (2, "", f"--output: {told}\n")


def test_a_list_that_another_process_draws_too(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other one finishes while this one draws is found before its turn comes."""
    import fusionkit.cli.pictures as pictures

    save, calls = pictures.save_or_keep, []

    def saved(*args: object, **options: object) -> Path:
        path = save(*args, **options)  # type: ignore[arg-type]
        if not calls:
            calls.append(path)
            assert fusionkit(*SKIP).out == f"{HILL}\n{LAKE}\n"
        return path

    monkeypatch.setattr(pictures, "save_or_keep", saved)
    assert fusionkit(*SKIP).code == 0
    assert sorted(made()) == [HILL.name, LAKE.name]


def test_what_killed_processes_left_goes_even_if_nothing_is_drawn(fusionkit: Run) -> None:
    assert fusionkit(*SKIP).code == 0
    left = Path("out/.fusionkit-1-0123456789abcdef.part")
    os.link(HILL, left)
    assert fusionkit(*SKIP).code == 0
    assert not left.exists()
    assert sorted(made()) == [HILL.name, LAKE.name]
