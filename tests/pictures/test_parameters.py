"""The text that other programs read: it comes back by the rules of AUTOMATIC1111's web UI, and holds no path."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image

from fusionkit.pictures.image import read_metadata, save_image
from fusionkit.pictures.parameters import EXIF_IFD, USER_COMMENT, parameters_of
from fusionkit.recipe import Recipe

# `modules/infotext_utils.py`, re_param_code and parse_generation_parameters.
_PARAMETER = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def parsed(text: str) -> dict[str, str]:
    """As the web UI reads it."""
    found = {"Prompt": "", "Negative prompt": ""}
    *lines, last = text.strip().split("\n")
    if len(_PARAMETER.findall(last)) < 3:
        lines, last = [*lines, last], ""
    at = "Prompt"
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            at, line = "Negative prompt", line[16:].strip()
        found[at] += ("\n" if found[at] else "") + line
    for key, value in _PARAMETER.findall(last):
        found[key] = json.loads(value) if value.startswith('"') and value.endswith('"') else value
    return found


def told_in(path: Path) -> str:
    """The text in a picture's file, where the web UI looks for it."""
    with Image.open(path) as image:
        if image.format == "PNG":
            return str(image.info["parameters"])
        comment = image.getexif().get_ifd(EXIF_IFD)[USER_COMMENT]
        assert comment[:8] == b"UNICODE\0"
        return str(comment[8:].decode("utf-16-be"))


WHOLE = Recipe(
    model="/home/somebody/models/my, model.safetensors",
    prompt="a (red:1.3) hill, a 山\nin the morning: mist",
    negative_prompt="blur, noise",
    scheduler={"name": "dpm++-2m-karras"},
    steps=25,
    guidance_scale=4.5,
    seed=2**62,
    clip_skip=1,
    size=(256, 64),
)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_it_comes_back_by_the_web_uis_rules(tmp_path: Path, suffix: str) -> None:
    told = {"recipe": WHOLE.to_yaml(), "parameters": parameters_of(WHOLE, (512, 128))}
    path = save_image(Image.new("RGB", (512, 128)), tmp_path / f"a{suffix}", told)
    assert parsed(told_in(path)) == {
        "Prompt": WHOLE.prompt,
        "Negative prompt": WHOLE.negative_prompt,
        "Steps": "25",
        "Sampler": "DPM++ 2M",
        "Schedule type": "Karras",
        "CFG scale": "4.5",
        "Seed": str(2**62),
        "Size": "512x128",
        "Model": "my, model",
        "Clip skip": "2",
        "Version": f"fusionkit {version('fusionkit')}",
    }
    assert "somebody" not in told_in(path)
    assert read_metadata(path) == {"recipe": WHOLE.to_yaml()}, "what we read ourselves is as it was"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("vista/scenes", "vista/scenes"),
        ("owner/a-model", "owner/a-model"),
        ("./models/mine", "mine"),
        ("~/mine/", "mine"),
        (r"C:\Users\somebody\mine.safetensors", "mine"),
        (r"\\server\somebody\mine", "mine"),
        (str(Path(__file__).parent), "pictures"),
    ],
)
def test_a_model_is_told_by_its_name(model: str, name: str) -> None:
    assert parsed(parameters_of(Recipe(model=model), (64, 64)))["Model"] == name


def test_what_is_not_known_is_not_told() -> None:
    assert parameters_of(Recipe(prompt="a hill", steps=3), (64, 32)) == (
        f"a hill\nSteps: 3, CFG scale: 7.5, Seed: 0, Size: 64x32, Version: fusionkit {version('fusionkit')}"
    )
    both = Recipe(models={"a": "owner/one", "b": "/x/two.safetensors"}, scheduler={"name": "edm-euler"})
    found = parsed(parameters_of(both, (64, 64)))
    assert (found["Model"], found["Sampler"]) == ("owner/one + two", "edm-euler")


def test_a_recipe_that_fills_a_jpeg_leaves_it_out(tmp_path: Path) -> None:
    told = {"recipe": "x" * 64_000, "parameters": "y" * 2000}
    path = save_image(Image.new("RGB", (8, 8)), tmp_path / "a.jpg", told)
    assert read_metadata(path) == {"recipe": "x" * 64_000}
    with Image.open(path) as image:
        assert USER_COMMENT not in image.getexif().get_ifd(EXIF_IFD)
