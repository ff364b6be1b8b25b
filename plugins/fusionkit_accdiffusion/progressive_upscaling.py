"""Progressive upscaling with skip residuals: from the model's own size to any size (arXiv 2311.16973, section 3.2)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, TypeAdapter, WithJsonSchema

from fusionkit import Plugin, Recipe, RunMemory, Stage, StagePlan, StageState, Step, hookimpl
from fusionkit.pictures.picture import PicturePath, picture_problems
from fusionkit.recipe import Count, Size, finite, limits
from fusionkit.recipe.problems import shown
from fusionkit_accdiffusion.cosine import cosine

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.model import ModelInfo

# In multiples of the first stage: a last step up by no more than this needs no stage of its own.
_SMALLEST_STEP_UP = 0.25


def parse_stage(value: Any) -> Any:
    """A multiple of the first stage such as 2 or 1.5, or a size such as `1024x1024`."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value < inf:
        return float(value)
    try:
        return TypeAdapter(Size).validate_python(value)
    except ValueError:
        text = f"a stage is a multiple of the first one, such as 2, or a size such as 1024x1024, not {shown(value)}"
        raise ValueError(text) from None


def write_stage(value: Any) -> Any:
    """A stage as a recipe writes it."""
    if isinstance(value, tuple):
        return f"{value[0]}x{value[1]}"
    return int(value) if value == int(value) else value


StageSize = Annotated[
    Any,
    BeforeValidator(parse_stage),
    PlainSerializer(write_stage),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 1}, {"type": "string", "pattern": r"^\d+ ?x ?\d+$"}]}),
]


def parse_exponent(value: Any) -> Any:
    """A number above 0, or `off`."""
    if value == "off" or (isinstance(finite(value), (int, float)) and value > 0):
        return value
    raise ValueError(f"must be a number above 0, or 'off', not {shown(value)}")


Exponent = Annotated[
    float | Literal["off"],
    BeforeValidator(parse_exponent),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"enum": ["off"]}]}),
]


@dataclass
class Anchor:
    """Mean and standard deviation to which every stage is brought back, tensors without axes."""

    mean: Tensor
    deviation: Tensor


@dataclass
class Residual:
    """What a stage's skip residual blends back: the enlarged latents and their noise, each (1, C, H, W)."""

    enlarged: Tensor
    noise: Tensor


