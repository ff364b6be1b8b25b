"""What goes between a pool and its workers beside the tasks: shared values and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionkit.distributed.carried import Carried
    from fusionkit.loop.model import ModelInfo, NetInfo
    from fusionkit.loop.stage import StagePlan
    from fusionkit.models.adapters.batches import Halves
    from fusionkit.models.families.base import Over
    from fusionkit.recipe.recipe import Recipe

PLACE = "<place>"
"""Where a worker's error says what only the loop knows: which step it is."""


@dataclass
class Answer:
    """What a task gave, and what it cost.

    Args:
        value: The answer; tensors are on the CPU.
        passes: Views that went through a denoiser.
        seconds: Spent in the denoiser.
        maps: What was heard of the denoiser's attention.
        memories: What patches on layers keep of the views from now on.
        lost: The first error of numbers that are not finite, with `PLACE` where the place is to be told; or empty.
    """

    value: Any
    passes: int = 0
    seconds: float = 0.0
    maps: Sequence[Any] = ()
    memories: Sequence[Any] = ()
    lost: str = ""


@dataclass(frozen=True)
class Shared:
    """A value that was given to a pool once; a worker fetches it when it first meets it, and keeps it for a while.

    Args:
        key: Names it among all values of the pool.
        ref: By which a worker gets it.
    """

    key: str
    ref: Any = field(repr=False, compare=False)


@dataclass(frozen=True)
class Weights:
    """What a worker must load: a recipe without its plugins, and what is known of its models by name."""

    recipe: Recipe
    infos: Mapping[str, ModelInfo]


@dataclass(frozen=True)
class Loaded:
    """What a worker tells of a model that it has loaded.

    Args:
        fingerprint: What tells the weights, and their type, from others.
        dtype: The type of the denoiser's numbers, such as "float16".
        free: Free memory of its GPU, in bytes; None on a CPU.
    """

    fingerprint: str
    dtype: str
    free: int | None


@dataclass(frozen=True)
class StageOf:
    """What a worker must know of a stage, whose plugins stay where they are.

    Args:
        recipe: Without its plugins.
        infos: What is known of the models by name.
        info: Of the main one.
        plan: The stage as planned.
        index: Its number.
        finished: (width, height) of the finished picture.
        masked: What models that fill in masked parts are told of the canvas; None for nothing.
    """

    recipe: Recipe
    infos: Mapping[str, ModelInfo]
    info: ModelInfo
    plan: StagePlan
    index: int
    finished: tuple[int, int]
    masked: Shared | None = None


@dataclass(frozen=True)
class RemoteNet:
    """In place of a loaded ControlNet: the worker that predicts loads it for the model of that name."""

    model: str
    info: NetInfo


class RemoteLayers(Mapping[str, Any]):
    """In place of what lets layers look at pictures: their names, and the adapter, which workers load.

    Args:
        model: The name of the model that it is for.
        adapter: What is known of it.
        names: The layers.
    """

    def __init__(self, model: str, adapter: Any, names: Sequence[str]) -> None:
        self.model, self.adapter, self._names = model, adapter, dict.fromkeys(names)

    def __getitem__(self, name: str) -> Any:
        """Nothing: it is on the workers."""
        return self._names[name]

    def __iter__(self) -> Iterator[str]:
        """The layers' names."""
        return iter(self._names)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._names)


@dataclass(frozen=True)
class Steer:
    """A control of a group, as it travels.

    Args:
        net: In place of the network.
        hint: What it is shown of the whole canvas, on the CPU.
        scale: As `Control` has it.
    """

    net: Any
    hint: Shared
    scale: float


@dataclass(frozen=True)
class Look:
    """Pictures that views look at, as they travel: as `ImagePrompt`, with tokens and mask on the CPU."""

    layers: Any
    tokens: Shared
    scales: Mapping[str, float]
    mask: Shared | None
    part: str


@dataclass(frozen=True)
class Listen:
    """What is to be heard of the attention of a batch, as `Model.capture` has it."""

    view_size: tuple[int, int]
    levels: tuple[int, ...]
    layers: tuple[int, ...] | None
    over: Over | None


@dataclass(frozen=True)
class Group:
    """What all batches of a group have in common.

    Args:
        texts: Each view's prompt and negative prompt.
        halves: Which outputs are wanted.
        controls: What steers them.
        pictures: What they look at.
        listens: What is to be heard.
        put: What plugins have put on the layers; None for nothing.
        whose: Which plugins.
    """

    texts: Sequence[tuple[str, str]]
    halves: Halves
    controls: tuple[Steer, ...] = ()
    pictures: tuple[Look, ...] = ()
    listens: tuple[Listen, ...] = ()
    put: Carried | None = None
    whose: str = ""
