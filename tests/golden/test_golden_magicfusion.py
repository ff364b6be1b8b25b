"""Saliency-noise-blending against MagicFusion's ldm/ddim.py: smoothing, masks and blended predictions of one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from magicfusion_cases import EXPERT, GENERAL, THEIRS, TINY, check_mask, files, plan_of, plugin_for, softmaxes
from replay import Case, apart
from rounding import rounding
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from fusionkit import Fused, Patches, Prompt, Stage, Step, View
from fusionkit.runs.plan import RunPlan
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_magicfusion.saliency import smoothed

# Smoothing


@pytest.mark.parametrize("path", files("pool_resize"), ids=lambda path: path.stem)
def test_smoothing_is_the_references(path: Path) -> None:
    case = Case.read(path)
    difference = apart(smoothed(case["x"]), case["out"])
    print(f"largest difference: {difference:.1e}")
    assert difference < rounding(case["x"])
    unpadded = interpolate(avg_pool2d(case["x"], 4, 1), case["x"].shape[-2:], mode="bilinear")
    assert apart(unpadded, case["out"]) > 1e-2


# One step, fed with recorded predictions


@dataclass
class Stub:
    """A model that answers what the reference's stub answered."""

    cond: Tensor
    uncond: Tensor

    device = torch.device("cpu")

    def predict_pair(self, stage: Stage, at: Step, patches: Patches, scale: float) -> tuple[Tensor, Tensor]:
        assert patches.latents.shape == self.cond.shape
        return self.cond, self.uncond

    def predict(
        self,
        stage: Stage,
        at: Step,
        patches: Patches,
        guidance_scale: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
    ) -> Tensor:
        scale = stage.recipe.guidance_scale if guidance_scale is None else guidance_scale
        return self.uncond + scale * (self.cond - self.uncond)


def stub_cases() -> Iterator[Any]:
    for path in files("blend_stub"):
        for params in Case.read(path).params["cases"]:
            yield pytest.param(path, params["case"], id=f"{path.stem}-{params['case']}")


