"""Grain, sharpness and streaks: a known grain, a known blur and a known seam are told from each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from measured import picture_of, tools
from numpy.typing import NDArray

from fusionkit.recipe import Recipe
from fusionkit_metrics import Grain, Seam, Sharpness, Streaks
from fusionkit_metrics.by_prompt import ByPrompt
from fusionkit_metrics.sharpness import energy
from fusionkit_metrics.streaks import steps

Change = Callable[[NDArray[np.float64]], NDArray[np.float64]]
SKY = slice(0, 36)


def scene() -> NDArray[np.float64]:
    """Brightness (64, 192): a sky with a gradient and a breath of unrest, over a dark ridge of triangles."""
    y, x = np.mgrid[0:64, 0:192].astype(float)
    ridge = 36 + np.abs((x % 24) - 12)
    plain = np.where(y < ridge, 180 - y, 60.0)
    return plain + np.random.default_rng(0).normal(0, 0.8, plain.shape)


def grain(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unrest in the sky alone."""
    picture[SKY] += np.random.default_rng(1).normal(0, 3, picture[SKY].shape)
    return picture


def clean(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """A sky without any."""
    picture[SKY] = np.broadcast_to(180 - np.arange(36.0)[:, None], picture[SKY].shape)
    return picture


def blur(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 2.0), np.float64)


def seam(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """One step of brightness from top to bottom, where no window ends."""
    picture[:, 101:] += 12
    return picture


def ratio(metric: ByPrompt, change: Change, folder: Path) -> float:
    """The score of the changed scene, against the scene as it is."""
    described = []
    for name, pixels in (("changed", change(scene())), ("reference", scene())):
        grey = np.repeat(pixels.round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
        picture = picture_of(grey, folder / f"{name}.png", crop=(64, 64), prompt="the sea")
        described.append([metric.describe(picture, tools())])
    return metric.score(*described)


@pytest.mark.parametrize(
    ("change", "sharpness", "grainy", "streaky"),
    [
        (lambda picture: picture, (1, 1), (1, 1), (1, 1)),
        (grain, (0.95, 1.05), (3, 8), (1.5, 8)),
        (clean, (0.95, 1.05), (0.4, 0.85), (0.1, 0.6)),
        (blur, (0.1, 0.5), (0.1, 0.6), (0.1, 0.6)),
        (seam, (0.95, 1.1), (0.95, 1.6), (2.5, 20)),
    ],
    ids=["nothing", "grain", "a clean sky", "blur", "a seam"],
)
def test_what_was_done_to_a_scene_is_told(
    change: Change,
    sharpness: tuple[float, float],
    grainy: tuple[float, float],
    streaky: tuple[float, float],
    tmp_path: Path,
) -> None:
    found = [ratio(metric, change, tmp_path) for metric in (Sharpness(), Grain(), Streaks())]
    for value, (low, high) in zip(found, (sharpness, grainy, streaky), strict=True):
        assert low <= value <= high, found


def test_the_energy_is_that_of_the_pixels_that_count() -> None:
    brightness = np.tile(np.concatenate([np.zeros(48), np.full(16, 100.0)]), (64, 1))
    flat, steep, whole = (energy(brightness, 4, *ranks) for ranks in ((0, 0.3), (0.8, 1), (0, 1)))
    assert flat == pytest.approx(0, abs=1e-6)
    assert steep > 4 * whole > 0
    noisy = np.random.default_rng(0).normal(0, 10, (64, 64))
    kept = np.square(noisy - cv2.GaussianBlur(noisy, (0, 0), 2.0, borderType=cv2.BORDER_REFLECT)).mean()
    assert energy(noisy, 4, 0, 1) == pytest.approx(float(kept))


def test_steps_are_those_that_all_rows_of_a_band_share() -> None:
    slope = np.tile(2.0 * np.arange(64), (32, 1))
    assert steps(slope, 16, 4) == pytest.approx([0, 0]), "a slope is no step"
    slope[16:, 40:] += 10
    assert steps(slope, 16, 4) == pytest.approx([0, 100 / 63])
    zigzag = np.tile(np.where(np.arange(32) % 2, 10.0, -10.0)[:, None], (1, 64)) * (np.arange(64) >= 40)
    assert steps(zigzag, 16, 4) == pytest.approx([0, 0]), "rows that go opposite ways are none"


def test_streaks_are_looked_for_along_either_axis(tmp_path: Path) -> None:
    level = scene()
    level[21:] += 12
    grey = np.repeat(level.round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    for along, pixels in (("y", grey), ("x", grey.swapaxes(0, 1))):
        picture = picture_of(np.ascontiguousarray(pixels), tmp_path / f"{along}.png", crop=(64, 64))
        others = {"x": "y", "y": "x"}[along]
        there, elsewhere = (Streaks(along=each).describe(picture, tools())[0] for each in (along, others))
        assert there > elsewhere + 0.3


def test_a_seam_metric_may_look_at_the_last_borders_alone(tmp_path: Path) -> None:
    plugins = [{"shifted-windows": {"shifts": [20]}}]
    recipe = Recipe.model_validate(
        {"model": "tinyworld/scenes", "size": "256x64", "steps": 10, "prompt": "the sea", "plugins": plugins}
    )
    blank = picture_of(np.zeros((64, 256, 3), np.uint8), tmp_path / "a.png", recipe=recipe, crop=(64, 64))
    assert len({box for box, _ in blank.views()}) > 4
    ended = sorted({box[0] for box, share in blank.views(0.1) if share == 1})
    assert ended == [52, 116, 180, 244], "nine shifts of 20, of a ring of 256 with windows of 64"
    rising = np.tile(np.arange(256.0) // 2, (64, 1))
    for left in ended[:2]:
        rising[:, left:] += 30
    picture = picture_of(np.repeat(rising.round().astype(np.uint8)[..., None], 3, axis=2), tmp_path / "b.png")
    picture = replace(picture, recipe=recipe, crop=(64, 64))
    everywhere, last = (
        metric.each(metric.describe(picture, tools())) for metric in (Seam(wrap=""), Seam(wrap="", last=0.1))
    )
    assert everywhere < 2
    assert last == pytest.approx((31 + 31 + 1 + 1) / 4)
