"""How often samples of the shipped model show what their captions say."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fusionkit.models.silence import quiet_diffusers, quiet_loading
from fusionkit_vista.drawer import caption, parse, sample_spec
from fusionkit_vista.drawer.words import NUMBERS
from fusionkit_vista.evaluate.progress import boxed
from fusionkit_vista.evaluate.tables import table
from fusionkit_vista.judge import SIZE, Seen, load_judge
from fusionkit_vista.models import MODELS, WEIGHTS

COUNT = 300
OUT = Path("out/vista/samples")
TITLES = {
    "style": "style",
    "scene": "scene",
    "time": "time of day",
    "weather": "weather",
    "thing": "the thing, where one is named",
    "number": "so many of it",
    "absent": "no thing, where none is named",
}


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


def by_number(captions: Sequence[str], seen: Sequence[Seen]) -> dict[str, tuple[int, int]]:
    """How many captions ask for one, two and three things, and in how many of these samples so many are seen."""
    found: dict[int, tuple[int, int]] = {}
    for text, each in zip(captions, seen, strict=True):
        if number := parse(text)["number"]:
            asked, there = found.get(number, (0, 0))
            found[number] = (asked + 1, there + (number == each.number))
    return {NUMBERS[number]: found[number] for number in sorted(found)}


def sample(
    captions: Sequence[str],
    seed: int,
    steps: int = 24,
    guidance: float = 4.0,
    batch: int = 10,
    minutes: float | None = None,
    folder: Path | None = None,
    model: str = "scenes",
) -> NDArray[np.uint8]:
    """One picture (n, 128, 128, 3) to each caption by diffusers' own pipeline; the i-th starts from seed + i.

    Args:
        captions: What is drawn.
        seed: Of the noise.
        steps: Of each picture, by DPM-Solver++, or Euler's method of a flow.
        guidance: The guidance scale.
        batch: So many are drawn at once.
        minutes: After so long no more are drawn, and there are fewer than captions.
        folder: Where the pictures are kept, and taken from if they are there.
        model: "scenes", the UNet, or "flow", the transformer.
    """
    pipeline, pictures = None, []
    kept = folder and folder / f"{model}-{seed}-{steps}-{guidance:g}"
    for start in boxed(range(0, len(captions), batch), "samples", minutes):
        part = list(captions[start : start + batch])
        paths = [kept / f"{start + i:04}.png" for i in range(len(part))] if kept else []
        if paths and all(path.exists() for path in paths):
            pictures.append(np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths]))
            continue
        pipeline = pipeline or PIPELINES[model]()
        noise = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        options = {"num_inference_steps": steps, "generator": noise, "output_type": "np"}
        with quiet_diffusers():
            images = pipeline(part, height=SIZE, width=SIZE, guidance_scale=guidance, **options).images
        drawn = (images * 255).round().astype(np.uint8)
        for path, each in zip(paths, drawn, strict=False):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(each).save(path)
        pictures.append(drawn)
    return np.concatenate(pictures)


def _scenes() -> Any:
    diffusers: Any = import_module("diffusers")
    pipeline = _loaded(diffusers.StableDiffusionPipeline, "scenes")
    # As `fusionkit run` draws with it; the folder's own is DDIM, which needs more steps.
    pipeline.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    return pipeline


def _flow() -> Any:
    diffusers: Any = import_module("diffusers")
    pipeline = _loaded(diffusers.FluxPipeline, "flow")
    # Flux's pipeline calls the scale of guidance by a negative prompt otherwise, and fills texts up to 512 tokens.
    most = pipeline.tokenizer_2.model_max_length

    def drawn(prompts: list[str], guidance_scale: float, **options: Any) -> Any:
        guided = {"negative_prompt": [""] * len(prompts), "true_cfg_scale": guidance_scale}
        return pipeline(prompts, max_sequence_length=most, **guided, **options)

    return drawn


def _loaded(kind: Any, name: str) -> Any:
    with quiet_loading():
        pipeline = kind.from_pretrained(WEIGHTS / name, local_files_only=True, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


PIPELINES: Mapping[str, Callable[[], Any]] = {"scenes": _scenes, "flow": _flow}
"""What makes a pipeline of diffusers of each model."""


def main(options: argparse.Namespace) -> None:
    """Print how often samples show what their captions say, and by thing."""
    if options.sheets:
        captions = json.loads(options.captions.read_text(encoding="utf-8"))
        pictures = cut([np.asarray(Image.open(path).convert("RGB")) for path in options.sheets])[: len(captions)]
    else:
        captions = chosen_captions(options.count or COUNT, options.seed)
        out = options.out or OUT
        guidance = options.guidance or float(MODELS[options.model].defaults["guidance-scale"])
        told = options.seed, options.steps, guidance
        pictures = sample(captions, *told, minutes=options.minutes, folder=out, model=options.model)
    captions = captions[: len(pictures)]
    seen = load_judge(options.judge or WEIGHTS / "judge").judge(pictures)
    found = shares(captions, seen)
    print(table(["what the caption says", "samples that show it"], rows(found)))
    print(f"\n{found.samples} samples. Their own kind seen, by thing:")
    things = by_thing(captions, seen).items()
    print(", ".join(f"{name} {there} of {asked}" for name, (asked, there) in things))
    print("So many of it seen, by what is asked for:")
    print(", ".join(f"{asked}: {there} of {total}" for asked, (total, there) in by_number(captions, seen).items()))


def rows(found: Shares) -> list[tuple[str, str]]:
    """The shares, in words."""
    return [(TITLES[name], f"{value:.1%}".replace("%", " %")) for name, value in vars(found).items() if name in TITLES]
