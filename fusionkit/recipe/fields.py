"""The fields of a recipe as keyword arguments: what an editor completes and a type checker checks.

Wider than the fields themselves where a recipe takes a value in several forms, such as a size as text. A test keeps
both in step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from fusionkit.plugin import Plugin
    from fusionkit.recipe.parts import Cache, Lora, ModelSpec, PresetChoice, SchedulerSpec

WEIGHTS = (
    *("model", "models", "base", "revision", "variant", "loras", "dtype"),
    *("device", "devices", "offload", "cache", "compile", "channels_last"),
)
"""What the weights are loaded with: a later call can't change it."""
ADAPTER = ("clip_skip",)
"""What is decided beside them, and can be said of a pipeline that is loaded already."""


def weights_of(recipe: Any) -> str:
    """Which loaded models can draw a recipe: recipes of equal ones can share them."""
    return repr([getattr(recipe, name) for name in (*WEIGHTS, *ADAPTER)])


class _FromTheRecipe:
    def __repr__(self) -> str:
        return "..."


_UNSAID = _FromTheRecipe()
F = TypeVar("F", bound=Callable[..., Any])


class PictureFields(TypedDict, total=False):
    """What may differ from one picture of a loaded model to the next; the prompt is given apart."""

    name: str
    negative_prompt: str
    size: tuple[int, int] | str
    window: tuple[int, int] | str | None
    scheduler: str | Mapping[str, Any] | SchedulerSpec | None
    steps: int
    guidance_scale: float
    guidance_interval: Sequence[float]
    seed: int
    batch_size: int | None
    vae_tiling: bool
    canvas: Literal["auto", "memory", "disk"]
    output: str | Path
    overwrite: bool
    preview_every: int | None
    preset: str | PresetChoice | Mapping[str, Any] | None


class CallFields(PictureFields, total=False):
    """What a call may change for its picture."""

    plugins: Sequence[Plugin | str | Mapping[str, Mapping[str, Any] | None]]


class PipeFields(PictureFields, total=False):
    """What can be said of a pipeline that is loaded already."""

    prompt: str
    clip_skip: int | None


class ModelFields(PipeFields, total=False):
    """What can be said of a model that is still to load."""

    base: str | None
    revision: str | None
    variant: str | None
    loras: Sequence[Lora | Mapping[str, Any]]
    dtype: Literal["auto", "float32", "float16", "bfloat16"]
    device: str
    devices: Sequence[str] | str | None
    offload: Literal["none", "model", "group", "sequential"]
    cache: Cache | Mapping[str, float] | None
    compile: bool
    channels_last: bool


class RecipeFields(ModelFields, CallFields, total=False):
    """All of a recipe."""

    model: str | None
    models: Mapping[str, str | ModelSpec | Mapping[str, Any]]


def takes(fields: type[Any]) -> Callable[[F], F]:
    """A decorator: a function that takes `**changes: Unpack[fields]` shows them one by one, in `help` and notebooks.

    Args:
        fields: One of the classes above.
    """

    def shown(function: F) -> F:
        own = signature(function)
        given = [each for each in own.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        # Strings in this module; what a typed dictionary makes of them holds the string.
        hints = {name: getattr(hint, "__forward_arg__", hint) for name, hint in fields.__annotations__.items()}
        more = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=_UNSAID, annotation=hint) for name, hint in hints.items()
        ]
        function.__signature__ = own.replace(parameters=[*given, *more])  # type: ignore[attr-defined]
        return function

    return shown