class ProgressiveUpscaling(Plugin):
    """Enlarge in stages, each from the last one's latents, noised and guided by them (arXiv 2311.16973, eq. 3 and 4).

    A stage starts from the last one's latents z', enlarged bicubically and noised to the first timestep. Before each
    further step the noised z'_t is blended back, x_t <- (1 - c) x_t + c z'_t, with c = cosine(t)^skip-residual. At the
    end of a stage mean and standard deviation are brought back to those of the first stage.
    """

    stages: tuple[StageSize, ...] | None = Field(
        default=None,
        max_length=limits.STAGES,
        description="Stages between the first, which is as large as the model's window, and the recipe's size: "
        "multiples of the first such as 2, or sizes such as 1024x1024. By default every whole multiple.",
    )
    from_: PicturePath | None = Field(
        default=None,
        description="A picture to enlarge: it takes the first stage's place, cropped to the recipe's aspect ratio.",
    )
    steps: Count | None = Field(
        default=None,
        le=limits.STEPS,
        description="Sampling steps of each upscaling stage; by default the recipe's number.",
    )
    skip_residual: Exponent = Field(
        default=3.0,
        description="Exponent of the cosine by which the enlarged picture of the last stage lets go: a smaller one "
        "holds longer and is softer, a larger one brings copies back; 'off' leaves it out.",
    )

    _anchor = RunMemory(Anchor)
    _residual = StageState(Residual)

    @hookimpl
    def plan_stages(self, recipe: Recipe, info: ModelInfo) -> list[StagePlan]:
        """The first stage at the model's own size, and larger ones up to the recipe's size."""
        sizes = self._sizes(recipe, info)
        plans = [
            StagePlan(size, self.steps if number else None, f"{size[0]}x{size[1]}") for number, size in enumerate(sizes)
        ]
        if self.from_ is None or len(plans) == 1:
            return plans
        first = plans[1]
        return [StagePlan(first.size, first.steps, first.name, self.from_, sizes[0]), *plans[2:]]

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """Sizes that are no enlargement, and a picture that can't be used."""
        # They are of the run: a picture is not read again for each stage.
        return [f"{self.plugin_name}: {problem}" for problem in self._problems(stage)] if stage.index == 0 else []

    def _problems(self, stage: Stage) -> list[str]:
        recipe, info = stage.recipe, stage.info
        (width, height), (across, down) = recipe.size, recipe.window or info.window
        problems = []
        if width < across and height < down:
            problems.append(
                f"size {width}x{height} is smaller than the model's window, {across}x{down}: there is nothing to "
                f"upscale; use a larger size"
            )
        sizes = self._sizes(recipe, info)
        for before, after in pairwise(sizes) if not problems else ():
            if after[0] < before[0] or after[1] < before[1] or after == before:
                problems.append(
                    f"stage {after[0]}x{after[1]} is no larger than the one before it, {before[0]}x{before[1]}; "
                    f"stages go from the first to the recipe's size, {width}x{height}"
                )
        if self.from_ is not None:
            if len(sizes) == 1 and not problems:
                problems.append(
                    f"size {width}x{height} is the model's own, so there is nothing to upscale 'from' a picture; "
                    f"use a larger size"
                )
            # Half the size is what a picture can be enlarged by before the first stage without being mere blur.
            least = sizes[0][0] // 2, sizes[0][1] // 2
            problems += picture_problems(self.from_, "picture of 'from'", least)
        return problems

    @hookimpl(wrapper=True)
    def init_latents(self, stage: Stage, noise: Tensor) -> Generator[None, Tensor, Tensor]:
        """The last stage's latents, enlarged and noised to the first timestep."""
        latents = yield
        if not stage.has_previous:
            return latents
        from fusionkit.loop.ring import resized

        assert stage.previous is not None
        if self._anchor.get(stage) is None:
            self._anchor.set(stage, Anchor(stage.previous.mean(), stage.previous.std()))
        enlarged = resized(stage.previous, stage.canvas, stage.wrap)
        self._residual.set(stage, Residual(enlarged, noise))
        return stage.scheduler.noisiest(enlarged, noise)

    @hookimpl(wrapper=True)
    def step(self, stage: Stage, at: Step) -> Generator[None, Tensor, Tensor]:
        """Blend the noised reference of the following step back; at the end, bring mean and deviation back."""
        latents = yield
        if not stage.has_previous:
            return latents
        if at.is_last:
            anchor = self._anchor(stage)
            anchored: Tensor = (latents - latents.mean()) / latents.std() * anchor.deviation + anchor.mean
            return anchored
        if self.skip_residual == "off":
            return latents
        following, residual = stage.steps[at.index + 1], self._residual(stage)
        c = cosine(stage, following, self.skip_residual)
        noised = stage.scheduler.add_noise(residual.enlarged, residual.noise, following.timestep)
        return (1 - c) * latents + c * noised

    def _sizes(self, recipe: Recipe, info: ModelInfo) -> list[tuple[int, int]]:
        """(width, height) of all stages in pixels, the first at the model's own size."""
        first = _first(recipe, info)
        between: Sequence[Any] = _multiples(first, recipe.size) if self.stages is None else self.stages
        sizes = [*(_sized(stage, first, info.factor) for stage in (1.0, *between)), recipe.size]
        return [size for number, size in enumerate(sizes) if number == 0 or size != sizes[number - 1]]


def _first(recipe: Recipe, info: ModelInfo) -> tuple[float, float]:
    """(width, height) in pixels of the recipe's aspect ratio that just fits into the model's window, not rounded."""
    (width, height), (across, down) = recipe.size, recipe.window or info.window
    ratio = max(1.0, width / across, height / down)
    return width / ratio, height / ratio


def _multiples(first: tuple[float, float], last: tuple[int, int]) -> list[float]:
    """The whole multiples between a first and a last size, none so near to the last that it gains nothing."""
    ratio = max(last[0] / first[0], last[1] / first[1])
    # One more than there may be, so that the run can tell of them, and not all that there would be.
    most = min(ceil(ratio - _SMALLEST_STEP_UP), limits.STAGES + 2)
    return [float(multiple) for multiple in range(2, most)]


def _sized(stage: Any, first: tuple[float, float], factor: int) -> tuple[int, int]:
    """A stage's size in pixels, as whole latent pixels."""
    if isinstance(stage, tuple):
        return stage[0], stage[1]
    width, height = (max(1, round(stage * side / factor)) * factor for side in first)
    return width, height
