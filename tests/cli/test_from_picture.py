"""A picture in place of a recipe: run, planned, checked and extended, and what differs is told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CHECKPOINTS, RECIPE, Ran, Run
from PIL import Image

from fusionkit import Fusion, ModelError
from fusionkit.pictures.image import read_metadata, save_image

TINY = CHECKPOINTS / "tiny-sd"
OPENED = f"the recipe inside names, and this opens: {TINY}"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn picture."""
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "r.yaml").write_text(RECIPE)
    return Fusion.from_recipe(folder / "r.yaml", steps=1)(progress=False).save(folder / "r-0.png")


@pytest.fixture
def told(drawn: Path) -> dict[str, Any]:
    """What `out/r-0.png`, a drawn picture, says."""
    Path("out").mkdir()
    shutil.copy(drawn, "out/r-0.png")
    return read_metadata(drawn)


def carried(name: str, told: dict[str, Any], **changes: Any) -> None:
    """A picture with other metadata than it was drawn with."""
    with Image.open("out/r-0.png") as image:
        save_image(image, Path(name), {**told, **changes}, overwrite=True)


def test_a_picture_is_run_again_beside_itself(fusionkit: Run, told: dict[str, Any]) -> None:
    before = Path("out/r-0.png").read_bytes()
    ran = fusionkit("run", "out/r-0.png")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "out/r-0-2.png")
    assert ran.err.splitlines()[0] == OPENED
    assert read_metadata(Path("out/r-0-2.png")) == told
    assert Path("out/r-0.png").read_bytes() == before
    # Its seed is a part of its name.
    assert fusionkit("run", "out/r-0.png", "-q", "--seed", "8") == (0, "out/r-8.png\n", "")
    shutil.copy("out/r-0.png", "a {liked} one.png")
    assert fusionkit("run", "a {liked} one.png", "-q") == (0, "a {liked} one-2.png\n", "")
    assert fusionkit("run", "out/r-0.png", "-q", "-o", "there/").out == "there/r-0.png\n"
    assert fusionkit("run", "out/r-0.png", "-q", "--set", "output={seed}.webp").out == "0.webp\n"
    assert fusionkit("run", "0.webp", "-q").out == "0-2.webp\n"


def test_what_is_changed_is_told(fusionkit: Run, told: dict[str, Any]) -> None:
    changes = ("--set", "steps=2", "--set", "plugins.guided-fusion=false", "--set", "plugins.style-alignment.alpha=0.6")
    ran = fusionkit("plan", "out/r-0.png", "--seed", "8", "--set", "prompt=a red lake", *changes, "--device", "cpu")
    assert ran.code == 0
    assert "256x128 pixels, 2 steps of DDPMScheduler" in ran.out
    assert ran.err.splitlines() == [
        "note: not as in out/r-0.png: prompt 'a hill' -> 'a red lake', steps 1 -> 2, seed 0 -> 8, "
        "plugins.style-alignment.alpha 0.4 -> 0.6, plugins.guided-fusion left out",
        OPENED,
    ]
    added = fusionkit("validate", "out/r-0.png", "--set", "plugins.dilated-sampling=true")
    assert added.out == "out/r-0.png: valid (1 picture, 256x128, 5 plugins)\n"
    assert added.err.splitlines()[0] == "note: not as in out/r-0.png: plugins.dilated-sampling added"
    replayed = fusionkit("replay", "out/r-0.png", "-q", "--set", "seed=8", "--set", "size=128x128")
    assert replayed.out.splitlines()[1].endswith("; size 256x128 -> 128x128, seed 0 -> 8")


