"""Pictures as files: names, numbers, metadata, and what happens when they can't be written."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from fusionkit.errors import FusionError, RecipeError
from fusionkit.pictures.image import free_path, in_bytes, output_path, output_problems, read_metadata, save_image
from fusionkit.recipe import Recipe

TOLD = {"recipe": "prompt: a häuschen 山\n", "seed": 2**62}


@pytest.fixture
def picture() -> Image.Image:
    return Image.new("RGB", (16, 8), (200, 30, 60))


def test_a_template_is_filled_in() -> None:
    recipe = Recipe(
        name="my recipe/x",
        model="owner/some.model",
        prompt="A hill, at noon!",
        size=(64, 32),
        seed=7,
        output=Path("o/{recipe}_{model}_{prompt}_{size}_{seed:03}_{index}.png"),
    )
    assert output_path(recipe, 2) == Path("o/my-recipe-x_some.model_A-hill-at-noon_64x32_007_2.png")
    assert output_path(Recipe(output=Path("{model}-{prompt}.png"))) == Path("pipeline-picture.png")
    assert len(output_path(Recipe(prompt="long " * 99, output=Path("{prompt}.png"))).stem) <= 60


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.webp"])
def test_metadata_comes_back_from_every_format(tmp_path: Path, picture: Image.Image, name: str) -> None:
    path = save_image(picture, tmp_path / "new" / "folder" / name, TOLD)
    assert path == tmp_path / "new" / "folder" / name
    assert read_metadata(path) == TOLD
    with Image.open(path) as image:
        assert image.size == (16, 8)
        assert max(abs(a - b) for a, b in zip(image.convert("RGB").getpixel((3, 3)), (200, 30, 60), strict=True)) < 4


def test_a_picture_is_read_as_any_other_file(tmp_path: Path, picture: Image.Image) -> None:
    (tmp_path / "other").touch()
    path = save_image(picture, tmp_path / "a.png", TOLD)
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_numbers_are_added_also_when_many_write_at_once(tmp_path: Path, picture: Image.Image) -> None:
    written: list[Path] = []
    threads = [
        threading.Thread(target=lambda: written.append(save_image(picture, tmp_path / "a.png", TOLD))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = ["a.png", *(f"a-{number}.png" for number in range(2, 9))]
    assert sorted(path.name for path in written) == sorted(expected) == sorted(os.listdir(tmp_path))
    assert free_path(tmp_path / "a.png") == tmp_path / "a-9.png"
    assert free_path(tmp_path / "b.png") == tmp_path / "b.png"


def test_overwrite_replaces(tmp_path: Path, picture: Image.Image) -> None:
    (tmp_path / "a.png").write_text("old")
    assert save_image(picture, tmp_path / "a.png", TOLD, overwrite=True) == tmp_path / "a.png"
    assert read_metadata(tmp_path / "a.png") == TOLD
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_picture_that_can_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    """The file's size is limited, as on a full disk."""
    code = (
        "import resource, signal\nfrom pathlib import Path\nfrom PIL import Image\n"
        "from fusionkit.pictures.image import save_image\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "image = Image.effect_noise((64, 64), 50)\n"
        f"save_image(image, Path({str(tmp_path / 'a.png')!r}), {{}})\n"
    )
    assert resource.RLIMIT_FSIZE
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"fusionkit.errors.FusionError: '{tmp_path / 'a.png'}' can't be written: File too large"
    )
    assert os.listdir(tmp_path) == []


def test_a_name_without_a_known_format(tmp_path: Path, picture: Image.Image) -> None:
    with pytest.raises(
        RecipeError, match=r"a picture's name ends in \.png, \.jpg, \.jpeg, \.webp, \.tif, \.tiff, \.dzi"
    ):
        save_image(picture, tmp_path / "a.gif", {})


def test_a_folder_that_is_a_file(tmp_path: Path, picture: Image.Image) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FusionError, match="can't be written"):
        save_image(picture, tmp_path / "file" / "a.png", {})
    assert output_problems([tmp_path / "file" / "deep" / "a.png"], (8, 8)) == [
        f"output folder '{tmp_path / 'file'}' is a file"
    ]


def test_pictures_of_one_folder_share_its_room(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    side = int((free * 0.6 / 3) ** 0.5)
    assert output_problems([tmp_path / "a.png"], (side, side)) == []
    (problem,) = output_problems([tmp_path / "a.png", tmp_path / "new" / "b.png"], (side, side))
    assert problem.startswith(f"output folder '{tmp_path}' has ")
    assert os.listdir(tmp_path) == []


def test_pictures_of_others(tmp_path: Path, picture: Image.Image) -> None:
    from PIL.PngImagePlugin import PngInfo

    for number, text in enumerate(["no json", "[1]", json.dumps({"recipe": 3})]):
        info = PngInfo()
        info.add_text("fusionkit", text)
        picture.save(tmp_path / f"{number}.png", pnginfo=info)
        with pytest.raises(RecipeError, match="carries no recipe"):
            read_metadata(tmp_path / f"{number}.png")
    whole = save_image(picture, tmp_path / "cut.png", TOLD).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:20])
    with pytest.raises(RecipeError, match="can't be read as a picture"):
        read_metadata(tmp_path / "cut.png")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (123_456_789, "123 MB"), (3.2e12, "3.2 TB")],
)
def test_bytes_in_words(number: float, text: str) -> None:
    assert in_bytes(number) == text
