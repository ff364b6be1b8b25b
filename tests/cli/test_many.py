"""Many pictures of one recipe: seeds and prompts, names and numbers, the sheet, and the picked one in full."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Run
from PIL import Image

from fusionkit.pictures.image import read_metadata
from fusionkit.pictures.sheet import contact_sheet

TURN = "by prompts, seeds of each in turn\n"
SKETCH = ("--set", "steps=1", "--set", "size=128x128")


def test_sketches_a_sheet_and_one_in_full(fusionkit: Run) -> None:
    ran = fusionkit("run", "r.yaml", "--seeds", "0-2", *SKETCH, "-o", "s/")
    assert (ran.code, [line for line in ran.out.splitlines() if not line.startswith("  ")]) == (
        0,
        ["s/r-0.png", "s/r-1.png", "s/r-2.png", "s/r-sheet.png"],
    )
    assert ran.err.count(": a hill") == 3
    with Image.open("s/r-sheet.png") as sheet:
        assert sheet.size[0] > 2 * 128
    # By its own steps and its own size, and still the second: its seed is 1.
    assert fusionkit("run", "r.yaml", "--seeds", "0-2", "--pick", "2", "-q") == (0, "out/r-1.png\n", "")
    recipe = read_metadata(Path("out/r-1.png"))["recipe"]
    assert "\nsteps: 3\n" in recipe
    assert "\nsize: 256x128\n" in recipe


def test_prompts_of_a_file_with_each_seed(fusionkit: Run) -> None:
    Path("p.txt").write_text("# two\na hill\na lake\n")
    again = ("run", "r.yaml", "--prompts", "p.txt", "--seeds", "5,7", "-q", *SKETCH)
    assert fusionkit(*again).out.splitlines() == [f"out/r-{seed}-{n}.png" for n, seed in enumerate((5, 7, 5, 7), 1)]
    told = [read_metadata(Path(f"out/r-{name}.png")) for name in ("5-1", "7-2", "5-3", "7-4")]
    assert [each["seed"] for each in told] == [5, 7, 5, 7]
    assert ["prompt: a lake\n" in each["recipe"] for each in told] == [False, False, True, True]
    before = Path("out/r-5-3.png").read_bytes()
    assert Path("out/r-sheet.png").is_file()
    # Its number stays, and so does its name.
    assert fusionkit(*again, "--pick", "3", "--overwrite").out == "out/r-5-3.png\n"
    assert Path("out/r-5-3.png").read_bytes() == before
    assert fusionkit(*again, "--skip-existing", "--pick", "3-4").out == "out/r-5-3.png\nout/r-7-4.png\n"


def test_a_name_of_ones_own(fusionkit: Run) -> None:
    again = ("run", "r.yaml", "--seeds", "4-5", "-q", *SKETCH, "-o", "a.png")
    assert fusionkit(*again).out == "a-4.png\na-5.png\n"
    assert Path("a-sheet.png").is_file()
    # One alone is called what it was told to be called.
    assert fusionkit(*again, "--pick", "2").out == "a.png\n"
    assert read_metadata(Path("a.png"))["seed"] == 5


def test_a_picture_in_other_seeds(fusionkit: Run) -> None:
    assert fusionkit("run", "r.yaml", "-q", *SKETCH, "-o", "liked.png").code == 0
    assert fusionkit("run", "liked.png", "-q", "--seeds", "1-2").out == "liked-1.png\nliked-2.png\n"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--seeds", "a"), "--seeds must be seeds such as 0-9 or 1,2,5, not 'a'\n"),
        (("--seeds", "0-8", "--seed", "1"), "--seed and --seeds: give one of them\n"),
        (("--seeds", "0-8", "--pick", "10"), f"--pick 10: there are pictures 1 to 9, {TURN}"),
        (("--pick", "0"), f"--pick 0: there are pictures 1 to 1, {TURN}"),
        (("--seeds", "0-99999", "--prompts", "p.txt"), "--seeds: that makes 200,000 pictures; the most are 100,000\n"),
        (("--prompts", "none.txt"), "none.txt: can't be read: No such file or directory\n"),
    ],
)
def test_what_makes_no_sense(fusionkit: Run, options: tuple[str, ...], line: str) -> None:
    Path("p.txt").write_text("a\nb\n")
    assert fusionkit("run", "r.yaml", *options) == (2, "", line)


def test_the_sheet_keeps_order_and_fits() -> None:
    colours = ["red", "lime", "blue", "white", "black"]
    sheet = contact_sheet([(Image.new("RGB", (40, 20), each), "x" * 99) for each in colours], columns=2)
    assert sheet.size == (2 * 48 + 8, 3 * 46 + 8)
    assert [sheet.getpixel((8 + 48 * (n % 2) + 5, 8 + 46 * (n // 2) + 5)) for n in range(3)] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    ]
    wide = contact_sheet([(Image.new("RGB", (4000, 100)), "1")] * 9)
    assert wide.size[0] <= 1600
