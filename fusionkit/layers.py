"""For plugins that change layers of a UNet: which ones, by how much, in which steps. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from fusionkit.errors import did_you_mean
from fusionkit.loop.model import LayerPatch, ModelInfo
from fusionkit.loop.stage import Stage, Step
from fusionkit.loop.view_memory import ViewMemory as ViewMemory
from fusionkit.recipe import Number, finite

if TYPE_CHECKING:
    from torch import Tensor

Factor = Annotated[Number, Field(ge=1, le=64)]
Share = Annotated[Number, Field(ge=0, le=1)]
Factors = dict[str, Factor]


def _factor(value: object) -> object:
    """A number of 1 or more, or `auto`."""
    number = finite(value) if value != "auto" else value
    if number == "auto" or (isinstance(number, (int, float)) and 1 <= number <= 64):
        return number
    raise ValueError("must be a number from 1 to 64, or 'auto'")


AutoFactor = Annotated[
    float | Literal["auto"],
    BeforeValidator(_factor),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 1, "maximum": 64}, {"enum": ["auto"]}]}),
]


def level_of(layer: str, levels: int) -> int:
    """At which of a UNet's levels a layer is, 0 for the outermost, that of the latents' own size."""
    kind, _, rest = layer.partition(".")
    if kind == "mid_block":
        return levels - 1
    block = int(rest.partition(".")[0])
    return block if kind == "down_blocks" else levels - 1 - block


def by_level(info: ModelInfo, factors: Sequence[float]) -> dict[str, float]:
    """A factor for each convolution of a UNet's levels, the innermost level first; further levels are left alone."""
    levels = len(info.block_out_channels)
    known = {levels - 1 - number: factor for number, factor in enumerate(factors)}
    found = {layer: known.get(level_of(layer, levels), 1.0) for layer in info.convolutions}
    return {layer: factor for layer, factor in found.items() if factor > 1}


def by_pattern(info: ModelInfo, factors: Mapping[str, float]) -> dict[str, float]:
    """A factor for each convolution that is like a pattern; of several patterns the last one counts."""
    found = {
        layer: [factor for pattern, factor in factors.items() if fnmatchcase(layer, pattern)]
        for layer in info.convolutions
    }
    return {layer: each[-1] for layer, each in found.items() if each and each[-1] > 1}


def times_larger(info: ModelInfo, size: tuple[int, int], wider: float = 1.0) -> float:
    """How many times a view of (h, w) latent pixels is as long as what the model was trained at; at least `wider`."""
    width, height = info.window
    return max(wider, size[0] * info.factor / height, size[1] * info.factor / width)


def one_view_high(stage: Stage) -> bool:
    """Whether a view shows all of the canvas' height."""
    return stage.window[0] >= stage.canvas[0]


def is_active(at: Step, until: float) -> bool:
    """Whether a step is among the first ones, a share of all."""
    return at.index < last_step(at, until)


def last_step(at: Step, until: float) -> int:
    """How many steps a share of them is."""
    return round(until * at.total)


def unets(stage: Stage) -> dict[str, ModelInfo]:
    """The models of a run that have convolutions to change, by their names."""
    return {name: info for name, info in stage.infos.items() if info.convolutions}


@contextmanager
def patched(stage: Stage, patches: Mapping[str, Mapping[str, LayerPatch]], by: str) -> Iterator[None]:
    """Patches on layers of several models, by the models' names."""
    with ExitStack() as stack:
        for name, layers in patches.items():
            model = stage.models.get(name, stage.model)
            stack.enter_context(model.patched(layers, by))
        yield


def problems(stage: Stage, patterns: Sequence[str], levels: int = 0) -> Iterator[str]:
    """What of a model's layers makes no sense, a line each.

    Args:
        stage: The stage.
        patterns: What layers must be like; each must fit one of some model.
        levels: So many levels must there be.
    """
    found = unets(stage)
    if not found:
        what = " and ".join(info.name for info in stage.infos.values())
        yield f"it changes layers of a UNet, and {what} is a transformer; leave it out"
        return
    layers = list(dict.fromkeys(layer for info in found.values() for layer in info.convolutions))
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            hint = did_you_mean(pattern, layers) or f"; there are such as '{layers[0]}' and 'mid_block.*'"
            yield f"no 3x3 convolution is called '{pattern}'{hint}"
    deepest = max(len(info.block_out_channels) for info in found.values())
    if levels > deepest:
        yield f"levels: {levels} factors for the {deepest} levels of the denoiser"


class PassMemory(dict[str, Any]):
    """What patches on several layers tell each other within one forward pass, by name; it is worth nothing after it."""

    def __reduce__(self) -> tuple[type[PassMemory], tuple[()]]:
        """Empty, wherever it goes."""
        return PassMemory, ()


class FeatureSize:
    """Around a layer that is given features (B, C, h, w): notes their height and width, for layers within it.

    Layers of attention are given tokens (B, h w, C), and know nothing of the two.
    """

    size: tuple[int, int] = (0, 0)

    def __call__(self, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As `LayerPatch.around`."""
        self.size = (hidden.shape[-2], hidden.shape[-1])
        return forward(hidden, *args, **kwargs)

    def __reduce__(self) -> tuple[type[FeatureSize], tuple[()]]:
        """Without what was noted, which is of one forward pass."""
        return FeatureSize, ()
