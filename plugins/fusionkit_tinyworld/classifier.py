"""A small classifier of whole pictures, by which samples are judged."""

from __future__ import annotations

import json
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
from fusionkit_tinyworld.data import HELD_OUT, TRAIN, WINDOW, drawing_loader, to_tensor
from fusionkit_tinyworld.drawing import draw_seed, shrink
from fusionkit_tinyworld.training import Schedule, Stage, torch_generator

HEADS: dict[str, tuple[str | None, ...]] = {
    "style": STYLES,
    "scene": SCENES,
    "time": TIMES,
    "thing": (None, *OBJECTS),
    "colour": (None, "red", "yellow", "blue"),
}
"""What is classified: a field of `Landscape` and its values; None says "no object" or "no colour"."""
BATCH = 64
WEIGHTS = "classifier.safetensors"


class Classifier(nn.Module):
    """Five strided convolutions, pooled, and a linear head to each field of `Landscape`."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 96, 128)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        layers += [nn.Conv2d(widths[-1], widths[-1], 3, padding=1), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({name: nn.Linear(2 * widths[-1], len(values)) for name, values in HEADS.items()})

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits (n, values) by field, of pictures (n, 3, 64, 64) in -1 to 1."""
        features = self.body(pictures)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return {name: head(pooled) for name, head in self.heads.items()}

    @torch.no_grad()
    def judge(self, pictures: NDArray[np.uint8]) -> list[Landscape]:
        """The content that each picture (n, 64, 64, 3) most probably shows."""
        self.eval()
        device = next(self.parameters()).device
        logits: dict[str, list[torch.Tensor]] = {name: [] for name in HEADS}
        for start in range(0, len(pictures), 256):
            for name, values in self(to_tensor(pictures[start : start + 256]).to(device)).items():
                logits[name].append(values.argmax(1).cpu())
        fields: dict[str, list[Any]] = {
            name: [HEADS[name][int(i)] for i in torch.cat(indices)] for name, indices in logits.items()
        }
        return [Landscape(**{name: values[i] for name, values in fields.items()}) for i in range(len(pictures))]


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


def targets(landscapes: list[Landscape]) -> dict[str, torch.Tensor]:
    """The classes (n,) of contents, by field."""
    fields = [asdict(landscape) for landscape in landscapes]
    return {name: torch.tensor([values.index(f[name]) for f in fields]) for name, values in HEADS.items()}


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
    classifier: Classifier, seed: int, count: int, workers: int, schedule: Schedule, device: torch.device
) -> Stage:
    """The stage that trains the classifier on `count` drawings."""
    pictures, landscapes = WholePictures(seed, TRAIN, count).load(workers)
    classes = targets(landscapes)
    classifier.to(device).train()

    def loss(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        chosen = rng.integers(len(pictures), size=BATCH)
        batch = spoil(to_tensor(pictures[chosen]), rng).to(device)
        logits = classifier(batch)
        losses = {name: F.cross_entropy(logits[name], classes[name][chosen].to(device)) for name in HEADS}
        total = torch.stack(list(losses.values())).sum()
        return total, {name: value.item() for name, value in losses.items()}

    return Stage("classifier", {"classifier": classifier}, loss, schedule, seed)


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers on held-out drawings, by field."""

    count: int
    shares: dict[str, float]


def held_out_accuracy(classifier: Classifier, seed: int, count: int, workers: int) -> Accuracy:
    """The classifier's accuracy on drawings that it never saw."""
    pictures, landscapes = WholePictures(seed, HELD_OUT, count).load(workers)
    judged = classifier.judge(pictures)
    pairs = list(zip(judged, landscapes, strict=True))
    shares = {name: float(np.mean([getattr(a, name) == getattr(b, name) for a, b in pairs])) for name in HEADS}
    return Accuracy(count, shares)


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write the classifier's weights and the names of its classes."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous().half() for name, value in classifier.state_dict().items()}, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # written for the owner alone
    (folder / "config.json").write_text(json.dumps({"heads": HEADS}, indent=2) + "\n", encoding="utf-8")


def load_classifier(folder: Path, device: torch.device) -> Classifier:
    """The classifier of a folder."""
    classifier = Classifier()
    classifier.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS).items()})
    return classifier.to(device).eval()
