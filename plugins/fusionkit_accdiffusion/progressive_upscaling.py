"""Progressive upscaling with skip residuals: from the model's own size to any size (arXiv 2311.16973, section 3.2)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from fusionkit import Plugin, Recipe, RunMemory, Stage, StagePlan, StageState, Step, hookimpl, network_problems
from fusionkit.pictures.picture import PicturePath, picture_problems, picture_size
from fusionkit.recipe import Count, Number, Size, finite, limits
from fusionkit.recipe.problems import shown
from fusionkit_accdiffusion.cosine import cosine
from fusionkit_accdiffusion.enlarging import Enlarge, enlarged
from fusionkit_accdiffusion.stage_sizes import StageSize, first_size, multiples, sized

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.model import ModelInfo

# By what share a first stage's shape may differ from the recipe's: as much as whole latent pixels can ask for.
_STRETCHED = 0.05


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

    times: Annotated[Number, Field(gt=1)] | None = Field(
        default=None,
        description="Draw the picture as the recipe alone would, at its size, as the first stage, and enlarge that so "
        "many times: a picture that is liked keeps its composition. By default the recipe's size is the enlarged one.",
    )
    stages: tuple[StageSize, ...] | None = Field(
        default=None,
        max_length=limits.STAGES,
        description="Stages between the first, which is as large as the model's window, and the last: "
        "multiples of the first such as 2, or sizes such as 1024x1024. By default every whole multiple.",
    )
    from_: PicturePath | None = Field(
        default=None,
        description="A picture to enlarge: it takes the first stage's place, cropped to the recipe's aspect ratio.",
    )
    first: Size | None = Field(
        default=None,
        description="The first stage's size; by default of the recipe's shape, and as large as fits into its window. "
        "With 'window' as large as the recipe's size, each stage is one view of the whole canvas.",
    )
    enlarge: Enlarge = Field(
        default="latents",
        description="What is enlarged of the stage before: its latents, or its decoded picture ('pixels'), which costs "
        "a decoding and an encoding, and keeps edges sharper; or a .safetensors file, the super-resolution network "
        "that enlarges the picture.",
    )
    strength: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="The share of its steps that an upscaling stage takes, the last ones; by default all of them.",
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
    anchor: bool = Field(
        default=True,
        description="Whether a stage's latents are brought back, at its end, to the first one's mean and deviation.",
    )

    _anchor = RunMemory(Anchor)
    _residual = StageState(Residual)

    @hookimpl
    def plan_stages(self, recipe: Recipe, info: ModelInfo) -> list[StagePlan]:
        """The first stage at the model's own size, or the recipe's, and larger ones up to the last."""
        sizes = self._sizes(recipe, info)
        plans = [StagePlan(sizes[0], name=_named(sizes[0]))]
        plans += [StagePlan(size, self.steps, _named(size), strength=self.strength) for size in sizes[1:]]
        if self.from_ is None or len(plans) == 1:
            return plans
        # A picture is enlarged from its file, and not from what is left of it at a smaller size.
        at_size = sizes[0] if self.enlarge == "latents" else None
        begun = replace(plans[1], picture=self.from_, picture_size=at_size, network=self.network)
        return [begun, *plans[2:]]

    @property
    def network(self) -> Path | None:
        """The super-resolution network that enlarges the picture of the stage before; None where nothing does."""
        return self.enlarge if isinstance(self.enlarge, Path) else None

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """Sizes that are no enlargement, and a picture that can't be used."""
        # They are of the run: a picture is not read again for each stage.
        return [f"{self.plugin_name}: {problem}" for problem in self._problems(stage)] if stage.index == 0 else []

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        """An enlarged stage has that of the one before it."""
        return self._enlarges(stage) and self.skip_residual != "off"

    def _problems(self, stage: Stage) -> list[str]:
        recipe, info = stage.recipe, stage.info
        (width, height), (across, down) = recipe.size, self.first or recipe.window or info.window
        problems = ["has both 'times' and 'first'; give one of them"] if self.times and self.first else []
        if self.first is not None and abs(width * down / (height * across) - 1) > _STRETCHED:
            problems.append(
                f"first: {across}x{down} is of another shape than the size, {width}x{height}, and would be stretched"
            )
        smallest = "the model's window" if self.first is None else "the first stage"
        if self.times is None and width < across and height < down:
            problems.append(
                f"size {width}x{height} is smaller than {smallest}, {across}x{down}: there is nothing to "
                f"upscale; use a larger size"
            )
        sizes, last = self._sizes(recipe, info), "recipe's size" if self.times is None else "last"
        if self.times is not None and len(sizes) == 1:
            problems.append(f"times {self.times:g} adds nothing to {width}x{height}; use a larger number")
        for before, after in pairwise(sizes) if not problems else ():
            if after[0] < before[0] or after[1] < before[1] or after == before:
                problems.append(
                    f"stage {after[0]}x{after[1]} is no larger than the one before it, {before[0]}x{before[1]}; "
                    f"stages go from the first to the {last}, {sizes[-1][0]}x{sizes[-1][1]}"
                )
        if self.from_ is not None:
            if len(sizes) == 1 and not problems:
                problems.append(
                    f"size {width}x{height} is the model's own, so there is nothing to upscale 'from' a picture; "
                    f"use a larger size, or times: 2"
                )
            # Half the size is what a picture can be enlarged by before the first stage without being mere blur.
            least = sizes[0][0] // 2, sizes[0][1] // 2
            wrong = picture_problems(self.from_, "picture of 'from'", least)
            problems += wrong or ([] if problems else self._smaller(sizes[-1]))
        if self.network is not None:
            # Later stages enlarge what the run has drawn by then.
            alone = self.from_ if len(sizes) == 2 and not problems else None
            problems += network_problems(self.network, stage, alone)
        return problems

    def _smaller(self, last: tuple[int, int]) -> list[str]:
        """That a picture would come out smaller than it is; nothing where it is enlarged."""
        assert self.from_ is not None, "asked for where there is one"
        width, height = picture_size(self.from_)
        if width <= last[0] or height <= last[1]:
            return []
        return [
            f"picture of 'from' '{self.from_}' has {width}x{height} pixels, and would come out at {last[0]}x{last[1]}; "
            f"use a larger size, or add exact-size: {{from: ..., times: 2}} and leave 'size' out"
        ]

    @hookimpl(wrapper=True)
    def init_latents(self, stage: Stage, noise: Tensor) -> Generator[None, Tensor, Tensor]:
        """The last stage's latents, enlarged and noised to the first timestep."""
        latents = yield
        if not self._enlarges(stage):
            return latents
        assert stage.previous is not None
        if self._anchor.get(stage) is None:
            self._anchor.set(stage, Anchor(stage.previous.mean(), stage.previous.std()))
        larger = self.enlarged(stage)
        self._residual.set(stage, Residual(larger, noise))
        return stage.scheduler.noisiest(larger, noise)

    @hookimpl(wrapper=True)
    def step(self, stage: Stage, at: Step) -> Generator[None, Tensor, Tensor]:
        """Blend the noised reference of the following step back; at the end, bring mean and deviation back."""
        latents = yield
        if not self._enlarges(stage):
            return latents
        if at.is_last:
            if not self.anchor:
                return latents
            anchor = self._anchor(stage)
            anchored: Tensor = (latents - latents.mean()) / latents.std() * anchor.deviation + anchor.mean
            return anchored
        if self.skip_residual == "off":
            return latents
        following, residual = stage.steps[at.index + 1], self._residual(stage)
        c = cosine(stage, following, self.skip_residual)
        noised = stage.scheduler.add_noise(residual.enlarged, residual.noise, following.timestep)
        return (1 - c) * latents + c * noised

    def enlarged(self, stage: Stage) -> Tensor:
        """What the stage before left, at this one's size: (1, C, H, W)."""
        from fusionkit.loop.ring import resized

        before = stage.previous
        assert before is not None, "asked for in stages alone that have one before them"
        if self.enlarge == "latents":
            return resized(before, stage.canvas, stage.wrap)
        if before.shape[-2:] == stage.canvas:
            return before
        return stage.encode(enlarged(stage.previous_picture, stage, self.network))

    def _enlarges(self, stage: Stage) -> bool:
        """Whether a stage enlarges what is before it; the first one does so where the picture is its own."""
        return stage.index > 0 or (self.from_ is not None and stage.plan.picture == self.from_)

    def _sizes(self, recipe: Recipe, info: ModelInfo) -> list[tuple[int, int]]:
        """(width, height) of all stages in pixels, the first at the model's own size, or at the recipe's."""
        first: tuple[float, float] = self.first or first_size(recipe, info)
        last = recipe.size
        if self.times is not None:
            first, last = recipe.size, sized(self.times, recipe.size, info.factor)
        between: Sequence[Any] = multiples(first, last) if self.stages is None else self.stages
        sizes = [*(sized(stage, first, info.factor) for stage in (1.0, *between)), last]
        return [size for number, size in enumerate(sizes) if number == 0 or size != sizes[number - 1]]


def _named(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
