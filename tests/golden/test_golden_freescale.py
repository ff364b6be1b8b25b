"""FreeScale against ali-vilab/FreeScale pipeline_freescale.py: every canvas after every step of every stage.

The cases are all files of its folder; sizes, steps and the way attention is computed come from the file.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from replay import HERE, Case, largest, pipeline_of
from torch import Tensor

from fusionkit import Cancelled, Plugin, Recipe, Stage, Step, View, hookimpl
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipeline
from fusionkit.runs.run import execute, prepare
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_freescale import RestrainedDilation, ScaleFusion, SizeConditioning

TOLERANCE = 1e-3
FREESCALE = sorted((HERE / "data" / "freescale").glob("*.npz"))


class Recorded(ProgressiveUpscaling):
    """The noise of each stage, and what the reference's autoencoder made of the enlarged picture."""

    case: Any

    @hookimpl
    def init_noise(self, stage: Stage) -> Tensor:
        return self.case["initial_noise" if stage.index == 0 else f"stage{stage.index + 1}_noise"]

    def enlarged(self, stage: Stage) -> Tensor:
        return self.case[f"stage{stage.index + 1}_encoded_latents"]


class Drawn(ScaleFusion):
    """The windows that the reference drew, and its blur, which goes over the features' channels as well."""

    case: Any
    _blurred_axes: ClassVar[tuple[int, ...]] = (1, 2, 3)

    def windows_in(
        self, stage: Stage, at: Step, layer: str, times: tuple[float, float], size: tuple[int, int]
    ) -> Sequence[View]:
        block = self.case.params["block_names"].index(layer.partition(" ")[2].removesuffix(".attn1"))
        boxes = self.case[f"stage{stage.index + 1}_views_block{block}"][at.index].tolist()
        (top, bottom, left, right), *_ = boxes
        # Recorded in the coordinates of features that are padded by the reach of the jitter.
        down, across = (bottom - top) // 8, (right - left) // 8
        return [View(y0 - down, x0 - across, y1 - y0, x1 - x0) for y0, y1, x0, x1 in boxes]


class OverSpace(Drawn):
    """As the product blurs."""

    _blurred_axes = (1, 2)


class Stepped(Plugin):
    """Keeps the canvases as the scheduler left them: the reference blends before the next step."""

    canvases: Any
    most: int

    @hookimpl(wrapper=True)
    def step(self, stage: Stage) -> Generator[None, Tensor, Tensor]:
        latents = yield
        self.canvases.setdefault(stage.index + 1, []).append(latents[0].clone())
        return latents

    @hookimpl
    def step_done(self, stage: Stage) -> None:
        if stage.index and len(self.canvases[stage.index + 1]) == self.most:
            raise Cancelled("enough is seen")


def run(
    case: Case, fusion: type[Drawn] = Drawn, without: str = "", steps_each: int | None = None, **changes: Any
) -> dict[int, list[Tensor]]:
    """The canvases of each stage of a case, or of its first steps.

    `changes` are of progressive-upscaling's options; a plugin may be left out.
    """
    params, pipe = case.params, pipeline_of(case)
    steps, native = params["num_inference_steps"], params["native_pixels"]
    (rows, columns), *later = params["resolutions"]
    (restart,) = set(params["restart_steps"])
    canvases: dict[int, list[Tensor]] = {}
    options = {
        "first": (columns, rows),
        "stages": [(width, height) for height, width in later[:-1]],
        "enlarge": "pixels",
        "strength": (steps - restart + 0.5) / steps,
        "skip_residual": params["cosine_scale"],
        "anchor": False,
    }
    height, width = later[-1]
    plugins: list[Plugin] = [
        Stepped(canvases=canvases, most=steps_each or steps),
        Recorded(case=case, **{**options, **changes}),
        RestrainedDilation(until=min(1.0, (params["dilate_tau"] - restart) / (steps - restart))),
        fusion(case=case, fast_mode=params["fast_mode"]),
        SizeConditioning(),
    ]
    recipe = Recipe(
        prompt=params["prompt"],
        negative_prompt=params["negative_prompt"],
        size=(width, height),
        window=(width, height),
        steps=steps,
        guidance_scale=params["guidance_scale"],
        plugins=[plugin for plugin in plugins if plugin.plugin_name != without],
    )
    # What the reference takes for the model's own size is a number in its code.
    info = replace(info_of_pipeline(pipe), window=(native, native))
    plan = prepare(recipe, info)
    # The second stage begins with what is recorded, whatever the first one has drawn.
    plan.stages[0].steps = plan.stages[0].steps[:steps_each]
    with suppress(Cancelled):
        execute(plan, wrap_pipeline(pipe, batch_size=None))
    return canvases


def stages_of(case: Case) -> list[int]:
    return [number for number in range(1, 9) if f"stage{number}_latents_after_step" in case]


@pytest.mark.parametrize("path", FREESCALE, ids=lambda path: path.stem)
def test_every_canvas_after_every_step_of_every_stage(path: Path) -> None:
    case = Case.read(path)
    found = run(case)
    assert sorted(found) == stages_of(case) == list(range(1, len(case.params["resolutions"]) + 1))
    for stage, canvases in found.items():
        theirs = case[f"stage{stage}_latents_after_step"]
        assert len(canvases) == len(theirs)
        difference = largest(canvases, theirs)
        print(f"stage {stage}: largest difference {difference:.1e}")
        assert difference < TOLERANCE


WRONG: dict[str, dict[str, Any]] = {
    "no windows": {"without": "drawn"},
    "no dilation": {"without": "restrained-dilation"},
    "no blend": {"skip_residual": "off"},
    "over space alone": {"fusion": OverSpace},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_is_told_apart(wrong: dict[str, Any]) -> None:
    case = Case.read(HERE / "data" / "freescale" / "2x_square.npz")
    found = run(case, steps_each=2, **wrong)
    assert [len(canvases) for canvases in found.values()] == [2, 2]
    assert largest(found[1], case["stage1_latents_after_step"][:2]) < TOLERANCE
    assert largest(found[2], case["stage2_latents_after_step"][:2]) > 0.05


def test_told_the_size_of_the_picture_the_model_draws_another_one() -> None:
    case = Case.read(HERE / "data" / "freescale" / "2x_square.npz")
    found = run(case, without="size-conditioning", steps_each=1)
    assert largest(found[1], case["stage1_latents_after_step"][:1]) > 0.05
