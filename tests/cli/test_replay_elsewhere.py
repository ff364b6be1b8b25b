"""A picture is made again where it lies: its files are found beside it, and told apart by what is in them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import CHECKPOINTS, Run
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import fusionkit.pictures.inputs
from fusionkit.pictures.image import read_metadata
from fusionkit.pictures.inputs import fingerprint

RECIPE = f"""model: {CHECKPOINTS / "tiny-sd"}
prompt: start.png
size: 128x128
window: 64x64
steps: 2
plugins:
  - progressive-upscaling: {{from: start.png}}
output: drawn.png
"""


def noise(path: Path, seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def drawn(fusionkit: Run, folder: Path) -> Path:
    """A folder with a picture and the one that it was enlarged from, and another folder to be in."""
    (folder / "first").mkdir()
    (folder / "second").mkdir()
    os.chdir(folder / "first")
    noise(Path("start.png"))
    Path("r.yaml").write_text(RECIPE)
    assert fusionkit("run", "r.yaml", "-q").code == 0
    os.chdir(folder / "second")
    return folder / "first"


def replayed(fusionkit: Run, path: Path, code: int = 0) -> tuple[str, str]:
    ran = fusionkit("replay", str(path), "-q", "-o", "again.png")
    assert ran.code == code, ran
    return (ran.out.splitlines() or [""])[-1], ran.err


def test_the_picture_knows_its_files(drawn: Path) -> None:
    files = read_metadata(drawn / "drawn.png")["files"]
    assert set(files) == {"start.png", str(CHECKPOINTS / "tiny-sd")}
    assert files["start.png"] == fingerprint(drawn / "start.png")
    assert files["start.png"].startswith("sha256:")


def test_its_files_are_found_beside_it(drawn: Path, fusionkit: Run) -> None:
    last, err = replayed(fusionkit, drawn / "drawn.png")
    assert last.startswith("equal: ")
    assert err == f"note: 'start.png' is read from '{drawn / 'start.png'}'\n"


def test_another_file_of_the_same_name_is_not_taken_for_it(drawn: Path, fusionkit: Run) -> None:
    noise(Path("start.png"), 1)
    assert replayed(fusionkit, drawn / "drawn.png")[0].startswith("equal: ")


def test_a_file_that_differs_is_named(drawn: Path, fusionkit: Run) -> None:
    noise(drawn / "start.png", 1)
    last, err = replayed(fusionkit, drawn / "drawn.png", 1)
    assert last.startswith("not equal: ")
    assert last.endswith("; different files: start.png")
    assert "note: 'start.png' is not the file that the picture was drawn with\n" in err


def test_a_file_that_is_missing_is_named(drawn: Path, fusionkit: Run) -> None:
    (drawn / "start.png").unlink()
    _, err = replayed(fusionkit, drawn / "drawn.png", code=2)
    assert err == (
        f"{drawn / 'drawn.png'}: 'start.png', which its recipe reads, is missing; "
        f"put it beside the picture, or into the working folder\n"
    )


def test_a_path_with_folders_is_found_by_its_name(drawn: Path, folder: Path, fusionkit: Run) -> None:
    os.chdir(folder)
    Path("first/deep.yaml").write_text(RECIPE.replace("{from: start.png}", "{from: first/start.png}"))
    assert fusionkit("run", "first/deep.yaml", "-q").code == 0
    (folder / "away").mkdir()
    shutil.move("drawn.png", "away/drawn.png")
    shutil.move("first/start.png", "away/start.png")
    last, err = replayed(fusionkit, folder / "away" / "drawn.png")
    assert last.startswith("equal: ")
    assert err == f"note: 'first/start.png' is read from '{folder / 'away' / 'start.png'}'\n"
    assert read_metadata(Path("again.png"))["recipe"].count("prompt: start.png") == 1  # a prompt is no path


def test_a_picture_names_no_file_that_its_recipe_does_not_read(
    drawn: Path, fusionkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = drawn / "secret"
    secret.write_text("secret")
    told = read_metadata(drawn / "drawn.png")
    told["files"][str(secret)] = "sha256:0"
    info = PngInfo()
    info.add_itxt("fusionkit", json.dumps(told))
    Image.new("RGB", (8, 8)).save(drawn / "strange.png", pnginfo=info)
    looked: list[Path] = []
    monkeypatch.setattr("fusionkit.pictures.inputs.fingerprint", lambda path: looked.append(path) or "")
    replayed(fusionkit, drawn / "strange.png")
    assert looked
    assert secret not in looked


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("model: tinyworld/scenes\nprompt: [a, b]\n", "carries a recipe of 2 prompts; a picture is drawn from one"),
        ("- a\n", "a recipe is a mapping"),
        ("[" * 1000, "nested too deeply"),
        ("prompt: '\\ud800'", ""),
    ],
)
def test_a_recipe_that_no_picture_has(recipe: str, says: str, fusionkit: Run) -> None:
    info = PngInfo()
    info.add_itxt("fusionkit", json.dumps({"recipe": recipe, "versions": None}))
    Image.new("RGB", (8, 8)).save("strange.png", pnginfo=info)
    ran = fusionkit("replay", "strange.png", "-q")
    assert ran.code != 0
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1


def test_versions_that_are_none(drawn: Path, fusionkit: Run) -> None:
    told = {**read_metadata(drawn / "drawn.png"), "versions": None, "latents": "0" * 64}
    info = PngInfo()
    info.add_itxt("fusionkit", json.dumps(told))
    Image.new("RGB", (8, 8)).save(drawn / "strange.png", pnginfo=info)
    assert replayed(fusionkit, drawn / "strange.png", 1)[0].startswith("not equal: ")


def test_several_frames_are_told(drawn: Path, fusionkit: Run) -> None:
    os.chdir(drawn)
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    Path("r.yaml").write_text(RECIPE.replace("{from: start.png}", "{from: moving.gif}"))
    note = "'moving.gif' has several frames or pages; the first one counts"
    assert f"note: {note}\n" in fusionkit("run", "r.yaml").err
    assert note in fusionkit("plan", "r.yaml").out


def test_fingerprints_tell_files_and_folders_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.safetensors").write_bytes(bytes(10_000))
    assert fingerprint(folder / "a.safetensors") == (
        "sha256:95b532cc4381affdff0d956e12520a04129ed49d37e154228368fe5621f0b9a2"
    )
    model = folder / "model"
    (model / "unet").mkdir(parents=True)
    (model / "unet" / "w.safetensors").write_bytes(b"1")
    first = fingerprint(model)
    (model / "unet" / "w.safetensors").write_bytes(b"22")
    assert fingerprint(model) != first
    assert first.startswith("sha256-of-files:")
    assert fingerprint(folder / "none") == ""
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
        assert fingerprint(folder / "pipe.png") == ""
    # Of a large file parts are read, from its beginning to its end.
    monkeypatch.setattr(fusionkit.pictures.inputs, "_WHOLE", 100)
    monkeypatch.setattr(fusionkit.pictures.inputs, "_SAMPLE", 10)
    data = bytearray(1000)
    found = set()
    for number, place in enumerate((None, 0, 500, 999)):
        if place is not None:
            data[place] = 1
        (folder / "large").write_bytes(data)
        os.utime(folder / "large", ns=(number, number))
        found.add(fingerprint(folder / "large"))
    assert len(found) >= 3
    assert all(each.startswith("sha256-of-parts:") for each in found)
