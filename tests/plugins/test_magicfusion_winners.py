"""Who won where: the shares of pixels and steps, and the pictures that show them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fusionkit import Fusion, Result, Step, View
from fusionkit.testing import tiny_pipeline
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_magicfusion.winner_pictures import PLOT, TINT, WIDTH, colours_of, shares_picture, tinted, winners_picture
from fusionkit_magicfusion.winners import SHOWN, Winners, chosen
from fusionkit_multidiffusion import MultiDiffusion

NAMES = ("rocket", "scene")
WHOLE = (View(0, 0, 4, 6),)
CPU = torch.device("cpu")


def step(index: int, total: int = 4) -> Step:
    return Step(index, total, torch.tensor(1000 - 100 * index))


def halves(columns: int) -> Tensor:
    """A view of 4 x 6 whose first columns the first model wins, and the second the others."""
    winner = torch.ones(1, 4, 6, dtype=torch.long)
    winner[..., :columns] = 0
    return winner


def three_steps() -> Winners:
    """The first model wins half of the pixels, then a sixth; then the second draws alone."""
    seen = Winners(NAMES, (4, 6))
    seen.add(step(0, 3), WHOLE, halves(3))
    seen.add(step(1, 3), WHOLE, halves(1))
    seen.add_alone(step(2, 3), "scene", CPU)
    return seen


def test_shares_of_each_step() -> None:
    seen = three_steps()
    assert seen.shares() == {"rocket": pytest.approx([1 / 2, 1 / 6, 0]), "scene": pytest.approx([1 / 2, 5 / 6, 1])}
    assert seen.timesteps == [1000, 900, 800]
    assert seen.shares()["scene"][2] == 1, "asked twice, nothing is counted twice"


def test_shares_of_each_pixel() -> None:
    seen = three_steps()
    overall = seen.overall()
    assert overall.shape == (2, 4, 6)
    assert overall[0, 0] == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    assert overall.sum(0) == pytest.approx(np.ones((4, 6)))
    (first, one), (second, two), (third, three) = seen.shown()
    assert (first, second, third) == (1000, 900, 800)
    assert one[0, 0].tolist() == [1, 1, 1, 0, 0, 0]
    assert two[1, 3].tolist() == [0, 1, 1, 1, 1, 1]
    assert three[1].min() == 1


def test_a_pixel_that_several_views_hold_is_shared_by_their_winners() -> None:
    seen = Winners(NAMES, (4, 6))
    views = (View(0, 0, 4, 4), View(0, 2, 4, 4))
    seen.add(step(0), views, torch.tensor([0, 1]).view(2, 1, 1).expand(2, 4, 4))
    # A second group, of dilated views, one of which begins outside the canvas.
    seen.add(step(0), (View(-1, 0, 3, 3, 2), View(0, 1, 2, 3, 2))[1:], torch.ones(1, 2, 3, dtype=torch.long))
    shares = seen.shown()[0][1]
    assert shares[0, 1] == pytest.approx([1, 1, 0.5, 0.5, 0, 0], abs=1 / 255)
    assert shares[0, 0] == pytest.approx([1, 0.5, 0.5, 1 / 3, 0, 0], abs=1 / 255)


def test_views_that_reach_over_the_border_count_inside_it() -> None:
    seen = Winners(NAMES, (4, 6))
    seen.add(step(0), (View(-2, -2, 8, 10),), torch.zeros(1, 8, 10, dtype=torch.long))
    assert seen.shares() == {"rocket": [1.0], "scene": [0.0]}


@pytest.mark.parametrize("total", [1, 2, 7, 8, 9, 50, 1000])
def test_a_few_steps_are_kept_evenly(total: int) -> None:
    steps = sorted(chosen(total))
    assert len(steps) == min(total, SHOWN)
    assert (steps[0], steps[-1]) == (0, total - 1)
    gaps = {after - before for before, after in pairwise(steps)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_what_is_kept_does_not_grow_with_the_steps() -> None:
    seen = Winners(NAMES, (4, 6))
    for index in range(100):
        seen.add(step(index, 100), WHOLE, halves(3))
    assert len(seen.shown()) == SHOWN
    assert all(kept.dtype == np.uint8 for _, kept in seen._kept)
    assert sum(each.numel() for each in seen._shares) == 100 * len(NAMES)


# Pictures


def test_a_tint_is_the_mixture_of_the_winners_colours() -> None:
    shares = np.zeros((2, 1, 4), np.float32)
    shares[0, 0], shares[1, 0] = [1, 0, 0.5, 0.25], [0, 1, 0.5, 0.75]
    grey = 100
    picture = np.array(tinted(Image.new("RGB", (8, 2), (grey,) * 3), shares, (8, 2), [(255, 0, 0), (0, 200, 0)]), float)
    for column, (red, green) in enumerate([(255, 0), (0, 200), (127.5, 100), (63.75, 150)]):
        expected = [(1 - TINT) * grey + TINT * channel for channel in (red, green, 0)]
        assert picture[0, 2 * column] == pytest.approx(expected, abs=1.1)
        assert picture[1, 2 * column + 1] == pytest.approx(expected, abs=1.1)


@pytest.mark.parametrize("count", [2, 6, 30])
def test_colours_differ(count: int) -> None:
    colours = colours_of(count)
    assert len(set(colours)) == count
    assert all(0 <= channel <= 255 for colour in colours for channel in colour)


def columns_of(chart: Image.Image, count: int) -> list[dict[tuple[int, int, int], float]]:
    """The share of each colour in the middle of each of the chart's columns."""
    left, top, right, bottom = PLOT
    pixels = np.array(chart)
    found = []
    for number in range(count):
        column = pixels[top:bottom, left + round((number + 0.5) * (right - left) / count)]
        values, counts = np.unique(column, axis=0, return_counts=True)
        found.append({tuple(map(int, value)): float(n) / len(column) for value, n in zip(values, counts, strict=True)})
    return found


