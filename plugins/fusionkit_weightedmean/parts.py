"""The options of weighted-mean: what each model counts, all over, in a stretch of the run, and in a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, model_validator

from fusionkit.recipe import Number, Part, PromptText
from fusionkit.recipe.problems import shown
from fusionkit_magicfusion import Stretch as OfTheRun
from fusionkit_magicfusion import Voice
from fusionkit_regions import Boxed, Painted
from fusionkit_regions.parts import Softness

if TYPE_CHECKING:
    from fusionkit import Prompt

Weight = Annotated[Number, Field(ge=-1e6, le=1e6)]


def _with_a_sum(weights: dict[str, float]) -> dict[str, float]:
    if not weights:
        raise ValueError("must name one of the recipe's models or more, such as {NAME: 1}")
    if (total := sum(weights.values())) <= 0:
        raise ValueError(f"has weights whose sum, {total:g}, is not above 0, as a mean needs; such as 0.7 and 0.3")
    return weights


Weights = Annotated[dict[str, Weight], AfterValidator(_with_a_sum)]


class Share(Voice):
    """What one model counts, and what it is asked; a number alone is its weight."""

    prompt: PromptText | None = Field(
        default=None, description="What it is told in all views, in place of what the others are told."
    )
    weight: Weight = Field(
        default=1.0,
        description="What it counts; weights are divided by their sum. 0 is not asked, and less than 0 leads away "
        "from what it says.",
    )
    adds: PromptText | None = Field(
        default=None,
        description="In place of `prompt`: what it is told behind each view's prompt, such as 'in ghibli style'.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        if value is None:
            return {}
        if isinstance(value, (int, float)):
            return {"weight": value}
        if not isinstance(value, (Mapping, Share)):
            raise ValueError(f"must be a number, or options such as {{weight: 0.5, prompt: ...}}, not {shown(value)}")
        return value

    @model_validator(mode="after")
    def _says_one(self) -> Share:
        if self.prompt is not None and self.adds is not None:
            raise ValueError("has either a prompt of its own, or what it adds to each view's")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A number, or the keys."""
        return {"anyOf": [handler(schema), {"type": "number"}]}

    @property
    def speaks(self) -> bool:
        """Whether it has prompts of its own."""
        return super().speaks or self.adds is not None

    def instead(self, prompt: str | Prompt) -> Prompt:
        """What it is asked in place of a view's prompt."""
        said = super().instead(prompt)
        return said if self.adds is None else replace(said, text=f"{said.text} {self.adds}")


class Stretch(OfTheRun):
    """A part of the run in which other weights hold; a number up to 1 is a fraction that is left, else a timestep."""

    from_: Number = Field(
        default=1.0,
        ge=0,
        description="Where it begins: the fraction of the noise schedule that is left, 1 at its start, or a timestep "
        "above 1.",
    )
    to: Number = Field(default=0.0, ge=0, description="Where it ends, likewise; 0 is the run's end.")
    weights: Weights = Field(description="What the models count in it, {NAME: WEIGHT}; the others are not asked.")


class Weighed(Part):
    """A place in which other weights hold."""

    weights: Weights = Field(description="What the models count there, {NAME: WEIGHT}; the others are not asked.")
    soft_border: Softness | None = Field(
        default=None,
        description="Pixels over which it fades, half of them on either side of its border; 0 is sharp. By default an "
        "eighth of a box's shorter side, and a mask as it is painted.",
    )


class WeightedBox(Weighed, Boxed):
    """A rectangle in which other weights hold."""


class WeightedMask(Weighed, Painted):
    """A painted place in which other weights hold."""


Place = WeightedBox | WeightedMask


def _with_a_sum_of(models: dict[str, Share]) -> dict[str, Share]:
    if models:
        _with_a_sum({name: share.weight for name, share in models.items()})
    return models


Shares = Annotated[dict[str, Share], AfterValidator(_with_a_sum_of)]


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights divided by their sum, those that are 0 left out."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight}
