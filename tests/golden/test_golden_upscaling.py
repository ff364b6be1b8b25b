"""DemoFusion, AccDiffusion and AccDiffusion v2 against the papers' code: every canvas after every step of every stage.

The cases are all files of runs in the three systems' folders; which parts are on, sizes and scales come from the file.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from replay import HERE, Case, Padded, apart, largest, pipeline_of
from rounding import rounding
from torch import Tensor
from torch.nn.functional import interpolate

from fusionkit import Cancelled, Patches, Plugin, Prompt, Recipe, Stage, Step, View, hookimpl, windows
from fusionkit.loop.views import jittered
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.runs.run import execute, prepare
from fusionkit_accdiffusion import ControlNet, DilatedSampling, ProgressiveUpscaling
from fusionkit_accdiffusion.dilated_sampling import gaussian_filter
from fusionkit_multidiffusion import MultiDiffusion

TOLERANCE = 1e-3
SYSTEMS = ("demofusion", "accdiffusion_v1", "accdiffusion_v2")


def runs() -> list[Path]:
    """Every recorded run of the three systems."""
    paths = [path for system in SYSTEMS for path in sorted((HERE / "data" / system).glob("*.npz"))]
    return [path for path in paths if "stage1_latents_after_step" in Case.read(path)]


class Recorded(Plugin):
    """The draws of a run: noise and jittered views of each stage, and the prompts of its views."""

    case: Any
    padding: int

    @hookimpl
    def init_noise(self, stage: Stage) -> Tensor:
        return self.case["initial_noise" if stage.index == 0 else f"stage{stage.index + 1}_noise"]

    @hookimpl(wrapper=True)
    def views(self, stage: Stage, at: Step) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        (patches,) = yield
        name = f"stage{stage.index + 1}_views"
        if name not in self.case:
            return [patches]
        # Recorded in the coordinates of a canvas that is padded by the reach of the jitter.
        boxes = (self.case[name][at.index] - torch.tensor([self.padding, 0, self.padding, 0])).tolist()
        views = tuple(
            View(top, left, bottom - self.padding - top, right - self.padding - left)
            for top, bottom, left, right in boxes
        )
        return [replace(patches, views=views)]

    @hookimpl(wrapper=True)
    def prompt_per_patch(self, stage: Stage, patches: Patches) -> Generator[None, Sequence[Prompt], Sequence[Prompt]]:
        prompts = yield
        texts = self.case.params.get("md_prompts", {}).get(str(stage.index + 1))
        return prompts if texts is None or patches.kind != "window" else [Prompt(text) for text in texts]


class Shuffled(DilatedSampling):
    """Dilated sampling with the run's own permutation of the samples."""

    case: Any

    def permutation(self, stage: Stage, at: Step, shape: Sequence[int]) -> Tensor:
        index = self.case[f"stage{stage.index + 1}_shuffle_index"][at.index].long().reshape(tuple(shape))
        # The reference permutes inside each batch of samples alone, and counts from the first of the batch.
        size = min(self.case.params["call"]["view_batch_size"], shape[0])
        first = torch.arange(shape[0]) // size * size
        return index + first.reshape(-1, 1, 1, 1) if int(index.max()) < size < shape[0] else index


class Hinted(ControlNet):
    """A ControlNet that is shown the run's own hint, since Canny flips pixels at a change of 1e-6."""

    case: Any

    def hint(self, stage: Stage) -> Tensor:
        # The edges of the stage before, enlarged: the reference's own hint, to the bit.
        edges, (width, height) = self.case[f"canny_{stage.index}"] / 255, stage.plan.size
        return interpolate(edges[None, None], (height, width), mode="bicubic").expand(1, 3, -1, -1)


class Kept(Plugin):
    """Keeps the canvases as the scheduler left them, and those at the end of each stage."""

    canvases: Any
    final: Any

    @hookimpl(wrapper=True)
    def step(self, stage: Stage) -> Generator[None, Tensor, Tensor]:
        latents = yield
        self.canvases.setdefault(stage.index + 1, []).append(latents.clone())
        return latents

    @hookimpl
    def stage_done(self, stage: Stage, latents: Tensor) -> None:
        self.final[stage.index + 1] = latents.clone()


