"""What models are told of the picture's size, where they are told sizes at all."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, WithJsonSchema

from fusionkit import Field, Plugin, Stage, StagePlan, hookimpl
from fusionkit.recipe import Size
from fusionkit.recipe.problems import shown


def parse_told(value: Any) -> Any:
    """`first`, or a size such as `1024x1024`."""
    if value == "first":
        return value
    try:
        return TypeAdapter(Size).validate_python(value)
    except ValueError:
        raise ValueError(f"must be 'first' or a size such as 1024x1024, not {shown(value)}") from None


Told = Annotated[
    Any,
    BeforeValidator(parse_told),
    PlainSerializer(lambda value: value if value == "first" else f"{value[0]}x{value[1]}"),
    WithJsonSchema({"anyOf": [{"enum": ["first"]}, {"type": "string", "pattern": r"^\d+ ?x ?\d+$"}]}),
]
"""A pair (width, height) in pixels, or "first"."""


class SizeConditioning(Plugin):
    """Tell a model that is told sizes, such as SDXL, another one than the picture's (arXiv 2307.01952, section 2.2).

    Told of a picture of 4096 pixels, a model trained at 1024 draws what it knows of large pictures, of which it has
    seen few. FreeScale tells every stage the size of the first (arXiv 2412.09626).
    """

    size: Told = Field(
        default="first",
        description="What is told: a size such as 1024x1024, or 'first' for that of the first stage. Views begin where "
        "they would in a picture of that size.",
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """Models of which none is told a size, so that it would change nothing."""
        if stage.index or any(info.told_size for info in stage.infos.values()):
            return []
        names = " and ".join(f"'{info.name}'" for info in stage.infos.values())
        told = f"{names} {'is' if len(stage.infos) == 1 else 'are'} told no picture's size, as SDXL is"
        return [f"{self.plugin_name}: {told}; it would change nothing, so leave it out"]

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Generator[None, list[StagePlan], list[StagePlan]]:
        """Every stage, told that size."""
        plans = yield
        told: Literal["first"] | tuple[int, int] = self.size
        size = (plans[0].picture_size or plans[0].size) if told == "first" else told
        return [replace(plan, told=size) for plan in plans]
