"""Saliency-noise-blending against MagicFusion's ldm/ddim.py: smoothing, masks, blended predictions, whole DDIM runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from replay import HERE, Case, Replay
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from fusionkit import Fused, Patches, Plugin, Prompt, Recipe, Stage, Step, View, hookimpl
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipeline
from fusionkit.run import RunPlan, execute, prepare
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_magicfusion.saliency import smoothed

DATA = sorted((HERE / "data" / "magicfusion").glob("*.npz"))
# The general model is the main one; the reference calls it `model` and the expert `model0`.
GENERAL, EXPERT = "general", "expert"
THEIRS = {GENERAL: ("model", "ns0_model"), EXPERT: ("model0", "ns1_model0")}
TINY = torch.finfo(torch.float32).tiny


def files(kind: str) -> list[Path]:
    found = [path for path in DATA if path.stem.startswith(kind)]
    assert found, f"no case of {kind}"
    return found


def plugin_for(params: dict[str, Any], *, whole: bool = False, **options: Any) -> SaliencyNoiseBlending:
    """The plugin as a case of the reference has it; mode 1 blends after its start, mode 2 before it."""
    models = {name: {"prompt": name, "k": params[k]} for name, (_, k) in THEIRS.items()}
    models[GENERAL]["prompt"] = params.get("prompt1_for_model", "general")
    models[EXPERT]["prompt"] = params.get("prompt_for_model0", "expert")
    start = params["fusion_start"]
    # A timestep of 1 or less can be said by its fraction alone.
    limit = start if start > 1 else start / 1000
    span = {} if whole else {1: {"from": limit}, 2: {"to": limit}}[params["merge_mode"]]
    return SaliencyNoiseBlending(**{"models": models, "baseline": "shared", "blend": span, **options})


@cache
def pipeline(name: str) -> Any:
    """A checkpoint with its own scheduler; what it lacks is that of tiny-sd."""
    folder = HERE / "checkpoints" / name
    if (folder / "model_index.json").exists():
        # Not `checkpoint`, whose pipelines get the schedulers of other cases.
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
        pipe.set_progress_bar_config(disable=True)
        return pipe
    general = pipeline("tiny-sd")
    unet = diffusers.UNet2DConditionModel.from_pretrained(HERE / "checkpoints" / name, subfolder="unet")
    return type(general)(**{**general.components, "unet": unet}, requires_safety_checker=False)


def plan_of(plugins: Sequence[Plugin], size: tuple[int, int], *, steps: int, scale: float, **fields: Any) -> RunPlan:
    """A run of one view of `size`, (height, width) in latent pixels, with DDIM."""
    info = info_of_pipeline(pipeline("tiny-sd"))
    pixels = (size[1] * info.factor, size[0] * info.factor)
    recipe = Recipe(size=pixels, window=pixels, steps=steps, guidance_scale=scale, plugins=list(plugins), **fields)
    return prepare(recipe, info, infos={GENERAL: info, EXPERT: info})


# The reference's maths, written down again: a plain softmax in float32, and one in float64 where that underflows.


def softmaxes(pairs: dict[str, tuple[Tensor, Tensor]], params: dict[str, Any], dtype: torch.dtype) -> Tensor:
    """The logarithms of the softmax saliencies of the general model and the expert, (2, P, h, w)."""
    baseline = pairs[GENERAL][1]
    maps = []
    for name, (_, k) in THEIRS.items():
        response = (params["scale"] * (pairs[name][0] - baseline)).abs()
        smooth = interpolate(avg_pool2d(response, 4, 1, 1), response.shape[-2:], mode="bilinear").mean(1)
        maps.append((params[k] * smooth).to(dtype).flatten(1).log_softmax(1).view_as(smooth))
    return torch.stack(maps)


def decided(saliencies: Tensor) -> Tensor:
    """Where softmax saliencies (2, P, h, w) differ by 1e-5 of the larger or more, and do not underflow; (P, h, w)."""
    largest = saliencies.amax(0)
    return (largest >= TINY) & ((saliencies[0] - saliencies[1]).abs() >= 1e-5 * largest)


def check_mask(ours: Tensor, theirs: Tensor, saliencies: Tensor, exact: Tensor) -> Tensor:
    """Ours is theirs wherever that is decided, and where float32 underflows it is what float64 tells.

    Args:
        ours: Where the expert wins, (P, h, w).
        theirs: As the reference recorded it, (P, h, w).
        saliencies: The reference's softmax saliencies, (2, P, h, w), float32.
        exact: Their logarithms, (2, P, h, w), float64.

    Returns:
        Where the two masks can be compared, (P, h, w).
    """
    clear = decided(saliencies)
    assert int(((ours != theirs.bool()) & clear).sum()) == 0
    beneath = (saliencies.amax(0) < TINY) & ((exact[0] - exact[1]).abs() > 1e-3)
    assert ours[beneath].equal((exact[1] > exact[0])[beneath])
    return clear


# Smoothing


@pytest.mark.parametrize("path", files("pool_resize"), ids=lambda path: path.stem)
def test_smoothing_is_the_references(path: Path) -> None:
    case = Case.read(path)
    difference = float((smoothed(case["x"]) - case["out"]).abs().max())
    print(f"largest difference: {difference:.1e}")
    assert difference < 1e-6
    unpadded = interpolate(avg_pool2d(case["x"], 4, 1), case["x"].shape[-2:], mode="bilinear")
    assert float((unpadded - case["out"]).abs().max()) > 1e-2


# One step, fed with recorded predictions


@dataclass
class Stub:
    """A model that answers what the reference's stub answered."""

    cond: Tensor
    uncond: Tensor

    device = torch.device("cpu")

    def predict_pair(self, stage: Stage, at: Step, patches: Patches) -> tuple[Tensor, Tensor]:
        assert patches.latents.shape == self.cond.shape
        return self.cond, self.uncond

    def predict(self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | None = None) -> Tensor:
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
        self.x = self._recorded("x")
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
    saliencies = blend.recorded("saliency_softmax_model_model0")
    if saliencies is None:
        saliencies = softmaxes(blend.pairs, params, torch.float32).exp()
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
            difference = float(((ours - recorded).abs().amax(1) * compared).max())
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


