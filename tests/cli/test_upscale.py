"""`fusionkit upscale`: photos of any size and kind, folders of them, what is kept, and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CHECKPOINTS, Run
from PIL import Image

from fusionkit.pictures.metadata import read_metadata
from fusionkit.recipe import assemble
from fusionkit.recipe.recipe_file import parse_recipe

SDXL = str(CHECKPOINTS / "tiny-sdxl")
QUICK = ("--model", SDXL, "--steps", "3", "--set", "window=64x64")
"""One step, in windows of 64x64 pixels."""


def photo(path: str, size: tuple[int, int], mode: str = "RGB", **save: Any) -> Path:
    """A photo of soft colours."""
    pixels = np.random.default_rng(0).integers(60, 200, (5, 8, 3)).astype(np.uint8)
    where = Path(path)
    where.parent.mkdir(parents=True, exist_ok=True)
    soft = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    if mode == "I;16":
        grey = np.asarray(soft.convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(where, **save)
    else:
        soft.convert(mode).save(where, **save)
    return where


def size_of(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_folder_of_photos_of_every_kind_becomes_exactly_twice_as_large(fusionkit: Run) -> None:
    turned: Any = Image.Exif()
    turned[0x0112], turned[0x0110] = 6, "EOS R5"
    photo("in/a-landscape.jpg", (65, 43), exif=turned)  # it lies on its side
    photo("in/b-alpha.png", (33, 31), "RGBA")
    photo("in/c-grey.png", (20, 41), "L")
    photo("in/d-print.jpg", (31, 17), "CMYK")
    photo("in/e-deep.png", (37, 29), "I;16")
    Path("in/notes.md").write_text("no photo")
    Path("in/c-grey.txt").write_text("a hill\nat dawn\n")
    ran = fusionkit("upscale", "in", *QUICK, "-o", "out")
    assert ran.code == 0, ran.err
    assert {path.stem: size_of(str(path)) for path in Path("out").iterdir()} == {
        "a-landscape-2x": (86, 130),
        "b-alpha-2x": (66, 62),
        "c-grey-2x": (40, 82),
        "d-print-2x": (62, 34),
        "e-deep-2x": (74, 58),
    }
    assert "3 of 5: in/c-grey.png: 20x41 -> 40x82" in ran.err
    with Image.open("out/a-landscape-2x.png") as image:
        assert (image.getexif()[0x0110], image.getexif().get(0x0112)) == ("EOS R5", None)
    prompts = {path.stem: recipe_in(path).prompt for path in Path("out").iterdir()}
    assert prompts.pop("c-grey-2x") == "a hill at dawn"
    assert set(prompts.values()) == {""}
    # With something to show, the model's guidance counts; with nothing, there is nothing to guide to.
    assert recipe_in(Path("out/c-grey-2x.png")).guidance_scale > 1
    assert recipe_in(Path("out/b-alpha-2x.png")).guidance_scale == 1
    # What is there is not drawn again; what is missing is.
    Path("out/d-print-2x.png").unlink()
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    again = fusionkit("upscale", "in", *QUICK, "-o", "out", "--json")
    told = json.loads(again.out)
    assert [(Path(each["photo"]).stem, each["drawn"]) for each in told["pictures"]] == [
        ("a-landscape", False),
        ("b-alpha", False),
        ("c-grey", False),
        ("d-print", True),
        ("e-deep", False),
    ]
    assert told["failed"] == []
    assert {path: path.stat().st_mtime_ns for path in before} == before


def recipe_in(path: Path) -> Any:
    return parse_recipe(read_metadata(path)["recipe"], str(path)).recipes[0]


def test_what_the_photo_shows_is_kept(fusionkit: Run) -> None:
    """A random model draws noise; what is coarser than the photo's pixels is the photo's all the same."""
    source = photo("x.png", (65, 43))
    distances = {}
    for keep in ("details", "colours", "nothing"):
        assert fusionkit("upscale", "x.png", *QUICK, "--keep", keep, "-o", f"{keep}.png", "-q").code == 0
        with Image.open(f"{keep}.png") as large, Image.open(source) as small:
            reduced = np.asarray(large.resize(small.size, Image.Resampling.LANCZOS), float)
            distances[keep] = float(((reduced - np.asarray(small, float)) ** 2).mean())
    psnr = {keep: 10 * np.log10(255**2 / distance) for keep, distance in distances.items()}
    assert psnr["details"] > 25
    assert psnr["details"] > psnr["colours"] > psnr["nothing"]


def test_sizes_and_names(fusionkit: Run) -> None:
    photo("x.png", (65, 43))
    for options, name, size in (
        (("--scale", "1.3"), "x-1.3x.png", (84, 56)),
        (("--long-side", "101", "--format", "jpg"), "x-101px.jpg", (101, 67)),
        (("--scale", "1", "--strength", "0.5"), "x-1x.png", (65, 43)),
        # By way of half of it, in two stages of windows.
        (("--scale", "3", "--doubling"), "x-3x.png", (195, 129)),
    ):
        ran = fusionkit("upscale", "x.png", *QUICK, *options, "-q")
        assert (ran.code, ran.out) == (0, f"{name}\n"), ran.err
        assert size_of(name) == size
    # A folder's enlarged pictures are no photos of it.
    ran = fusionkit("upscale", ".", *QUICK, "--dry-run")
    assert "136x88 pixels" in ran.out
    assert "note: 4 pictures that fusionkit enlarged are left out" in ran.err


def test_one_bad_photo_does_not_end_the_others(fusionkit: Run) -> None:
    photo("in/a.png", (33, 31))
    Path("in/b.jpg").write_text("no picture")
    photo("in/c.png", (4, 31))
    ran = fusionkit("upscale", "in", *QUICK, "--json")
    assert ran.code == 1
    told = json.loads(ran.out)
    assert [(each["photo"], each["path"]) for each in told["pictures"]] == [("in/a.png", "in/a-2x.png")]
    assert [each["photo"] for each in told["failed"]] == ["in/b.jpg", "in/c.png"]
    *_, count, b, c = ran.err.splitlines()
    assert count == "2 of 3 photos could not be enlarged:"
    assert b == "photo 'in/b.jpg' is no picture of a known format"
    assert c.endswith("'in/c.png' has 4x31 pixels; it takes at least 8x8")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("text.jpg",), "photo 'text.jpg' is no picture of a known format"),
        (("nowhere.jpg",), "photo 'nowhere.jpg' does not exist"),
        (("tiny.png",), "'tiny.png' has 4x4 pixels; it takes at least 8x8"),
        (("empty",), "folder 'empty' has no photos; they end in"),
        (("x.png", "--scale", "0.5"), "--scale 0.5: a photo is never made smaller; use a scale from 1 to 64"),
        (("x.png", "--scale", "nan"), "--scale nan: a photo is never made smaller"),
        (("x.png", "--long-side", "40"), "--long-side 40: 'x.png' has 65x43 pixels, and is never made smaller"),
        (("x.png", "--scale", "2", "--long-side", "100"), "--scale and --long-side: give one of them"),
        (("x.png", "--lora", "none.safetensors:0.8"), "none.safetensors"),
        (("x.png", "--strength", "1.5"), "--strength 1.5: use a number above 0, up to 1"),
        (("x.png", "--strength", "0"), "--strength 0: use a number above 0, up to 1"),
        (("x.png", "--strength", "0.1"), "strength 0.1 leaves none of 3 steps"),
        (("x.png", "sub/x.png", "-o", "out"), "'x.png' and 'sub/x.png' would both be written to 'out/x-2x.png'"),
        (("x.png", "-o", "x.png", "--overwrite"), "'x.png' would be written to the photo 'x.png'"),
        (("sub/../x.png", "-o", "x.png", "--overwrite"), "'sub/../x.png' would be written to the photo 'x.png'"),
        (("link.png", "-o", "x.png", "--overwrite"), "'link.png' would be written to the photo 'x.png'"),
        (("x.png", "-o", "sub/hard.png", "--overwrite"), "'x.png' would be written to the photo 'sub/hard.png'"),
        (("x.png", "sub/x.png", "-o", "y.png"), "-o y.png: is one picture, and there are 2 photos"),
        (("x.png", "--network", "none.safetensors"), "none.safetensors"),
        (("x.png", "--controlnet", "nowhere"), "nowhere"),
        (("x.png", "--from", "nowhere.yaml"), "no recipe 'nowhere.yaml'"),
        (("x.png", "--set", "stepz=3"), "a recipe has no option 'stepz'"),
        (("x.png", "sub/x.png", "--recipe"), "--recipe prints the recipe of one photo, and there are 2"),
    ],
)
def test_what_makes_no_sense_is_one_line_before_anything_loads(
    fusionkit: Run, arguments: tuple[str, ...], line: str
) -> None:
    photo("x.png", (65, 43))
    photo("sub/x.png", (65, 43))
    photo("tiny.png", (4, 4))
    Path("link.png").symlink_to("x.png")
    Path("sub/hard.png").hardlink_to("x.png")
    Path("text.jpg").write_text("no picture")
    Path("empty").mkdir()
    before = set(Path().rglob("*"))
    ran = fusionkit("upscale", *arguments, *QUICK)
    (told,) = ran.err.strip().splitlines()
    assert (ran.code, ran.out, line in told) == (2, "", True), ran.err
    assert set(Path().rglob("*")) == before


def test_several_seeds_are_told_where_they_belong(fusionkit: Run) -> None:
    line = "'1-3' is several seeds, of which each draws a picture: fusionkit run RECIPE --seeds 1-3"
    ran = fusionkit("upscale", "x.png", *QUICK, "--seed", "1-3")
    assert (ran.code, line in ran.err) == (2, True)


def test_the_recipe_of_a_folder_s_photos_is_read_once(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        photo(f"in/{name}.png", (33, 31))
    read, real = [], assemble.read_yaml

    def counted(path: Path, name: str) -> Any:
        read.append(path.name)
        return real(path, name)

    monkeypatch.setattr(assemble, "read_yaml", counted)
    assert fusionkit("upscale", "in", *QUICK, "--dry-run").code == 0
    assert read == ["upscale-photo.yaml"]


def test_one_photo_by_two_names_is_one(fusionkit: Run) -> None:
    photo("x.png", (65, 43))
    Path("sub").mkdir()
    told = json.loads(fusionkit("upscale", "sub/../x.png", "x.png", ".", *QUICK, "--dry-run", "--json").out)
    assert [each["photo"] for each in told["photos"]] == ["sub/../x.png"]


def test_a_model_must_be_said_and_an_embedded_one_is_a_toy(fusionkit: Run) -> None:
    photo("x.png", (65, 43))
    ran = fusionkit("upscale", "x.png")
    assert (ran.code, "--model is missing: what draws, such as" in ran.err) == (2, True)
    ran = fusionkit("upscale", "x.png", "--model", "tinyworld/scenes", "--dry-run")
    assert ran.code == 0
    assert ran.err.startswith("note: 'tinyworld/scenes' is a toy for this")
    assert "132x88 pixels, 10 steps of" in ran.out
    assert "130x86 of it are the picture" in ran.out


def test_the_recipe_is_all_that_there_is_to_it(fusionkit: Run) -> None:
    photo("x.png", (65, 43))
    plain = fusionkit("upscale", "x.png", *QUICK, "-o", "one.png", "-q")
    printed = fusionkit("upscale", "x.png", *QUICK, "-o", "two.png", "--recipe")
    assert plain.code == printed.code == 0
    Path("mine.yaml").write_text(printed.out)
    assert fusionkit("run", "mine.yaml", "-q").code == 0
    assert read_metadata(Path("one.png"))["latents"] == read_metadata(Path("two.png"))["latents"]
    assert np.array_equal(Image.open("one.png"), Image.open("two.png"))
    # And one's own recipe takes its place, with what it says.
    ran = fusionkit("upscale", "x.png", "--from", "mine.yaml", "--scale", "1.5", "-o", "three.png", "-q")
    assert (ran.code, size_of("three.png")) == (0, (98, 64)), ran.err
    assert recipe_in(Path("three.png")).steps == 3
