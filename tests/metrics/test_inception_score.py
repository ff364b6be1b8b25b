"""The inception score: its formula, torch-fidelity's number, its bounds, and what the networks take crops for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from measured import MeanColour, noise, picture_of, tools
from numpy.typing import NDArray
from torch_fidelity.metric_isc import isc_features_to_metric

from fusionkit_metrics import InceptionScore
from fusionkit_metrics.inception_score import inception_score
from fusionkit_tinyworld.data import to_tensor
from fusionkit_tinyworld.features import TinyworldFeatures
from fusionkit_vista.features import VistaFeatures


def logits(count: int, classes: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 3, (count, classes))


class Sure(MeanColour):
    """Takes a crop for the colour that it has most of."""

    def class_scores(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        return 1000.0 * (self.pooled(crops) >= self.pooled(crops).max(axis=1, keepdims=True))


def test_it_is_the_formula_and_the_librarys() -> None:
    some = logits(200, 12)
    p = np.exp(some) / np.exp(some).sum(axis=1, keepdims=True)
    by_hand = np.exp((p * np.log(p / p.mean(axis=0))).sum(axis=1).mean())
    assert by_hand > 3
    assert inception_score(some, splits=1) == pytest.approx(by_hand, rel=1e-9)
    library = isc_features_to_metric(torch.from_numpy(some), 1)["inception_score_mean"]
    assert inception_score(some, splits=1) == pytest.approx(library, rel=1e-9)


def test_few_crops_are_one_part_and_many_are_ten() -> None:
    few, many = logits(999, 5), logits(1000, 5)
    assert inception_score(few) == inception_score(few, splits=1)
    assert inception_score(many) == inception_score(many, splits=10) != inception_score(many, splits=1)


def test_parts_are_the_same_each_time_and_score_lower() -> None:
    some = logits(200, 12)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    found = inception_score(some, splits=10)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left as it was"
    torch.manual_seed(6)
    assert inception_score(some, splits=10) == found
    assert 3 < found < inception_score(some, splits=1), "twenty crops show less of what there is than two hundred"


@pytest.mark.parametrize(("kinds", "score"), [(1, 1.0), (2, 2.0), (3, 3.0)])
def test_it_counts_the_kinds_that_are_told_apart(kinds: int, score: float, tmp_path: Path) -> None:
    strips = [np.full((8, 8, 3), 9, np.uint8) for _ in range(6)]
    for number, strip in enumerate(strips):
        strip[..., number % kinds] = 200
    picture = picture_of(np.concatenate(strips, axis=1), tmp_path / "a.png", crop=(8, 8))
    metric, look = InceptionScore(splits=1), tools(Sure())
    assert metric.problems([picture], [], look) == []
    assert metric.score([metric.describe(picture, look)], []) == pytest.approx(score)


def test_what_is_in_the_way_is_said(tmp_path: Path) -> None:
    picture = picture_of(noise(8, 24), tmp_path / "a.png", crop=(8, 8))
    line = "splits 10 needs as many crops; there are 3; make it at most 3"
    assert InceptionScore(splits=10).problems([picture], [], tools(Sure())) == [line]
    assert InceptionScore().problems([picture], [], tools(Sure())) == []
    (refusal,) = InceptionScore(splits=2).problems([picture], [], tools(MeanColour()))
    assert refusal.startswith("features 'mean-colour' tell no classes apart; --features names another network")


@pytest.mark.parametrize(("kind", "side"), [(TinyworldFeatures, 64), (VistaFeatures, 128)], ids=["tinyworld", "vista"])
def test_an_embedded_world_has_a_class_for_each_combination_of_answers(
    kind: type[TinyworldFeatures] | type[VistaFeatures], side: int
) -> None:
    features = kind.from_weights(None, "cpu")
    crops = np.stack([noise(side, side, seed) for seed in range(3)])
    found = features.class_scores(crops)
    with torch.inference_mode():
        answers = features.network(to_tensor(crops))
    heads = [answers[name].double().softmax(dim=1).numpy() for name in features.network.heads]
    assert found.shape == (3, np.prod([each.shape[1] for each in heads]))
    assert np.exp(found).sum(axis=1) == pytest.approx(np.ones(3))
    together = np.exp(found).reshape(3, *(each.shape[1] for each in heads))
    first = together.sum(axis=tuple(range(2, together.ndim)))
    last = together.sum(axis=tuple(range(1, together.ndim - 1)))
    assert first == pytest.approx(heads[0], abs=1e-5)
    assert last == pytest.approx(heads[-1], abs=1e-5)
    assert features.class_scores(crops[:0]).shape == (0, found.shape[1])
