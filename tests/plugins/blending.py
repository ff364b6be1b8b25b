"""What the tests of saliency-noise-blending share: runs on tiny models, and models that keep what they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fusionkit import Patches, Plugin, Prompt, Recipe, Stage, Step, View
from fusionkit.loop.stage import Control
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipeline
from fusionkit.runs.plan import RunPlan
from fusionkit.runs.run import execute, prepare
from fusionkit.testing import Kind, tiny_pipeline
from fusionkit_magicfusion import SaliencyNoiseBlending

TWO = {"scene": 0, "rocket": 1}
THREE = {**TWO, "flower": 2}
ROCKET = {"prompt": "a rocket"}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plan_of(plugins: Sequence[Plugin], models: Mapping[str, int] = TWO, kind: Kind = "sd", **fields: Any) -> RunPlan:
    """A checked run on tiny models, given by their names and the seeds of their weights."""
    default = {"prompt": "a hill", "size": (64, 64), "scheduler": "ddim", "steps": 4, "guidance_scale": 4.0}
    recipe = Recipe.model_validate({**default, **fields, "plugins": list(plugins)})
    infos = {name: info_of_pipeline(tiny_pipeline(kind, seed)) for name, seed in models.items()}
    return prepare(recipe, next(iter(infos.values())), infos=infos)


def run(plugins: Sequence[Plugin], models: Mapping[str, int] = TWO, kind: Kind = "sd", **fields: Any) -> Tensor:
    """The clean latents of such a run."""
    plan = plan_of(plugins, models, kind, **fields)
    loaded = {name: wrap_pipeline(tiny_pipeline(kind, seed)) for name, seed in models.items()}
    return execute(plan, next(iter(loaded.values())), loaded)


def blending(models: Any = None, **options: Any) -> SaliencyNoiseBlending:
    return SaliencyNoiseBlending(**{"models": models or {"scene": {}, "rocket": ROCKET}, **options})


@dataclass
class Asked:
    """A model that answers by what it is asked and keeps it."""

    name: str
    cond: Tensor
    uncond: Tensor
    pairs: list[Patches] = field(default_factory=list)
    alone: list[tuple[Patches, float | None]] = field(default_factory=list)
    scales: list[float | None] = field(default_factory=list)

    device = torch.device("cpu")

    def predict_pair(
        self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | None = None
    ) -> tuple[Tensor, Tensor]:
        self.pairs.append(patches)
        self.scales.append(guidance_scale)
        return self.cond, self.uncond

    def predict(
        self,
        stage: Stage,
        at: Step,
        patches: Patches,
        guidance_scale: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
    ) -> Tensor:
        self.alone.append((patches, guidance_scale))
        return self.uncond


def step_of(
    plugin: SaliencyNoiseBlending, number: int = 0, models: Mapping[str, int] = TWO, **fields: Any
) -> tuple[Tensor, dict[str, Asked], Patches]:
    """One prediction of two views of a canvas, what the models were asked, and the patches."""
    shape = (2, 4, 8, 8)
    asked = {
        name: Asked(name, normal(*shape, seed=seed), normal(*shape, seed=seed + 50)) for name, seed in models.items()
    }
    plan = plan_of([plugin], models, **{"size": (128, 64), "negative_prompt": "fog", **fields})
    stage = plan.stages[0]
    stage.models = dict(asked)  # type: ignore[arg-type]
    stage.model = next(iter(stage.models.values()))
    views = (View(0, 0, 8, 8), View(0, 8, 8, 8))
    prompts = [Prompt("the left"), Prompt("the right", "mist")]
    patches = Patches(views, latents=normal(*shape, seed=99), prompts=prompts, controls=(Control(None, None),))  # type: ignore[arg-type]
    answer = plan.hooks.ask("noise_prediction", stage=stage, at=stage.steps[number], patches=patches)
    return answer, asked, patches
