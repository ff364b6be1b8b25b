"""Canvas, window and stride of any size: full coverage, or one clear line."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from fusionkit import Plugin, RecipeError
from fusionkit.loop.canvas import check_views
from fusionkit.testing import tiny_plan, tiny_run
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion

FACTOR = 8
PRIMES = [2, 3, 5, 7, 11, 13, 17, 31, 53, 97]
Triple = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def triples() -> list[Triple]:
    """(width, height) of canvas, window and stride in latent pixels, with a fixed seed."""
    draw = random.Random(2302_08113)
    found: list[Triple] = []
    while len(found) < 240:
        kind = len(found) % 4
        window = draw.randint(1, 40), draw.randint(1, 40)
        stride = draw.randint(1, window[0]), draw.randint(1, window[1])
        canvas = draw.randint(1, 90), draw.randint(1, 90)
        if kind == 1:
            canvas = draw.choice(PRIMES), draw.choice(PRIMES)
        elif kind == 2:  # one pixel more than the grid
            canvas = window[0] + draw.randint(0, 4) * stride[0] + 1, window[1] + draw.randint(0, 3) * stride[1] + 1
        elif kind == 3:  # one pixel less than the grid, and no overlap
            stride = window
            canvas = max(1, window[0] * draw.randint(1, 4) - 1), max(1, window[1] * draw.randint(1, 4) - 1)
        views = (canvas[0] / stride[0]) * (canvas[1] / stride[1])
        if views < 600:
            found.append((canvas, window, stride))
    return found


def pixels(pair: tuple[int, int]) -> tuple[int, int]:
    return pair[0] * FACTOR, pair[1] * FACTOR


def fields(canvas: tuple[int, int], window: tuple[int, int]) -> dict[str, Any]:
    return {"size": pixels(canvas), "window": pixels(window), "scheduler": "ddim", "steps": 2}


@pytest.mark.parametrize(("canvas", "window", "stride"), triples())
def test_every_pixel_is_covered(canvas: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> None:
    overlap = min(w - s for w, s in zip(window, stride, strict=True))
    plugins: list[Plugin] = [MultiDiffusion(stride=pixels(stride), jitter=overlap // 2 * FACTOR), GuidedFusion()]
    plan = tiny_plan(plugins, **fields(canvas, window))
    (stage,) = plan.stages
    for at in stage.steps:
        (patches,) = groups = plan.hooks.ask("views", stage=stage, at=at)
        check_views(stage, groups)
        covered = torch.zeros(stage.canvas, dtype=torch.int)
        for view in patches.views:
            assert (view.width, view.height) == (min(window[0], canvas[0]), min(window[1], canvas[1]))
            assert min(view.top, view.left) >= 0
            covered[view.parts(covered.shape)[0][0]] += 1
        assert int(covered.min()) >= 1
        assert float(patches.weights.min()) > 0
        assert int(covered.sum()) == len(patches.views) * patches.size[0] * patches.size[1]


def test_there_are_as_many_triples_as_promised() -> None:
    assert len(set(triples())) >= 200


@pytest.mark.parametrize(
    ("canvas", "window", "stride"), [*triples()[::20], ((9, 9), (8, 8), (8, 8)), ((1, 1), (1, 1), (1, 1))]
)
def test_the_whole_loop_on_any_size(canvas: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> None:
    canvas, window = tuple(min(side, 24) for side in canvas), tuple(min(side, 12) for side in window)
    stride = tuple(min(s, w) for s, w in zip(stride, window, strict=True))
    plugins = [StyleAlignment(), MultiDiffusion(stride=pixels(stride)), GuidedFusion(), VarianceCorrectedFusion()]
    latents = tiny_run(plugins, **{**fields(canvas, window), "scheduler": "ddpm"})
    assert latents.shape == (1, 4, canvas[1], canvas[0])
    assert bool(latents.isfinite().all())


@pytest.mark.parametrize(
    ("size", "window", "stride", "line"),
    [
        ((160, 80), (64, 64), 72, "multidiffusion: stride 72 is larger than the window, 64x64: .* use at most 64x64"),
        ((160, 80), (64, 32), 40, "multidiffusion: stride 40 is larger than the window, 64x32: .* use at most 64x32"),
        ((160, 80), (64, 64), 20, "multidiffusion: stride 20 is not a multiple of the model's latent factor, 8 pixels"),
        ((160, 80), (64, 64), (32, 4), "multidiffusion: stride 32x4 is not a multiple of the model's latent factor, 8"),
        ((161, 80), (64, 64), 32, "size 161x80 is not divisible by 8"),
        ((160, 83), (64, 64), 32, "size 160x83 is not divisible by 8"),
        ((160, 80), (60, 64), 32, "window 60x64 is not divisible by 8"),
        ((160, 0), (64, 64), 32, "size"),
        ((160, 80), (64, 64), 0, "a stride is at least 1 pixel, not 0"),
    ],
)
def test_what_does_not_fit_is_one_line(size: tuple[int, int], window: tuple[int, int], stride: Any, line: str) -> None:
    with pytest.raises((RecipeError, ValueError), match=line) as error:
        tiny_plan([MultiDiffusion(stride=stride)], size=size, window=window)
    if isinstance(error.value, RecipeError):
        assert len(str(error.value).splitlines()) == 1
