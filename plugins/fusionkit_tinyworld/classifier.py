"""A small classifier of whole pictures, by which samples of the scenes are judged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset

from fusionkit_tinyworld.captions import OBJECTS, SCENES, STYLES, TIMES, Landscape
from fusionkit_tinyworld.data import HELD_OUT, WINDOW, drawing_loader, to_tensor
from fusionkit_tinyworld.drawing import draw_seed, shrink
from fusionkit_tinyworld.training import Schedule, Stage, torch_generator

Heads = Mapping[str, Sequence[str | bool | None]]
"""What a classifier tells: a field's name and its values."""

HEADS: Heads = {
    "style": STYLES,
    "scene": SCENES,
    "time": TIMES,
    "thing": (None, *OBJECTS),
    "colour": (None, "red", "yellow", "blue"),
}
"""The fields of `Landscape`; None says "no object" or "no colour"."""
BATCH = 64
WEIGHTS = "classifier.safetensors"


class Classifier(nn.Module):
    """Four strided convolutions and a plain one, pooled, and a linear head to each field."""

    def __init__(self, heads: Heads = HEADS) -> None:
        super().__init__()
        self.values = heads
        widths = (3, 24, 48, 96, 128)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        layers += [nn.Conv2d(widths[-1], widths[-1], 3, padding=1), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({name: nn.Linear(2 * widths[-1], len(values)) for name, values in heads.items()})

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits (n, values) by field, of pictures (n, 3, 64, 64) in -1 to 1."""
        features = self.body(pictures)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return {name: head(pooled) for name, head in self.heads.items()}

    @torch.no_grad()
    def classify(self, pictures: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """The most probable value of each field, for each picture (n, 64, 64, 3)."""
        self.eval()
        device = next(self.parameters()).device
        classes: dict[str, list[torch.Tensor]] = {name: [] for name in self.values}
        for start in range(0, len(pictures), 256):
            for name, logits in self(to_tensor(pictures[start : start + 256]).to(device)).items():
                classes[name].append(logits.argmax(1).cpu())
        columns = {name: torch.cat(indices).tolist() for name, indices in classes.items()}
        return [
            {name: values[columns[name][index]] for name, values in self.values.items()}
            for index in range(len(pictures))
        ]

    def judge(self, pictures: NDArray[np.uint8]) -> list[Landscape]:
        """The landscape that each picture (n, 64, 64, 3) most probably shows."""
        return [Landscape(**fields) for fields in self.classify(pictures)]


class WholePictures(Dataset[tuple[NDArray[np.uint8], Landscape]]):
    """Drawings of a seed's split at 64 px, with their contents."""

    def __init__(self, seed: int, split: int, count: int) -> None:
        self.seed, self.split, self.count = seed, split, count

    def __len__(self) -> int:
        """How many drawings there are."""
        return self.count

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], Landscape]:
        """The picture (64, 64, 3) of an index and its content."""
        drawing = draw_seed((self.seed, self.split, index))[0]
        return shrink(drawing.image, WINDOW), drawing.landscape

    def load(self, workers: int) -> tuple[NDArray[np.uint8], list[Landscape]]:
        """All pictures (count, 64, 64, 3) and their contents."""
        items: list[Any] = [item for batch in drawing_loader(self, workers) for item in batch]
        return np.stack([picture for picture, _ in items]), [landscape for _, landscape in items]


def targets(contents: Sequence[Any], heads: Heads = HEADS) -> dict[str, torch.Tensor]:
    """The classes (n,) of contents, by field."""
    fields = [asdict(content) for content in contents]
    return {name: torch.tensor([values.index(f[name]) for f in fields]) for name, values in heads.items()}


def spoil(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Pictures (n, 3, h, w) mirrored, softened and made noisy at random, so that soft samples are judged fairly."""
    if rng.random() < 0.5:
        pictures = pictures.flip(-1)
    if rng.random() < 0.5:
        soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        pictures = torch.lerp(pictures, soft, float(rng.uniform(0.3, 1.0)))
    noise = torch.randn(pictures.shape, generator=torch_generator(rng))
    gain, offset = rng.uniform(0.9, 1.1), rng.uniform(-0.06, 0.06)
    return pictures * float(gain) + float(offset) + noise * float(rng.uniform(0, 0.08))


def classifier_stage(
    name: str,
    classifier: Classifier,
    pictures: NDArray[np.uint8],
    contents: Sequence[Any],
    schedule: Schedule,
    seed: int,
    device: torch.device,
) -> Stage:
    """The stage that trains a classifier on pictures (n, 64, 64, 3) whose contents are known."""
    classes = targets(contents, classifier.values)
    classifier.to(device).train()

    def loss(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        chosen = rng.integers(len(pictures), size=BATCH)
        logits = classifier(spoil(to_tensor(pictures[chosen]), rng).to(device))
        losses = {field: F.cross_entropy(logits[field], classes[field][chosen].to(device)) for field in classes}
        return torch.stack(list(losses.values())).sum(), {field: value.item() for field, value in losses.items()}

    return Stage(name, {"classifier": classifier}, loss, schedule, seed)


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers on held-out drawings, by field."""

    count: int
    shares: dict[str, float]


def held_out_accuracy(classifier: Classifier, seed: int, count: int, workers: int) -> Accuracy:
    """The classifier's accuracy on drawings that it never saw."""
    pictures, landscapes = WholePictures(seed, HELD_OUT, count).load(workers)
    return Accuracy(count, agreement(classifier.judge(pictures), landscapes, HEADS))


def agreement(judged: Sequence[Any], truth: Sequence[Any], fields: Iterable[str]) -> dict[str, float]:
    """The shares of contents whose judgement is the truth, by field."""
    pairs = list(zip(judged, truth, strict=True))
    return {name: float(np.mean([getattr(a, name) == getattr(b, name) for a, b in pairs])) for name in fields}


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write the classifier's weights and the names of its classes."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous().half() for name, value in classifier.state_dict().items()}, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # written for the owner alone
    (folder / "config.json").write_text(json.dumps({"heads": classifier.values}, indent=2) + "\n", encoding="utf-8")


def load_classifier(folder: Path, device: torch.device) -> Classifier:
    """The classifier of a folder."""
    classifier = Classifier(json.loads((folder / "config.json").read_text(encoding="utf-8"))["heads"])
    classifier.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS).items()})
    return classifier.to(device).eval()
