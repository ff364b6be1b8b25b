"""The networks of published scores, here with random weights: where files come from, and what each one computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from measured import noise, picture_of, tools
from rounding import rounding
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models.vgg import cfgs, make_layers

from fusionkit.errors import ModelError
from fusionkit.evaluation.features import resized
from fusionkit_metrics import FID, InceptionFeatures, IntraLPIPS, StyleLoss
from fusionkit_metrics import weights as weights_module
from fusionkit_metrics.inception import DEVIATION, MEAN
from fusionkit_metrics.weights import Weights

TINY = Weights("tiny", "tiny weights", "", 1)


class Untrained(FeatureExtractorInceptionV3):
    """Inception as it is before its weights are read."""

    def load_state_dict(self, *_: Any, **__: Any) -> None:
        """Read nothing."""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of random weights by name."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save({}, folder / "none.pth")
    inception = Untrained("untrained", ["2048"], str(folder / "none.pth")).state_dict()
    files = {"inception": inception, "vgg16": vgg("D"), "vgg19": vgg("E")}
    for name, state in files.items():
        torch.save(state, folder / f"{name}.pth")
    return {name: folder / f"{name}.pth" for name in files}


def vgg(kind: str) -> dict[str, torch.Tensor]:
    """The state of a VGG: convolutions at random, and what lies behind them as zeros that take no room."""
    layers = make_layers(cfgs[kind])
    state = {f"features.{name}": value for name, value in layers.state_dict().items()}
    for number, (out, into) in {0: (4096, 25088), 3: (4096, 4096), 6: (1000, 4096)}.items():
        state[f"classifier.{number}.weight"] = torch.zeros(1, 1).expand(out, into)
        state[f"classifier.{number}.bias"] = torch.zeros(1).expand(out)
    return state


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def crops(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.stack([noise(side, side, seed + number) for number in range(count)])


def test_inception_is_torch_fidelitys(local: dict[str, Path]) -> None:
    features = InceptionFeatures.from_weights(local["inception"], "cpu")
    looked, scores = features.pooled(crops(2, 299)), features.class_scores(crops(2, 299))
    library = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(local["inception"]))
    with torch.inference_mode():
        expected, logits = library(torch.tensor(crops(2, 299)).permute(0, 3, 1, 2))
    assert looked.shape == (2, 2048)
    assert looked.dtype == np.float64
    # Untrained, the network hands on next to nothing: what counts is the share.
    scale = float(np.abs(looked).max())
    assert scale > 0
    assert looked / scale == pytest.approx(expected.double().numpy() / scale, abs=rounding(1.0, passes=4))
    assert scores.shape == (2, 1008)
    largest = float(np.abs(scores).max())
    assert scores / largest == pytest.approx(logits.double().numpy() / largest, abs=rounding(1.0, passes=4))


def test_crops_are_enlarged_here_and_not_in_the_network(local: dict[str, Path]) -> None:
    features = InceptionFeatures.from_weights(local["inception"], "cpu")
    some = crops(1, 64)
    looked = features.pooled(some)
    rounded = resized(some, (299, 299)).round().clip(0, 255).astype(np.uint8)
    library = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(local["inception"]))
    with torch.inference_mode():
        (ours,) = library(torch.tensor(rounded).permute(0, 3, 1, 2))
        (its_own,) = library(torch.tensor(some).permute(0, 3, 1, 2))
    scale = float(np.abs(looked).max())
    assert 0 < np.abs(looked - ours.numpy()).max() < 0.01 * scale, "as rounded pixels, but for the rounding"
    assert np.abs(looked - its_own.numpy()).max() > 0.05 * scale


def test_lpips_is_the_formula(local: dict[str, Path]) -> None:
    """Equation 1 of arXiv 1801.03924, written out with the layers of VGG-16 and the weights that torchmetrics has."""
    import torchmetrics

    some, others = crops(3, 64), crops(3, 64, seed=7)
    hub = torch.hub.get_dir()
    features = InceptionFeatures.from_weights(None, "cpu", others=local)
    layers = make_layers(cfgs["D"])
    state = torch.load(local["vgg16"])
    layers.load_state_dict({name[9:]: value for name, value in state.items() if name.startswith("features.")})
    learned = torch.load(Path(torchmetrics.__file__).parent / "functional/image/lpips_models/vgg.pth", "cpu")
    total = torch.zeros(3)
    with torch.inference_mode():
        x, y = (scaled(each) for each in (some, others))
        number = 0
        for index, layer in enumerate(layers):
            x, y = layer(x), layer(y)
            if index in (3, 8, 15, 22, 29):  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
                apart = (nn.functional.normalize(x, dim=1) - nn.functional.normalize(y, dim=1)).square()
                total += (learned[f"lin{number}.model.1.weight"] * apart).sum(1).mean((1, 2))
                number += 1
    assert number == 5
    found = features.perceptual_distance(some, others)
    assert found == pytest.approx(total.numpy(), rel=1e-4)
    assert found.min() > 0
    assert torch.hub.get_dir() == hub
    assert features.perceptual_distance(some, some) == pytest.approx(np.zeros(3), abs=1e-7)


def scaled(pixels: np.ndarray) -> torch.Tensor:
    """Pixels as LPIPS normalises them."""
    x = torch.tensor(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    shift, scale = (torch.tensor(each).view(1, 3, 1, 1) for each in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    return (x - shift) / scale


def test_maps_are_the_five_layers_of_gatys(local: dict[str, Path]) -> None:
    features = InceptionFeatures.from_weights(None, "cpu", others=local)
    maps = features.maps(crops(2, 32))
    assert [tuple(each.shape) for each in maps] == [
        (2, 64, 32, 32),
        (2, 128, 16, 16),
        (2, 256, 8, 8),
        (2, 512, 4, 4),
        (2, 512, 2, 2),
    ]
    first = torch.load(local["vgg19"])
    mean, deviation = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, DEVIATION))
    x = (torch.tensor(crops(2, 32)).permute(0, 3, 1, 2) / 255 - mean) / deviation
    expected = nn.functional.conv2d(x, first["features.0.weight"], first["features.0.bias"], padding=1).relu()
    assert torch.allclose(maps[0], expected, atol=rounding(expected))


@pytest.mark.parametrize(
    ("metric", "file", "size", "name"),
    [
        (FID(), "weights-inception-2015-12-05-6726825d.pth", "96 MB", "inception"),
        (IntraLPIPS(), "vgg16-397923af.pth", "553 MB", "vgg16"),
        (StyleLoss(), "vgg19-dcbb9e9d.pth", "575 MB", "vgg19"),
    ],
    ids=["inception", "vgg16", "vgg19"],
)
def test_missing_weights_are_one_line_that_says_what_to_do(
    nowhere: Path, tmp_path: Path, metric: Any, file: str, size: str, name: str
) -> None:
    pictures = [picture_of(noise(16, 32, seed), tmp_path / f"{seed}.png", crop=(16, 16)) for seed in range(2)]
    (line,) = metric.problems(pictures, pictures, tools("inception"))
    for part in (file, size, "https://", f"--weights {name}=FILE", "HF_HUB_OFFLINE"):
        assert part in line
    (line,) = metric.problems(pictures, pictures, tools("inception", download=False))
    assert "is not on this machine; name the metric to have it downloaded from https://" in line
    assert file in line
    (line,) = metric.problems(pictures, pictures, tools("inception", weights={name: tmp_path / "gone.pth"}))
    assert line.startswith(f"weights {name}: no such file '{tmp_path / 'gone.pth'}'")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    (line,) = metric.problems(pictures, pictures, tools("inception", weights={name: tmp_path / "other.pth"}))
    assert line.startswith(f"weights {name}: '{tmp_path / 'other.pth'}' does not hold ")
    (tmp_path / "text.pth").write_text("no weights")
    (line,) = metric.problems(pictures, pictures, tools("inception", weights={name: tmp_path / "text.pth"}))
    assert line.startswith(f"weights {name}: '{tmp_path / 'text.pth'}' does not hold ")


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="does not hold Inception"):
        InceptionFeatures.from_weights(tmp_path / "evil.pth", "cpu").pooled(crops(1, 8))
    assert not (tmp_path / "ran").exists()


def test_a_download_is_kept_and_what_does_not_answer_is_asked_once(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    torch.save({"weight": torch.ones(2)}, tmp_path / "tiny.pth")
    there = Weights("tiny", "tiny weights", (tmp_path / "tiny.pth").as_uri(), 1)
    assert there.file({}) == nowhere / "tiny.pth"
    assert "Downloading tiny weights, 1 MB, from file://" in capsys.readouterr().err
    assert there.state(there.file({}))["weight"].tolist() == [1, 1]
    (tmp_path / "tiny.pth").unlink()
    assert there.file({}, download=False) == nowhere / "tiny.pth"

    gone = Weights("gone", "lost weights", (tmp_path / "gone.pth").as_uri(), 1)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"lost weights \(gone.pth, 1 MB\) can't be downloaded from file:"):
            gone.file({})
    assert list(weights_module._unreachable) == [gone.url]
    assert capsys.readouterr().err.count("Downloading") == 1
    weights_module._unreachable.clear()


def test_a_download_that_arrives_damaged_is_refused(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    (tmp_path / "damaged-0123abcd.pth").write_bytes(b"something else")
    url = (tmp_path / "damaged-0123abcd.pth").as_uri()
    with pytest.raises(ModelError, match="invalid hash value"):
        Weights("damaged", "weights", url, 1, hashed=True).file({})
    assert not (nowhere / "damaged-0123abcd.pth").exists()
    weights_module._unreachable.clear()


def test_an_offline_machine_uses_what_its_cache_holds(nowhere: Path, local: dict[str, Path]) -> None:
    nowhere.mkdir(parents=True)
    (nowhere / "vgg19-dcbb9e9d.pth").symlink_to(local["vgg19"])
    some = crops(1, 32)
    cached = InceptionFeatures.from_weights(None, "cpu", download=False).maps(some)
    given = InceptionFeatures.from_weights(None, "cpu", others=local).maps(some)
    assert all(torch.equal(a, b) for a, b in zip(cached, given, strict=True))