def test_a_recipe_extends_a_picture(fusionkit: Run, told: dict[str, Any]) -> None:
    Path("mine.yaml").write_text("extends: out/r-0.png\nseed: 5\nplugins:\n  guided-fusion: false\n")
    ran = fusionkit("run", "mine.yaml")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "out/mine-5.png")
    assert ran.err.splitlines()[0] == "note: not as in out/r-0.png: seed 0 -> 5, plugins.guided-fusion left out"
    assert "guided-fusion" not in read_metadata(Path("out/mine-5.png"))["recipe"]
    Path("mine.yaml").write_text("extends: out/none.png\n")
    assert fusionkit("validate", "mine.yaml").err.startswith("mine.yaml:1:10: no recipe 'out/none.png'")


def test_the_picture_it_comes_from_is_never_replaced(fusionkit: Run, told: dict[str, Any]) -> None:
    before = Path("out/r-0.png").read_bytes()
    line = "'out/r-0.png' is the picture that the recipe comes from, which is not replaced; give another place: -o PATH"
    assert fusionkit("run", "out/r-0.png", "--overwrite") == (2, "", f"--output: output {line}\n")
    Path("mine.yaml").write_text("extends: out/r-0.png\noutput: out/r-0.png\noverwrite: true\n")
    assert fusionkit("run", "mine.yaml").err == f"mine.yaml:2:9: output {line}\n"
    carried("greedy.png", told, recipe=f"{told['recipe']}output: keep.png\noverwrite: true\npreview-every: 1\n")
    Path("keep.png").write_text("mine")
    assert fusionkit("run", "greedy.png", "-q") == (0, "greedy-2.png\n", "")
    assert Path("keep.png").read_text() == "mine"
    assert not list(Path().glob("*step*")), "nor does it write previews"
    assert Path("out/r-0.png").read_bytes() == before


def test_a_comparisons_folder_is_left_alone(fusionkit: Run, told: dict[str, Any]) -> None:
    Path("out/comparison.json").write_text("{}")
    ran = fusionkit("run", "out/r-0.png")
    assert ran.err == (
        "out/r-0.png: lies in a comparison's folder, which holds what 'compare' drew; give another place: -o PATH\n"
    )
    assert fusionkit("run", "out/r-0.png", "-q", "-o", "mine.png").out == "mine.png\n"


