"""A recipe: everything that decides a picture, checked before any model loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from fusionkit.plugin import Plugin, kebab


def parse_size(value: Any) -> Any:
    """`3584x512` or [3584, 512] as (width, height); anything else is left for pydantic to refuse."""
    if isinstance(value, str):
        width, cross, height = value.lower().replace("×", "x").partition("x")
        if cross and width.strip().isdigit() and height.strip().isdigit():
            return int(width), int(height)
        raise ValueError("a size is width x height in pixels, such as 3584x512")
    return value


Side = Annotated[int, Field(ge=1)]
Size = Annotated[
    tuple[Side, Side],
    BeforeValidator(parse_size),
    PlainSerializer(lambda size: f"{size[0]}x{size[1]}", return_type=str),
]


class SchedulerSpec(BaseModel):
    """A scheduler by a short name or its class name, with options for its configuration or its steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = {}


class Recipe(BaseModel):
    """Everything that decides a picture."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=True, arbitrary_types_allowed=True
    )

    model: str | None = Field(None, description="A hub id, a folder, a .safetensors file, or an embedded model.")
    prompt: str = ""
    negative_prompt: str = ""
    size: Size = (512, 512)
    window: Size | None = None
    scheduler: SchedulerSpec | None = None
    steps: Annotated[int, Field(ge=1)] = 50
    guidance_scale: Annotated[float, Field(ge=0)] = 7.5
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    batch_size: Annotated[int, Field(ge=1)] | None = None
    plugins: list[Plugin] = []
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: str = "auto"
    output: Path = Path("out/{recipe}-{seed}.png")
