"""The judge of mixtures: its drawings, its heads, and what it says of pictures whose content is known."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionkit_tinyworld import WEIGHTS
from fusionkit_tinyworld.canvas import Canvas
from fusionkit_tinyworld.captions import SCENES, STYLES, TIMES, Landscape
from fusionkit_tinyworld.classifier import Classifier, agreement, load_classifier, save_classifier, targets
from fusionkit_tinyworld.data import HELD_OUT, TRAIN, to_tensor
from fusionkit_tinyworld.drawing import draw, shrink
from fusionkit_tinyworld.expert_drawings import EXPERT_THINGS, bold
from fusionkit_tinyworld.judge import HEADS, Judge, Mixtures, accuracy, load_judge, load_mixtures
from fusionkit_tinyworld.mixtures import BOLD, Shown, random_mixture
from fusionkit_tinyworld.parts import diffusers

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def judge() -> Judge:
    """The judge that ships with the package."""
    return load_judge()


def with_object(landscape: Landscape, thing: str, seed: int) -> np.ndarray:
    """A landscape (64, 64, 3) with an expert's object in front of it."""

    def finish(canvas: Canvas) -> np.ndarray:
        EXPERT_THINGS[thing](canvas)
        return canvas.finish()

    return shrink(draw(landscape, np.random.default_rng(seed), finish=finish).image, 64)


def without_object(landscape: Landscape, seed: int) -> np.ndarray:
    """The same landscape without the object."""
    return shrink(draw(landscape, np.random.default_rng(seed)).image, 64)


def test_the_heads_are_the_fields_of_what_is_shown() -> None:
    assert list(HEADS) == [field.name for field in dataclasses.fields(Shown)]
    assert HEADS["style"] == ("photo", "cartoon", "bold cartoon")
    assert HEADS["scene"] == (None, *SCENES)
    assert HEADS["rocket"] == HEADS["flower"] == (False, True)
    classes = targets([Shown(BOLD, "sea", "night", flower=True), Shown("photo", None, "noon")], HEADS)
    assert {name: values.tolist() for name, values in classes.items()} == {
        "style": [2, 0],
        "scene": [6, 0],
        "time": [2, 0],
        "rocket": [0, 0],
        "flower": [1, 0],
    }


def test_agreement_is_counted_by_field() -> None:
    truth = [Shown("photo", "sea", "noon", rocket=True)] * 4
    seen = [truth[0], Shown("photo", "sea", "noon"), Shown(BOLD, "sea", "night"), truth[0]]
    assert agreement(seen, truth, HEADS) == {"style": 0.75, "scene": 1.0, "time": 0.75, "rocket": 0.5, "flower": 1.0}


def test_a_classifier_keeps_its_heads_when_it_is_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = Classifier(HEADS)
    save_classifier(classifier, tmp_path)
    loaded = load_classifier(tmp_path, CPU)
    assert {name: tuple(values) for name, values in loaded.values.items()} == dict(HEADS)
    pictures = to_tensor(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    with torch.no_grad():
        for name, logits in classifier(pictures).items():
            torch.testing.assert_close(loaded(pictures)[name], logits, rtol=0, atol=2e-2)


def test_mixtures_show_everything_and_each_index_has_its_own() -> None:
    shown = [random_mixture(np.random.default_rng(seed))[1] for seed in range(120)]
    for name, values in HEADS.items():
        assert {getattr(each, name) for each in shown} == set(values)
    assert not [each for each in shown if each.style == BOLD and each.scene is None]
    (picture, content), (again, same) = (Mixtures(0, TRAIN, 9)[4] for _ in range(2))
    np.testing.assert_array_equal(picture, again)
    assert content == same
    pictures = [Mixtures(0, split, 9)[index][0] for split, index in ((TRAIN, 4), (TRAIN, 5), (HELD_OUT, 4))]
    assert all((a != b).any() for a, b in pairwise(pictures))


def test_every_second_mixture_is_decoded() -> None:
    vae = diffusers.AutoencoderKL.from_pretrained(WEIGHTS / "scenes" / "vae").float()
    drawn, truth = load_mixtures(0, HELD_OUT, 4, workers=0)
    halves, same = load_mixtures(0, HELD_OUT, 4, workers=0, vae=vae)
    assert truth == same
    np.testing.assert_array_equal(drawn[1::2], halves[1::2])
    difference = np.abs(drawn[::2].astype(int) - halves[::2]).mean((1, 2, 3))
    assert (difference > 1).all()
    assert (difference < 25).all()


def test_the_judge_is_right_on_held_out_drawings(judge: Judge) -> None:
    vae = diffusers.AutoencoderKL.from_pretrained(WEIGHTS / "scenes" / "vae").float()
    shares = accuracy(judge, seed=0, count=96, workers=0, vae=vae)
    assert min(shares[name] for name in HEADS) >= 0.95
    assert shares["all"] >= 0.9


@pytest.mark.parametrize("thing", list(EXPERT_THINGS))
def test_the_judge_sees_an_object_and_not_its_ghost(judge: Judge, thing: str) -> None:
    contents = [Landscape(STYLES[n % 2], SCENES[n % 6], TIMES[n % 3]) for n in range(18)]
    clear = np.stack([with_object(content, thing, seed) for seed, content in enumerate(contents)])
    empty = np.stack([without_object(content, seed) for seed, content in enumerate(contents)])
    ghosts = (empty + 0.25 * (clear.astype(float) - empty)).round().astype(np.uint8)
    assert np.mean([getattr(shown, thing) for shown in judge(clear)]) >= 0.94
    assert np.mean([getattr(shown, thing) for shown in judge(ghosts)]) <= 0.06


def test_the_judge_takes_no_other_object_for_an_experts(judge: Judge) -> None:
    others = [("sun", "desert"), ("balloon", "sea"), ("house", "mountains"), ("boat", "city"), ("balloon", "forest")]
    contents = [Landscape(STYLES[n % 2], scene, "noon", thing, "red") for n in range(4) for thing, scene in others]
    seen = judge(np.stack([without_object(content, seed) for seed, content in enumerate(contents)]))
    assert [(s.rocket, s.flower) for s in seen] == [(False, False)] * len(contents)
    assert [s.scene for s in seen] == [content.scene for content in contents]


def test_the_judge_tells_bold_cartoons_from_the_others(judge: Judge) -> None:
    contents = [Landscape("cartoon", scene, time) for scene in SCENES for time in TIMES]
    thick = np.stack([shrink(bold(content, np.random.default_rng(0)), 64) for content in contents])
    thin = np.stack([without_object(content, 0) for content in contents])
    assert np.mean([shown.style == BOLD for shown in judge(thick)]) >= 0.94
    assert np.mean([shown.style == "cartoon" for shown in judge(thin)]) >= 0.94
