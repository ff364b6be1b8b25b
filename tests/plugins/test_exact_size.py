"""Pictures of any size: the canvas that holds them, what lies on it and beyond, and what is cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from from_pictures import drawing
from PIL import Image

from fusionkit import Fusion, Plugin, RecipeError, hookimpl
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.pictures.picture import open_picture, reflected
from fusionkit.recipe.made import make_recipe
from fusionkit.runs.plan import completed
from fusionkit.runs.run import picture_latents, prepare
from fusionkit.testing import tiny_controlnet, tiny_model, tiny_pipeline, tiny_plan
from fusionkit_accdiffusion import ControlNet, ProgressiveUpscaling
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_pictures import ColourMatch, ExactSize, ImageToImage, Inpaint

FIELDS: dict[str, Any] = {"prompt": "a hill", "scheduler": "ddim", "steps": 2, "guidance_scale": 4.0}
ODD = (163, 85)


def planned(*plugins: Plugin, **fields: Any) -> Any:
    return prepare(make_recipe(**{**FIELDS, **fields, "plugins": list(plugins)}), info_of_pipeline(tiny_pipeline()))


def drawn(*plugins: Plugin, **fields: Any) -> Any:
    fusion = Fusion.from_pipe(tiny_pipeline(), plugins=list(plugins), **{**FIELDS, **fields})
    return fusion(progress=False, maps=True)


def test_the_canvas_holds_the_picture_and_the_rest_is_cut_off() -> None:
    whole = drawn(size=(168, 88))
    result = drawn(ExactSize(size=ODD))
    assert result.image.size == ODD
    assert np.array_equal(result.image, whole.image.crop((0, 0, *ODD)))
    assert result.latents.equal(whole.latents)
    # A size of whole tokens is the one without the plugin, and so is what it draws.
    same = drawn(ExactSize(size=(168, 88)))
    assert np.array_equal(same.image, whole.image)


def test_a_canvas_may_be_at_least_a_window() -> None:
    info = info_of_pipeline(tiny_pipeline())  # of 64x64

    def size(**options: Any) -> tuple[int, int]:
        return completed(make_recipe(plugins=[ExactSize(**options)]), info).size

    assert size(size=(30, 85)) == (32, 88)
    assert size(size=(30, 85), canvas="window") == (64, 88)


def test_a_picture_lies_on_its_part_of_the_canvas_and_is_reflected_beyond(tmp_path: Path) -> None:
    picture = drawing(tmp_path / "picture.png", ODD)
    plan = planned(ImageToImage(from_=picture), ExactSize(from_=picture), steps=4)
    stage = plan.stages[0]
    assert (stage.plan.size, stage.frame) == ((168, 88), ODD)
    laid = np.asarray(stage.laid(open_picture(picture)))
    pixels = np.asarray(Image.open(picture))
    assert np.array_equal(laid[:85, :163], pixels)
    assert np.array_equal(laid[:85, 163:], pixels[:, 161:156:-1])
    assert np.array_equal(laid[85:, :163], pixels[83:80:-1])
    stage.model = model = tiny_model()
    start = picture_latents(plan)
    assert start is not None
    assert start.equal(model.encode(Image.fromarray(laid)))
    # Enlarged it is scaled to its part, and by as much along both axes.
    twice = planned(ImageToImage(from_=picture), ExactSize(from_=picture, times=2.5), steps=4).stages[0]
    assert (twice.plan.size, twice.frame) == ((408, 216), (408, 212))
    large = open_picture(picture, (408, 212))
    assert np.array_equal(twice.laid(open_picture(picture)).crop((0, 0, 408, 212)), large)


def test_reflection_goes_on_as_far_as_it_must() -> None:
    row = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    assert np.asarray(reflected(row, (8, 2))).tolist() == [[0, 1, 2, 1, 0, 1, 2, 1]] * 2
    assert reflected(row, (3, 1)) is row


def test_all_that_lies_on_the_canvas_lies_there_as_the_picture_does(tmp_path: Path) -> None:
    """The rest of an inpainted picture stays bit for bit, at its own size; colours and hints are of the same place."""
    picture = drawing(tmp_path / "picture.png", ODD)
    inpaint = Inpaint(from_=picture, box=(100, 20, 30, 30), softness=4)
    painted = np.asarray(drawn(inpaint, ExactSize(from_=picture)).image).astype(int)
    before = np.asarray(Image.open(picture)).astype(int)
    changed = np.abs(painted - before).max(-1) > 0
    assert painted.shape == before.shape
    assert changed[20:50, 100:130].mean() > 0.9
    changed[15:55, 95:135] = False
    assert not changed.any()

    matched = ColourMatch(to=str(picture), by="wavelet", levels=1)
    stage = planned(ExactSize(from_=picture), matched).stages[0]
    assert matched._reference(stage) == stage.laid(open_picture(picture))
    net = tmp_path / "net"
    tiny_controlnet().save_pretrained(net)
    control = ControlNet(model=str(net), annotator="none", from_=str(picture))
    hint = control.hint(planned(ExactSize(from_=picture), control).stages[0])
    shown = (hint[0].permute(1, 2, 0).numpy() * 255).round()
    assert np.array_equal(shown, np.asarray(stage.laid(open_picture(picture))))


def test_stages_before_the_last_have_the_same_part_of_their_canvas() -> None:
    plan = tiny_plan([ProgressiveUpscaling(times=2), ExactSize(size=ODD)], size=(88, 48))
    assert [(stage.plan.size, stage.frame) for stage in plan.stages] == [
        ((88, 48), (82, 42)),
        ((176, 96), ODD),
    ]


def test_previews_and_maps_are_cut_as_well() -> None:
    class Whole(Plugin):
        """A map of the whole canvas, and another one."""

        @hookimpl
        def maps(self, image: Any) -> dict[str, Any]:
            return {"canvas": image, "small": Image.new("RGB", (9, 9))}

    seen: list[tuple[int, int]] = []
    fusion = Fusion.from_pipe(tiny_pipeline(), plugins=[ExactSize(size=ODD), Whole()], **FIELDS)
    result = fusion.run(preview=lambda image, *_: seen.append(image.size), preview_every=1, progress=False, maps=True)
    assert seen == [ODD]
    stage = tiny_plan([ExactSize(size=(100, 40))], size=(104, 64)).stages[0]
    stage.model = tiny_model()
    latents = stage.noise("a canvas")
    assert stage.shape[2:] == (8, 13)
    assert np.array_equal(stage.glimpse(latents), stage.cut(stage.decode(latents)))
    assert stage.glimpse(latents, 32).size == (38, 15), "of 40x24, 100x40 in 104x64"
    assert {name: each.size for name, each in result.maps.items()} == {"canvas": ODD, "small": (9, 9)}


@pytest.mark.parametrize(
    ("plugins", "fields", "line"),
    [
        ([ExactSize(size=ODD)], {"size": (160, 88)}, "does not hold 163x85; leave the recipe's 'size' out"),
        ([ExactSize(size=ODD), Ring()], {}, "meet along x, and 5 pixels of it are cut off"),
        ([ExactSize(from_=Path("nowhere.png"))], {}, "picture of 'from' 'nowhere.png' does not exist"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_loads(plugins: Any, fields: Any, line: str) -> None:
    with pytest.raises(RecipeError, match=line):
        planned(*plugins, MultiDiffusion(), **fields)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, "either a 'size', or a picture 'from'"),
        ({"size": ODD, "from": "x.png"}, "either a 'size', or a picture 'from'"),
        ({"size": ODD, "times": 2}, "has 'times' of a 'size'"),
        ({"from": "x.png", "times": 0}, "times"),
    ],
)
def test_options_that_contradict_each_other(options: Any, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        ExactSize(**options)


def test_a_photos_camera_goes_into_the_new_file_where_that_is_wanted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "EOS R5", 6
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (43, 70)).save(photo, exif=exif)
    for keep, camera in ((True, "EOS R5"), (False, None)):
        result = drawn(ImageToImage(from_=photo, keep_exif=keep), ExactSize(from_=photo))
        with Image.open(result.save(tmp_path / "new.png")) as saved:
            assert (saved.size, saved.getexif().get(0x0110), saved.getexif().get(0x0112)) == ((70, 43), camera, None)
