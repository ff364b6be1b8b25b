"""What each of several models is asked, and when they take part: the options of saliency-noise-blending."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from fusionkit.recipe import Number, Part, PromptText
from fusionkit.recipe.values import Interval

if TYPE_CHECKING:
    from fusionkit import Patches, Prompt


class Voice(Part):
    """What one of several models is asked; what it leaves open is the recipe's."""

    prompt: PromptText | None = Field(
        default=None, description="What it draws; of the main model, by default the recipe's prompt."
    )
    negative_prompt: PromptText | None = Field(
        default=None, description="What it steers away from; by default the recipe's."
    )
    guidance_scale: Number | None = Field(default=None, ge=0, description="By default the recipe's.")
    guidance_interval: Interval | None = Field(
        default=None,
        description="Where in a stage's steps it is guided, as shares such as [0, 0.6]; by default the recipe's.",
    )

    @property
    def speaks(self) -> bool:
        """Whether it has prompts of its own."""
        return self.prompt is not None or self.negative_prompt is not None

    def asked(self, patches: Patches) -> Patches:
        """The patches with its own prompts in place of theirs, where it has some."""
        if not self.speaks:
            return patches
        return replace(patches, prompts=[self.instead(prompt) for prompt in patches.prompts])

    def instead(self, prompt: str | Prompt) -> Prompt:
        """What it is asked in place of a view's prompt."""
        from fusionkit import Prompt

        given = Prompt(prompt) if isinstance(prompt, str) else prompt
        return Prompt(
            given.text if self.prompt is None else self.prompt,
            given.negative if self.negative_prompt is None else self.negative_prompt,
        )


class Role(Voice):
    """What one model draws, and how readily it wins."""

    k: Number = Field(
        default=1.0,
        gt=0,
        le=1e6,
        description="Factor of its saliency in the softmax: the larger, the more it wins at its peaks, and loses "
        "elsewhere.",
    )


class Stretch(Part):
    """A part of the run, by the noise schedule.

    A number up to 1 is the fraction of the noise schedule that is left, 1 at its start; a larger one is a timestep.
    """

    from_: Number = Field(default=1.0, ge=0, description="Where the models begin to take part.")
    to: Number = Field(
        default=0.0, ge=0, description="Where they stop: below it one model draws alone; 0 is the run's end."
    )

    @model_validator(mode="after")
    def _not_reversed(self) -> Stretch:
        # A fraction and a timestep can be told apart only where the number of training timesteps is known.
        same_unit = (self.from_ > 1) == (self.to > 1)
        if same_unit and (problem := self.disorder(1000)):
            raise ValueError(problem)
        return self

    @property
    def is_whole(self) -> bool:
        """Whether the models take part in the whole run."""
        return self.from_ == 1 and self.to == 0

    def disorder(self, timesteps: int) -> str:
        """What is wrong with a span that is empty or reversed, for a number of training timesteps; else nothing."""
        start, end = self.fractions(timesteps)
        if start > end:
            return ""
        what = "is empty" if start == end else "is reversed"
        return (
            f"{what}: from {self.from_:g} to {self.to:g}; a run goes down to 0, so 'from' must be the larger, such "
            f"as {{from: 1.0, to: 0.6}}"
        )

    def holds(self, remaining: float, timesteps: int) -> bool:
        """Whether a step belongs to it: from >= remaining > to, the ends of the run included.

        Args:
            remaining: How much of the noise schedule lies ahead, 1..0.
            timesteps: The number of training timesteps.
        """
        start, end = self.fractions(timesteps)
        return (remaining <= start or self.from_ == 1) and (remaining > end or self.to == 0)

    def fractions(self, timesteps: int) -> tuple[float, float]:
        """From and to as fractions of the noise schedule, for a number of training timesteps."""
        return fraction(self.from_, timesteps), fraction(self.to, timesteps)


class Span(Stretch):
    """Where in the run the models are blended, and which one draws alone outside."""

    otherwise: str | None = Field(default=None, description="The model that draws outside; by default the main one.")


def fraction(limit: float, timesteps: int) -> float:
    """A fraction of the noise schedule as it is, and a timestep as a fraction."""
    return limit / timesteps if limit > 1 else limit
