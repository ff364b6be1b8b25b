"""Progressive upscaling: the stages of any size, how one starts from the last, and its options."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops
from pydantic import ValidationError
from torch.nn.functional import interpolate
from upscaling import ODD, SIZE, STAGES, Size, close, plain, problem, sizes, watched

from fusionkit import Plugin, Recipe, Stage, Step, hookimpl, resized
from fusionkit.models.schedulers.by_name import SHORT_NAMES
from fusionkit.recipe.document import parse_yaml
from fusionkit.recipe.problems import problems_of
from fusionkit.testing import KINDS, Kind, execute_tiny, tiny_plan, tiny_run
from fusionkit_accdiffusion import DilatedSampling, ProgressiveUpscaling
from fusionkit_accdiffusion.cosine import cosine
from fusionkit_accdiffusion.enlarging import bicubic
from fusionkit_multidiffusion import MultiDiffusion

# Stages


@pytest.mark.parametrize(("size", "stages"), STAGES.items(), ids=lambda each: str(each) if len(each) == 2 else "")
def test_the_stages_of_a_size(size: Size, stages: Sequence[Size]) -> None:
    assert sizes(size) == stages
    assert sizes(size[::-1]) == [stage[::-1] for stage in stages]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [None, (96, 64), (64, 96)])
def test_stages_grow_from_the_window_to_the_recipe_s_size(kind: Kind, window: Size | None) -> None:
    across, down = window or (64, 64)
    many = [(width, height) for width in range(64, 480, 88) for height in range(64, 480, 56)]
    for size in [*STAGES, *ODD, *many] if window is None and kind == "sd" else many[::3]:
        found = sizes(size, kind, window)
        first, last = found[0], found[-1]
        assert last == size
        assert first[0] <= across
        assert first[1] <= down
        assert first[0] == across or first[1] == down or len(found) == 1
        for before, after in pairwise(found):
            assert before[0] <= after[0]
            assert before[1] <= after[1]
            assert before != after
        ratio = max(1.0, size[0] / across, size[1] / down)
        for number, stage in enumerate(found[:-1], 1):
            # A whole multiple, to half a latent pixel; at least one.
            exact = [number * side / ratio for side in size]
            assert all(abs(side - near) <= 4 or side == 8 for side, near in zip(stage, exact, strict=True))
            assert stage[0] % 8 == stage[1] % 8 == 0
        assert len(found) == 1 or 0.25 < ratio - (len(found) - 1) <= 1.25 or (len(found) == 2 and ratio <= 1.25)


@pytest.mark.parametrize(
    ("stages", "found"),
    [
        ([2], [(128, 128)]),
        ([1, 2.5], [(160, 160)]),
        ([1.5, "192x192"], [(96, 96), (192, 192)]),
        (["128 X 96"], [(128, 96)]),
        ([[128, 96]], [(128, 96)]),
        ([4], []),
        ([], []),
    ],
)
def test_stages_that_are_given(stages: Any, found: Sequence[Size]) -> None:
    assert sizes((256, 256), stages=stages) == [(64, 64), *found, (256, 256)]


def test_multiples_are_of_the_recipe_s_aspect_ratio() -> None:
    assert sizes((200, 136), stages=[1.5, 3]) == [(64, 40), (96, 64), (192, 128), (200, 136)]


def test_steps_of_the_upscaling_stages() -> None:
    plan = tiny_plan([ProgressiveUpscaling(steps=2)], size=(192, 192), steps=5, scheduler="ddim")
    assert [len(stage.steps) for stage in plan.stages] == [5, 2, 2]


# Starting a stage from the last


@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_deviation_return_to_those_of_the_first_stage(kind: Kind) -> None:
    kept, _ = plain(kind)
    ends = [stage["canvases"][-1] for stage in kept.values()]
    assert [tuple(end.shape) for end in ends] == [(1, 4, 8, 5), (1, 4, 16, 11), (1, 4, 25, 17)]
    for end in ends[1:]:
        assert float(end.mean()) == pytest.approx(float(ends[0].mean()), abs=1e-4)
        assert float(end.std()) == pytest.approx(float(ends[0].std()), abs=1e-4)


@pytest.mark.parametrize("scheduler", ["ddpm", "euler", "heun", "edm-euler"])
def test_a_stage_starts_from_the_last_one_enlarged_and_noised(scheduler: str) -> None:
    kept, first = plain("sd", scheduler)
    for number in (1, 2):
        stage, previous = kept[number]["stage"], kept[number]["previous"]
        assert previous.equal(kept[number - 1]["canvases"][-1])
        latents, noise = first[number]
        enlarged = interpolate(previous, size=stage.canvas, mode="bicubic")
        assert latents.equal(stage.scheduler.add_noise(enlarged, noise, stage.steps[0].timestep))
        assert noise.equal(stage.noise("init"))
    latents, noise = first[0]
    assert latents.equal(noise * kept[0]["stage"].scheduler.init_noise_sigma)


def test_the_skip_residual_blends_the_noised_reference_of_the_following_step() -> None:
    class Steps(Plugin):
        """What the scheduler made, before the residual."""

        made: Any

        @hookimpl(wrapper=True)
        def step(self, stage: Stage) -> Any:
            latents = yield
            self.made.setdefault(stage.index, []).append(latents.clone())
            return latents

    made: dict[int, Any] = {}
    kept, first = watched(Steps(made=made), ProgressiveUpscaling(skip_residual=2.0), steps=3)
    for number in (1, 2):
        stage = kept[number]["stage"]
        enlarged = interpolate(kept[number]["previous"], size=stage.canvas, mode="bicubic")
        for at, canvas, stepped in zip(stage.steps[:-1], kept[number]["canvases"], made[number], strict=False):
            following = stage.steps[at.index + 1]
            c = cosine(stage, following, 2.0)
            assert 0 < c < 1
            noised = stage.scheduler.add_noise(enlarged, first[number][1], following.timestep)
            assert close(canvas, (1 - c) * stepped + c * noised, 1e-6)
    assert all(canvas.equal(stepped) for canvas, stepped in zip(kept[0]["canvases"], made[0], strict=True))


def test_the_cosine_is_1_at_pure_noise_and_0_at_clean_latents() -> None:
    (stage,) = tiny_plan(steps=4).stages
    for t, expected in ((1000, 1.0), (750, 0.25 * (2 + 2**0.5)), (500, 0.5), (250, 0.25 * (2 - 2**0.5)), (0, 0.0)):
        at = Step(0, 4, torch.tensor(t))
        assert cosine(stage, at) == pytest.approx(expected)
        assert cosine(stage, at, 3.0) == pytest.approx(expected**3)


def test_without_a_skip_residual() -> None:
    run = lru_cache(lambda value: tiny_run([ProgressiveUpscaling(skip_residual=value)], size=(128, 128), steps=3))
    assert not close(run("off"), run(3), 0.01)
    assert not close(run(3), run(1), 0.01)
    assert close(run("off"), run(1e6))


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_no_larger_than_the_window_is_the_plain_run(kind: Kind) -> None:
    for size in ((64, 64), (64, 40)):
        assert tiny_run([ProgressiveUpscaling()], kind, size=size).equal(tiny_run([], kind, size=size))


def test_a_run_leaves_nothing_behind_but_mean_and_deviation() -> None:
    plan = tiny_plan([ProgressiveUpscaling()], size=SIZE, steps=2)
    execute_tiny(plan)
    assert [name for _, name in plan.stages[0].memory] == ["_anchor"]
    # Of the last stage, whose maps may still be asked for, all is there.
    assert [[name for _, name in stage.state] for stage in plan.stages] == [[]] * (len(plan.stages) - 1) + [
        ["_residual"]
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(72, 64), (144, 144), (200, 136)])
def test_two_runs_of_an_odd_size_are_one(kind: Kind, size: Size) -> None:
    plugins = [ProgressiveUpscaling(), MultiDiffusion(stride=32, jitter=8), DilatedSampling()]
    one, other = (tiny_run(plugins, kind, size=size, steps=2) for _ in range(2))
    assert tuple(one.shape) == (1, 4, size[1] // 8, size[0] // 8)
    assert bool(one.isfinite().all())
    assert one.equal(other)


@pytest.mark.parametrize("scheduler", [name for name in SHORT_NAMES if not name.startswith("lms")])
def test_any_scheduler_and_any_batch_size(scheduler: str) -> None:
    plugins = [ProgressiveUpscaling(), MultiDiffusion(stride=48, jitter=8), DilatedSampling()]
    steps = 4 if scheduler == "pndm" else 2
    one, many = (
        tiny_run(plugins, batch_size=size, size=(128, 64), steps=steps, scheduler=scheduler) for size in (1, 8)
    )
    assert tuple(one.shape) == (1, 4, 8, 16)
    assert bool(one.isfinite().all())
    # Random weights make latents of a deviation far above a real model's 1.
    assert close(one, many, 1e-4 * max(1.0, float(one.std())))


# Views of the whole canvas, pixels, and the middle of the schedule


def test_the_first_stage_is_as_large_as_is_said() -> None:
    assert sizes((128, 128), window=(128, 128)) == [(128, 128)]
    assert sizes((128, 128), window=(128, 128), first=(64, 64)) == [(64, 64), (128, 128)]
    assert sizes((256, 128), window=(256, 128), first=(64, 32), stages=[2]) == [(64, 32), (128, 64), (256, 128)]
    plan = tiny_plan([ProgressiveUpscaling(first=(64, 64))], size=(192, 192), window=(192, 192))
    for stage in plan.stages:
        ((group,), (height, width)) = plan.hooks.ask("views", stage=stage, at=stage.steps[0]), stage.canvas
        assert [(view.height, view.width) for view in group.views] == [(height, width)]


def test_a_stage_may_begin_in_the_middle_of_the_schedule() -> None:
    kept, first = watched(ProgressiveUpscaling(strength=0.5, anchor=False), steps=4, size=(128, 128))
    stage = kept[1]["stage"]
    assert [len(kept[number]["canvases"]) for number in (0, 1)] == [4, 2]
    assert [int(at.timestep) for at in stage.steps] == [int(at.timestep) for at in kept[0]["stage"].steps[2:]]
    latents, noise = first[1]
    enlarged = interpolate(kept[1]["previous"], size=stage.canvas, mode="bicubic")
    assert latents.equal(stage.scheduler.add_noise(enlarged, noise, stage.steps[0].timestep))
    # Without an anchor a stage ends as its last step leaves it.
    anchored, _ = watched(ProgressiveUpscaling(strength=0.5), steps=4, size=(128, 128))
    end, other = kept[1]["canvases"][-1], anchored[1]["canvases"][-1]
    assert close((end - end.mean()) / end.std(), (other - other.mean()) / other.std())
    assert not close(end, other, 0.01)


def test_what_is_enlarged_may_be_the_picture() -> None:
    kept, first = watched(ProgressiveUpscaling(enlarge="pixels"), size=(128, 128), steps=1)
    stage = kept[1]["stage"]
    large = bicubic(stage.decode(kept[1]["previous"]), (128, 128))
    latents, noise = first[1]
    assert latents.equal(stage.scheduler.noisiest(stage.encode(large), noise))
    assert not close(latents, stage.scheduler.noisiest(resized(kept[1]["previous"], stage.canvas), noise), 0.01)


def test_an_enlarged_picture_is_bicubic_and_stays_a_ring() -> None:
    picture = Image.radial_gradient("L").convert("RGB").resize((12, 8))
    large = bicubic(picture, (24, 16))
    assert large.size == (24, 16)
    pixels, expected = (torch.tensor(list(each.tobytes())).float() for each in (large, picture.resize((24, 16), 3)))
    assert float((pixels - expected).abs().max()) <= 12  # Pillow's cubic is another one
    shifted = ImageChops.offset(picture, 5, 0)
    assert (
        bicubic(shifted, (24, 16), "x").tobytes() == ImageChops.offset(bicubic(picture, (24, 16), "x"), 10, 0).tobytes()
    )
    assert bicubic(picture, (24, 16), "x").tobytes() != large.tobytes()


def test_a_first_stage_that_does_not_fit() -> None:
    assert problem(ProgressiveUpscaling(first=(64, 64)), size=(256, 128)) == (
        "progressive-upscaling: first: 64x64 is of another shape than the size, 256x128, and would be stretched"
    )
    assert problem(ProgressiveUpscaling(first=(256, 256)), size=(128, 128)) == (
        "progressive-upscaling: size 128x128 is smaller than the first stage, 256x256: there is nothing to upscale; "
        "use a larger size"
    )


# Options


def test_stages_that_shrink_or_do_not_fit_the_latents() -> None:
    assert problem(ProgressiveUpscaling(stages=[3, 2]), size=(256, 256)) == (
        "progressive-upscaling: stage 128x128 is no larger than the one before it, 192x192; "
        "stages go from the first to the recipe's size, 256x256"
    )
    assert "stage 128x128 is no larger than the one before it, 160x64" in problem(
        ProgressiveUpscaling(stages=["160x64"])
    )
    assert problem(ProgressiveUpscaling(stages=["100x96"])) == (
        "size of stage '100x96' 100x96 is not divisible by 8, as StableDiffusionPipeline needs; try 96x96"
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"stages": [0.5]}, "such as 1024x1024, not 0.5"),
        ({"stages": ["big"]}, "such as 1024x1024, not 'big'"),
        ({"stages": [True]}, "such as 1024x1024, not True"),
        ({"stages": [float("inf")]}, "such as 1024x1024, not inf"),
        ({"stages": [float("nan")]}, "such as 1024x1024, not nan"),
        ({"stages": [[-64, -64]]}, "such as 1024x1024, not [-64, -64]"),
        ({"stages": ["0x64"]}, "such as 1024x1024, not '0x64'"),
        ({"stages": [[96.5, 96]]}, "such as 1024x1024, not [96.5, 96]"),
        ({"stages": 2}, "'stages' of progressive-upscaling must be a list"),
        ({"steps": 0}, "'steps' of progressive-upscaling must be at least 1"),
        ({"skip-residual": -1}, "'skip-residual' of progressive-upscaling must be"),
        ({"skip-residual": 0}, "'skip-residual' of progressive-upscaling must be"),
        ({"skip-residual": "on"}, "'skip-residual' of progressive-upscaling must be"),
        ({"skip-residual": False}, "'skip-residual' of progressive-upscaling must be"),
        ({"skip-residual": float("nan")}, "'skip-residual' of progressive-upscaling must be"),
        ({"first": "big"}, "'first' of progressive-upscaling must be"),
        ({"enlarge": "both"}, "'enlarge' of progressive-upscaling must be"),
        ({"strength": 0}, "'strength' of progressive-upscaling must be"),
        ({"form": "photo.png"}, "progressive-upscaling has no option 'form'; did you mean 'from'?"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(options: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as error:
        ProgressiveUpscaling.model_validate(options)
    (found,) = problems_of(error.value, ProgressiveUpscaling, "progressive-upscaling")
    assert line in found
    assert "\n" not in found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"from": "photo.png"},
        {"stages": [2, 2.5, "1024x768"], "steps": 20, "skip-residual": "off"},
        {"stages": [], "skip-residual": 1.5},
        {"first": "64x64", "enlarge": "pixels", "strength": 0.7, "anchor": False},
    ],
)
def test_options_go_through_a_recipe_and_back(options: dict[str, Any]) -> None:
    plugin = ProgressiveUpscaling.model_validate(options)
    assert plugin.options() == options
    written = Recipe(prompt="a hill", size=(256, 256), plugins=[plugin]).to_yaml()
    read = Recipe.model_validate(parse_yaml(written, "recipe").plain())
    assert read.plugins[0].options() == options
    assert read.to_yaml() == written


def test_from_in_python_and_in_the_schema() -> None:
    assert ProgressiveUpscaling(from_="a.png").from_ == Path("a.png")
    assert ProgressiveUpscaling(from_=Path("a.png")).options() == {"from": "a.png"}
    properties = ProgressiveUpscaling.model_json_schema()["properties"]
    assert set(properties) == {
        "times", "stages", "from", "first", "enlarge", "strength", "steps", "skip-residual", "anchor"
    }  # fmt: skip
    assert {each.get("type") for each in properties["from"]["anyOf"]} == {"string", "null"}
