"""How often the counter is right, on drawings of several objects: `python -m fusionkit_tinyworld.counter --check`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit.models.silence import quiet_loading
from fusionkit_tinyworld import WEIGHTS
from fusionkit_tinyworld.canny import to_pictures
from fusionkit_tinyworld.captions import OBJECTS
from fusionkit_tinyworld.counter import count_objects
from fusionkit_tinyworld.crowds import Crowd, draw_crowd, random_content
from fusionkit_tinyworld.data import to_tensor
from fusionkit_tinyworld.parts import Autoencoder, diffusers

COUNTS = (0, 1, 2, 3, 5)
SCALES = (1.0, 0.5, 0.25, 0.125)
"""Sides of the objects to the usual ones: about 55, 27, 14 and 7 pixels."""
DECODED_SCALES = SCALES[:3]
"""Sides that survive the autoencoder: an object of 7 pixels is less than two latents wide."""


@dataclass(frozen=True)
class Judged:
    """What a picture shows and what was counted in it."""

    thing: str
    scale: float
    truth: int
    counted: int


def crowds(thing: str, number: int, seed: int, scales: Sequence[float] = SCALES) -> Iterator[tuple[float, Crowd]]:
    """Drawings of an object in turn of all counts and sizes, with the size."""
    rng = np.random.default_rng((seed, OBJECTS.index(thing)))
    for index in range(number):
        scale = scales[index // len(COUNTS) % len(scales)]
        yield scale, draw_crowd(random_content(rng, thing), COUNTS[index % len(COUNTS)], scale, rng)


@torch.no_grad()
def decoded(vae: Autoencoder, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (h, w, 3) encoded and decoded again."""
    latents = vae.encode(to_tensor(picture[None])).latent_dist.mean
    pictures: NDArray[np.uint8] = to_pictures(vae.decode(latents).sample)
    return np.asarray(pictures[0], np.uint8)


def judge(thing: str, number: int, seed: int, vae: Autoencoder | None = None) -> list[Judged]:
    """Count an object in `number` drawings, encoded and decoded first where there is an autoencoder."""
    results = []
    for scale, crowd in crowds(thing, number, seed, SCALES if vae is None else DECODED_SCALES):
        picture = crowd.image if vae is None else decoded(vae, crowd.image)
        results.append(Judged(thing, scale, crowd.count, count_objects(picture, thing, crowd.landscape.colour)))
    return results


def share(judged: Sequence[Judged], **only: Any) -> float:
    """The share of exactly right counts, among those whose fields have the given values; nan where there are none."""
    right = [j.counted == j.truth for j in judged if all(getattr(j, key) == value for key, value in only.items())]
    return float(np.mean(right)) if right else float("nan")


def report(title: str, results: dict[str, list[Judged]]) -> str:
    """The accuracies by object, its colour, the truth and the size as a Markdown table, and the commonest mistakes."""
    heads = [f"{number} objects" if number != 1 else "1 object" for number in COUNTS]
    heads += [f"side x {scale:g}" for scale in SCALES]
    lines = [f"{title}, share of exactly right counts:", "", f"| object | pictures | all | {' | '.join(heads)} |"]
    lines.append("|---" * (3 + len(heads)) + "|")
    for thing, judged in results.items():
        shares = [share(judged), *(share(judged, truth=n) for n in COUNTS), *(share(judged, scale=s) for s in SCALES)]
        texts = ["" if np.isnan(value) else f"{value:.1%}" for value in shares]
        lines.append(f"| {thing} | {len(judged)} | " + " | ".join(texts) + " |")
    for thing, judged in results.items():
        wrong = Counter((j.truth, j.counted) for j in judged if j.truth != j.counted).most_common(4)
        if wrong:
            mistakes = ", ".join(f"{counted} for {truth} ({times}x)" for (truth, counted), times in wrong)
            lines.append(f"\n{thing}: counted {mistakes}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m fusionkit_tinyworld.counter", description=__doc__)
    parser.add_argument("--check", action="store_true", required=True, help="print how often the counter is right")
    parser.add_argument("--pictures", type=int, default=200, help="drawings of each object")
    parser.add_argument("--decoded", type=int, default=45, help="of these, how many to encode and decode as well")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    print(report("Drawings", {thing: judge(thing, options.pictures, options.seed) for thing in OBJECTS}), flush=True)
    if options.decoded:
        with quiet_loading():
            vae = diffusers.AutoencoderKL.from_pretrained(WEIGHTS / "scenes" / "vae").float().eval()
        results = {thing: judge(thing, options.decoded, options.seed, vae) for thing in OBJECTS}
        print("\n" + report("Encoded and decoded by the autoencoder", results), flush=True)
    return 0