def test_files_are_found_as_replay_finds_them(fusionkit: Run, folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Path("project/in").mkdir(parents=True)
    Image.fromarray(pixels).save("project/in/start.png")
    recipe = f"model: {TINY}\nprompt: a hill\nsize: 128x128\nwindow: 64x64\nsteps: 1\noutput: project/out/a.png\n"
    Path("r.yaml").write_text(recipe + "plugins:\n  - progressive-upscaling: {from: project/in/start.png}\n")
    assert fusionkit("run", "r.yaml", "-q").code == 0
    Path("project").rename("moved")
    ran = fusionkit("run", "moved/out/a.png", "-q")
    assert ran.out == "moved/out/a-2.png\n"
    assert ran.err == f"note: 'project/in/start.png' is read from '{folder / 'moved/in/start.png'}'\n"
    latents = [read_metadata(Path(f"moved/out/a{end}.png"))["latents"] for end in ("", "-2")]
    assert latents[0] == latents[1]
    Path("moved/in/start.png").rename("other.png")
    missing = fusionkit("run", "moved/out/a.png", "-q")
    line = "moved/out/a.png: 'project/in/start.png', which its recipe reads, is missing; put it beside the picture, or "
    assert missing == Ran(2, "", f"{line}into the working folder\n")
    # What the user gives in its place is the user's own.
    ran = fusionkit("run", "moved/out/a.png", "-q", "--set", "plugins.progressive-upscaling.from=other.png")
    assert ran == Ran(0, "moved/out/a-3.png\n", "")


def test_only_what_is_the_pictures_own_is_looked_for_elsewhere(fusionkit: Run) -> None:
    rng = np.random.default_rng(0)
    for name in ("start.png", "theirs/start.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(name)
    recipe = f"model: {TINY}\nprompt: a hill\nsize: 128x128\nwindow: 64x64\nsteps: 1\noutput: theirs/a.png\n"
    Path("r.yaml").write_text(recipe + "plugins:\n  - progressive-upscaling: {from: start.png}\n")
    assert fusionkit("run", "r.yaml", "-q").code == 0
    Path("start.png").rename("theirs/start.png")
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save("start.png")
    plugins = "plugins:\n  - progressive-upscaling: {from: start.png}\n"
    Path("mine.yaml").write_text(f"extends: theirs/a.png\n{plugins}output: mine.png\n")
    assert fusionkit("run", "mine.yaml", "-q").err == ""
    mine, theirs = (read_metadata(Path(name))["files"]["start.png"] for name in ("mine.png", "theirs/a.png"))
    assert mine != theirs


BAD = {
    "plain.png": "plain.png: carries no recipe; only pictures that fusionkit wrote do",
    "cut.png": "cut.png: can't be read as a picture: ",
    "text.png": "text.png: is no picture of a known format",
    "none.png": "no recipe 'none.png'",
    "wrong.png": "wrong.png:1:1: a recipe has no option 'sed'; did you mean 'seed'?",
    "deep.png": "deep.png:1:1: a recipe has no option 'extends' inside a picture",
    "two.png": "two.png: carries a recipe of 2 prompts; a picture is drawn from one",
}


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_pictures_without_a_recipe(fusionkit: Run, command: str) -> None:
    image = Image.new("RGB", (8, 8))
    image.save("plain.png")
    Path("cut.png").write_bytes(Path("plain.png").read_bytes()[:30])
    Path("text.png").write_text("prompt: a hill\n")
    save_image(image, Path("wrong.png"), {"recipe": "sed: 1\nmodel: tinyworld/scenes\n"})
    save_image(image, Path("deep.png"), {"recipe": "extends: r.yaml\n"})
    save_image(image, Path("two.png"), {"recipe": "model: tinyworld/scenes\nprompt: [a, b]\n"})
    for name, line in BAD.items():
        ran = fusionkit(command, name)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(line)
        assert ran.err.count("\n") == 1


def test_where_no_picture_is_taken_it_says_what_to_do(fusionkit: Run, told: dict[str, Any]) -> None:
    line = "is a picture; write its recipe into a file: fusionkit recipes out/r-0.png > mine.yaml\n"
    assert fusionkit("compare", "out/r-0.png", "--seeds", "0") == (2, "", f"out/r-0.png: {line}")


def test_care_ends_with_the_picture_that_needs_it(fusionkit: Run, told: dict[str, Any]) -> None:
    """A recipe of the user's own, after a picture's, may ask the hub: here the line says that it did not even try."""
    Path("own.yaml").write_text(RECIPE.replace(str(TINY), "//another/share"))
    carried("theirs.png", told, recipe=told["recipe"].replace(str(TINY), "//another/share"))
    ran = fusionkit("validate", "theirs.png", "own.yaml")
    theirs, own = ran.err.splitlines()
    assert theirs.startswith("theirs.png:")
    assert "is on another machine, which is not asked for what a picture names; --download fetches it" in theirs
    assert own.startswith("own.yaml:")
    assert "a picture names" not in own


def test_from_python(told: dict[str, Any]) -> None:
    fusion = Fusion.from_recipe("out/r-0.png")
    assert fusion(progress=False).latents_hash == told["latents"]
    assert Fusion.from_recipe(Path("out/r-0.png"), steps=2).plan().steps == 2
    carried("theirs.png", told, recipe=told["recipe"].replace(str(TINY), "a-stranger/model"))
    with pytest.raises(ModelError) as refused:
        Fusion.from_recipe("theirs.png")
    assert str(refused.value).endswith("what a picture names is not downloaded; download=True fetches it")
    # What is given later is looked at with the same care.
    with pytest.raises(ModelError, match="is on another machine, which is not asked for what a picture names"):
        Fusion.from_recipe("out/r-0.png", model="//another/share")
