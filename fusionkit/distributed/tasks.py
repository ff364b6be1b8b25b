"""What workers are asked to do: every task is a picklable value, and its answer depends on nothing else.

So a task may be done twice, or by another worker than the one it was first given to, and nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.distributed.values import PLACE, Group, Loaded, RemoteLayers
from fusionkit.distributed.values import Answer as Answer
from fusionkit.distributed.values import Shared as Shared
from fusionkit.distributed.values import Weights as Weights
from fusionkit.distributed.worker import LOADING, Worker
from fusionkit.distributed.worker import Task as Task

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.distributed.carried import Carried
    from fusionkit.loop.model import NetInfo
    from fusionkit.loop.room import Room
    from fusionkit.loop.stage import Patches, Stage, Step
    from fusionkit.loop.views import Wrap
    from fusionkit.models.adapters.batches import Wanted
    from fusionkit.models.noising import Bridge


@dataclass(frozen=True)
class Meet:
    """Ask a worker for the type of the device that `auto` and its own name are, such as "cuda"."""

    def __call__(self, worker: Worker) -> Answer:
        """Nothing is loaded."""
        from fusionkit.models.devices import pick_device

        return Answer(pick_device(worker.device).type)


@dataclass(frozen=True)
class Load:
    """Load the models before the first batch; workers that join later begin with it, too."""

    weights: Shared

    def __call__(self, worker: Worker) -> Answer:
        """Load them; the answer is what each of them is, by name (`Loaded`)."""
        import torch

        from fusionkit.loop.finite import type_name

        models: dict[str, Any] = dict(worker.models(self.weights))
        device = next(iter(models.values())).device
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
        return Answer({name: Loaded(each.fingerprint, type_name(each.dtype), free) for name, each in models.items()})


@dataclass(frozen=True)
class Call:
    """One method, or attribute, of one model, on one worker: `encode`, `text_tokens`.

    Args:
        weights: The models.
        name: Which of them.
        method: The method.
        arguments: What it is given; tensors are on the CPU.
        vae_tiling: Whether its autoencoder works in tiles meanwhile.
    """

    weights: Shared
    name: str
    method: str
    arguments: tuple[Any, ...] = field(default=(), repr=False)
    vae_tiling: bool = False

    def __call__(self, worker: Worker) -> Answer:
        """Call it."""
        model = worker.models(self.weights)[self.name]
        model.vae_tiling = self.vae_tiling
        value = getattr(model, self.method)
        value = value(*self.arguments) if callable(value) else value
        return Answer(value.cpu() if hasattr(value, "cpu") else value)


@dataclass(frozen=True)
class Decode:
    """A picture of latents, by one worker.

    Args:
        weights: The models.
        name: Which of them.
        latents: (1, C, H, W) on the CPU.
        wrap: Along which axes they are a ring.
        room: Where the picture is, where the worker has that place.
        vae_tiling: Whether it is decoded in tiles.
    """

    weights: Shared
    name: str
    latents: Tensor = field(repr=False)
    wrap: Wrap
    room: Room
    vae_tiling: bool

    def __call__(self, worker: Worker) -> Answer:
        """Decode it."""
        from fusionkit.loop.room import IN_MEMORY

        model = worker.models(self.weights)[self.name]
        model.vae_tiling = self.vae_tiling
        there = self.room.folder is not None and self.room.folder.is_dir()
        return Answer(model.decode(self.latents, self.wrap, self.room if there else IN_MEMORY))


@dataclass(frozen=True)
class DecodeTile:
    """One tile of a canvas (`Cut.latents`) through a model's autoencoder.

    Args:
        weights: The models.
        name: Which of them.
        tile: The VAE's latents, on the CPU.
    """

    weights: Shared
    name: str
    tile: Tensor = field(repr=False)

    def __call__(self, worker: Worker) -> Answer:
        """Decode it."""
        model: Any = worker.models(self.weights)[self.name]
        return Answer(model.decoded_tile(self.tile).cpu())


@dataclass(frozen=True)
class LoadNet:
    """Load a ControlNet for a model, so that what is wrong with it is told where it is asked for."""

    weights: Shared
    name: str
    info: NetInfo

    def __call__(self, worker: Worker) -> Answer:
        """Load it; the answer is nothing."""
        with LOADING:
            worker.models(self.weights)[self.name].controlnet(self.info)
        return Answer(None)


@dataclass(frozen=True)
class SeePictures:
    """Make of pictures what a model's denoiser looks at."""

    weights: Shared
    name: str
    adapter: Any
    encoder: Any
    pictures: tuple[Any, ...] = field(repr=False)

    def __call__(self, worker: Worker) -> Answer:
        """The layers' names, in place of which workers have their own, and the tokens."""
        with LOADING:
            prompt = worker.models(self.weights)[self.name].image_prompt(self.adapter, self.encoder, self.pictures)
        return Answer((RemoteLayers(self.name, self.adapter, list(prompt.layers)), prompt.tokens.cpu()))


