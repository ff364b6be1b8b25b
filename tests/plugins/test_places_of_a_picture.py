"""Boxes and masks are places of the picture, also where the canvas is larger: of regions, pictures, and models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fusionkit import Plugin, RecipeError, Stage, View
from fusionkit.testing import tiny_plan
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_ipadapter.places import mask_of
from fusionkit_pictures import ExactSize
from fusionkit_regions import Box, Mask, Once, Regions
from fusionkit_regions.pictures import regions_picture
from fusionkit_weightedmean import WeightedBox, WeightedMask
from fusionkit_weightedmean.weights import layers_on

# The canvas has 160x80 pixels, 20x10 latent ones, and the picture 12.5x5 of these.
SIZE = (100, 40)
HALF, SAME = (0.5, 0, 0.5, 0.5), (50, 0, 50, 20)


def framed(*plugins: Plugin, size: tuple[int, int] = SIZE, **fields: Any) -> Any:
    return tiny_plan([ExactSize(size=size), *plugins], **{"size": (160, 80), **fields})


def stage_of(*plugins: Plugin, **fields: Any) -> Stage:
    stage: Stage = framed(*plugins, **fields).stages[0]
    return stage


def right_half(path: Path, size: tuple[int, int] = SIZE) -> Path:
    image = Image.new("L", size, 0)
    image.paste(255, (size[0] // 2, 0, *size))
    image.save(path)
    return path


def upper_right(rows: float, columns: float, canvas: tuple[int, int]) -> Tensor:
    """1 from a column on, up to a row, and what of a cell there is."""
    up = (rows - torch.arange(canvas[0])).clamp(0, 1)
    right = (torch.arange(canvas[1]) + 1 - columns).clamp(0, 1)
    return up[:, None] * right


@pytest.mark.parametrize("box", [HALF, SAME])
def test_a_box_in_pixels_is_the_one_in_shares(box: Any) -> None:
    plugin = Regions(boxes={"sky": Box(box=box, prompt="a sky")}, softness=0)
    counts = plugin.parts(stage_of(plugin)).regions[0].counts
    # 2.5 rows, of which the third is no longer its own, and from the seventh of 12.5 columns on.
    assert counts.equal(upper_right(2, 6, (10, 20)))
    soft = Regions(boxes={"sky": Box(box=box, prompt="a sky", soft_border=16)}, softness=0)
    ramp = soft.parts(stage_of(soft)).regions[0].counts
    # 16 pixels of the picture are two latent ones: around column 6.25 and row 2.5, and none where the picture ends.
    assert ramp[0].tolist() == [*[0] * 5, 0.1875, 0.625, 0.9375, *[1] * 12]
    assert ramp[:, 19].tolist() == [1, 0.875, 0.5, 0.125, *[0] * 6]

    mask = mask_of(stage_of(), box, None, 0)
    assert mask is not None
    assert mask[0, 0].equal(upper_right(20, 50, (80, 160)))

    place = WeightedBox(box=box, weights={"model": 1}, soft_border=0)
    assert layers_on(stage_of(), [place])[0, 1].equal(upper_right(2, 6, (10, 20)))
    # By default an eighth of 20 pixels, which is less than a latent one.
    assert layers_on(stage_of(), [WeightedBox(box=box, weights={"model": 1})])[0, 1].equal(upper_right(2, 6, (10, 20)))


def test_a_painted_mask_spans_the_picture_and_goes_on_as_it_ends(tmp_path: Path) -> None:
    path = right_half(tmp_path / "half.png")
    plugin = Regions(masks={"sky": Mask(mask=path, prompt="a sky")})
    expected = upper_right(10, 6.25, (10, 20))
    assert plugin.parts(stage_of(plugin)).regions[0].counts.allclose(expected, atol=3e-3)
    assert layers_on(stage_of(), [WeightedMask(mask=path, weights={"model": 1})])[0, 1].allclose(expected, atol=3e-3)
    mask = mask_of(stage_of(), None, path, 0)
    assert mask is not None
    assert mask[0, 0].equal(upper_right(80, 50, (80, 160)))


def test_a_regions_own_window_reaches_to_the_canvas_end() -> None:
    """So that what goes on beyond the picture is predicted by somebody."""
    plugin = Regions(boxes={"boat": Box(box=(92, 0, 8, 60), adds="with a boat")})
    plan = tiny_plan([ExactSize(size=(100, 60)), plugin], size=(160, 64))
    (stage,) = plan.stages
    assert (plugin.parts(stage).regions[0].counts[0] > 0).tolist() == [*[False] * 12, *[True] * 8]
    (group,) = plan.hooks.ask("views", stage=stage, at=stage.steps[0])
    own = [view for view, told in zip(group.views, group.told, strict=True) if told.part]
    assert own == [View(0, 12, 8, 8)]


def test_a_thing_that_is_there_once_is_in_the_picture() -> None:
    # Its middle is that of the picture, (50, 20) of 160x80, and its usual width three quarters of a window.
    plugin = Regions(once={"boat": Once(adds="with a boat", at=(50, 20)), "sun": Once(adds="a sun", at=(0.5, 0.5))})
    boat, sun = plugin.places(stage_of(plugin)).values()
    assert boat == sun == pytest.approx((0.26, 0, 0.48, 1))
    for seed in range(4):
        drawn = Regions(once={"boat": Once(adds="with a boat", size=(24, 16))})
        counts = drawn.parts(stage_of(drawn, seed=seed)).regions[0].counts
        there = counts.nonzero()
        assert there.amax(0).tolist() <= [9, 19]
        left, top, width, height = drawn.places(stage_of(drawn, seed=seed))["boat"]
        assert (left >= 0, top >= 0, left + width <= 1, top + height <= 1, round(width, 6)) == (*[True] * 4, 0.24)


@pytest.mark.parametrize(
    ("plugin", "line"),
    [
        (
            Regions(boxes={"sky": Box(box=(50, 0, 60, 40), prompt="a sky")}),
            "box [50, 0, 60, 40] of 'sky' reaches beyond the picture of 100x40",
        ),
        (
            Regions(once={"sun": Once(adds="with a sun", at=(120, 20))}),
            "the place [120, 20] of 'sun' lies outside of the picture of 100x40",
        ),
    ],
)
def test_what_lies_beyond_the_picture_is_told(plugin: Plugin, line: str) -> None:
    with pytest.raises(RecipeError) as error:
        framed(plugin)
    assert line in str(error.value)


def test_a_mask_has_the_pictures_aspect_ratio(tmp_path: Path) -> None:
    path = right_half(tmp_path / "canvas.png", (160, 80))
    with pytest.raises(RecipeError, match="has 160x80 pixels, and the picture 100x40"):
        framed(Regions(masks={"sky": Mask(mask=path, prompt="a sky")}))


@pytest.mark.parametrize(
    ("times", "size", "frames", "finished"),
    [(None, (176, 88), [(59, 31), (119, 62), (163, 85)], (163, 85)), (2, (88, 48), [(82, 42), (163, 85)], (82, 42))],
)
def test_a_box_is_of_pixels_at_the_recipes_size_in_every_stage(
    times: Any, size: Any, frames: Any, finished: Any
) -> None:
    """The part of a stage is rounded to its pixels, and enlarging it again makes another size of it."""
    whole = Regions(boxes={"all": Box(box=(0, 0, *finished), prompt="a sky")}, softness=0)
    plan = tiny_plan([ProgressiveUpscaling(times=times), ExactSize(size=frames[-1]), whole], size=size)
    assert [stage.frame for stage in plan.stages] == frames
    assert {stage.finished for stage in plan.stages} == {finished}
    assert all(bool((whole.parts(stage).regions[0].counts == 1).all()) for stage in plan.stages)


def test_the_map_of_regions_is_of_the_picture() -> None:
    plugin = Regions(boxes={"sky": Box(box=HALF, prompt="a sky")}, softness=0)
    stage = stage_of(plugin)
    image = Image.new("RGB", stage.plan.size, "white")
    image.paste("black", (0, 0, *SIZE))
    found = np.asarray(regions_picture(image, stage, plugin.parts(stage)))
    picture = found[: round(1024 * 40 / 100)]
    assert picture.shape[1] == 1024
    assert picture[:400, :1010].max() < 200, "the white of beyond is cut off"
