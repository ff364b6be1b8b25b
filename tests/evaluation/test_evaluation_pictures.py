"""Folders of pictures: which files count, what they tell, where their crops and windows are, and what is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluating import noisy, told
from PIL import Image

from fusionkit.errors import RecipeError
from fusionkit.evaluation import Picture, layout, read_pictures
from fusionkit.pictures.image import save_image


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """No layout of another test's recipes is remembered."""
    monkeypatch.setattr(layout, "_known", {})
    monkeypatch.setattr(layout, "_moving", set())


def problems(*args, **options) -> list[str]:
    with pytest.raises(RecipeError) as error:
        read_pictures(*args, **options)
    return error.value.problems


def test_pictures_of_all_formats_by_name_and_nothing_else(tmp_path):
    for suffix, level in ((".webp", 30), (".png", 10), (".jpg", 20)):
        noisy(tmp_path / "x", [level], suffix=suffix)
    folder = tmp_path / "x"
    for name in (".hidden.png", "notes.txt", "scores.csv"):
        (folder / name).write_bytes(b"no picture")
    noisy(folder / "other", [1, 2])
    (folder / "folder.png").mkdir()
    pictures = read_pictures(folder)
    assert [each.path.name for each in pictures] == ["a.jpg", "a.png", "a.webp"]
    assert [round(each.pixels().mean()) for each in pictures] == [20, 10, 30]
    for each in pictures:
        assert (each.size, each.recipe, each.prompt, each.seed, each.crop, each.note) == ((32, 16), *[None] * 4, "")


def test_all_damaged_pictures_are_named_at_once(tmp_path):
    folder = tmp_path / "x"
    noisy(folder, [10, 20, 30, 40, 50])
    whole = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(b"")
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    (folder / "c.png").write_bytes(whole[:-14])
    # A power cut leaves zeros, which Pillow decodes where they follow a whole row.
    whole = save_image(
        Image.effect_noise((192, 128), 60).convert("RGB"), folder / "d.png", {"recipe": ""}, overwrite=True
    )
    content = whole.read_bytes()
    whole.write_bytes(content[:3000] + bytes(len(content) - 3000))
    assert [line.rpartition("/")[2] for line in problems(folder)] == [
        "a.png: is empty, not a picture",
        "b.png: can't be read: it is cut off",
        "c.png: can't be read: it is cut off, or was changed on the disk",
        "d.png: can't be read: it is cut off, or was changed on the disk",
    ]


def test_what_cameras_put_behind_a_jpeg_does_not_matter(tmp_path):
    path = noisy(tmp_path / "x", [10], suffix=".jpg") / "a.jpg"
    path.write_bytes(path.read_bytes() + b"more")
    assert [each.size for each in read_pictures(path.parent)] == [(32, 16)]


def test_a_picture_on_its_side_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (32, 16)).save(tmp_path / "a.jpg", exif=exif)
    (picture,) = read_pictures(tmp_path)
    assert picture.size == (16, 32)
    assert picture.pixels().shape == (32, 16, 3)


