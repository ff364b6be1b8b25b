"""Says what a picture of 64 px shows: style, scene, time of day, and whether each expert's object is there.

`python -m fusionkit_tinyworld.judge --check` repeats the check on drawings whose content is known.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from fusionkit.models.silence import quiet_loading
from fusionkit_tinyworld import WEIGHTS
from fusionkit_tinyworld.canny import to_pictures
from fusionkit_tinyworld.captions import SCENES, STYLES, TIMES
from fusionkit_tinyworld.classifier import Classifier, Heads, agreement, load_classifier
from fusionkit_tinyworld.data import HELD_OUT, TRAIN, WINDOW, drawing_loader, to_tensor
from fusionkit_tinyworld.drawing import shrink
from fusionkit_tinyworld.expert_drawings import EXPERT_THINGS
from fusionkit_tinyworld.mixtures import BOLD, Shown, random_mixture
from fusionkit_tinyworld.parts import Autoencoder, diffusers

HEADS: Heads = {
    "style": (*STYLES, BOLD),
    "scene": (None, *SCENES),
    "time": TIMES,
    **dict.fromkeys(EXPERT_THINGS, (False, True)),
}
"""The fields of `Shown` and their values."""


class Judge:
    """A classifier of what pictures show."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def __call__(self, pictures: NDArray[np.uint8]) -> list[Shown]:
        """What each picture (n, 64, 64, 3) most probably shows."""
        return [Shown(**fields) for fields in self.classifier.classify(pictures)]


def load_judge(folder: Path = WEIGHTS / "judge", device: torch.device | None = None) -> Judge:
    """The judge that ships with the package, or that of another folder."""
    return Judge(load_classifier(folder, device or torch.device("cpu")))


class Mixtures(Dataset[tuple[NDArray[np.uint8], Shown]]):
    """Drawn mixtures at 64 px with what they show; `seed`, `split` and the index decide each."""

    def __init__(self, seed: int, split: int, count: int) -> None:
        self.seed, self.split, self.count = seed, split, count

    def __len__(self) -> int:
        """How many pictures there are."""
        return self.count

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], Shown]:
        """The picture (64, 64, 3) of an index and what it shows."""
        picture, shown = random_mixture(np.random.default_rng((self.seed, self.split, index)))
        return shrink(picture, WINDOW), shown


def load_mixtures(
    seed: int, split: int, count: int, workers: int, vae: Autoencoder | None = None, decoded_every: int = 2
) -> tuple[NDArray[np.uint8], list[Shown]]:
    """Mixtures (count, 64, 64, 3) and what they show.

    Where there is an autoencoder, every second one (or every one, or every third, ...) is encoded and decoded by it.
    """
    pictures: list[NDArray[np.uint8]] = []
    shown: list[Shown] = []
    for batch in drawing_loader(Mixtures(seed, split, count), workers):
        drawn = np.stack([picture for picture, _ in batch])
        if vae is not None:
            drawn[::decoded_every] = decoded(vae, drawn[::decoded_every])
        pictures.append(drawn)
        shown += [content for _, content in batch]
    return np.concatenate(pictures), shown


@torch.no_grad()
def decoded(vae: Autoencoder, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (n, h, w, 3) encoded and decoded again."""
    latents = vae.encode(to_tensor(pictures).to(vae.device)).latent_dist.mean
    return to_pictures(vae.decode(latents).sample)


def judge_pictures(seed: int, count: int, workers: int, vae: Autoencoder) -> tuple[NDArray[np.uint8], list[Shown]]:
    """What the judge learns from: pictures (count, 64, 64, 3), and what they show."""
    return load_mixtures(seed, TRAIN, count, workers, vae.eval())


def accuracy(judge: Judge, seed: int, count: int, workers: int, vae: Autoencoder | None = None) -> dict[str, Any]:
    """Shares of right answers on held-out mixtures, by field; each one decoded, where there is an autoencoder.

    For each object, "X there" and "X not there" are the shares among the pictures that show it and that do not, and
    "all" is the share of pictures with every field right.
    """
    pictures, truth = load_mixtures(seed, HELD_OUT, count, workers, vae, decoded_every=1)
    seen = judge(pictures)
    shares = {"all": float(np.mean([a == b for a, b in zip(seen, truth, strict=True)]))}
    shares |= agreement(seen, truth, HEADS)
    for thing in EXPERT_THINGS:
        for there in (True, False):
            chosen = [
                getattr(s, thing) == there for s, t in zip(seen, truth, strict=True) if getattr(t, thing) == there
            ]
            shares[f"{thing} {'there' if there else 'not there'}"] = float(np.mean(chosen)) if chosen else float("nan")
    return shares


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m fusionkit_tinyworld.judge", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", required=True, help="print how often the judge is right")
    parser.add_argument("--judge", type=Path, default=WEIGHTS / "judge", help="folder of the judge")
    parser.add_argument("--pictures", type=int, default=1000, help="held-out drawings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="processes that draw; 0 draws in this one")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    judge = load_judge(options.judge)
    with quiet_loading():
        vae = diffusers.AutoencoderKL.from_pretrained(WEIGHTS / "scenes" / "vae").float().eval()
    plain = accuracy(judge, options.seed, options.pictures, options.workers)
    after = accuracy(judge, options.seed, options.pictures, options.workers, vae)
    print(f"| {options.pictures} held-out drawings | as drawn | encoded and decoded |\n| --- | --- | --- |")
    for name, share in plain.items():
        print(f"| {name} | {share:.1%} | {after[name]:.1%} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