def test_the_chart_has_each_models_share_of_each_step() -> None:
    seen = three_steps()
    chart = shares_picture(seen)
    rocket, scene = colours_of(2)
    first, second, third = columns_of(chart, 3)
    assert first == {rocket: pytest.approx(1 / 2, abs=0.005), scene: pytest.approx(1 / 2, abs=0.005)}
    assert second == {rocket: pytest.approx(1 / 6, abs=0.005), scene: pytest.approx(5 / 6, abs=0.005)}
    assert third == {scene: 1.0}
    # The first model is at the bottom.
    assert chart.getpixel((PLOT[0] + 5, PLOT[3] - 5)) == rocket
    assert chart.info["timesteps"] == [1000, 900, 800]
    assert chart.info["shares"] == seen.shares()


@pytest.mark.parametrize("size", [(64, 64), (448, 64), (64, 448), (3000, 500)])
@pytest.mark.parametrize("steps", [1, 3, 20])
def test_the_strip_fits_pictures_of_any_shape(size: tuple[int, int], steps: int) -> None:
    canvas = size[1] // 8, size[0] // 8
    seen = Winners(NAMES, canvas)
    winner = torch.ones(1, *canvas, dtype=torch.long)
    winner[:, : canvas[0] // 2] = 0
    for index in range(steps):
        seen.add(step(index, steps), (View(0, 0, *canvas),), winner)
    picture = winners_picture(Image.new("RGB", size, "white"), seen)
    assert picture.width <= WIDTH
    assert picture.height <= 3 * WIDTH
    # Above is the first model's part of the first step, below it the second's, each in its colour over white.
    rocket, scene = ([round(255 * (1 - TINT) + TINT * channel) for channel in colour] for colour in colours_of(2))
    pixels = np.array(picture).astype(int)
    assert abs(pixels[2, 2] - rocket).max() <= 2
    assert (abs(pixels - scene).max(-1) <= 2).any()


# Of whole runs


def blended(**options: Any) -> Result:
    models: Any = {"scene": {}, "rocket": {"prompt": "a rocket"}, "flower": {"prompt": "a flower"}}
    pipes = {name: tiny_pipeline("sd", seed) for seed, name in enumerate(models)}
    blend = options.pop("blend", {})
    plugins = [*options.pop("plugins", ()), SaliencyNoiseBlending(models=models, blend=blend)]
    fields = {"size": (64, 64), "steps": 4, "scheduler": "ddim", "guidance_scale": 4.0, **options}
    return Fusion.from_pipes(pipes, plugins=plugins, **fields)("a hill", maps=True, progress=False)


def test_maps_of_a_run() -> None:
    result = blended(blend={"from": 0.6, "to": 0.1, "otherwise": "rocket"})
    assert set(result.maps) == {"winners", "shares"}
    told = result.maps["shares"].info
    assert told["timesteps"] == [751, 501, 251, 1]
    shares = told["shares"]
    assert list(shares) == ["flower", "rocket", "scene"]
    assert [sum(each) for each in zip(*shares.values(), strict=True)] == pytest.approx([1] * 4)
    # Outside the span one model has it all.
    assert (shares["rocket"][0], shares["rocket"][3]) == (1, 1)
    assert all(0 < shares[name][step] < 1 for name in shares for step in (1, 2))
    # Of 64 pixels.
    assert all((64 * share) == pytest.approx(round(64 * share)) for each in shares.values() for share in each)
    for column, step in zip(columns_of(result.maps["shares"], 4), range(4), strict=True):
        for colour, name in zip(colours_of(3), shares, strict=True):
            assert column.get(colour, 0.0) == pytest.approx(shares[name][step], abs=0.01)


def test_maps_are_of_the_last_stage() -> None:
    result = blended(plugins=[ProgressiveUpscaling(), MultiDiffusion(stride=32)], size=(128, 128), steps=3)
    assert len(result.maps["shares"].info["timesteps"]) == 3
    shares = np.array(list(result.maps["shares"].info["shares"].values()))
    assert shares.sum(0) == pytest.approx(np.ones(3))
    # Of 16 x 16 pixels that one, two or four windows hold.
    assert np.abs(1024 * shares - np.round(1024 * shares)).max() < 1e-2


def test_a_model_that_only_draws_outside_is_shown_too() -> None:
    models: Any = {"rocket": {"prompt": "a rocket"}, "flower": {"prompt": "a flower"}}
    pipes = {name: tiny_pipeline("sd", seed) for seed, name in enumerate(("scene", "rocket", "flower"))}
    plugin = SaliencyNoiseBlending(models=models, blend={"to": 0.5})
    fields: Any = {"size": (64, 64), "steps": 4, "scheduler": "ddim"}
    result = Fusion.from_pipes(pipes, plugins=[plugin], **fields)("a hill", maps=True, progress=False)
    shares = result.maps["shares"].info["shares"]
    assert list(shares) == ["flower", "rocket", "scene"]
    assert shares["scene"] == [0, 0, 1, 1]


def test_two_runs_do_not_mix() -> None:
    one, two = (blended(steps=steps).maps["shares"].info["timesteps"] for steps in (4, 2))
    assert (len(one), len(two)) == (4, 2)