def test_crops_lie_side_by_side_from_the_top_left(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(37, 53, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (picture,) = read_pictures(tmp_path, crop=(20, 16))
    crops = picture.crops()
    assert crops.shape == (4, 16, 20, 3)
    assert picture.crop_count == 4
    for crop, (top, left) in zip(crops, [(0, 0), (0, 20), (16, 0), (16, 20)], strict=True):
        assert np.array_equal(crop, pixels[top : top + 16, left : left + 20])


def test_crops_at_a_step_overlap_and_stay_inside(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(20, 53, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (picture,) = read_pictures(tmp_path, crop=(20, 16))
    crops = picture.crops(8)
    assert picture.count_crops(8) == len(crops) == 5
    for crop, left in zip(crops, (0, 8, 16, 24, 32), strict=True):
        assert np.array_equal(crop, pixels[:16, left : left + 20])
    assert picture.count_crops(2) == len(picture.crops(2)) == 3 * 17
    (small,) = read_pictures(tmp_path, crop=(60, 16))
    assert small.count_crops(8) == len(small.crops(8)) == len(small.crops()) == 0


def test_a_metric_that_changes_its_pixels_changes_nobody_elses(tmp_path):
    (picture,) = read_pictures(noisy(tmp_path / "x", [10]))
    picture.pixels()[:] = 0
    assert picture.pixels().mean() == 10


def test_a_picture_that_is_written_again_is_read_again(tmp_path):
    (picture,) = read_pictures(noisy(tmp_path / "x", [10]))
    assert picture.pixels().mean() == 10
    Image.new("RGB", (33, 16), (9, 9, 9)).save(picture.path)
    assert picture.pixels().mean() == 9


def test_a_picture_of_fusionkit_tells_all_by_itself(tmp_path):
    (picture,) = read_pictures(told(tmp_path / "p.png", seed=5).parent)
    assert (picture.prompt, picture.seed, picture.crop, picture.factor) == ("the sea at noon", 5, (64, 64), 4)
    assert picture.recipe is not None
    assert picture.recipe.size == (192, 64)
    assert picture.views() == [((left, 0, left + 64, 64), 1.0) for left in (0, 32, 64, 96, 128)]


def test_a_picture_smaller_than_the_window_is_one_crop(tmp_path):
    (picture,) = read_pictures(told(tmp_path / "p.png", size="32x64", plugins="  []").parent)
    assert picture.crop == (32, 64)
    assert picture.views() == [((0, 0, 32, 64), 1.0)]


def test_windows_that_move_are_there_for_a_share_of_the_steps(tmp_path):
    plugins = "  - multidiffusion: {stride: 32, jitter: 8}"
    for seed in (1, 2):
        told(tmp_path / f"{seed}.png", seed=seed, plugins=plugins)
    first, second = (each.views() for each in read_pictures(tmp_path))
    assert first != second, "another seed moves them elsewhere"
    assert {share for _, share in first} <= {0.25, 0.5, 0.75, 1.0}
    assert min(share for _, share in first) < 1
    assert sum(share for _, share in first) == pytest.approx(5), "five windows at each step"


def test_windows_are_those_of_the_last_stage_without_views_of_other_kinds(tmp_path):
    plugins = "  - progressive-upscaling\n  - multidiffusion: {stride: 32}"
    told(tmp_path / "a.png", size="128x128", plugins=plugins)
    told(tmp_path / "b.png", size="128x128", plugins=f"{plugins}\n  - dilated-sampling")
    some, others = (each.views() for each in read_pictures(tmp_path))
    assert some == others == [((x, y, x + 64, y + 64), 1.0) for x in (0, 32, 64) for y in (0, 32, 64)]


def test_pictures_of_one_recipe_are_planned_once(tmp_path, monkeypatch):
    from fusionkit.runs import run

    planned = []
    prepare = run.prepare

    def counting(*args, **options):
        planned.append(args[0].seed)
        return prepare(*args, **options)

    monkeypatch.setattr(run, "prepare", counting)
    for seed in range(5):
        told(tmp_path / f"{seed}.png", seed=seed)
    assert len({tuple(each.views()) for each in read_pictures(tmp_path)}) == 1
    assert planned == [0, 1], "once, and once more to see whether the seed matters"


def test_a_window_and_a_stride_serve_where_there_is_no_recipe(tmp_path):
    (picture,) = read_pictures(noisy(tmp_path / "x", [1]), crop=(16, 16), stride=12)
    assert picture.views() == [((left, 0, left + 16, 16), 1.0) for left in (0, 12, 16)]
    (bare,) = read_pictures(tmp_path / "x")
    with pytest.raises(RecipeError, match=r"a\.png: where its windows were is not known; give --crop WxH and --stride"):
        bare.views()
    with pytest.raises(RecipeError, match=r"a\.png: the size of its crops is not known; give it: --crop WxH"):
        bare.crops()


def test_a_stride_by_hand_comes_before_the_recipe(tmp_path):
    (picture,) = read_pictures(told(tmp_path / "p.png").parent, stride=64)
    assert [box[0] for box, _ in picture.views()] == [0, 64, 128]


def test_a_picture_that_was_resized_since_has_no_known_windows(tmp_path):
    from fusionkit.pictures.image import read_metadata, save_image

    told(tmp_path / "old" / "p.png")
    metadata = read_metadata(tmp_path / "old" / "p.png")
    save_image(Image.new("RGB", (96, 32)), tmp_path / "p.png", metadata)
    (picture,) = read_pictures(tmp_path)
    with pytest.raises(RecipeError, match=r"p\.png: its recipe draws 192x64 pixels and the file has 96x32"):
        picture.views()


def test_a_recipe_that_cannot_be_read_any_more_makes_a_foreign_picture(tmp_path):
    (picture,) = read_pictures(told(tmp_path / "p.png", plugins="  - from-elsewhere: {x: 1}").parent)
    assert (picture.recipe, picture.prompt, picture.crop) == (None, None, None)
    assert picture.note.startswith("counts as a foreign picture, its recipe can't be read here: ")
    assert "no plugin 'from-elsewhere'" in picture.note
    assert "\n" not in picture.note


def test_a_model_that_is_not_here_leaves_the_crops_unknown(tmp_path):
    path = told(tmp_path / "p.png")
    from fusionkit.pictures.image import read_metadata, save_image

    metadata = read_metadata(path)
    metadata["recipe"] = metadata["recipe"].replace("tinyworld/scenes", "tinyworld/mountains")
    save_image(Image.new("RGB", (192, 64)), path, metadata, overwrite=True)
    (picture,) = read_pictures(tmp_path)
    assert (picture.prompt, picture.crop, picture.factor) == ("the sea at noon", None, None)
    assert picture.note.startswith("the size of its crops is not known: ")
    assert "tinyworld/mountains" in picture.note
    (given,) = read_pictures(tmp_path, crop=(64, 64))
    assert (given.crop, given.note) == ((64, 64), "")


def test_partners_have_the_same_name(tmp_path):
    noisy(tmp_path / "x", [1, 2])
    noisy(tmp_path / "y", [3])
    first, second = read_pictures(tmp_path / "x", partner=tmp_path / "y")
    assert (first.partner, second.partner) == (tmp_path / "y" / "a.png", None)


def test_no_folder_and_no_partners_folder_are_said_together(tmp_path):
    assert problems(tmp_path / "x", partner=tmp_path / "y") == [
        f"no such folder: '{tmp_path / 'x'}'",
        f"no such folder: '{tmp_path / 'y'}'",
    ]


def test_a_file_is_no_folder(tmp_path):
    path = noisy(tmp_path, [1]) / "a.png"
    assert problems(path) == [f"'{path}' is a file, not a folder"]


def test_an_empty_folder_names_the_sub_folder_that_is_meant(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    said = f"folder '{tmp_path}' holds no pictures (.png, .jpg, .jpeg, .webp)"
    assert problems(tmp_path) == [said]
    noisy(tmp_path / "inside", [1])
    assert problems(tmp_path) == [f"{said}; there are some in '{tmp_path / 'inside'}'"]


def test_every_unreadable_file_is_named(tmp_path):
    noisy(tmp_path, [1, 2, 3, 4], size=(200, 200), suffix=".jpg")
    for name in ("b.jpg", "c.jpg"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    (tmp_path / "d.jpg").write_text("no picture")
    found = problems(tmp_path)
    assert [line.split(": ")[0] for line in found] == [str(tmp_path / name) for name in ("b.jpg", "c.jpg", "d.jpg")]
    assert all("can't be read: " in line for line in found[:2])
    assert found[2].endswith("d.jpg: is no picture of a known format")


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes and devices")
def test_what_has_a_pictures_name_and_is_none_is_not_passed_over(tmp_path):
    noisy(tmp_path, [1, 2])
    (tmp_path / "folder.png").mkdir()
    (tmp_path / ".hidden.png").write_text("not meant")
    (tmp_path / "gone.png").symlink_to("nowhere")
    (tmp_path / "zeros.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.png")
    assert problems(tmp_path) == [
        f"{tmp_path / 'gone.png'}: no such file",
        f"{tmp_path / 'pipe.png'}: is a pipe, not a picture",
        f"{tmp_path / 'zeros.png'}: is a device, not a picture",
    ]


def test_pixels_of_a_file_that_is_gone_name_it(tmp_path):
    with pytest.raises(RecipeError, match=r"gone\.png: no such file"):
        Picture(Path(tmp_path / "gone.png"), (1, 1)).pixels()


TINY = Path(__file__).parents[1] / "golden" / "checkpoints" / "tiny-sd"


def test_what_a_picture_names_on_this_machine_is_opened_only_where_it_is_trusted(tmp_path):
    path = told(tmp_path / "p.png", size="256x128", plugins="  - multidiffusion: {stride: 64}")
    from fusionkit.pictures.image import read_metadata, save_image

    metadata = read_metadata(path)
    metadata["recipe"] = metadata["recipe"].replace("tinyworld/scenes", str(TINY)).replace("window: 64x64", "")
    save_image(Image.new("RGB", (256, 128)), path, metadata, overwrite=True)
    (picture,) = read_pictures(tmp_path)
    refused = f"model '{TINY}' is named by a picture, and so is not opened; --trust opens it"
    assert (picture.prompt, picture.crop, picture.factor) == ("the sea at noon", None, None)
    assert picture.note == f"the size of its crops is not known: {refused}"
    with pytest.raises(RecipeError, match="is named by a picture"):
        picture.views()
    (trusted,) = read_pictures(tmp_path, trust=True)
    assert (trusted.crop, trusted.factor, trusted.note) == ((128, 128), 8, "")
    assert [box for box, _ in trusted.views()] == [(0, 0, 128, 128), (64, 0, 192, 128), (128, 0, 256, 128)]
    (again,) = read_pictures(tmp_path)
    assert again.crop is None, "what was known of a trusted picture says nothing of others"


def test_a_recipe_of_another_size_than_its_picture_is_not_even_planned(tmp_path, monkeypatch):
    from fusionkit.runs import run

    monkeypatch.setattr(run, "prepare", lambda *_, **__: pytest.fail("it was planned"))
    path = told(tmp_path / "p.png", size="192x64")
    from fusionkit.pictures.image import read_metadata, save_image

    metadata = read_metadata(path)
    metadata["recipe"] = metadata["recipe"].replace("192x64", "400000x400000")
    save_image(Image.new("RGB", (192, 64)), path, metadata, overwrite=True)
    (picture,) = read_pictures(tmp_path)
    with pytest.raises(RecipeError, match="its recipe draws 400000x400000 pixels and the file has 192x64"):
        picture.views()
