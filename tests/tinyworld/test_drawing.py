"""The drawer: what it draws is what its content and its truth masks say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fusionkit_tinyworld.canvas import HORIZON, SIDE
from fusionkit_tinyworld.captions import SCENES, STYLES, TIMES, Landscape, all_landscapes
from fusionkit_tinyworld.drawing import draw, draw_seed, shrink
from fusionkit_tinyworld.things import PALETTE

CONTENTS = list(all_landscapes())


def pieces(mask: np.ndarray) -> int:
    """Connected pieces of a mask that are larger than 20 pixels."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return sum(int(stats[i, cv2.CC_STAT_AREA]) > 20 for i in range(1, count))


def test_the_same_seed_draws_the_same_picture() -> None:
    first, second = draw_seed((0, 0, 7))[0], draw_seed((0, 0, 7))[0]
    np.testing.assert_array_equal(first.image, second.image)
    assert first.landscape == second.landscape
    assert np.abs(first.image.astype(int) - draw_seed((0, 0, 8))[0].image).mean() > 5


@pytest.mark.parametrize("content", CONTENTS[::7], ids=str)
def test_there_is_one_object_where_the_content_names_one_and_none_where_it_does_not(content: Landscape) -> None:
    drawing = draw(content, np.random.default_rng(3))
    # A balloon hangs apart from its basket and a boat's sails stand apart: close the gaps before counting.
    closed = cv2.morphologyEx(drawing.object_mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    assert pieces(closed) == (1 if content.thing else 0)
    assert drawing.object_mask.any() == (content.thing is not None)


@pytest.mark.parametrize("seed", range(3))
def test_the_object_is_wholly_in_the_frame(seed: int) -> None:
    for content in CONTENTS[seed::17]:
        if content.thing is None:
            continue
        mask = draw(content, np.random.default_rng(seed)).object_mask
        frame = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert not frame.any(), content
        assert mask.sum() > 600, content


@pytest.mark.parametrize("colour", ["red", "yellow", "blue"])
@pytest.mark.parametrize("time", TIMES)
def test_the_object_has_its_colour_at_every_time_of_day(colour: str, time: str) -> None:
    content = Landscape("cartoon", "sea", time, "balloon", colour)
    drawing = draw(content, np.random.default_rng(0))
    painted = np.median(drawing.image[drawing.object_mask], axis=0)
    distances = {name: np.abs(painted - paint).sum() for name, paint in PALETTE.items()}
    assert min(distances, key=lambda name: distances[name]) == colour


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("style", STYLES)
def test_sky_above_and_scene_below_whatever_the_scene(scene: str, style: str) -> None:
    for seed in range(3):
        mask = draw(Landscape(style, scene, "noon"), np.random.default_rng(seed)).scene_mask
        assert not mask[: HORIZON // 3].any()
        assert mask[HORIZON + 30 :].all()


def test_times_of_day_differ_in_brightness() -> None:
    means = []
    for time in TIMES:
        pictures = [draw(Landscape("photo", scene, time), np.random.default_rng(1)).image for scene in SCENES]
        means.append(float(np.mean(pictures)))
    noon, twilight, night = means
    assert noon > twilight + 20 > night + 60


def test_shrinking_averages_areas() -> None:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[::2] = 200
    np.testing.assert_array_equal(shrink(image, 64), np.full((64, 64, 3), 100, np.uint8))