class Until(Plugin):
    """Ends the run after a step of its second stage."""

    steps: int

    @hookimpl
    def step_done(self, stage: Stage, at: Step) -> None:
        if (stage.index, at.index + 1) == (1, self.steps):
            raise Cancelled


class Only(Plugin):
    """Leaves out groups of one kind."""

    without: str

    @hookimpl(wrapper=True)
    def views(self) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        groups = yield
        return [patches for patches in groups if patches.kind != self.without] if len(groups) > 1 else groups


def exponent(value: float, on: bool = True) -> Any:
    return value if on else "off"


def plugins_of(case: Case, padding: int, factor: int, kept: Kept) -> list[Plugin]:
    """The recipe that does what the run's flags say."""
    call = case.params["call"]
    shuffle, gaussian = call.get("shuffle", False), call.get("use_guassian", True)
    options = {
        "gaussian_filter": gaussian,
        "sigma": call["sigma"],
        "weight_exponent": call["cosine_scale_2"],
        "sigma_exponent": call["cosine_scale_3"],
    }
    dilated = Shuffled(case=case, **options) if shuffle else DilatedSampling(window_interaction=False, **options)
    plugins: list[Plugin] = [
        kept,
        ProgressiveUpscaling(skip_residual=exponent(call["cosine_scale_1"], call.get("use_skip_residual", True))),
        MultiDiffusion(stride=call["stride"] * factor),
        Recorded(case=case, padding=padding),
    ]
    plugins += [dilated] if call.get("use_dilated_sampling", True) else []
    plugins += [] if call.get("use_multidiffusion", True) else [Only(without="window")]
    if call.get("use_controlnet", False):
        control = Hinted(
            case=case,
            model=str(HERE / "checkpoints" / "tiny-controlnet"),
            scale=call["controlnet_conditioning_scale"],
            start=call["control_guidance_start"],
            end=call["control_guidance_end"],
        )
        plugins.append(control)
    return plugins


def run(case: Case, batch_size: int | None = None, steps: int | None = None, **changes: Any) -> Kept:
    """Run a case, or so many steps of its second stage; `changes` are of its call."""
    call = case.params["call"] = {**case.params["call"], **changes}
    pipe = pipeline_of(case)
    factor, window = pipe.vae_scale_factor, case.params["sample_size"]
    padding = (window - call["stride"]) // 4
    kept = Kept(canvases={}, final={})
    recipe = Recipe(
        prompt=call["prompt"],
        negative_prompt=call["negative_prompt"],
        size=(call["width"], call["height"]),
        steps=call["num_inference_steps"],
        guidance_scale=call["guidance_scale"],
        batch_size=batch_size or call["view_batch_size"],
        plugins=plugins_of(case, padding, factor, kept) + ([] if steps is None else [Until(steps=steps)]),
    )
    info = info_of_pipeline(pipe)
    plan = prepare(recipe, info)
    for stage in plan.stages[1:]:
        guidance = call.get("multi_guidance_scale", call["guidance_scale"])
        stage.recipe = plan.recipe.model_copy(update={"guidance_scale": guidance})
    model = Padded(pipe, info)
    model.padding, model.from_stage = padding, 1
    with suppress(Cancelled):
        execute(plan, model)
    return kept


