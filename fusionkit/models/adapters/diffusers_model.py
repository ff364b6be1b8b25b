"""A diffusers pipeline as the loop uses it: predictions in batches, with guidance, gradients and what steers them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from fusionkit.errors import ModelError
from fusionkit.loop.canvas import crop_pixels, gather
from fusionkit.loop.finite import note_finite, smaller_numbers, wider_type
from fusionkit.loop.model import LayerPatch, ModelInfo, NetInfo
from fusionkit.loop.partly import chosen, spread
from fusionkit.loop.stage import Control, ImagePrompt, Patches, Stage, Step
from fusionkit.loop.told import scales_of
from fusionkit.loop.view_maps import ViewMaps, maps_of
from fusionkit.loop.view_memory import at_work_on
from fusionkit.loop.views import View
from fusionkit.models.adapters.batches import (
    Batch,
    Embedding,
    Halves,
    Pair,
    Shown,
    Wanted,
    only,
    part_of,
    slices_of,
    texts_of,
)
from fusionkit.models.adapters.looking import cut
from fusionkit.models.adapters.predicting import Predicting
from fusionkit.models.adapters.prompts import PromptedModel
from fusionkit.models.adapters.steering import check_hints
from fusionkit.models.attention import heard
from fusionkit.models.controlnet import load_controlnet
from fusionkit.models.families import FAMILIES
from fusionkit.models.memory import views_per_pass
from fusionkit.models.noising import Bridge, bridge_between
from fusionkit.models.patching import Patches as LayerPatches
from fusionkit.models.patching import Put, layers_like
from fusionkit.models.sharing import Turns

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit.models.families.base import Over


class DiffusersModel(Predicting, PromptedModel):
    """What all families share; a subclass says how a prompt and a view become the denoiser's arguments.

    Args:
        pipe: A pipeline; nothing of it is changed but what a call puts back.
        info: What its configuration tells.
        batch_size: Views in one forward pass, unless the recipe says; None chooses by device and free memory.
        vae_tiling: Decode and encode in tiles, for large pictures on small devices.
        clip_skip: Layers of the text encoder to leave out, as in diffusers; None is none.
        turns: Shared by the models of a run, so that under offload only the one at work is on the device.
    """

    def __init__(
        self,
        pipe: Any,
        info: ModelInfo,
        *,
        batch_size: int | None = None,
        vae_tiling: bool = False,
        clip_skip: int | None = None,
        turns: Turns | None = None,
    ) -> None:
        super().__init__(pipe, info, vae_tiling=vae_tiling, clip_skip=clip_skip, turns=turns)
        self.family = FAMILIES[info.kind]
        self.batch_size = batch_size
        self.forward_passes = 0
        self.forward_seconds = 0.0
        self.largest_batch = self.most_views = 0
        # How many rows of the batch at work are conditional; they come first. For those who watch the attention: 0
        # where another adapter is at work with the same denoiser.
        self.conditional_rows = 0
        self.batches: dict[tuple[int, int], int] = {}
        self._controlnets: dict[NetInfo, Any] = {}
        self._patches = LayerPatches()
        self._beside: Any = WeakIdKeyDictionary()

    @property
    def denoiser(self) -> Any:
        """The UNet or the transformer."""
        return getattr(self.pipe, self.family.denoiser)

    def layers(self, pattern: str = "*") -> list[str]:
        """The names of the denoiser's layers that are like a pattern, in its order."""
        return layers_like(self.denoiser, pattern)

    def patched(self, patches: Mapping[str, LayerPatch], by: str) -> AbstractContextManager[None]:
        """A context in which predictions are made with patches on layers; as `Model.patched` says."""
        cached = getattr(self.denoiser, "is_cache_enabled", False)
        return self._patches.put(self.layers() if patches else (), self.info.name, patches, by, cached=cached)

    def with_patches(self, put: list[Put]) -> AbstractContextManager[None]:
        """A context in which predictions are made with these patches, and with no others that were put on before."""
        return self._patches.instead(put)

    def gradients(
        self, stage: Stage, at: Step, patches: Patches, loss: Callable[[int, Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The gradient of a loss of each view's guided prediction by the view's own latents, (P, C, h, w), float32.

        Args:
            stage: The stage.
            at: The step.
            patches: The views, with latents and prompts; those that are left out are NaN.
            loss: Given a view's number, its latents (1, C, h, w) and their guided prediction, a tensor of one number.
        """
        group = chosen(patches)
        scales = scales_of(stage, at, group)
        found = [torch.empty_like(group.latents[:0])]
        for place, number in enumerate(patches.asked):
            with self._differentiable():
                latents = group.latents[place : place + 1].clone().requires_grad_()
                one, scale = replace(group.picked([place]), latents=latents), scales[place]
                wanted = Halves.one(both=self.info.passes(scale) > 1)
                ((guided,),) = self._halves(stage, at, one, [scale], wanted, [number])
                found.extend(torch.autograd.grad(loss(number, latents, guided), latents))
        gradients = torch.cat(found)
        note_finite(stage, gradients, "the gradient of a loss", "lower its weight, or use dtype: float32")
        return spread(patches, gradients)

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
        """Read how the image looks at its text while a group is predicted; as `Model.capture` says."""
        maps = maps_of(views, view_size, levels, asked)
        with heard(self, maps, layers, over):
            yield maps

    def controlnet(self, info: NetInfo) -> Any:
        """A ControlNet of diffusers in the denoiser's type and on its device; loaded once.

        Raises:
            ModelError: Its weights can't be loaded.
        """
        if info not in self._controlnets:
            self._controlnets[info] = load_controlnet(info, self.device, self.dtype)
        return self._controlnets[info]

    def image_prompt(self, adapter: Any, encoder: Any, pictures: Sequence[Image]) -> ImagePrompt:
        """Pictures that the denoiser can look at beside the prompt; as `Model.image_prompt` says.

        Raises:
            ModelError: The family's denoisers look at none, or weights can't be loaded.
        """
        raise ModelError(f"IP-Adapters of UNets can't be used with {self.family.title} models")

    def looking(self, batch: Batch) -> AbstractContextManager[None]:
        """A context in which the denoiser looks at the pictures that a batch is shown."""
        return nullcontext()

    @abstractmethod
    def conditions(
        self, stage: Stage, views: Sequence[View], embeddings: Sequence[Embedding], scale: float
    ) -> dict[str, Any]:
        """The denoiser's arguments for views with one embedding each; the scale is for models that are told it."""

    @abstractmethod
    def call(self, latents: Tensor, timestep: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        """The denoiser's answer to latents (B, C, h, w)."""

    @abstractmethod
    def residuals(
        self,
        latents: Tensor,
        timestep: Tensor,
        controls: Sequence[tuple[Control, Tensor]],
        conditions: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """What ControlNets add, as arguments of the denoiser."""

    def guided(self, cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
        """The guided output of its two halves, in the model's own parameterisation, as the family guides."""
        return self.family.guided(cond, uncond, scale)

    def batch(
        self,
        stage: Stage,
        part: Patches,
        pairs: Sequence[Pair],
        wanted: Wanted,
        bridge: Bridge,
        shown: Sequence[Shown],
    ) -> tuple[Tensor, ...]:
        """The outputs of one batch, each (p, C, h, w), float32, in the main model's parameterisation.

        Args:
            stage: The stage; its scheduler is not asked.
            part: The batch's views, with latents as the main model gets them.
            pairs: Their embeddings.
            wanted: What is wanted of them.
            bridge: From the main model's latents to this model's.
            shown: Pictures that some of the views look at.
        """
        controls = [control for control in part.controls if control.scale != 0]
        check_hints(controls, stage)
        hints, factor = self.hints(stage, controls)
        views = list(part.views)
        batch = Batch(
            wanted.number,
            views,
            pairs,
            part.latents,
            [(control, crop_pixels(hint, views, factor)) for control, hint in zip(controls, hints, strict=True)],
            self.beside(stage, views) if self.info.fills_masks else None,
            scale=wanted.scale,
            shown=[each for each in shown if any(each.seen)],
        )
        scale = wanted.scale
        with at_work_on(wanted.numbers):
            halves = self.answers(stage, bridge, batch if wanted.only is None else only(batch, wanted.only), scale)
        if len(halves) > 1 and scale > 1 and not self._guides_plainly:
            cond, uncond = halves
            result = cond if self.info.takes_guidance else self.guided(cond, uncond, scale)
            # The half whose plain guidance is the model's own.
            halves = uncond + (result - uncond) / scale, uncond
        answers = tuple(bridge.back(each, batch.latents) for each in halves)
        return (_guided(answers, scale),) if wanted.guided else answers

    def _halves(
        self,
        stage: Stage,
        at: Step,
        patches: Patches,
        scales: Sequence[float],
        halves: Halves,
        numbers: Sequence[int],
    ) -> Iterator[tuple[Tensor, ...]]:
        """As `_run` says, and gradients go through it."""
        pairs = self.pairs(texts_of(stage, patches), halves.both)
        size = stage.recipe.batch_size or self.batch_size or self._automatic_batch(patches.size)
        self.largest_batch = max(self.largest_batch, min(size, len(pairs)))
        bridge = bridge_between(self.info, stage, at)
        noisy = stage.scheduler.scale_model_input(patches.latents, at.timestep)
        shown = cut(stage, patches)
        for number, each in enumerate(slices_of(pairs, list(map(self.key, pairs)), scales, size)):
            part, seen = part_of(patches, each, noisy), [picture.of(each) for picture in shown]
            wanted = Wanted(number, numbers[each], scales[each.start], halves.only, halves.guided)
            yield self.batch(stage, part, pairs[each], wanted, bridge, seen)

    # The same without gradients.
    _run = torch.inference_mode()(_halves)

    def hints(self, stage: Stage, controls: Sequence[Control]) -> tuple[list[Tensor], int]:
        """What ControlNets are shown of the whole canvas, and how many of its pixels are one side of a latent pixel."""
        return [control.hint for control in controls], self.info.factor

    def beside(self, stage: Stage, views: Sequence[View]) -> Tensor:
        """What a model that fills in masked parts is told of views in channels beside the latents, (P, E, h, w)."""
        if (masked := stage.masked) not in self._beside:
            self._beside[masked] = self.family.beside(masked.mask, masked.picture)
        # A copy, since what is computed once may take part in a gradient.
        return gather(self._beside[masked], views)

    @property
    def _guides_plainly(self) -> bool:
        return self.family.guides_plainly and not self.info.takes_guidance

    def answers(self, stage: Stage, bridge: Bridge, batch: Batch, scale: float) -> tuple[Tensor, ...]:
        """The denoiser's answers to the halves of a batch, each (P, C, h, w), float32, as it gives them."""
        views, embeddings, inputs, controls = batch.rows()
        self.conditional_rows = len(batch.views) if batch.conditional else 0
        conditions = self.conditions(stage, views, embeddings, scale)
        beside = None if batch.beside is None else batch.beside.repeat(batch.halves, 1, 1, 1)
        with self.looking(batch):
            output = self.forward(bridge.into(inputs), bridge.timestep, stage, conditions, controls, beside)
        self.conditional_rows = 0
        note_finite(stage, output, f"the prediction of {self._name(stage)}", partial(self._instead, stage, inputs))
        return output.float().chunk(batch.halves)

    def _instead(self, stage: Stage, inputs: Tensor) -> str:
        """What to change where a prediction is not finite."""
        return smaller_numbers(inputs) or wider_type(self.dtype, stage.recipe)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        stage: Stage,
        conditions: Mapping[str, Any],
        controls: Sequence[tuple[Control, Tensor]],
        beside: Tensor | None = None,
    ) -> Tensor:
        """The denoiser's answer to latents (B, C, h, w), each control with its rows' hints.

        What it is told beside the latents, (B, E, h, w), is put behind them. Every forward pass is one call of this;
        the answer is the model's own parameterisation.
        """
        self.turns.take(self.pipe)
        began = self._now()
        if controls:
            added = self.residuals(latents, timestep, controls, conditions)
            for each in tensors_in(added.values()):
                note_finite(stage, each, "what the ControlNet adds", "lower its scale, or use another dtype")
            conditions = {**conditions, **added}
        whole = latents if beside is None else torch.cat([latents, beside.to(latents)], dim=1)
        with self._patches.on(self.denoiser), self._at_work(self.family.denoiser):
            output = self.call(whole.to(self.dtype), timestep, conditions)
        self.forward_seconds += self._now() - began
        self.forward_passes += len(latents)
        return output

    def _now(self) -> float:
        # A GPU answers before it has computed.
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        return perf_counter()

    def _automatic_batch(self, view: tuple[int, int]) -> int:
        # Chosen once: the batch decides the last bits of a prediction, and free memory comes and goes.
        if view not in self.batches:
            free = torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else None
            self.batches[view] = views_per_pass(self.info, view, self.dtype.itemsize, free)
        return self.batches[view]

    def _name(self, stage: Stage) -> str:
        """What errors call it: `model 'scene'`, or `the model` where there is one."""
        names = [name for name, model in stage.models.items() if model is self]
        return f"model '{names[0]}'" if names and len(stage.models) > 1 else "the model"


def _guided(halves: tuple[Tensor, ...], scale: float) -> Tensor:
    """Guidance of two halves, uncond + scale (cond - uncond), (p, C, h, w); one half as it is."""
    if len(halves) == 1:
        return halves[0]
    cond, uncond = halves
    return uncond + scale * (cond - uncond)


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors in lists, tuples and mappings of them."""
    if isinstance(values, Tensor):
        return [values]
    if values is None or isinstance(values, (int, float, str)):
        return []
    inner = values.values() if isinstance(values, Mapping) else values
    return [each for value in inner for each in tensors_in(value)]
