"""Judges a trained pipeline by the classifier: `python -m fusionkit_tinyworld.evaluate`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch

from fusionkit_tinyworld import WEIGHTS
from fusionkit_tinyworld.captions import SCENES, STYLES, TIMES, Landscape, all_landscapes, caption
from fusionkit_tinyworld.classifier import Classifier, held_out_accuracy, load_classifier
from fusionkit_tinyworld.pipeline import GUIDANCE, STEPS, load_pipeline, sample, sheet, write_picture

SHEET_EACH = 2
"""Samples of each scene, style and time in a contact sheet."""


@dataclass(frozen=True)
class Shares:
    """Shares of samples (0 to 1) in which the classifier sees what the caption says."""

    samples: int
    style: float
    scene: float
    time: float
    thing_present: float
    """Of the captions with an object: that object is seen."""
    thing_colour: float
    """Of the captions with a coloured object: that object in that colour is seen."""
    thing_absent: float
    """Of the captions without an object: none is seen."""


def choose_contents(count: int, seed: int) -> list[Landscape]:
    """`count` contents in random order, each at most once more often than any other."""
    everything = list(all_landscapes())
    rng = np.random.default_rng(seed)
    chosen: list[Landscape] = []
    while len(chosen) < count:
        chosen += [everything[index] for index in rng.permutation(len(everything))]
    return chosen[:count]


def shares(wanted: Sequence[Landscape], seen: Sequence[Landscape]) -> Shares:
    """Compare what captions say with what the classifier sees; a share of nothing is NaN."""
    pairs = list(zip(wanted, seen, strict=True))

    def share(values: list[bool]) -> float:
        return float(np.mean(values)) if values else float("nan")

    return Shares(
        samples=len(pairs),
        style=share([w.style == s.style for w, s in pairs]),
        scene=share([w.scene == s.scene for w, s in pairs]),
        time=share([w.time == s.time for w, s in pairs]),
        thing_present=share([w.thing == s.thing for w, s in pairs if w.thing]),
        thing_colour=share([(w.thing, w.colour) == (s.thing, s.colour) for w, s in pairs if w.colour]),
        thing_absent=share([s.thing is None for w, s in pairs if w.thing is None]),
    )


def contact_sheet_indices(wanted: Sequence[Landscape]) -> list[int]:
    """Which samples a contact sheet shows: a row to each scene, and in it the first two of each style and time.

    They are taken in order, not picked by quality. A cell with too few samples repeats its last one.
    """
    chosen: list[int] = []
    for scene, style, time in product(SCENES, STYLES, TIMES):
        cell = [i for i, item in enumerate(wanted) if (item.scene, item.style, item.time) == (scene, style, time)]
        if cell:
            chosen += (cell + cell[-1:] * SHEET_EACH)[:SHEET_EACH]
    return chosen


def report_misses(wanted: Sequence[Landscape], seen: Sequence[Landscape]) -> None:
    """Print the share of right scenes by scene and of right objects by object."""
    for name in ("scene", "thing"):
        hits: dict[str, list[bool]] = {}
        for w, s in zip(wanted, seen, strict=True):
            hits.setdefault(str(getattr(w, name)), []).append(getattr(w, name) == getattr(s, name))
        print(f"by {name}: " + ", ".join(f"{key} {np.mean(value):.0%} of {len(value)}" for key, value in hits.items()))


def print_accuracy(classifier: Classifier, seed: int, count: int, workers: int) -> None:
    """Print the classifier's accuracy on held-out drawings."""
    accuracy = held_out_accuracy(classifier, seed, count, workers)
    text = ", ".join(f"{name} {share:.1%}" for name, share in accuracy.shares.items())
    print(f"classifier on {accuracy.count} held-out drawings: {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m fusionkit_tinyworld.evaluate", description=(__doc__ or "").strip())
    parser.add_argument("--pipeline", type=Path, default=WEIGHTS / "scenes", help="folder of the pipeline")
    parser.add_argument("--classifier", type=Path, default=WEIGHTS / "classifier", help="folder of the classifier")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--guidance", type=float, default=GUIDANCE, help="guidance scale")
    parser.add_argument("--steps", type=int, default=STEPS, help="DDIM steps")
    parser.add_argument("--seed", type=int, default=0, help="seed of the captions' order and of the noise")
    parser.add_argument("--held-out", type=int, default=1000, help="held-out drawings that the classifier is tried on")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw; 0 draws in this one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sheet", type=Path, help="write the samples as a contact sheet, PNG or JPEG")
    parser.add_argument("--json", type=Path, help="write the shares as JSON")
    options = parser.parse_args(arguments)

    device = torch.device(options.device)
    classifier = load_classifier(options.classifier, device)
    print_accuracy(classifier, 0, options.held_out, options.workers)
    wanted = choose_contents(options.samples, options.seed)
    pipeline = load_pipeline(options.pipeline, device)
    captions = [caption(landscape) for landscape in wanted]
    pictures = sample(pipeline, captions, options.seed, options.guidance, options.steps)
    seen = classifier.judge(pictures)
    result = shares(wanted, seen)
    for name, value in asdict(result).items():
        print(f"{name}: {value:.1%}" if isinstance(value, float) else f"{name}: {value}")
    report_misses(wanted, seen)
    if options.sheet:
        chosen = contact_sheet_indices(wanted)
        write_picture(options.sheet, sheet(pictures[chosen], columns=SHEET_EACH * len(STYLES) * len(TIMES)))
    if options.json:
        options.json.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
