"""The sizes of an upscaling's stages, and how a recipe writes them."""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, WithJsonSchema

from fusionkit import Recipe
from fusionkit.recipe import Size, limits
from fusionkit.recipe.problems import shown

if TYPE_CHECKING:
    from fusionkit import ModelInfo

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


def first_size(recipe: Recipe, info: ModelInfo) -> tuple[float, float]:
    """(width, height) in pixels of the recipe's aspect ratio that just fits into the model's window, not rounded."""
    (width, height), (across, down) = recipe.size, recipe.window or info.window
    ratio = max(1.0, width / across, height / down)
    return width / ratio, height / ratio


def multiples(first: tuple[float, float], last: tuple[int, int]) -> list[float]:
    """The whole multiples between a first and a last size, none so near to the last that it gains nothing."""
    ratio = max(last[0] / first[0], last[1] / first[1])
    # One more than there may be, so that the run can tell of them, and not all that there would be.
    most = min(ceil(ratio - _SMALLEST_STEP_UP), limits.STAGES + 2)
    return [float(multiple) for multiple in range(2, most)]


def sized(stage: Any, first: tuple[float, float], factor: int) -> tuple[int, int]:
    """A stage's size in pixels, as whole latent pixels."""
    if isinstance(stage, tuple):
        return stage[0], stage[1]
    width, height = (max(1, round(stage * side / factor)) * factor for side in first)
    return width, height
