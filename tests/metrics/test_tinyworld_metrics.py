"""The embedded world's classifier as features, and the metric that asks it whether prompts were followed."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from measured import noise, picture_of, tools
from numpy.typing import NDArray

from fusionkit.errors import ModelError
from fusionkit_metrics import FID, KID
from fusionkit_tinyworld import WEIGHTS
from fusionkit_tinyworld.agreement import WORDS, Agreement, asked_for, prompt_problems
from fusionkit_tinyworld.captions import Landscape, all_landscapes, caption
from fusionkit_tinyworld.data import to_tensor
from fusionkit_tinyworld.drawing import draw, shrink
from fusionkit_tinyworld.features import TYPICAL, TinyworldFeatures

SEA = Landscape("photo", "sea", "noon", "boat", "red")
CITY = Landscape("cartoon", "city", "night")


@pytest.fixture(scope="module")
def features() -> TinyworldFeatures:
    return TinyworldFeatures.from_weights(None, "cpu")


def drawn(landscape: Landscape, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Drawings (count, 64, 64, 3) of a content."""
    return np.stack([shrink(draw(landscape, np.random.default_rng((seed, n))).image, 64) for n in range(count)])


def test_pooled_features_are_what_the_classifier_decides_by(features: TinyworldFeatures) -> None:
    crops = drawn(SEA, 3)
    pooled = features.pooled(crops)
    assert pooled.shape == (3, 256)
    decided = np.concatenate([TYPICAL[0] * pooled[:, :128], TYPICAL[1] * pooled[:, 128:]], axis=1)
    for name, head in features.network.heads.items():
        logits = decided @ head.weight.numpy().T + head.bias.numpy()
        assert logits == pytest.approx(features.network(to_tensor(crops))[name].detach().numpy(), abs=1e-3)
    assert features.pooled(crops[:0]).shape == (0, 256)


def test_crops_of_another_size_are_resized(features: TinyworldFeatures) -> None:
    crops = drawn(SEA, 1)
    doubled = crops.repeat(2, axis=1).repeat(2, axis=2)
    apart = np.abs(features.pooled(doubled) - features.pooled(crops)).max()
    assert apart < 0.3 * np.abs(features.pooled(crops) - features.pooled(drawn(CITY, 1))).max()


def test_maps_are_five_layers(features: TinyworldFeatures) -> None:
    shapes = [tuple(each.shape) for each in features.maps(noise(64, 64)[None])]
    assert shapes == [(1, 24, 32, 32), (1, 48, 16, 16), (1, 96, 8, 8), (1, 128, 4, 4), (1, 128, 4, 4)]


def test_distances_tell_contents_apart(features: TinyworldFeatures) -> None:
    sea, more, city = drawn(SEA, 4), drawn(SEA, 4, seed=1), drawn(CITY, 4)
    assert features.perceptual_distance(sea, sea) == pytest.approx(np.zeros(4), abs=1e-9)
    assert features.perceptual_distance(sea, more).mean() < 0.7 * features.perceptual_distance(sea, city).mean()


def test_scores_tell_sets_apart(features: TinyworldFeatures) -> None:
    sea, more, city = (features.pooled(each) for each in (drawn(SEA, 24), drawn(SEA, 24, seed=1), drawn(CITY, 24)))
    for metric in (FID(), KID()):
        assert metric.score([sea], [more]) < 0.2 * metric.score([city], [more])


def test_other_weights_are_a_file_with_its_config_beside_it(tmp_path: Path, features: TinyworldFeatures) -> None:
    shutil.copytree(WEIGHTS / "classifier", tmp_path / "mine")
    own = TinyworldFeatures.from_weights(tmp_path / "mine" / "classifier.safetensors", "cpu")
    assert own.pooled(drawn(SEA, 1)) == pytest.approx(features.pooled(drawn(SEA, 1)))
    with pytest.raises(ModelError, match=r"weights tinyworld: '.*other.pth' is no classifier.safetensors"):
        TinyworldFeatures.from_weights(tmp_path / "other.pth", "cpu")
    with pytest.raises(ModelError, match=r"weights tinyworld: no such file '.*config.json'"):
        TinyworldFeatures.from_weights(tmp_path / "classifier.safetensors", "cpu")
    (tmp_path / "mine" / "classifier.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="does not hold the classifier of tinyworld"):
        TinyworldFeatures.from_weights(tmp_path / "mine" / "classifier.safetensors", "cpu")


def test_every_caption_says_its_own_content() -> None:
    assert set(WORDS) == {field.name for field in dataclasses.fields(Landscape)}
    for landscape in all_landscapes():
        for whole in (True, False):
            said = {name: word for name, word in dataclasses.asdict(landscape).items() if word}
            assert asked_for(caption(landscape, whole)) == said
            assert prompt_problems(caption(landscape, whole)) == []
    assert asked_for("the sea at noon") == {"scene": "sea", "time": "noon"}


@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        ("a photo of mountain at noon", "has 'mountain'; did you mean 'mountains'?"),
        ("a photo of a zebra", "has 'zebra'; it says such things as 'a landscape photo of mountains at noon'"),
        ("a photo of the sea and", "has 'and'"),
        ("a photo of a city with a forest", "needs prompts that name one scene; "),
        ("a landscape", "names nothing that the classifier knows"),
    ],
    ids=["near miss", "unknown", "unknown short word", "two scenes", "nothing"],
)
def test_prompts_that_the_classifier_can_not_judge(prompt: str, line: str, tmp_path: Path) -> None:
    picture = picture_of(noise(64, 64), tmp_path / "a.png", crop=(64, 64), prompt=prompt)
    (problem,) = Agreement().problems([picture], [], tools())
    assert line in problem
    assert repr(prompt) in problem


@pytest.mark.parametrize(
    ("prompt", "share"),
    [
        (caption(SEA), 0.5),
        (caption(CITY), 0.5),
        ("a photo of the sea at noon with a blue boat", 0.0),
        ("a photo of the sea at noon", 0.5),
        ("a cartoon", 0.5),
        ("a photo of the sea at night", 0.0),
    ],
    ids=["all of it", "the other half", "another colour", "without the object", "style alone", "another time"],
)
def test_agreement_is_the_share_of_crops_that_show_all_that_is_said(prompt: str, share: float, tmp_path: Path) -> None:
    halves = [np.concatenate(drawn(content, 4, seed=3), axis=1) for content in (SEA, CITY)]
    picture = picture_of(np.concatenate(halves), tmp_path / "a.png", crop=(64, 64), prompt=prompt)
    assert picture.crop_count == 8
    assert Agreement().problems([picture], [], tools()) == []
    assert Agreement().describe(picture, tools()) == share
