"""`fusionkit evaluate`: its table, its files, and what it says of bad input, all of it at once and in one line each."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import scipy
from evaluating import noisy, told
from PIL import Image

from fusionkit.pictures.image import save_image

METRICS = """\
from typing import ClassVar

from fusionkit.evaluation import Features, Metric
from fusionkit.errors import ModelError


class Grey(Metric):
    \"\"\"The mean grey level.\"\"\"

    better = "higher"
    unit = "levels"
    any_size = True
    libraries = {"scipy": "scipy"}
    gain: float = 1.0

    def describe(self, picture, tools):
        return float(picture.pixels().mean()) * self.gain


class Near(Metric):
    \"\"\"How near the crops' mean is to the reference's.\"\"\"

    needs: ClassVar[frozenset[str]] = frozenset({"reference", "crop"})
    better = "lower"
    least = 3
    resamples = 20

    def describe(self, picture, tools):
        return picture.crops().mean(axis=(1, 2, 3))

    def score(self, described, reference):
        return abs(sum(each.mean() for each in described) / len(described) - reference[0].mean())


class Seen(Metric):
    \"\"\"What a network sees.\"\"\"

    needs: ClassVar[frozenset[str]] = frozenset({"features", "crop"})
    weights = ("extra",)

    def describe(self, picture, tools):
        return float(tools.pooled(picture).mean())


class Eyes(Features):
    name, size = "eyes", (8, 8)

    @classmethod
    def from_weights(cls, path, device, *, others=None, download=True):
        if path is None:
            raise ModelError(f"eyes.pth (1 MB) is at https://eyes.test; give it: --weights eyes=FILE; {download=}")
        return cls()

    def pooled(self, crops):
        return crops.mean(axis=(1, 2)).astype(float)
"""
ENTRY_POINTS = """\
[fusionkit.metrics]
grey = eyesight:Grey
near = eyesight:Near
seen = eyesight:Seen

