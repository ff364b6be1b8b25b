"""Saliency-noise-blending against MagicFusion's ldm/ddim.py: whole DDIM runs of two models."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from magicfusion_cases import EXPERT, GENERAL, THEIRS, check_mask, files, pipeline, plan_of, plugin_for, softmaxes
from replay import HERE, Case, Replay, apart
from torch import Tensor

from fusionkit import Cancelled, Patches, Plugin, Stage, Step, View, hookimpl
from fusionkit.models.load import wrap_pipeline
from fusionkit.runs.run import execute
from fusionkit_magicfusion import SaliencyNoiseBlending


class Listening:
    """A model that also keeps what it answers, at every step."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict_pair(
        self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | None = None
    ) -> tuple[Tensor, Tensor]:
        self.pairs.append(self.model.predict_pair(stage, at, patches, guidance_scale))
        return self.pairs[-1]


class Keep(Plugin):
    """Keeps the prediction and the latents of every step, and ends the run after the last one of them."""

    predictions: Any
    latents_after: Any
    steps: int

    @hookimpl(wrapper=True)
    def noise_prediction(self) -> Any:
        self.predictions.append((yield))
        return self.predictions[-1]

    @hookimpl
    def step_done(self, latents: Tensor) -> None:
        self.latents_after.append(latents.clone())
        if len(self.latents_after) == self.steps:
            raise Cancelled


@dataclass
class Run:
    """A run of a case's first sample, over real models."""

    case: Case
    predictions: list[Tensor] = field(default_factory=list)
    latents_after: list[Tensor] = field(default_factory=list)

    def __call__(self, plugin: SaliencyNoiseBlending | None = None, steps: int | None = None) -> Run:
        """Makes all steps, or so many, the first ones."""
        params = self.case.params
        initial = self.case["x_T"][:1]
        steps = params["steps"] if steps is None else steps
        keep: Any = {"predictions": self.predictions, "latents_after": self.latents_after, "steps": steps}
        # Of two plugins that give the noise or the prediction, the first in the recipe is the inner one.
        self.plan = plan_of(
            [Replay(initial=initial), plugin or plugin_for(params), Keep(**keep)],
            (initial.shape[2], initial.shape[3]),
            steps=params["steps"],
            scale=params["scale"],
            scheduler={"ddim": {"eta": params["eta"]}},
            prompt=params["prompt1_for_model"],
            negative_prompt=params["uncond"],
        )
        # "tiny-sd-b (expert)"
        self.models = {
            name: Listening(wrap_pipeline(pipeline(params[model].split()[0]))) for name, (model, _) in THEIRS.items()
        }
        models: Any = self.models
        with suppress(Cancelled):
            execute(self.plan, models[GENERAL], models)
        assert len(self.latents_after) == steps
        return self

    def pairs(self, step: int) -> dict[str, tuple[Tensor, Tensor]] | None:
        """The predictions of both models at a step; nothing where they were not blended."""
        blended = [number for number, at in enumerate(self.plan.stages[0].steps) if self._blends(at)]
        return (
            {name: model.pairs[blended.index(step)] for name, model in self.models.items()} if step in blended else None
        )

    def _blends(self, at: Step) -> bool:
        after = int(at.timestep) <= self.case.params["fusion_start"]
        return after if self.case.params["merge_mode"] == 1 else not after


@pytest.mark.parametrize("path", files("ddim"), ids=lambda path: path.stem)
def test_a_whole_run(path: Path) -> None:
    # The other sample that was recorded is the same calls on other numbers.
    case = Case.read(path)
    run, params = Run(case)(), case.params
    assert [int(at.timestep) for at in run.plan.stages[0].steps] == sorted(case["timesteps"].tolist(), reverse=True)

    differences = []
    for step, theirs in enumerate(case["latents_after_step"][:, :1]):
        clear = torch.ones(theirs.shape[0], *theirs.shape[2:], dtype=torch.bool)
        if (pairs := run.pairs(step)) is not None:
            cond, uncond = pairs[EXPERT]
            expert = uncond + params["scale"] * (cond - uncond)
            ours = (run.predictions[step] == expert).all(1)
            plain, exact = (softmaxes(pairs, params, dtype) for dtype in (torch.float32, torch.float64))
            clear = check_mask(ours, case["mask_1_is_model0"][step][:1], plain.exp(), exact)
        differences.append(apart(run.latents_after[step] * clear[:, None], theirs * clear[:, None]))
        if not clear.all():
            # From here on the two runs may differ, where one of them had no say.
            break
    print(f"largest difference: {max(differences):.1e} in {len(differences)} of {params['steps']} steps")
    assert run.models[EXPERT].pairs
    assert max(differences) < 1e-3


@pytest.mark.parametrize("path", files("ddim"), ids=lambda path: path.stem)
def test_prompts_and_first_predictions(path: Path) -> None:
    case = Case.read(path)
    params, initial = case.params, case["x_T"][:1]
    prompts = {GENERAL: params["prompt1_for_model"], EXPERT: params["prompt_for_model0"]}
    plan = plan_of(
        [plugin_for(params)],
        (initial.shape[2], initial.shape[3]),
        steps=params["steps"],
        scale=params["scale"],
        scheduler="ddim",
        negative_prompt=params["uncond"],
    )
    stage = plan.stages[0]
    for name, (theirs, _) in THEIRS.items():
        model: Any = wrap_pipeline(pipeline(params[theirs].split()[0]))
        texts = {
            f"text_{theirs}": model.embed(prompts[name])[0],
            "text_uncond": model.embed_negative(params["uncond"])[0],
        }
        stage.model = model
        patches = Patches((View(0, 0, *initial.shape[2:]),), latents=initial, prompts=[prompts[name]])
        cond, uncond = model.predict_pair(stage, stage.steps[0], patches)
        found = {**texts, f"e_cond_{theirs}_step0": cond, f"e_uncond_{theirs}_step0": uncond}
        for recorded, ours in found.items():
            assert apart(ours, case[recorded][:1]) < 1e-4, recorded


@pytest.mark.parametrize(
    "wrong",
    [{"ns1_model0": 1.05}, {"prompt_for_model0": "a photo of a lion"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_run_with_something_else_is_told_apart(wrong: dict[str, Any]) -> None:
    case = Case.read(HERE / "data" / "magicfusion" / "ddim_mode1_start600_ns1_1.npz")
    # The first step that is blended tells it already.
    blended = next(step for step, at in enumerate(case["timesteps"].sort(descending=True).values) if at <= 600)
    run = Run(case)(plugin_for({**case.params, **wrong}), steps=blended + 1)
    assert apart(run.latents_after[blended], case["latents_after_step"][blended, :1]) > 1e-2
