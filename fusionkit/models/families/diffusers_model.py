"""A diffusers pipeline as the loop uses it: batches, guidance, text encoding and the VAE."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.errors import ModelError
from fusionkit.loop.canvas import crop_pixels
from fusionkit.loop.finite import check_finite, note_finite, smaller_numbers, wider_type
from fusionkit.loop.model import ModelInfo, NetInfo
from fusionkit.loop.partly import chosen, spread
from fusionkit.loop.ring import MARGIN, closed, continued
from fusionkit.loop.stage import Control, Patches, Prompt, Stage, Step
from fusionkit.loop.views import View, Wrap
from fusionkit.models.controlnet import check_hints, load_controlnet, residuals
from fusionkit.models.fingerprint import fingerprint
from fusionkit.models.guard import at_work
from fusionkit.models.memory import views_per_pass
from fusionkit.models.parameterisation import alpha_sigma, converted
from fusionkit.models.prompts.encoding import Reader
from fusionkit.models.sharing import Turns
from fusionkit.models.silence import quiet_diffusers
from fusionkit.recipe.prompt_syntax import parse

if TYPE_CHECKING:
    from PIL.Image import Image

Embedding = tuple[Tensor, ...]


class DiffusersModel(ABC):
    """What SD and SDXL share; a subclass says how a prompt and a view become conditions.

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
        self.pipe = pipe
        self.info = info
        self.batch_size = batch_size
        self.vae_tiling = vae_tiling
        self.clip_skip = clip_skip
        self.turns = turns or Turns()
        self.forward_passes = 0
        self.forward_seconds = 0.0
        self.largest_batch = 0
        # How many rows of the batch at work are conditional; they come first. For those who watch the attention: 0
        # where another adapter is at work with the same denoiser.
        self.conditional_rows = 0
        self._embeddings: dict[tuple[str, int | None], Embedding] = {}
        self.batches: dict[tuple[int, int], int] = {}
        self._controlnets: dict[NetInfo, Any] = {}
        self._places: dict[tuple[torch.device, torch.dtype], tuple[torch.device, torch.dtype]] = {}

    @property
    def fingerprint(self) -> str:
        """What tells its weights, and their type, from others; empty where that can't be told."""
        return fingerprint(self.pipe)

    @property
    def device(self) -> torch.device:
        """Where the model computes; under CPU offload, the device that its parts move to."""
        return self._place[0]

    @property
    def dtype(self) -> torch.dtype:
        """The type that the denoiser computes in."""
        return self._place[1]

    @property
    def _place(self) -> tuple[torch.device, torch.dtype]:
        # diffusers walks through all modules to tell, which takes longer than a step of the loop: asked again only
        # when the weights have moved.
        first = self.pipe.unet.conv_in.weight
        key = first.device, first.dtype
        if key not in self._places:
            # As tensors name it: "cuda" is their "cuda:0", and what accelerate calls "cpu:0" is their "cpu".
            device = torch.empty(0, device=self.pipe._execution_device).device
            self._places[key] = device, self.pipe.unet.dtype
        return self._places[key]

    def predict(
        self,
        stage: Stage,
        at: Step,
        patches: Patches,
        guidance_scale: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
    ) -> Tensor:
        """The guided output for each view, (P, C, h, w), float32: uncond + guidance_scale (cond - uncond).

        As in diffusers, a guidance scale of at most 1, which it is outside of the interval, or a model that takes the
        scale as an input, runs the conditional half alone. Like `predict_pair`, it answers in the parameterisation of
        the stage's main model, and NaN for views that are left out.

        Args:
            stage: The stage.
            at: The step.
            patches: The views, with latents and prompts.
            guidance_scale: None is the recipe's.
            guidance_interval: Where guidance begins and ends, in shares of the stage's steps; None is the recipe's.
        """
        scale = stage.guidance_at(at, guidance_scale, guidance_interval)
        if not (group := chosen(patches)).views:
            return spread(patches, group.latents)
        if self.info.passes(scale) == 1:
            return spread(patches, self._run(stage, at, group, scale)[0])
        cond, uncond = self._run(stage, at, group, scale, guided=True)
        guided = uncond + scale * (cond - uncond)
        note_finite(stage, guided, f"the guidance at scale {scale:g}", "use a smaller guidance-scale")
        return spread(patches, guided)

    def predict_pair(self, stage: Stage, at: Step, patches: Patches) -> tuple[Tensor, Tensor]:
        """The conditional and the unconditional output for each view, each (P, C, h, w), float32, unguided.

        Views that are left out are NaN.
        """
        if not (group := chosen(patches)).views:
            return spread(patches, group.latents), spread(patches, group.latents)
        cond, uncond = self._run(stage, at, group, stage.guidance_at(at), guided=True)
        return spread(patches, cond), spread(patches, uncond)

    def controlnet(self, info: NetInfo) -> Any:
        """A ControlNet of diffusers in the denoiser's type and on its device; loaded once.

        Raises:
            ModelError: Its weights can't be loaded.
        """
        if info not in self._controlnets:
            self._controlnets[info] = load_controlnet(info, self.device, self.dtype)
        return self._controlnets[info]

    @torch.inference_mode()
    def decode(self, latents: Tensor, wrap: Wrap = "") -> Image:
        """Scaled latents (1, C, H, W) as a picture, as the pipeline itself decodes them.

        Args:
            latents: The latents.
            wrap: Along which axes they are a ring: then the picture's edges meet.

        Raises:
            NumericalError: The picture has values that are not finite.
        """
        check_finite(latents, "the canvas that is to be decoded", "nothing can be drawn of it")
        with self._vae() as vae:
            with self._at_work("vae"):
                beyond = continued(self._unscaled(latents.to(self.device)), wrap, MARGIN)
                image = vae.decode(beyond.to(vae.dtype), return_dict=False)[0]
            image = closed(image, wrap, MARGIN * self.info.factor)
            check_finite(image, "the picture as the VAE decodes it", wider_type(vae.dtype))
        picture: Image = self.postprocess(image.float())
        self.pipe.maybe_free_model_hooks()
        self.turns.release()
        return picture

    @torch.inference_mode()
    def encode(self, image: Image, wrap: Wrap = "") -> Tensor:
        """A picture as scaled latents, (1, C, H, W), float32; the mean of the VAE's distribution.

        Args:
            image: The picture.
            wrap: Along which axes its edges meet.

        Raises:
            ModelError: A side is not divisible by the latent factor.
            NumericalError: The latents have values that are not finite.
        """
        if image.width % self.info.factor or image.height % self.info.factor:
            raise ModelError(
                f"a picture of {image.width}x{image.height} can't be encoded: "
                f"its sides must be divisible by {self.info.factor}"
            )
        pixels = self.pipe.image_processor.preprocess(image.convert("RGB"))
        pixels = continued(pixels, wrap, MARGIN * self.info.factor)
        with self._vae() as vae:
            with self._at_work("vae"):
                encoded = vae.encode(pixels.to(self.device, vae.dtype))
            # A tiny autoencoder tells latents, the others a distribution of them.
            latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
            latents = closed(latents, wrap, MARGIN)
            check_finite(latents, "a picture, as the VAE encodes it,", wider_type(vae.dtype))
        return self._scaled(latents.float())

    @abstractmethod
    def encode_prompt(self, text: str, clip_skip: int | None) -> Embedding:
        """The text encoder's answer to one prompt, each tensor with a first axis of 1."""

    @abstractmethod
    def conditions(self, stage: Stage, views: Sequence[View], embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """The denoiser's arguments for views with one embedding each, the text ones among them."""

    @abstractmethod
    def postprocess(self, image: Tensor) -> Image:
        """Decoded pixels (1, 3, H, W) in -1..1 as a picture, with what else the pipeline does to its pictures."""

    def embed(self, text: str) -> Embedding:
        """A prompt's embedding; each distinct text is encoded once."""
        return self._cached(text, self.clip_skip)

    @property
    def readers(self) -> list[Reader]:
        """The pipeline's tokenizers with their encoders."""
        parts = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")]
        pairs = [(getattr(self.pipe, one, None), getattr(self.pipe, other, None)) for one, other in parts]
        return [
            Reader(tokenizer, encoder, partial(self.pipe.maybe_convert_prompt, tokenizer=tokenizer))
            for tokenizer, encoder in pairs
            if tokenizer is not None and encoder is not None
        ]

    @property
    def chunk_length(self) -> int:
        """How many tokens the text encoders read at once: 77 for CLIP."""
        return self.readers[0].frame.length

    def as_one_chunk(self, text: str) -> str | None:
        """A prompt's words where the pipeline's own way encodes them; None of weights and of several chunks."""
        parsed = parse(text)
        if parsed.weighted or any(len(reader.chunks(parsed)) > 1 for reader in self.readers):
            return None
        return parsed.text

    def embed_negative(self, text: str) -> Embedding:
        """A negative prompt's embedding; diffusers skips no layers of it."""
        return self._cached(text, None)

    @torch.inference_mode()
    def _run(
        self, stage: Stage, at: Step, patches: Patches, scale: float, *, guided: bool = False
    ) -> tuple[Tensor, ...]:
        """The outputs for each view: conditional, and unconditional if guided; each (P, C, h, w), float32.

        The guidance scale is for models that take it as an input.
        """
        pairs = self._embedded(stage, patches, guided)
        latents = stage.scheduler.scale_model_input(patches.latents, at.timestep)
        into_main = self._conversion(stage, at)
        size = stage.recipe.batch_size or self.batch_size or self._automatic_batch(patches.size)
        self.largest_batch = max(self.largest_batch, min(size, len(pairs)))
        controls = [control for control in patches.controls if control.scale != 0]
        check_hints(controls, stage)
        halves: tuple[list[Tensor], ...] = ([], []) if guided else ([],)
        for batch in _batches([pair[0][0].shape[1] for pair in pairs], size):
            views, asked = list(patches.views[batch]), pairs[batch]
            hints = [crop_pixels(control.hint, views, self.info.factor) for control in controls]
            embeddings = [pair[half] for half in range(len(halves)) for pair in asked]
            if guided:
                views = views * 2
                hints = [hint.repeat(2, 1, 1, 1) for hint in hints]
            inputs = latents[batch].repeat(2 if guided else 1, 1, 1, 1)
            self.conditional_rows = len(asked)
            conditions = {**self.conditions(stage, views, embeddings), **self._told_scale(scale, len(inputs))}
            output = self.forward(inputs, at.timestep, stage, conditions, list(zip(controls, hints, strict=True)))
            self.conditional_rows = 0
            instead = partial(self._instead, stage, inputs)
            note_finite(stage, output, f"the prediction of {self._name(stage)}", instead)
            output = into_main(output.float(), inputs)
            for half, values in zip(halves, output.chunk(len(halves)), strict=True):
                half.append(values)
        return tuple(torch.cat(half) for half in halves)

    def _instead(self, stage: Stage, inputs: Tensor) -> str:
        """What to change where a prediction is not finite."""
        return smaller_numbers(inputs) or wider_type(self.dtype, stage.recipe)

    def _embedded(self, stage: Stage, patches: Patches, guided: bool) -> list[tuple[Embedding, ...]]:
        """For each view its prompt's embedding and, if guided, the negative one's, both of equally many chunks."""
        pairs: list[tuple[Embedding, ...]] = []
        for each in patches.prompts:
            prompt = Prompt(each) if isinstance(each, str) else each
            pair: tuple[Embedding, ...] = (self.embed(prompt.text),)
            if guided:
                negative = stage.recipe.negative_prompt if prompt.negative is None else prompt.negative
                pair += (self.embed_negative(negative),)
                # The shorter one goes on with what an empty prompt of its kind is.
                most = max(embeds.shape[1] for embeds, *_ in pair)
                if any(embeds.shape[1] < most for embeds, *_ in pair):
                    # Zeros stand for a whole negative prompt that is empty, not for the end of one.
                    end = self.embed_negative("") if negative == "" else self._cached("", None)
                    pair = _longer(pair[0], most, self.embed("")), _longer(pair[1], most, end)
            pairs.append(pair)
        return pairs

    def _conversion(self, stage: Stage, at: Step) -> Callable[[Tensor, Tensor], Tensor]:
        """From outputs, and the model's inputs that they are for, to outputs as the stage's main model gives them."""
        source, target = self.info.prediction_type, stage.scheduler.config.get("prediction_type", "epsilon")
        # What the main model answers is what the scheduler takes it for, also where a recipe sets that.
        if source == target or self.info == stage.info:
            return lambda output, _: output
        alpha, sigma = alpha_sigma(stage.scheduler, at.timestep)
        return lambda output, noisy: converted(output, noisy, alpha, sigma, source, target)

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        stage: Stage,
        conditions: Mapping[str, Any],
        controls: Sequence[tuple[Control, Tensor]],
    ) -> Tensor:
        """The denoiser's answer to latents (B, C, h, w), each control with its hints (B, 3, h factor, w factor).

        Every forward pass is one call of this; the answer is the model's own parameterisation.
        """
        unet = self.pipe.unet
        self.turns.take(self.pipe)
        began = self._now()
        if controls:
            added = residuals(latents, timestep, controls, conditions)
            for each in (*added["down_block_additional_residuals"], added["mid_block_additional_residual"]):
                note_finite(stage, each, "what the ControlNet adds", "lower its scale, or use another dtype")
            conditions = {**conditions, **added}
        with self._at_work("unet"):
            output: Tensor = unet(latents.to(self.dtype), timestep, **conditions, return_dict=False)[0]
        self.forward_seconds += self._now() - began
        self.forward_passes += len(latents)
        return output

    def _told_scale(self, scale: float, count: int) -> dict[str, Tensor]:
        """The guidance scale as distilled models (LCM) take it, for so many rows; nothing for all others."""
        dim = self.pipe.unet.config.time_cond_proj_dim
        if dim is None:
            return {}
        embedded = self.pipe.get_guidance_scale_embedding(torch.full((count,), scale - 1), embedding_dim=dim)
        return {"timestep_cond": embedded.to(self.device, self.dtype)}

    def _at_work(self, part: str) -> AbstractContextManager[None]:
        path = getattr(self.pipe, "name_or_path", None)
        return at_work(f"model '{path}': {part}" if path else f"the model's {part}")

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

    def forget_prompts(self) -> None:
        """Encode every text anew when it is next needed."""
        self._embeddings.clear()

    @torch.inference_mode()
    def _cached(self, text: str, clip_skip: int | None) -> Embedding:
        key = text, clip_skip
        if key not in self._embeddings:
            with self._at_work("text encoder or tokenizer"):
                embedding = self.encode_prompt(text, clip_skip)
            for part in embedding:
                check_finite(part, f"the text encoder's answer to '{text:.40}'", wider_type(part.dtype))
            self._embeddings[key] = embedding
        return self._embeddings[key]

    @contextmanager
    def _vae(self) -> Iterator[Any]:
        """The VAE, tiled if asked for, in float32 where float16 would overflow; afterwards as it was."""
        self.turns.release()
        vae = self.pipe.vae
        dtype, tiled = vae.dtype, getattr(vae, "use_tiling", None)
        upcast = dtype == torch.float16 and bool(vae.config.get("force_upcast"))
        try:
            if self.vae_tiling and tiled is not None:
                vae.enable_tiling()
            if upcast:
                _cast(vae, torch.float32)
            yield vae
        finally:
            if tiled is not None:
                vae.use_tiling = tiled
            if upcast:
                _cast(vae, dtype)

    def _moments(self, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Mean and standard deviation of the VAE's latents, where its configuration tells them."""
        config = self.pipe.vae.config
        mean, std = config.get("latents_mean"), config.get("latents_std")
        if mean is None or std is None:
            return config.get("shift_factor") or 0.0, 1.0
        return like.new_tensor(mean).view(1, -1, 1, 1), like.new_tensor(std).view(1, -1, 1, 1)

    def _scaled(self, latents: Tensor) -> Tensor:
        mean, std = self._moments(latents)
        scaled: Tensor = (latents - mean) * self.pipe.vae.config.scaling_factor / std
        return scaled

    def _unscaled(self, latents: Tensor) -> Tensor:
        mean, std = self._moments(latents)
        unscaled: Tensor = latents * std / self.pipe.vae.config.scaling_factor + mean
        return unscaled


def _batches(lengths: Sequence[int], size: int) -> Iterator[slice]:
    """Neighbours of one length, at most so many at a time: what a view is told depends on no other one's prompt."""
    start = 0
    while start < len(lengths):
        end = start + 1
        while end < len(lengths) and end - start < size and lengths[end] == lengths[start]:
            end += 1
        yield slice(start, end)
        start = end


def _longer(embedding: Embedding, length: int, empty: Embedding) -> Embedding:
    """An embedding with chunks of an empty prompt at its end, up to a number of tokens."""
    embeds, *rest = embedding
    missing = length - embeds.shape[1]
    if missing == 0:
        return embedding
    return torch.cat([embeds, empty[0].repeat(1, missing // empty[0].shape[1], 1)], dim=1), *rest


def _cast(module: Any, dtype: torch.dtype) -> None:
    with quiet_diffusers():
        module.to(dtype=dtype)
