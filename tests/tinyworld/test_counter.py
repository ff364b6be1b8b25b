"""The counter of objects, on drawings where the truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fusionkit_tinyworld import WEIGHTS
from fusionkit_tinyworld.captions import Landscape
from fusionkit_tinyworld.counter import PAINTS, count_objects, objects
from fusionkit_tinyworld.counter_check import COUNTS, SCALES, crowds, decoded, judge, main, share
from fusionkit_tinyworld.crowds import draw_crowd
from fusionkit_tinyworld.parts import diffusers

SKY = (120, 184, 240)
BALLOON_RED = (226, 40, 34)


def discs(*places: tuple[int, int, int]) -> np.ndarray:
    """A sky (256, 256, 3) with red discs at (x, y) of a radius."""
    picture = np.full((256, 256, 3), SKY, np.uint8)
    for x, y, radius in places:
        cv2.circle(picture, (x, y), radius, BALLOON_RED, -1)
    return picture


@pytest.mark.parametrize("thing", ["balloon", "sun", "boat", "house"])
def test_objects_of_any_size_are_counted_right_on_drawings(thing: str) -> None:
    judged = judge(thing, 20, seed=11)
    assert {j.truth for j in judged} >= {0, 1, 2, 3, 5}
    assert {j.scale for j in judged} == set(SCALES)
    assert share(judged) >= 0.95


def test_moons_are_counted_right_from_a_quarter_of_their_size_on() -> None:
    judged = judge("moon", 15, seed=11)
    assert {j.scale for j in judged} == {1.0, 0.5, 0.25}
    assert share(judged) == 1


def test_balloons_are_counted_right_after_the_autoencoder() -> None:
    vae = diffusers.AutoencoderKL.from_pretrained(WEIGHTS / "scenes" / "vae").float().eval()
    assert share(judge("balloon", 15, seed=4, vae=vae)) >= 14 / 15
    picture = np.full((64, 64, 3), SKY, np.uint8)
    assert np.abs(decoded(vae, picture).astype(int) - picture).mean() < 12


def test_crowds_show_as_many_objects_as_they_say() -> None:
    for scale, crowd in crowds("balloon", 20, seed=0):
        assert crowd.image.shape == (256, 256, 3)
        assert cv2.connectedComponents(crowd.mask.astype(np.uint8))[0] - 1 == crowd.count
        assert crowd.count <= max(COUNTS)
        assert crowd.count == 0 or crowd.mask.sum() / crowd.count < 3500 * scale**2 + 60
    same = [draw_crowd(Landscape("photo", "sea", "noon", "sun", "red"), 2, 0.5, np.random.default_rng(1)) for _ in "ab"]
    np.testing.assert_array_equal(same[0].image, same[1].image)


def test_boxes_enclose_the_objects_largest_first() -> None:
    boxes = objects(discs((60, 60, 4), (180, 90, 20)), "balloon", "red")
    assert boxes.tolist() == [[160, 70, 41, 41], [56, 56, 9, 9]]


def test_a_fragment_beside_a_larger_blob_is_part_of_it_and_a_distant_one_is_not() -> None:
    assert count_objects(discs((100, 100, 20), (125, 100, 3)), "balloon", "red") == 1
    assert count_objects(discs((100, 100, 20), (150, 100, 3)), "balloon", "red") == 2
    assert count_objects(discs((100, 100, 20), (144, 100, 20)), "balloon", "red") == 2


def test_specks_and_other_colours_do_not_count() -> None:
    assert count_objects(discs(), "balloon", "red") == 0
    speck = discs()
    speck[10, 10:13] = BALLOON_RED
    assert count_objects(speck, "balloon", "red") == 0
    assert count_objects(discs((100, 100, 20)), "balloon", "yellow") == 0


def test_an_unknown_object_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="green balloon; known: red balloon, yellow balloon") as caught:
        count_objects(discs(), "balloon", "green")
    assert str(caught.value).endswith("yellow sun, moon")
    assert len(PAINTS) == 12


def test_the_check_prints_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--pictures", "5", "--decoded", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        "| object",
        "| sun",
        "| moon",
        "| balloon",
        "| boat",
        "| house",
    ]
    assert "| balloon | 5 | 100.0% |" in "\n".join(lines)
