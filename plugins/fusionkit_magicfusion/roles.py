"""The options of saliency-noise-blending: what each model contributes, and when the models take part."""

from __future__ import annotations

from pydantic import Field, model_validator

from fusionkit.recipe import Number, Part, PromptText
from fusionkit.recipe.values import Interval


class Role(Part):
    """What one model draws, and how readily it wins."""

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
    k: Number = Field(
        default=1.0,
        gt=0,
        le=1e6,
        description="Factor of its saliency in the softmax: the larger, the more it wins at its peaks, and loses "
        "elsewhere.",
    )


class Span(Part):
    """Where in the run the models are blended, and which one draws alone outside.

    A number up to 1 is the fraction of the noise schedule that is left, 1 at its start; a larger one is a timestep.
    """

    from_: Number = Field(default=1.0, ge=0, description="Where the models begin to take part.")
    to: Number = Field(
        default=0.0, ge=0, description="Where they stop: below it one model draws alone; 0 is the run's end."
    )
    otherwise: str | None = Field(default=None, description="The model that draws outside; by default the main one.")

    @model_validator(mode="after")
    def _not_reversed(self) -> Span:
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
        start, end = (_fraction(limit, timesteps) for limit in (self.from_, self.to))
        if start > end:
            return ""
        what = "is empty" if start == end else "is reversed"
        return (
            f"{what}: from {self.from_:g} to {self.to:g}; a run goes down to 0, so 'from' must be the larger, such "
            f"as {{from: 1.0, to: 0.6}}"
        )

    def holds(self, remaining: float, timesteps: int) -> bool:
        """Whether a step belongs to the span: from >= remaining > to, the ends of the run included.

        Args:
            remaining: How much of the noise schedule lies ahead, 1..0.
            timesteps: The number of training timesteps.
        """
        start, end = (_fraction(limit, timesteps) for limit in (self.from_, self.to))
        return (remaining <= start or self.from_ == 1) and (remaining > end or self.to == 0)


def _fraction(limit: float, timesteps: int) -> float:
    return limit / timesteps if limit > 1 else limit