@pytest.mark.parametrize("path", runs(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_canvas_after_every_step_of_every_stage(path: Path) -> None:
    case = Case.read(path)
    kept = run(case)
    stages = sorted(int(name.split("_")[0][5:]) for name in case.arrays if name.endswith("_latents_after_step"))
    assert sorted(kept.canvases) == stages
    for stage in stages:
        theirs = case[f"stage{stage}_latents_after_step"]
        assert len(kept.canvases[stage]) == len(theirs)
        difference = largest(kept.canvases[stage], theirs)
        print(f"stage {stage}: largest difference {difference:.1e}")
        assert difference < TOLERANCE
        # The first stage ends as its last step left it.
        final = case[f"stage{stage}_final_latents"] if stage > 1 else theirs[-1]
        assert apart(kept.final[stage], final) < TOLERANCE
    mean, std = case["anchor_mean_std"].tolist()
    assert float(kept.final[1].mean()) == pytest.approx(mean, abs=1e-4)
    assert float(kept.final[1].std()) == pytest.approx(std, abs=1e-4)


def test_wrong_recipes_are_told_apart() -> None:
    path = HERE / "data" / "accdiffusion_v1" / "full_2x_ddim.npz"
    for change in ({"cosine_scale_1": 2.9}, {"use_guassian": False}, {"shuffle": False}, {"guidance_scale": 7.49}):
        case = Case.read(path)
        # The skip residual has its exponent from the second step on.
        canvases = run(case, steps=2, **change).canvases[2]
        assert largest(canvases, case["stage2_latents_after_step"][:2]) > 2 * TOLERANCE


# All plugins at once, a ControlNet among them; and a canvas that is not square, without a window's interaction.
@pytest.mark.parametrize("name", ["accdiffusion_v2/full_2x_ddim", "demofusion/2x_ddim_wide"])
def test_the_result_does_not_depend_on_the_batch_size(name: str) -> None:
    path = HERE / "data" / f"{name}.npz"
    one, many = (run(Case.read(path), batch_size=size, num_inference_steps=2) for size in (1, 32))
    assert len(one.canvases) == 2
    for stage in one.canvases:
        assert largest(one.canvases[stage], torch.stack(many.canvases[stage])) < 1e-4


def filters() -> list[Any]:
    case = Case.read(HERE / "data" / "accdiffusion_v1" / "gaussian_filter.npz")
    return [pytest.param(case, number, id=f"g{number}") for number in range(len(case.params["cases"]))]


@pytest.mark.parametrize(("case", "number"), filters())
def test_the_gaussian_filter(case: Case, number: int) -> None:
    options = case.params["cases"][number]
    canvas = case[f"g{number}_in"]
    impulse = torch.zeros(1, 1, 2 * options["kernel_size"] + 1, 2 * options["kernel_size"] + 1)
    impulse[..., options["kernel_size"], options["kernel_size"]] = 1
    reach = options["kernel_size"] // 2
    centre = slice(options["kernel_size"] - reach, options["kernel_size"] + reach + 1)
    kernel = gaussian_filter(impulse, options["kernel_size"], options["sigma"])[0, 0, centre, centre]
    assert (kernel - case[f"g{number}_kernel"]).abs().max() < 1e-6
    smooth = gaussian_filter(canvas, options["kernel_size"], options["sigma"])
    assert (smooth - case[f"g{number}_out"]).abs().max() < rounding(canvas)


def placements() -> list[Any]:
    cases = Case.read(HERE / "data" / "accdiffusion_v1" / "get_views.npz").params["cases"]
    return [pytest.param(case, id=f"{number}") for number, case in enumerate(cases)]


@pytest.mark.parametrize("case", placements())
def test_the_views_are_those_of_get_views(case: dict[str, Any]) -> None:
    canvas, window, stride = (case["height"], case["width"]), int(case["window"]), int(case["stride"])
    # On a canvas narrower than the window the reference's window sticks out, and counts as one at the first edge; ours
    # is cut to the canvas. Around a canvas as large as the window, and larger for the jitter, the two are the same.
    around = max(canvas[0], window), max(canvas[1], window)
    views = windows(around, (window, window), (stride, stride))
    padding = 0
    if case["random_jitter"]:
        padding = (window - stride) // 4
        draws = iter(case["randint"])

        def draw(low: int, high: int) -> int:
            asked_low, asked_high, drawn = next(draws)
            assert (asked_low, asked_high) == (low, high)
            return int(drawn)

        edges = tuple(side + (side < window) * (window - side + 1) for side in canvas)
        views = jittered(views, (edges[0], edges[1]), (padding, padding), draw, cross=True)
        assert next(draws, None) is None
    boxes = [[v.top, v.top + v.height, v.left, v.left + v.width] for v in views]
    assert [[place + padding for place in box] for box in boxes] == case["views"]