@dataclass
class Blend:
    """One case of `blend_stub`: the recorded predictions, and the plugin's answer to them."""

    path: Path
    number: int
    pairs: dict[str, tuple[Tensor, Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        self.case = Case.read(self.path)
        self.params = next(each for each in self.case.params["cases"] if each["case"] == self.number)
        # Where it is not kept, nothing that depends on it is.
        self.x = self._recorded("x").nan_to_num(0.0)
        self.pairs = {
            name: (self._recorded(f"e_cond_{model}"), self._recorded(f"e_uncond_{model}"))
            for name, (model, _) in THEIRS.items()
        }

    def _recorded(self, name: str) -> Tensor:
        return self.case[f"set{self.params['set']}_{name}"]

    def recorded(self, name: str) -> Tensor | None:
        return self.case.arrays.get(f"c{self.number}_{name}")

    def guided(self, name: str) -> Tensor:
        cond, uncond = self.pairs[name]
        return uncond + self.params["scale"] * (cond - uncond)

    def predicted(self, plugin: SaliencyNoiseBlending) -> tuple[Tensor, RunPlan]:
        """What the hook answers at the case's timestep for the batch's samples, as views of one canvas."""
        count, _, *size = self.x.shape
        plan = plan_of(
            [plugin], (size[0], size[1]), steps=self.params["ddim_steps"], scale=self.params["scale"], scheduler="ddim"
        )
        stage = plan.stages[0]
        stage.models = {name: Stub(*pair) for name, pair in self.pairs.items()}  # type: ignore[misc]
        stage.model = stage.models[GENERAL]
        views = (View(0, 0, size[0], size[1]),) * count
        patches = Patches(views, latents=self.x, prompts=[Prompt("a view")] * count)
        at = Step(0, self.params["ddim_steps"], torch.tensor(self.params["t"]))
        return plan.hooks.ask("noise_prediction", stage=stage, at=at, patches=patches), plan

    def mask(self, prediction: Tensor) -> Tensor:
        """Where a blended prediction is the expert's; elsewhere it must be the general model's, to the bit."""
        expert = (prediction == self.guided(EXPERT)).all(1)
        assert ((prediction == self.guided(GENERAL)).all(1) | expert).all()
        return expert

    def stepped(self, plan: RunPlan, prediction: Tensor) -> tuple[Tensor, Tensor]:
        """x_{t-1} and the estimate of x_0 by the loop's own step, from the timestep of the case's `ddim_index`."""
        stage, index = plan.stages[0], self.params["ddim_index"]
        at = next(each for each in stage.steps if each.index == len(stage.steps) - 1 - index)
        fused = [Fused(sample[None]) for sample in prediction]
        samples = [
            plan.hooks.ask("step", stage=stage, at=at, latents=x[None], fused=each)
            for x, each in zip(self.x, fused, strict=True)
        ]
        return torch.cat(samples), torch.cat([each.denoised for each in fused if each.denoised is not None])


@pytest.mark.parametrize(("path", "number"), list(stub_cases()))
def test_masks_and_blended_predictions(path: Path, number: int) -> None:
    blend = Blend(path, number)
    params = blend.params
    # The reference computes a mask whether or not it uses it.
    mask = blend.mask(blend.predicted(plugin_for(params, whole=True))[0])
    exact, theirs = softmaxes(blend.pairs, params, torch.float64), blend.recorded("mask_1_is_model0")
    assert theirs is not None
    saliencies = softmaxes(blend.pairs, params, torch.float32).exp()
    if (recorded := blend.recorded("saliency_softmax_model_model0")) is not None:
        kept = ~recorded.isnan()
        torch.testing.assert_close(saliencies[kept], recorded[kept], rtol=1e-5, atol=TINY)
    clear = check_mask(mask, theirs, saliencies, exact)

    prediction, plan = blend.predicted(plugin_for(params))
    assert (
        prediction.equal(torch.where(mask[:, None], blend.guided(EXPERT), blend.guided(GENERAL))) is params["blended"]
    )
    assert prediction.equal(blend.guided(GENERAL)) is not params["blended"]
    compared = clear if params["blended"] else torch.ones_like(clear)
    found = {"e_t": prediction}
    if blend.recorded("x_prev") is not None:
        found["x_prev"], found["pred_x0"] = blend.stepped(plan, prediction)
    for name, ours in found.items():
        if (recorded := blend.recorded(name)) is not None:
            difference = apart(ours * compared[:, None], recorded * compared[:, None])
            print(f"{name}: largest difference {difference:.1e}")
            assert difference < 1e-4
    print(f"pixels compared: {int(clear.sum())} of {clear.numel()}")


def first_stub() -> Blend:
    """The first case in which both k are 1."""
    blends = (Blend(*each.values) for each in stub_cases())
    return next(each for each in blends if (each.params["ns0_model"], each.params["ns1_model0"]) == (1, 1))


def different(**changes: Any) -> Callable[[dict[str, Any]], SaliencyNoiseBlending]:
    """The plugin with something else than the case says."""
    options = {name: changes.pop(name) for name in ("smoothing", "baseline") if name in changes}
    return lambda params: plugin_for({**params, **changes}, whole=True, **options)


@pytest.mark.parametrize(
    "wrong",
    [different(ns1_model0=1.05), different(ns0_model=0.95), different(baseline="own"), different(smoothing=False)],
    ids=["expert's k", "general model's k", "baseline", "smoothing"],
)
def test_something_else_than_the_references_is_told_apart(
    wrong: Callable[[dict[str, Any]], SaliencyNoiseBlending],
) -> None:
    blend = first_stub()
    right, mistaken = (blend.predicted(plugin)[0] for plugin in (different()(blend.params), wrong(blend.params)))
    assert int((blend.mask(right) != blend.mask(mistaken)).sum()) > 50
    assert float((right - mistaken).abs().max()) > 1


def test_a_timestep_at_the_start_of_the_blending_belongs_to_it() -> None:
    blend = first_stub()
    start = blend.params["fusion_start"]
    for mode, timestep, blends in ((1, start + 1, False), (1, start, True), (2, start + 1, True), (2, start, False)):
        blend.params |= {"merge_mode": mode, "t": timestep}
        prediction = blend.predicted(plugin_for(blend.params))[0]
        assert prediction.equal(blend.guided(GENERAL)) is not blends, (mode, timestep)
