"""A model whose forward passes a pool of workers makes; to the loop and the plugins it is a model like any other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.distributed.carried import Carried, carried
from fusionkit.distributed.departing import Departing
from fusionkit.distributed.pool import Pool
from fusionkit.distributed.tasks import Call, Decode, DecodeTile, Differentiate, LoadNet, Predict, SeePictures
from fusionkit.distributed.values import PLACE, Answer, Listen, Loaded, RemoteLayers, RemoteNet, Shared
from fusionkit.errors import NumericalError
from fusionkit.loop.finite import note_finite
from fusionkit.loop.model import LayerPatch, ModelInfo, NetInfo, TextToken
from fusionkit.loop.partly import chosen, spread
from fusionkit.loop.room import IN_MEMORY, Room
from fusionkit.loop.stage import ImagePrompt, Patches, Stage, Step
from fusionkit.loop.told import scales_of
from fusionkit.loop.view_maps import ViewMaps, maps_of
from fusionkit.loop.views import Wrap
from fusionkit.models.adapters.batches import Halves, Wanted, part_of, texts_of
from fusionkit.models.adapters.predicting import Predicting
from fusionkit.models.memory import views_per_pass
from fusionkit.models.noising import bridge_between
from fusionkit.models.patching import Patches as LayerPatches
from fusionkit.models.patching import names_like

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit.models.adapters.tiles import Cut
    from fusionkit.models.families.base import Over

_SLICINGS = 64
# Tiles that are decoded at once, for each worker.
_TILES = 4


@dataclass(frozen=True)
class _Listening:
    maps: ViewMaps
    how: Listen


class DistributedModel(Predicting):
    """The face of `Model`, before a pool.

    A group is cut into the batches that one process would make, and each is a task: so the bits are equal, whoever
    does it.

    Args:
        name: The recipe's name of the model.
        info: What its configuration tells.
        pool: The workers, which have loaded the weights.
        weights: What they have loaded.
        loaded: What each of them tells of it.
        device: Where the canvas is.

    Attributes:
        most_views: The views of a run's largest group, by which a batch size is chosen; 0 is the group at hand.
    """

    def __init__(
        self,
        name: str,
        info: ModelInfo,
        pool: Pool,
        weights: Shared,
        loaded: Sequence[Loaded],
        device: torch.device,
    ) -> None:
        self.name, self.info, self.pool, self.weights, self.device = name, info, pool, weights, device
        self.batch_size: int | None = None
        self.batches: dict[tuple[int, int], int] = {}
        self.vae_tiling = False
        self.forward_passes, self.forward_seconds, self.largest_batch = 0, 0.0, 0
        self.most_views = 0
        self._loaded = loaded
        self._departing = Departing(pool)
        self._patches = LayerPatches()
        self._listening: list[_Listening] = []
        self._layers: list[str] | None = None
        self._slicings: dict[Any, list[slice]] = {}
        self._texts: dict[tuple[str, str], Any] = {}
        self._models: Mapping[str, Any] = {name: self}

    def among(self, models: Mapping[str, DistributedModel]) -> None:
        """Know the models of the run by their names, this one among them."""
        self._models = models

    @property
    def fingerprint(self) -> str:
        """What tells its weights, and their type, from others; all workers have the same."""
        return self._loaded[0].fingerprint

    @property
    def dtype(self) -> torch.dtype:
        """The type that the denoiser computes in, on all workers."""
        found: torch.dtype = getattr(torch, self._loaded[0].dtype)
        return found

    # Predictions

    def _run(
        self,
        stage: Stage,
        at: Step,
        patches: Patches,
        scales: Sequence[float],
        halves: Halves,
        numbers: Sequence[int],
    ) -> list[tuple[Tensor, ...]]:
        """As of every model; each batch is a task."""
        texts = texts_of(stage, patches)
        size = stage.recipe.batch_size or self.batch_size or self._automatic(stage, patches)
        self.largest_batch = max(self.largest_batch, min(size, len(texts)))
        slices = self._slices(texts, halves, scales, size)
        listens = [each.how for each in self._listening]
        put, whose = self._put()
        group = self._departing.group(stage, patches, texts, halves, listens, put, whose)
        shared = self._departing.stage(stage, masked=self.info.fills_masks)
        bridge = bridge_between(self.info, stage, at)
        noisy = stage.scheduler.scale_model_input(patches.latents, at.timestep).cpu()
        tasks = []
        for number, each in enumerate(slices):
            part = part_of(patches, each, noisy)
            part.latents, part.controls, part.image_prompts, part.prompts = part.latents.clone(), (), (), ()
            own = numbers[each]
            tasks.append(
                Predict(
                    *(self.weights, shared, group, self.name, at, part, each),
                    Wanted(number, own, scales[each.start], halves.only, halves.guided),
                    bridge,
                    [listening.maps.of(self._heard_of(listening, each)) for listening in self._listening],
                    [] if put is None else [memory.of(own) for memory in put.memories],
                )
            )
        answers = self._asked(stage, tasks)
        for task, answer in zip(tasks, answers, strict=True):
            for listening, maps in zip(self._listening, answer.maps, strict=True):
                listening.maps.back(self._heard_of(listening, task.place), maps)
            for memory, kept in zip(put.memories if put else (), answer.memories, strict=True):
                memory.replace(task.wanted.numbers, kept)
        return [tuple(half.to(self.device) for half in answer.value) for answer in answers]

    @staticmethod
    def _heard_of(listening: _Listening, place: slice) -> list[int]:
        return listening.maps.numbers(range(place.start, place.stop))

    def gradients(
        self, stage: Stage, at: Step, patches: Patches, loss: Callable[[int, Tensor, Tensor], Tensor]
    ) -> Tensor:
        """As of every model; each view is a task, and the loss is computed where the view is."""
        group = chosen(patches)
        if not group.views:
            return spread(patches, group.latents)
        put, whose = self._put()
        shared = self._departing.stage(stage, masked=self.info.fills_masks)
        lost = carried((loss, stage.scheduler.starting_at(at.index)), self._models).alone()
        halves = Halves([self.info.passes(scale) > 1 for scale in scales_of(stage, at, group)], guided=True)
        steering = self._departing.group(stage, group, texts_of(stage, group), halves, (), put, whose)
        latents = group.latents.cpu()
        tasks = []
        for place, number in enumerate(patches.asked):
            view = part_of(group, slice(place, place + 1), latents)
            view.latents, view.controls, view.image_prompts = view.latents.clone(), (), ()
            kept = [] if put is None else [memory.of([number]) for memory in put.memories]
            tasks.append(
                Differentiate(self.weights, shared, steering, self.name, at, view, number, lost, kept),
            )
        answers = self._asked(stage, tasks)
        for task, answer in zip(tasks, answers, strict=True):
            for memory, kept_now in zip(put.memories if put else (), answer.memories, strict=True):
                memory.replace([task.number], kept_now)
        gradients = torch.cat([answer.value for answer in answers]).to(self.device)
        note_finite(stage, gradients, "the gradient of a loss", "lower its weight, or use dtype: float32")
        return spread(patches, gradients)

    def _slices(
        self, texts: Sequence[tuple[str, str]], halves: Halves, scales: Sequence[float], size: int
    ) -> list[slice]:
        """Asked of a worker, since lengths of texts decide it; and kept."""
        key = tuple(texts), tuple(halves.both), tuple(scales), size
        if key not in self._slicings:
            if len(self._slicings) >= _SLICINGS:
                self._slicings.pop(next(iter(self._slicings)))
            self._slicings[key] = self._call("slices", list(texts), list(halves.both), list(scales), size)
        return self._slicings[key]

    def _automatic(self, stage: Stage, patches: Patches) -> int:
        """What the worker with the least memory takes, and few enough for each to have four batches of a group."""
        view = patches.size
        if view not in self.batches:
            known = [tiling.largest for tiling in stage.tilings.values()]
            views = self.most_views or max([len(patches.views), *known])
            least = min(views_per_pass(self.info, view, self.dtype.itemsize, each.free) for each in self._loaded)
            self.batches[view] = max(1, min(least, views // (4 * self.pool.size)))
        return self.batches[view]

    # What is put on the denoiser, and heard of it

    def layers(self, pattern: str = "*") -> list[str]:
        """The names of the denoiser's layers that are like a pattern, in its order."""
        if self._layers is None:
            self._layers = list(self._call("layers"))
        return names_like(self._layers, pattern)

    def _put(self) -> tuple[Carried | None, str]:
        """What plugins have put on the layers, and which plugins."""
        there = [each for each in self._patches.all if each.patches]
        return carried(there, self._models) if there else None, ", ".join(each.by for each in there)

    def patched(self, patches: Mapping[str, LayerPatch], by: str) -> AbstractContextManager[None]:
        """As of every model: each batch has a copy of the patches on the worker that computes it."""
        return self._patches.put(self.layers() if patches else (), self.info.name, patches, by)

    @contextmanager
    def capture(
        self,
        views: int,
        view_size: tuple[int, int],
        levels: Sequence[int],
        asked: Callable[[], Sequence[int]] | None = None,
        layers: Collection[int] | None = None,
        over: Over | None = None,
    ) -> Iterator[ViewMaps]:
        """As of every model: workers listen to their batches."""
        maps = maps_of(views, view_size, levels, asked)
        how = Listen(view_size, tuple(levels), None if layers is None else tuple(layers), over)
        self._listening.append(_Listening(maps, how))
        try:
            yield maps
        finally:
            self._listening.pop()

    # Conditions

    def embedded(self, prompt: str) -> Tensor:
        """As of every model; each text is asked once."""
        found: Tensor = self._text("embedded", prompt)
        return found.to(self.device)

    @property
    def blank(self) -> str:
        """A token that says nothing, as a prompt has it."""
        if ("blank", "") not in self._texts:
            self._texts["blank", ""] = self._call("blank")
        return str(self._texts["blank", ""])

    def text_tokens(self, prompt: str) -> Sequence[TextToken]:
        """A prompt's tokens, as of every model."""
        found: Sequence[TextToken] = self._text("text_tokens", prompt)
        return found

    def _text(self, method: str, prompt: str) -> Any:
        if (method, prompt) not in self._texts:
            self._texts[method, prompt] = self._call(method, prompt)
        return self._texts[method, prompt]

    def controlnet(self, info: NetInfo) -> RemoteNet:
        """In place of a ControlNet, which one worker loads now and the others when they first need it."""
        self.pool.run([LoadNet(self.weights, self.name, info)])
        return RemoteNet(self.name, info)

    def image_prompt(self, adapter: Any, encoder: Any, pictures: Sequence[Image]) -> ImagePrompt:
        """As of every model; one worker makes what is looked at, and each has the layers that look."""
        (answer,) = self.pool.run([SeePictures(self.weights, self.name, adapter, encoder, tuple(pictures))])
        layers: RemoteLayers = answer.value[0]
        return ImagePrompt(layers, answer.value[1].to(self.device), dict.fromkeys(layers, 1.0))

    # Pictures: each on one worker, but tiles are decoded by all.

    def encode(self, image: Image, wrap: Wrap = "") -> Tensor:
        """A picture as scaled latents, as of every model."""
        return self._tensor("encode", image, wrap)

    def encode_pixels(self, pixels: Tensor, wrap: Wrap = "") -> Tensor:
        """The same of pixels."""
        return self._tensor("encode_pixels", pixels.cpu(), wrap)

    def pixels(self, latents: Tensor) -> Tensor:
        """Scaled latents as the autoencoder decodes them."""
        return self._tensor("pixels", latents.cpu())

    def decode(self, latents: Tensor, wrap: Wrap = "", room: Room = IN_MEMORY) -> Image:
        """Scaled latents as a picture: its tiles, where there are any, by all workers, or else the whole by one."""
        cut: Cut | None = self._call("cut", latents.cpu(), wrap) if self.vae_tiling else None
        if cut is None:
            (answer,) = self.pool.run([Decode(self.weights, self.name, latents.cpu(), wrap, room, self.vae_tiling)])
            picture: Image = answer.value
            return picture
        with torch.inference_mode():
            return replace(cut, latents=cut.latents.cpu()).drawn(self._tiles, room)

    def _tiles(self, tiles: Sequence[Tensor]) -> Iterator[Tensor]:
        # Of a wide canvas, no more at once than keep everybody at work.
        for begin in range(0, len(tiles), each := _TILES * self.pool.size):
            tasks = [DecodeTile(self.weights, self.name, tile.clone()) for tile in tiles[begin : begin + each]]
            yield from (answer.value for answer in self.pool.run(tasks))

    def _tensor(self, method: str, *arguments: Any) -> Tensor:
        found: Tensor = self._call(method, *arguments)
        return found.to(self.device)

    def _call(self, method: str, *arguments: Any) -> Any:
        (answer,) = self.pool.run([Call(self.weights, self.name, method, arguments, self.vae_tiling)])
        return answer.value

    def _asked(self, stage: Stage, tasks: Sequence[Any]) -> list[Answer]:
        """The tasks' answers, what they cost counted, and what their numbers have become noted of the stage."""

        def done(_: int, answer: Answer) -> None:
            self.forward_passes += answer.passes
            # So that the share of the denoising that is forward passes is the share of the time that workers were busy.
            self.forward_seconds += answer.seconds / self.pool.size

        answers = self.pool.run(tasks, done)
        for lost in (answer.lost for answer in answers if answer.lost):
            stage.facts.note(torch.tensor(False), partial(_numerical, lost))
        return answers


def _numerical(lost: str, where: str) -> NumericalError:
    return NumericalError(lost.replace(PLACE, where))
