"""The measures of vista: each on what has a known answer."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionkit import Fusion
from fusionkit.evaluation import read_pictures
from fusionkit.evaluation.tools import Tools
from fusionkit_metrics.seam import Seam
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_vista.counter import count_things
from fusionkit_vista.crowds import crowd, crowd_window
from fusionkit_vista.drawer import draw, sample_spec
from fusionkit_vista.evaluate.__main__ import MEASURES, main, parser
from fusionkit_vista.evaluate.counter import crowded
from fusionkit_vista.evaluate.grounding import ground, word_map
from fusionkit_vista.evaluate.judge import right
from fusionkit_vista.evaluate.progress import boxed
from fusionkit_vista.evaluate.samples import by_number
from fusionkit_vista.evaluate.seam import blocks, borders
from fusionkit_vista.evaluate.seam import main as seam
from fusionkit_vista.evaluate.tables import interval, percent, table
from fusionkit_vista.finder import Find, distinct
from fusionkit_vista.judge import Seen
from fusionkit_vista.train.finding import finding_loss, targets


def test_a_peak_lies_inside_its_thing_or_not() -> None:
    found = np.zeros((16, 16), np.float32)
    found[4, 8:10] = 1, 3
    inside = ground(found, (62, 32, 82, 42))  # the middles of columns 8 and 9 in row 4
    assert (inside.inside, inside.covered, inside.around) == (True, 1.0, 0.0)
    assert inside.box == 2 / 256
    outside = ground(found, (0, 32, 72, 42))  # columns 0 to 8
    assert (outside.inside, outside.covered) == (False, pytest.approx(1 / 9))
    assert outside.around == pytest.approx(1 / 247)


def test_a_words_map_is_that_of_its_tokens_over_timesteps_and_levels() -> None:
    fine, coarse = torch.rand(3, 5, 16, 16), torch.rand(3, 5, 1, 1).expand(3, 5, 8, 8)
    tokens = torch.tensor([0, 0.25, 0, 0.75, 0])
    found = word_map({1: fine, 2: coarse}, (1, 2), tokens)
    wanted = (0.25 * fine[:, 1] + 0.75 * fine[:, 3]).mean(0)
    wanted = (wanted + (0.25 * coarse[:, 1] + 0.75 * coarse[:, 3]).mean(0)[0, 0]) / 2
    assert np.allclose(found, wanted.numpy(), atol=1e-6)


def test_a_judge_is_right_question_by_question() -> None:
    truth = {"style": "poster", "scene": "the sea", "time": "at dawn", "weather": "in mist", "thing": "", "number": 0}
    seen = Seen("poster", "the sea", "at dawn", "in mist", frozenset(), 0)
    assert all(right(seen, truth).values())
    found = right(seen, {**truth, "thing": "whale", "number": 1})
    assert [part for part, there in found.items() if not there] == ["things", "number", "all"]


def test_numbers_are_counted_by_what_is_asked_for() -> None:
    one, two = (Seen("poster", "the sea", "at dawn", "in mist", frozenset({"whale"}), n) for n in (1, 2))
    captions = ["a poster of the sea with a whale", "a poster of the sea with two whales", "a poster of the sea"]
    assert by_number(captions, [two, two, one]) == {"a": (1, 0), "two": (1, 1)}


def test_tables_are_markdown() -> None:
    assert table(["a", "b"], [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"
    assert (percent([True, True, False]), percent([])) == ("66.7 %", "-")
    assert interval([1.0, 3.0]) == pytest.approx(1.96)


def test_what_is_boxed_ends_in_time_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(boxed(range(3), "things")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    assert list(boxed(range(3), "things", minutes=0.0)) == [0]
    assert "things: the time is over after 1 of 3" in capsys.readouterr().err
    assert list(boxed(range(2), "things", every=1e-9)) == [0, 1]
    assert "things: 1 of 2, about 0 s left" in capsys.readouterr().err


def test_borders_are_told_by_their_columns() -> None:
    even = np.tile(np.arange(64, dtype=np.uint8) * 2, (8, 1))
    pixels = np.stack([even] * 3, -1)
    assert np.allclose(blocks(pixels), 2, atol=1e-6)
    streaked = pixels.copy()
    streaked[:, 57:] = 2 * 56 + 4 * np.arange(1, 8, dtype=np.uint8)[None, :, None]  # twice as steep from there on
    found = borders(np.stack([blocks(streaked)]))
    assert found["first"] == pytest.approx(2 / (18 / 8))
    assert found["last"] == pytest.approx(4 / (18 / 8))


def test_seams_are_measured_on_pictures_that_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fusion = Fusion.from_pretrained("vista/scenes", plugins=[MultiDiffusion(stride=64)], size=(192, 128), steps=1)
    fusion("a poster of the sea at dawn", seed=0, progress=False).save(tmp_path / "000.png")
    seam(Namespace(out=tmp_path, count=1, seed=0, minutes=None))
    said = capsys.readouterr().out
    (picture,) = read_pictures(tmp_path)
    border, elsewhere = Seam().describe(picture, Tools(device="cpu"))
    assert f"1 panoramas; each alone: {border / elsewhere:.2f}" in said
    assert f"| where windows begin or end | {border / elsewhere:.2f} " in said


def test_crowds_hold_things_of_the_sizes_asked_for_apart_from_each_other() -> None:
    pytest.importorskip("skia")
    spec = sample_spec(np.random.default_rng(3), scene="the sea", thing="balloon", number=1)
    found = crowd(np.random.default_rng(4), spec, "balloon", (0.5, 0.5, 1.0)).things
    assert sorted(thing.size > 0.1 for thing in found) == [False, False, True]
    assert {thing.name for thing in found} == {"balloon"}
    window = crowd_window(0, 5)
    assert window.draw(0).shape == (128, 128, 3)
    assert window == crowd_window(0, 5)


def test_finds_of_one_thing_are_one() -> None:
    found = [Find(50, 50, 40, 0.9), Find(58, 50, 20, 0.8), Find(50, 90, 40, 0.7), Find(52, 92, 8, 0.95)]
    assert distinct(found) == [found[3], found[0]]
    assert distinct([]) == []


def test_the_counter_counts_a_crowd() -> None:
    pytest.importorskip("skia")
    truths = []
    for index in (2, 4, 7, 15):  # balloons, sailboats, castles and nothing
        kind, side, number, picture = crowded(99, index)
        truths.append((kind, side, number))
        assert count_things(picture[16:-16, 16:-16], kind) == number
    assert max(number for *_, number in truths) == 3
    nothing = draw(sample_spec(np.random.default_rng(1), thing=""), size=(128, 128))
    assert count_things(nothing, "balloon") == 0
    with pytest.raises(ValueError, match="unknown thing: 'sofa'; known: sun, moon"):
        count_things(nothing, "sofa")
    with pytest.raises(ValueError, match="a picture of 100x128 is smaller than a window"):
        count_things(nothing[:, :100], "balloon")


def test_the_finder_is_to_see_whole_things_and_may_see_parts() -> None:
    whole, cut, none = (20.0, 20.0, 60.0, 60.0), (-20.0, 80.0, 20.0, 120.0), (0.0, 0.0, 0.0, 0.0)
    wanted = targets(torch.tensor([[whole, cut, none]]), torch.tensor([1]), 2)
    assert wanted["middle"].nonzero().tolist() == [[0, 1, 10, 10]]
    assert float(wanted["heat"][0, 1, 10, 10]) > 0.8
    assert not wanted["heat"][0, 0].any()
    assert float(wanted["size"][0, 10, 10].exp()) == pytest.approx(40)
    assert wanted["judged"][0, 1, 25, 0] == 0
    assert wanted["judged"][0, 1, 10, 10] == 1
    right = torch.full((1, 2, 32, 32), -9.0)
    right[0, 1, 10, 10] = 9.0
    spots, sizes = finding_loss(right, wanted["size"][:, None], wanted)
    assert float(spots) < 0.05
    assert float(sizes) == 0
    assert float(finding_loss(-right, wanted["size"][:, None], wanted)[0]) > 100


def test_the_command_measures_the_judge(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skia")
    assert main(["judge", "--count", "3"]) == 0
    said = capsys.readouterr().out
    assert "| everything | 100.0 % | 100.0 % |" in said
    assert "3 drawings, and 1 of what the expert knows." in said
    assert all(parser().parse_args([name]).what == name for name in MEASURES)
