"""Judges pictures that two or three models draw together: is the scene of the one there, and the expert's object too?

Each setting draws the same 100 prompts with the same seeds. What is drawn is kept, so that the command goes on where it
was interrupted; `--part 0/2` and `--part 1/2` share the work between two processes. `--table` judges the pictures with
`fusionkit_tinyworld.judge` and prints the tables; `--sheet` writes pictures of the documentation.

Run it:  python benchmarks/magicfusion.py
         python benchmarks/magicfusion.py --table
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fusionkit import Fusion, Patches, Plugin, Prompt, Stage, Step, hookimpl
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_tinyworld.captions import SCENE_PHRASES, SCENES, STYLES, TIMES

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit_tinyworld.mixtures import Shown

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIDE, STEPS = 64, 20
MAIN = "scenes"
# Scenes that the expert of bold cartoons was never taught.
UNTAUGHT = ("city", "forest", "desert")


@dataclass(frozen=True)
class Case:
    """What one picture is asked for; its number is its seed."""

    number: int
    style: str
    scene: str
    time: str

    def fill(self, template: str) -> str:
        """A prompt of this case."""
        return template.format(style=self.style, scene=SCENE_PHRASES[self.scene], time=self.time)


def object_cases(count: int) -> list[Case]:
    """All scenes and times of day in turn, 18 photos and then 18 cartoons of them."""
    return [
        Case(n, STYLES[n // 18 % 2], SCENES[n % 6], TIMES[n // 6 % 3])
        for n in range(count)
    ]


def style_cases(count: int) -> list[Case]:
    """The scenes that the expert of cartoons was never taught, as photos, at all times of day in turn."""
    return [Case(n, "photo", UNTAUGHT[n % 3], TIMES[n // 3 % 3]) for n in range(count)]


class Averaged(Plugin):
    """What blending is compared with: the mean of all models' guided predictions."""

    prompts: Mapping[str, str]

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """The mean, with equal weights."""
        import torch

        def asked(name: str) -> Patches:
            return replace(patches, prompts=[Prompt(self.prompts[name])] * len(patches.views))

        return torch.stack([stage.models[name].predict(stage, at, asked(name)) for name in self.prompts]).mean(0)

    @hookimpl
    def forward_passes(self, patches: Patches) -> int:
        """With and without the prompt, for each model."""
        return 2 * len(self.prompts) * len(patches.views)


@dataclass(frozen=True)
class Setting:
    """One row of a table: models with the templates of their prompts, and how they work together."""

    label: str
    prompts: Mapping[str, str]
    plugins: Callable[[Mapping[str, str]], list[Plugin]] = field(default=lambda prompts: [])


@dataclass(frozen=True)
class Comparison:
    """A table: its cases, its settings, and what must be there beside the scene."""

    cases: Callable[[int], list[Case]]
    settings: Mapping[str, Setting]
    expert: Mapping[str, Any]
    """Fields of what a picture shows, and the values that say that the experts had their part."""
    heading: str


def blended(k: float = 1.0, **options: Any) -> Callable[[Mapping[str, str]], list[Plugin]]:
    """Blending with a factor k of all experts; the main model's is 1."""

    def plugins(prompts: Mapping[str, str]) -> list[Plugin]:
        models = {name: {"prompt": text, "k": k} for name, text in prompts.items() if name != MAIN}
        return [SaliencyNoiseBlending(models={MAIN: {}, **models}, **options)]

    return plugins