@dataclass(frozen=True)
class Predict:
    """One batch of views through one model: the batch that one process would have made, so that the bits are equal.

    Args:
        weights: The models.
        stage: The stage (`StageOf`).
        group: What its batches have in common (`Group`).
        name: Which model predicts.
        at: The step.
        part: The views, with latents as the main model gets them, on the CPU.
        place: Where in the group they are.
        wanted: What is wanted of them.
        bridge: From the main model's latents to this one's.
        maps: What was heard of these views before, for each that listens.
        memories: What patches on layers keep of them.
    """

    noun: ClassVar[str] = "view"
    verb: ClassVar[str] = "predicted"

    weights: Shared
    stage: Shared
    group: Shared
    name: str
    at: Step
    part: Patches = field(repr=False)
    place: slice
    wanted: Wanted
    bridge: Bridge
    maps: Sequence[Any] = field(default=(), repr=False)
    memories: Sequence[Any] = field(default=(), repr=False)

    @property
    def count(self) -> int:
        """How many views these are."""
        return len(self.part.views)

    def __call__(self, worker: Worker) -> Answer:
        """Predict."""
        from fusionkit.distributed.arrived import controls_of, pictures_of, stage_of
        from fusionkit.models.adapters.looking import cut

        models: dict[str, Any] = dict(worker.models(self.weights))
        model, stage = models[self.name], stage_of(worker, self.weights, self.stage)
        group: Group = worker.fetch(self.group)
        pairs = worker.keep(
            "pairs", (self.group.key, self.name), lambda: model.pairs(group.texts, group.halves.both), most=2
        )
        part = replace(
            self.part,
            latents=self.part.latents.to(model.device),
            controls=controls_of(worker, models, group),
            image_prompts=pictures_of(worker, models, group),
        )
        bridge = replace(self.bridge, timestep=self.bridge.timestep.to(model.device))
        passes, seconds = model.forward_passes, model.forward_seconds
        # Copies, since a task may be done twice.
        maps = [each.of(range(each.views)) for each in self.maps]
        with _patched(worker, stage, models, self.name, group, self) as memories, _heard(model, group, maps):
            found = model.batch(stage, part, pairs[self.place], self.wanted, bridge, cut(stage, part))
        return Answer(
            tuple(each.cpu() for each in found),
            model.forward_passes - passes,
            model.forward_seconds - seconds,
            maps,
            [each.of(self.wanted.numbers) for each in memories],
            _lost(stage),
        )


@dataclass(frozen=True)
class Differentiate:
    """The gradient of a loss of one view's guided prediction by the view's latents.

    Args:
        weights: The models.
        stage: The stage.
        group: What is to be on the layers, and what steers.
        name: Which model predicts.
        at: The step.
        view: The view, with latents and prompt, (1, C, h, w) on the CPU.
        number: Its number in the group that was asked for.
        loss: The loss, and the stage's scheduler as it stands.
        memories: What patches on layers keep of the view.
    """

    weights: Shared
    stage: Shared
    group: Shared
    name: str
    at: Step
    view: Patches = field(repr=False)
    number: int
    loss: Carried
    memories: Sequence[Any] = field(default=(), repr=False)

    def __call__(self, worker: Worker) -> Answer:
        """Differentiate; what is loaded or made meanwhile is no tensor of inference mode."""
        import torch

        from fusionkit.distributed.arrived import controls_of, pictures_of, stage_of
        from fusionkit.distributed.carried import unpacked

        models: dict[str, Any] = dict(worker.models(self.weights))
        model, known = models[self.name], stage_of(worker, self.weights, self.stage)
        group: Group = worker.fetch(self.group)
        with torch.inference_mode(False):
            scheduler = unpacked(self.loss, known, models, model.device)[1]
            stage = stage_of(worker, self.weights, self.stage, scheduler)
            loss = unpacked(self.loss, stage, models, model.device)[0]
            view = replace(
                self.view,
                latents=self.view.latents.to(model.device, copy=True),
                controls=controls_of(worker, models, group),
                image_prompts=pictures_of(worker, models, group),
            )

        def of_one(_: int, latents: Tensor, prediction: Tensor) -> Tensor:
            answer: Tensor = loss(self.number, latents, prediction)
            return answer

        passes, seconds = model.forward_passes, model.forward_seconds
        with _patched(worker, stage, models, self.name, group, self) as memories:
            found = model.gradients(stage, self.at, view, of_one)
        return Answer(
            found.cpu(),
            model.forward_passes - passes,
            model.forward_seconds - seconds,
            memories=[each.of([self.number]) for each in memories],
            lost=_lost(stage),
        )


def _lost(stage: Stage) -> str:
    """What has become of a stage's numbers: the first thing that is not finite, as `Answer` has it."""
    from fusionkit.errors import FusionError

    try:
        stage.facts.wait(PLACE)
    except FusionError as error:
        return str(error)
    return ""


@contextmanager
def _heard(model: Any, group: Group, maps: Sequence[Any]) -> Iterator[None]:
    """While what the group listens to is added to maps."""
    from fusionkit.models.attention import heard

    with ExitStack() as stack:
        for each, own in zip(group.listens, maps, strict=True):
            stack.enter_context(heard(model, own, each.layers, each.over))
        yield


@contextmanager
def _patched(
    worker: Worker, stage: Stage, models: dict[str, Any], name: str, group: Group, task: Predict | Differentiate
) -> Iterator[list[Any]]:
    """While copies of what plugins have put on the layers are there, with the memories that they have."""
    if group.put is None:
        yield []
        return
    import torch

    from fusionkit.distributed.carried import carried, check_unchanged, unpacked
    from fusionkit.loop.view_memory import ViewMemory

    memories = [ViewMemory() for _ in task.memories]
    for memory, kept in zip(memories, task.memories, strict=True):
        memory.replace([], kept)
    # Where gradients are to go through them, no tensors of inference mode.
    with torch.inference_mode(isinstance(task, Predict)):
        put = unpacked(group.put, stage, models, models[name].device, memories)
    # Asked of the first batch of a stage: it takes as long as sending the patches does.
    first: list[Any] = []
    worker.keep("checked", (task.stage.key, name, group.whose), lambda: first.append(carried(put, models).kept()))
    with models[name].with_patches(put):
        yield memories
    if first:
        check_unchanged(first[0], put, models, group.whose)
