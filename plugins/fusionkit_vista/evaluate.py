"""Judges samples of vista: `python -m fusionkit_vista.evaluate` says how often they show what their captions say."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit_vista.drawer import caption, parse, sample_spec
from fusionkit_vista.judge import SIZE, Seen, load_judge

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Shares:
    """Shares of samples (0 to 1) in which the judge sees what the caption says; a share of nothing is NaN.

    Args:
        samples: How many.
        style: Of those whose captions say it; likewise `scene`, `time` and `weather`.
        thing: Of the captions with a thing: that kind is seen.
        number: Of the captions with a thing: so many are seen.
        absent: Of the captions without a thing: none is seen.
    """

    samples: int
    style: float
    scene: float
    time: float
    weather: float
    thing: float
    number: float
    absent: float


def chosen_captions(count: int, seed: int) -> list[str]:
    """Captions of drawings at random, as training draws them, in full."""
    return [caption(sample_spec(np.random.default_rng((seed, i)))) for i in range(count)]


def shares(captions: Sequence[str], seen: Sequence[Seen]) -> Shares:
    """Compare what captions say with what the judge sees."""
    pairs = [(parse(text), each) for text, each in zip(captions, seen, strict=True)]

    def share(values: list[bool]) -> float:
        return float(np.mean(values)) if values else float("nan")

    def told(part: str) -> float:
        return share([asked[part] == getattr(each, part) for asked, each in pairs if part in asked])

    with_thing = [(asked, each) for asked, each in pairs if asked["thing"]]
    return Shares(
        samples=len(pairs),
        style=told("style"),
        scene=told("scene"),
        time=told("time"),
        weather=told("weather"),
        thing=share([asked["thing"] in each.things for asked, each in with_thing]),
        number=share([asked["number"] == each.number for asked, each in with_thing]),
        absent=share([not each.things for asked, each in pairs if not asked["thing"]]),
    )


def by_thing(captions: Sequence[str], seen: Sequence[Seen]) -> dict[str, tuple[int, int]]:
    """How many captions ask for each kind of thing, and in how many of these samples it is seen."""
    found: dict[str, tuple[int, int]] = {}
    for text, each in zip(captions, seen, strict=True):
        if thing := parse(text)["thing"]:
            asked, there = found.get(thing, (0, 0))
            found[thing] = (asked + 1, there + (thing in each.things))
    return dict(sorted(found.items()))


def cut(sheets: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The pictures (n, 128, 128, 3) of sheets (h, w, 3), row by row."""
    rows = [sheet.reshape(len(sheet) // SIZE, SIZE, -1, SIZE, 3).swapaxes(1, 2) for sheet in sheets]
    return np.concatenate([row.reshape(-1, SIZE, SIZE, 3) for row in rows])


def sample(captions: Sequence[str], seed: int, steps: int, guidance: float, batch: int = 10) -> NDArray[np.uint8]:
    """One picture (n, 128, 128, 3) to each caption by diffusers' own pipeline; the i-th starts from seed + i."""
    import torch

    diffusers: Any = import_module("diffusers")
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(WEIGHTS / "scenes", local_files_only=True)
    pipeline.to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pictures = []
    for start in range(0, len(captions), batch):
        part = list(captions[start : start + batch])
        noise = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        options = {"num_inference_steps": steps, "guidance_scale": guidance, "generator": noise, "output_type": "np"}
        pictures.append((pipeline(part, height=SIZE, width=SIZE, **options).images * 255).round().astype(np.uint8))
    return np.concatenate(pictures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m fusionkit_vista.evaluate", description=__doc__)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--judge", type=Path, default=WEIGHTS / "judge", help="folder of the judge")
    parser.add_argument("--sheets", type=Path, nargs="*", help="judge the pictures of these sheets instead")
    parser.add_argument("--captions", type=Path, help="their captions, as JSON")
    options = parser.parse_args(arguments)
    if options.sheets:
        from PIL import Image

        captions = json.loads(options.captions.read_text(encoding="utf-8"))
        pictures = cut([np.asarray(Image.open(path).convert("RGB")) for path in options.sheets])[: len(captions)]
    else:
        captions = chosen_captions(options.samples, options.seed)
        pictures = sample(captions, options.seed, options.steps, options.guidance)
    seen = load_judge(options.judge).judge(pictures)
    for name, value in vars(shares(captions, seen)).items():
        print(f"| {name} | {value if name == 'samples' else f'{value:.1%}'} |")
    print(", ".join(f"{name} {there} of {asked}" for name, (asked, there) in by_thing(captions, seen).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