# Whole runs


class Listening:
    """A model that also keeps what it answers, at every step."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict_pair(self, stage: Stage, at: Step, patches: Patches) -> tuple[Tensor, Tensor]:
        self.pairs.append(self.model.predict_pair(stage, at, patches))
        return self.pairs[-1]


class Keep(Plugin):
    """Keeps the prediction and the latents of every step."""

    predictions: Any
    latents_after: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self) -> Any:
        self.predictions.append((yield))
        return self.predictions[-1]

    @hookimpl
    def step_done(self, latents: Tensor) -> None:
        self.latents_after.append(latents.clone())


@dataclass
class Run:
    """A whole run of one of a case's samples, over real models."""

    case: Case
    sample: int
    predictions: list[Tensor] = field(default_factory=list)
    latents_after: list[Tensor] = field(default_factory=list)

    def __call__(self, plugin: SaliencyNoiseBlending | None = None) -> Run:
        params = self.case.params
        initial = self.case["x_T"][self.sample : self.sample + 1]
        keep: Any = {"predictions": self.predictions, "latents_after": self.latents_after}
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
        self.final = execute(self.plan, models[GENERAL], models)
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


def ddim_cases() -> list[Any]:
    return [
        pytest.param(path, sample, id=f"{path.stem}-{sample}")
        for path in files("ddim")
        for sample in range(len(Case.read(path)["x_T"]))
    ]


@pytest.mark.parametrize(("path", "sample"), ddim_cases())
def test_a_whole_run(path: Path, sample: int) -> None:
    case = Case.read(path)
    run = Run(case, sample)()
    params, batch = case.params, slice(sample, sample + 1)
    assert [int(at.timestep) for at in run.plan.stages[0].steps] == sorted(case["timesteps"].tolist(), reverse=True)

    differences = []
    for step, theirs in enumerate(case["latents_after_step"][:, batch]):
        clear = torch.ones(theirs.shape[0], *theirs.shape[2:], dtype=torch.bool)
        if (pairs := run.pairs(step)) is not None:
            cond, uncond = pairs[EXPERT]
            expert = uncond + params["scale"] * (cond - uncond)
            ours = (run.predictions[step] == expert).all(1)
            plain, exact = (softmaxes(pairs, params, dtype) for dtype in (torch.float32, torch.float64))
            clear = check_mask(ours, case["mask_1_is_model0"][step][batch], plain.exp(), exact)
        differences.append(float(((run.latents_after[step] - theirs).abs().amax(1) * clear).max()))
        if not clear.all():
            # From here on the two runs may differ, where one of them had no say.
            break
    print(f"largest difference: {max(differences):.1e} in {len(differences)} of {params['steps']} steps")
    assert run.models[EXPERT].pairs
    assert max(differences) < 1e-3
    if len(differences) == params["steps"]:
        assert float((run.final - case["final"][batch]).abs().max()) < 1e-3


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
            assert float((ours - case[recorded][:1]).abs().max()) < 1e-4, recorded


@pytest.mark.parametrize(
    "wrong",
    [{"ns1_model0": 1.05}, {"prompt_for_model0": "a photo of a lion"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_run_with_something_else_is_told_apart(wrong: dict[str, Any]) -> None:
    case = Case.read(HERE / "data" / "magicfusion" / "ddim_mode1_start600_ns1_1.npz")
    run = Run(case, 0)(plugin_for({**case.params, **wrong}))
    assert float((run.final - case["final"][:1]).abs().max()) > 1e-2