[fusionkit.features]
eyes = eyesight:Eyes
"""
OURS = ("--metrics", "grey,near,seen", "--features", "eyes")


@pytest.fixture(autouse=True)
def site(install, tmp_path, monkeypatch) -> Path:
    """A package with three metrics and a network, and a folder to be in."""
    monkeypatch.chdir(tmp_path)
    return install("eyesight", METRICS, ENTRY_POINTS)


def test_a_table_with_intervals(fusionkit):
    noisy(Path("x"), [10, 20, 30, 40])
    noisy(Path("y"), [30, 30, 30])
    Path("w").write_text("weights")
    ran = fusionkit("evaluate", "x", "--reference", "y", *OURS, "--crop", "16x16", "--weights", "eyes=w")
    assert ran.code == 0, ran.err
    *rows, _, note, features = ran.out.splitlines()
    cells = [re.split(" {2,}", row) for row in rows]
    assert cells == [
        ["metric", "value", "95 % interval", "better", "pictures"],
        ["grey", "25 levels", "4.457 to 45.54", "higher", "4"],
        ["near", "5", cells[2][2], "lower", "4"],
        ["seen", "25", "4.457 to 45.54", "-", "4"],
    ]
    low, high = map(float, cells[2][2].split(" to "))
    assert (low + high) / 2 == pytest.approx(5, abs=0.01)
    # As wide as that of the mean, but for what 20 draws leave to chance.
    assert high - 5 == pytest.approx(20.54, rel=0.2)
    assert (note, features) == ("note: near: the interval is from 20 resamples, not 500", "features: eyes")
    assert "pictures: 100%" in ran.err
    quiet = fusionkit("evaluate", "x", "-q", "--metrics", "grey", "--set", "grey.gain=2")
    assert quiet.out.splitlines()[1] == "grey    50 levels  8.915 to 91.09  higher  4"
    assert len(quiet.out.splitlines()) == 2
    assert quiet.err == ""


def test_without_metrics_all_that_can_be_measured_is_and_the_rest_is_named(fusionkit):
    told(Path("x/a.png"), seed=1)
    told(Path("x/b.png"), seed=2)
    ran = fusionkit("evaluate", "x", "--features", "eyes")
    assert ran.code == 0, ran.err
    rows = [line.split()[0] for line in ran.out.partition("\n\n")[0].splitlines()]
    assert "grey" in rows
    assert not {"near", "seen", "fid"} & set(rows)
    left_out = [line for line in ran.out.splitlines() if line.startswith("left out: ")]
    missing = "eyes.pth (1 MB) is at https://eyes.test; give it: --weights eyes=FILE; download=False"
    assert any("seen" in line and line.endswith(missing) for line in left_out)
    assert any(
        "near" in line and "needs pictures to compare with; give their folder: --reference DIR" in line
        for line in left_out
    )


def test_pictures_of_other_formats_are_told(fusionkit):
    noisy(Path("x"), [10, 20, 30])
    for name in ("g.gif", "t.TIF", ".hidden.gif", "notes.txt"):
        Path("x", name).write_bytes(b"")
    counts = "what counts is .png, .jpg, .jpeg, .webp"
    told = f"not read in 'x': 2 of other formats (.gif, .tif), 'g.gif' first; {counts}"
    ran = fusionkit("evaluate", "x", "--metrics", "grey")
    assert (ran.code, f"note: {told}" in ran.out.splitlines()) == (0, True)
    assert told not in fusionkit("evaluate", "x", "--metrics", "grey", "-q").out
    Path("y").mkdir()
    Path("y/a.gif").write_bytes(b"")
    ran = fusionkit("evaluate", "y", "--metrics", "grey")
    assert ran.code == 2
    assert ran.err == (
        "folder 'y' holds no pictures (.png, .jpg, .jpeg, .webp); "
        f"not read in 'y': 1 of other formats (.gif), 'a.gif' first; {counts}\n"
    )


def test_each_picture_has_a_row_the_best_first(fusionkit):
    noisy(Path("x"), [20, 0, 40, 10])
    Path("w").write_text("weights")
    eyes = ("--features", "eyes", "--weights", "eyes=w", "--crop", "16x16", "--each", "-q")
    ran = fusionkit("evaluate", "x", "--metrics", "seen,grey", *eyes)
    assert [line.split() for line in ran.out.splitlines()[3:]] == [
        [], ["picture", "seen", "grey"],
        ["c.png", "40", "40"], ["a.png", "20", "20"], ["d.png", "10", "10"], ["b.png", "0", "0"],
    ]  # fmt: skip
    unranked = fusionkit("evaluate", "x", "--metrics", "seen", *eyes)
    assert [line.split()[0] for line in unranked.out.splitlines()[4:]] == ["a.png", "b.png", "c.png", "d.png"]
    none = fusionkit("evaluate", "x", "--metrics", "near", "--reference", "x", "--crop", "16x16", "--each", "-q")
    assert none.out.splitlines()[2:] == ["", "none of these metrics has a value for each picture"]


def test_pictures_of_several_sizes_are_scored_by_what_takes_them(fusionkit):
    noisy(Path("x"), [10, 20])
    noisy(Path("wide"), [30], size=(64, 16))
    Path("wide/a.png").rename("x/c.png")
    ran = fusionkit("evaluate", "x", "--metrics", "grey,near", "--reference", "x", "--crop", "16x16")
    sizes = "needs pictures of one size; there are 32x16 (a.png, b.png), 64x16 (c.png)"
    assert (ran.code, ran.err) == (2, f"near: {sizes}\nnear: {sizes} of the reference\n")
    ran = fusionkit("evaluate", "x", "--metrics", "grey")
    assert ran.out.splitlines()[1].split()[:2] == ["grey", "20"]


def test_the_sheet_of_many_pictures_is_none_of_them(fusionkit):
    told(Path("x/a.png"), seed=10)
    told(Path("x/b.png"), seed=40)
    for name, says in (("a-sheet.png", {}), ("a-who.png", {}), ("live.png", {"preview": True})):
        save_image(Image.new("RGB", (64, 64), "white"), Path("x", name), says)
    ran = fusionkit("evaluate", "x", "--metrics", "grey", "--reference", "x")
    assert ran.out.splitlines()[1].split()[:2] == ["grey", "75"]
    assert ran.out.splitlines()[1].split()[-1] == "2"
    assert "note: passed over in 'x': a-sheet.png, a-who.png, live.png: a sheet, map or preview" in ran.out.splitlines()
    for name in "ab":
        Path("x", f"{name}.png").unlink()
    alone = fusionkit("evaluate", "x", "--metrics", "grey")
    assert alone.out.splitlines()[1].split()[-1] == "3"
    assert "passed over" not in alone.out


def test_json_and_csv_hold_everything(fusionkit):
    told(Path("x/a.png"), seed=1)
    told(Path("x/b.png"), seed=3)
    noisy(Path("y"), [50, 60, 70], size=(64, 64))
    Path("w").write_text("weights")
    ran = fusionkit(
        "evaluate", "x", "--metrics", "grey,seen", "--features", "eyes", "--weights", "eyes=w", "--set", "grey.gain=2",
        "--json", "out/scores.json", "--csv", "out/scores.csv",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    document = json.loads(Path("out/scores.json").read_text())
    assert (document["folder"], document["reference"], document["features"]) == ("x", None, "eyes")
    assert document["versions"]["fusionkit"]
    assert (document["versions"]["scipy"], document["weights"]) == (scipy.__version__, {"eyes": "w"})
    assert document["metrics"] == [
        {"name": "grey", "title": "Grey", "better": "higher", "unit": "levels", "options": {"gain": 2.0}},
        {"name": "seen", "title": "Seen", "better": "none", "unit": "", "options": {}},
    ]
    # A picture of seed n is (n, 100, 100).
    first, second = 2 * 201 / 3, 2 * 203 / 3
    reach = 12.706205 * (second - first) / 2
    assert document["scores"]["grey"] == pytest.approx(
        {"value": (first + second) / 2, "low": 134.66667 - reach, "high": 134.66667 + reach, "count": 2}
    )
    assert document["pictures"][1] == {
        "file": "b.png", "prompt": "the sea at noon", "seed": 3, "width": 192, "height": 64,
        "scores": {"grey": pytest.approx(second), "seen": pytest.approx(second / 2)},
    }  # fmt: skip
    assert (document["notes"], document["left-out"]) == ([], {})
    with Path("out/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["metric"], row["picture"], row["seed"]) for row in rows] == [
        ("grey", "", ""), ("grey", "a.png", "1"), ("grey", "b.png", "3"),
        ("seen", "", ""), ("seen", "a.png", "1"), ("seen", "b.png", "3"),
    ]  # fmt: skip
    assert float(rows[0]["value"]) == pytest.approx(document["scores"]["grey"]["value"])
    assert float(rows[2]["value"]) == pytest.approx(second)
    assert (rows[0]["options"], rows[0]["unit"], rows[0]["features"], rows[3]["features"]) == (
        '{"gain": 2.0}', "levels", "", "eyes",
    )  # fmt: skip
    assert json.loads(rows[0]["versions"]) == document["versions"]
    assert json.loads(rows[0]["weights"]) == document["weights"]


def test_one_picture_has_no_interval_and_json_no_nan(fusionkit):
    noisy(Path("x"), [10])
    ran = fusionkit("evaluate", "x", "--metrics", "grey", "--json", "s.json", "-q")
    assert ran.out.splitlines()[1].split() == ["grey", "10", "levels", "-", "higher", "1"]
    assert json.loads(Path("s.json").read_text())["scores"]["grey"] == {
        "value": 10, "low": None, "high": None, "count": 1,
    }  # fmt: skip


def test_files_are_not_overwritten_unasked(fusionkit):
    noisy(Path("x"), [10, 20])
    Path("s.json").write_text("mine")
    ran = fusionkit("evaluate", "x", "--metrics", "grey", "--json", "s.json")
    assert (ran.code, ran.out, ran.err) == (2, "", "'s.json' exists; give another file, or --overwrite\n")
    assert Path("s.json").read_text() == "mine"
    assert fusionkit("evaluate", "x", "--metrics", "grey", "--json", "s.json", "--overwrite").code == 0
    assert json.loads(Path("s.json").read_text())["folder"] == "x"


def test_everything_wrong_with_a_command_is_said_at_once(fusionkit):
    noisy(Path("x"), [10])
    noisy(Path("x/wide"), [10], size=(64, 16))
    Path("x/wide/a.png").rename("x/b.png")
    Path("x/c.png").write_text("no picture")
    Path("file").write_text("")
    ran = fusionkit(
        "evaluate", "x", "--reference", "z", "--metrics", "gray,near", "--features", "eye", "--weights", "eyes",
        "--weights", "exra=w", "--crop", "16", "--set", "near.x=1", "--device", "cdua", "--json", "file/s.json",
        "--csv", "x",
    )  # fmt: skip
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "'file/s.json' can't be written: 'file' is a file",
        "'x' is a folder; give a file",
        "--crop must be width x height in pixels, such as 3584x512, not '16'",
        "--weights eyes: write it as NAME=FILE, such as inception=weights.pth",
        "no weights 'exra'; did you mean 'extra'?",
        "weights 'exra': no such file: 'w'",
        "no metric 'gray'; did you mean 'grey'?",
        "metric 'near' has no option 'x'; it has none",
        "no features 'eye'; did you mean 'eyes'?",
        "--device must be auto, cpu, cuda, mps, xpu, or one of several such as cuda:1, not 'cdua'; "
        "did you mean 'cuda'?",
        "no such folder: 'z'",
        "x/c.png: is no picture of a known format",
    ]


def test_what_metrics_lack_is_said_with_the_numbers(fusionkit):
    noisy(Path("x"), [10, 20])
    ran = fusionkit("evaluate", "x", *OURS)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "near: needs pictures to compare with; give their folder: --reference DIR",
        "near: needs at least 3 pictures; there are 2",
        "near, seen: needs the size that the model was trained at; it is not known of a.png, b.png; "
        "give it: --crop WxH",
    ]
    missing = fusionkit("evaluate", "x", "--metrics", "seen", "--features", "eyes", "--crop", "8x8")
    assert missing.err == (
        "seen: eyes.pth (1 MB) is at https://eyes.test; give it: --weights eyes=FILE; download=True\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["z"], "no such folder: 'z'"),
        (["empty"], "folder 'empty' holds no pictures (.png, .jpg, .jpeg, .webp)"),
        (["x", "--metrics", ","], "--metrics names none; there are "),
        (["x", "--crop", "0x8"], "--crop must be at least 1x1 pixels, not 0x8"),
        (["x", "--json", "s", "--csv", "./s"], "--json and --csv are both 's'; give two files"),
        (["x", "--weights", "eyes=w"], "weights 'eyes': no such file: 'w'"),
    ],
    ids=["no-folder", "empty", "no-metrics", "crop", "one-file", "weights"],
)
def test_bad_input_is_one_line(fusionkit, arguments, said):
    noisy(Path("x"), [10])
    Path("empty").mkdir()
    ran = fusionkit("evaluate", *arguments)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert ran.err.startswith(said)


def test_the_list_names_every_metric_with_what_it_needs(fusionkit):
    ran = fusionkit("evaluate", "--list")
    assert ran.code == 0
    assert (
        "near  How near the crops' mean is to the reference's.\n  needs   crop, reference\n  better  lower" in ran.out
    )
    assert "grey  The mean grey level.\n  needs   nothing but the pictures\n  better  higher\n  gain " in ran.out
    nothing = fusionkit("evaluate")
    assert nothing.code == 2
    assert "Missing argument 'DIR'" in nothing.err


def test_a_broken_package_hides_no_metric(fusionkit, install):
    install("broken", "import no_such_module\n", "[fusionkit.metrics]\nbad = broken:Bad\n")
    noisy(Path("x"), [10, 20])
    ran = fusionkit("evaluate", "x", "--crop", "16x16")
    assert ran.code == 0
    assert "grey" in ran.out
    (line,) = [line for line in ran.out.splitlines() if "bad" in line]
    assert line.startswith("left out: bad: metric 'bad' of package 'broken' can't be imported")


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_writes_nothing(site):
    code = METRICS + "import os, signal\n\nclass Slow(Metric):\n    def describe(self, picture, tools):\n"
    code += "        os.kill(os.getpid(), signal.SIGINT)\n        return 1.0\n"
    (site / "eyesight.py").write_text(code)
    noisy(Path("x"), [10, 20])
    (site / "eyesight-1.0.dist-info" / "entry_points.txt").write_text("[fusionkit.metrics]\nslow = eyesight:Slow\n")
    ran = subprocess.run(
        [sys.executable, "-m", "fusionkit", "evaluate", "x", "--metrics", "slow", "--json", "s.json", "-q"],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted; nothing was written\n")
    assert not Path("s.json").exists()
