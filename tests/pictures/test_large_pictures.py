"""Pictures that are written strip by strip: BigTIFF and deep zoom, from memory and from a file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from fusionkit.errors import FusionError, RecipeError
from fusionkit.pictures.claiming import folder_of
from fusionkit.pictures.deep_zoom import OVERLAP, TILE, files_of, levels_of
from fusionkit.pictures.files import clear_leftovers
from fusionkit.pictures.finished import check_whole
from fusionkit.pictures.image import output_problems, read_metadata, save_image
from fusionkit.pictures.on_disk import PictureOnDisk, mapped, strips_of
from fusionkit.pictures.opening import PictureError
from fusionkit.pictures.picture import open_picture

SIZE = WIDTH, HEIGHT = 700, 530
METADATA = {"recipe": "prompt: ein Hügel", "seed": 3, "latents": "abc", "parameters": "ein Hügel"}


@pytest.fixture
def drawn(tmp_path: Path) -> PictureOnDisk:
    picture = PictureOnDisk(SIZE, tmp_path)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture.pixels[:] = np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, (x + y) % 256], axis=-1)
    return picture


def pixels_of(path: Path) -> Any:
    return np.asarray(open_picture(path))


def test_a_picture_on_the_disk_is_one_of_pillows(drawn: PictureOnDisk, tmp_path: Path) -> None:
    plain = Image.fromarray(drawn.pixels)
    assert list(tmp_path.iterdir()) == []  # its file has no name
    for box in ((5, 7, 40, 20), (-3, 500, 20, 540), (0, 0, 100, 90), (690, -5, 720, 3)):
        assert drawn.crop(box).size == plain.crop(box).size
        assert (np.asarray(drawn.crop(box)) == np.asarray(plain.crop(box))).all()
    assert isinstance(drawn.crop((0, 0, 100, 90)), PictureOnDisk)
    assert np.shares_memory(np.asarray(drawn), drawn.pixels)
    assert not np.asarray(drawn).flags.writeable
    assert not drawn._loaded
    assert np.concatenate(list(strips_of(drawn, 100))).tobytes() == plain.tobytes()
    assert drawn.resize((70, 53)).tobytes() == plain.resize((70, 53)).tobytes()
    assert drawn.convert("L").tobytes() == plain.convert("L").tobytes()


def test_room_that_is_not_there_is_told_before_it_is_written_to(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=rf"^no room for 4611686.* TB in '{tmp_path}': "):
        mapped(tmp_path / "new", 2**62)


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_tiff_holds_the_pixels_and_the_recipe(drawn: PictureOnDisk, tmp_path: Path, on_disk: bool) -> None:
    image = drawn if on_disk else Image.fromarray(drawn.pixels)
    exif = Image.Exif()
    exif[0x010F], exif[0x013B] = "a camera", "Zoë"
    image.info |= {"exif": exif.tobytes(), "xmp": b"<x:xmpmeta/>"}
    path = save_image(image, tmp_path / "a.tif", METADATA)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
        assert tiff.pages.first.tile == (256, 256)
        assert (tiff.asarray() == drawn.pixels).all()
        assert [tiff.pages.first.tags[tag].value for tag in (271, 315, 700)] == ["a camera", "Zo?", b"<x:xmpmeta/>"]
    assert open_picture(path).tobytes() == drawn.pixels.tobytes()
    assert read_metadata(path) == {name: METADATA[name] for name in ("recipe", "seed", "latents")}
    assert check_whole(path, ours=True) == SIZE
    again = save_image(image, path, {"recipe": "another"})
    assert again.name == "a-2.tif"
    assert read_metadata(path)["recipe"] == METADATA["recipe"]


def test_a_tiff_that_breaks_off_is_found_out(drawn: PictureOnDisk, tmp_path: Path) -> None:
    path = save_image(drawn, tmp_path / "a.tif", METADATA)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    assert read_metadata(path)["recipe"] == METADATA["recipe"]
    with pytest.raises(PictureError, match=r"a\.tif' can't be read: "):
        check_whole(path, ours=True)


def test_a_deep_zoom_is_a_pyramid_of_tiles(drawn: PictureOnDisk, tmp_path: Path) -> None:
    path = save_image(drawn, tmp_path / "a.dzi", METADATA)
    assert path.read_text().splitlines()[1:] == [
        '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="jpg" Overlap="1" TileSize="510">',
        '  <Size Width="700" Height="530"/>',
        "</Image>",
    ]
    levels = levels_of(SIZE)
    assert (len(levels), levels[0], levels[1], levels[-2]) == (11, (1, 1), (2, 2), (350, 265))
    joined = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        tile = pixels_of(files_of(path) / "10" / f"{column}_{row}.jpg")
        left, top = (max(0, at * TILE - OVERLAP) for at in (column, row))
        joined[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    assert abs(joined.astype(int) - drawn.pixels).mean() < 2  # JPEG
    half = pixels_of(files_of(path) / "9" / "0_0.jpg").astype(int)
    mean = drawn.pixels[:, :, :2].reshape(265, 2, 350, 2, 2).mean(axis=(1, 3))
    assert abs(half[:, :, :2] - mean).mean() < 2
    assert read_metadata(path)["recipe"] == METADATA["recipe"]
    assert pixels_of(files_of(path) / "picture.png").shape == (265, 350, 3)
    assert check_whole(path, ours=True) == SIZE
    (files_of(path) / "10" / "1_1.jpg").unlink()
    with pytest.raises(PictureError, match=r"can't be read: the tile 10/1_1\.jpg is missing"):
        check_whole(path, ours=True)


def test_a_deep_zoom_is_there_whole_or_not_at_all(
    drawn: PictureOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = save_image(drawn, tmp_path / "a.dzi", METADATA)
    shutil.rmtree(tmp_path / "a_files")  # somebody's, without its folder: it stays
    assert save_image(drawn, tmp_path / "a.dzi", METADATA).name == "a-2.dzi"
    (tmp_path / "b_files").mkdir()  # and a folder without its file
    assert save_image(drawn, tmp_path / "b.dzi", METADATA).name == "b-2.dzi"
    assert list((tmp_path / "b_files").iterdir()) == []
    assert save_image(drawn, first, {"recipe": "another"}, overwrite=True) == first
    assert save_image(drawn, first, {"recipe": "a third"}, overwrite=True) == first
    assert read_metadata(first)["recipe"] == "a third"
    names = ["a-2.dzi", "a-2_files", "a.dzi", "a_files", "b-2.dzi", "b-2_files", "b_files"]
    assert sorted(os.listdir(tmp_path)) == names

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(FusionError, match=r"a\.dzi' can't be written: No space left on device"):
        save_image(drawn, first, METADATA)
    assert sorted(os.listdir(tmp_path)) == names


def test_what_a_killed_process_left_of_a_deep_zoom_goes(tmp_path: Path) -> None:
    left = tmp_path / ".fusionkit-1-0123456789abcdef.part"
    left.write_text("")
    folder_of(left).mkdir()
    (folder_of(left) / "0").mkdir()
    clear_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_formats_that_hold_no_more_name_those_that_do(tmp_path: Path) -> None:
    paths = [tmp_path / f"a{suffix}" for suffix in (".webp", ".jpg", ".png", ".tif", ".dzi")]
    assert output_problems(paths, (70_000, 8)) == [
        f"output '{paths[0]}': WEBP holds at most 16383 pixels a side, not 70000; use .tif or .dzi",
        f"output '{paths[1]}': JPEG holds at most 65500 pixels a side, not 70000; use .tif or .dzi",
    ]


def test_a_strangers_text_in_a_tiff_is_no_recipe(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, np.zeros((8, 8, 3), np.uint8), photometric="rgb", description=json.dumps({"shape": [8, 8]}))
    with pytest.raises(RecipeError, match="carries no recipe"):
        read_metadata(path)
