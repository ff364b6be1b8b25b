"""Pictures to latents and back through a pipeline's autoencoder, on the pipeline's device and in its type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.errors import ModelError
from fusionkit.loop.finite import check_finite, wider_type
from fusionkit.loop.model import ModelInfo
from fusionkit.loop.ring import MARGIN, closed, continued
from fusionkit.loop.room import IN_MEMORY, Room
from fusionkit.loop.views import Wrap
from fusionkit.models.adapters.moments import scaled, unscaled
from fusionkit.models.adapters.tiles import DECODED, Cut, decode_tile, tiling_of
from fusionkit.models.fingerprint import fingerprint
from fusionkit.models.guard import at_work
from fusionkit.models.sharing import Turns
from fusionkit.models.silence import quiet_diffusers

if TYPE_CHECKING:
    from PIL.Image import Image


class PictureModel(ABC):
    """A pipeline, as far as pictures and their latents go.

    Args:
        pipe: A pipeline; nothing of it is changed but what a call puts back.
        info: What its configuration tells.
        vae_tiling: Decode and encode in tiles, for large pictures on small devices.
        turns: Shared by the models of a run, so that under offload only the one at work is on the device.
    """

    def __init__(self, pipe: Any, info: ModelInfo, *, vae_tiling: bool, turns: Turns | None) -> None:
        self.pipe = pipe
        self.info = info
        self.vae_tiling = vae_tiling
        self.turns = turns or Turns()
        self._places: dict[tuple[torch.device, torch.dtype], tuple[torch.device, torch.dtype]] = {}

    @property
    def fingerprint(self) -> str:
        """What tells its weights, and their type, from others; empty where that can't be told."""
        return fingerprint(self.pipe)

    @property
    @abstractmethod
    def denoiser(self) -> Any:
        """The pipeline's part that predicts."""

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
        first = next(self.denoiser.parameters())
        key = first.device, first.dtype
        if key not in self._places:
            # As tensors name it: "cuda" is their "cuda:0", and what accelerate calls "cpu:0" is their "cpu".
            device = torch.empty(0, device=self.pipe._execution_device).device
            self._places[key] = device, self.denoiser.dtype
        return self._places[key]

    @torch.inference_mode()
    def decode(self, latents: Tensor, wrap: Wrap = "", room: Room = IN_MEMORY) -> Image:
        """Scaled latents (1, C, H, W) as a picture, as the pipeline itself decodes them.

        In tiles, no more than a row of them is in memory, and the picture where `room` says.

        Args:
            latents: The latents.
            wrap: Along which axes they are a ring: then the picture's edges meet.
            room: Where the picture is, if it is decoded in tiles.

        Raises:
            NumericalError: The picture has values that are not finite.
        """
        check_finite(latents, "the canvas that is to be decoded", "nothing can be drawn of it")
        if (cut := self.cut(latents, wrap)) is not None:
            with self._vae() as vae, self._at_work("vae"):
                picture = cut.drawn(lambda tiles: (decode_tile(vae, tile) for tile in tiles), room)
        else:
            with self._vae() as vae:
                image = self._decoded(vae, latents, wrap)
                check_finite(image, DECODED, wider_type(vae.dtype))
            picture = self.postprocess(image.float())
        self.pipe.maybe_free_model_hooks()
        self.turns.release()
        return picture

    @torch.inference_mode()
    def cut(self, latents: Tensor, wrap: Wrap = "") -> Cut | None:
        """Latents as they are decoded in tiles; None where all of the picture is decoded, or looked at, together.

        Args:
            latents: The latents, (1, C, H, W), scaled.
            wrap: Along which axes they are a ring.
        """
        if not self.vae_tiling or self.looks_at_pictures:
            return None
        tiling = tiling_of(self.pipe.vae, self.info.factor)
        axes = list(zip("yx", latents.shape[-2:], strict=True))
        height, width = (side + 2 * MARGIN * (axis in wrap) for axis, side in axes)
        short = any(axis in wrap and side < MARGIN for axis, side in axes)
        if tiling is None or not tiling.cuts(height, width) or short:
            return None
        with self._vae() as vae:
            beyond = continued(unscaled(vae, latents.to(self.device)), wrap, MARGIN).to(vae.dtype)
        beyond = beyond[:, :, None] if _of_videos(self.pipe.vae) else beyond
        return Cut(tiling, beyond, type(self.pipe.vae), self.pipe.image_processor, self.info.factor, wrap)

    @torch.inference_mode()
    def decoded_tile(self, tile: Tensor) -> Tensor:
        """One tile of a `Cut`, decoded; a function of it alone."""
        with self._vae() as vae, self._at_work("vae"):
            return decode_tile(vae, tile.to(self.device))

    @property
    def looks_at_pictures(self) -> bool:
        """Whether the pipeline looks at a decoded picture as a whole, or changes it so."""
        return False

    def pixels(self, latents: Tensor) -> Tensor:
        """Scaled latents (P, C, h, w) as the VAE decodes them, (P, 3, h factor, w factor), float32, not clipped."""
        with self._vae() as vae:
            return self._decoded(vae, latents).float()

    def _decoded(self, vae: Any, latents: Tensor, wrap: Wrap = "") -> Tensor:
        with self._at_work("vae"):
            beyond = continued(unscaled(vae, latents.to(self.device)), wrap, MARGIN).to(vae.dtype)
            image = vae.decode(beyond[:, :, None] if _of_videos(vae) else beyond, return_dict=False)[0]
        return closed(image[:, :, 0] if image.ndim == 5 else image, wrap, MARGIN * self.info.factor)

    @contextmanager
    def _differentiable(self) -> Iterator[None]:
        """While gradients go through denoiser and VAE, by whatever they are given: not by their own weights."""
        with torch.inference_mode(False), torch.enable_grad(), self._vae() as vae, _frozen([self.denoiser, vae]):
            yield

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
        return self.encode_pixels(self.pipe.image_processor.preprocess(image.convert("RGB")), wrap)

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor, wrap: Wrap = "") -> Tensor:
        """The same of pixels (1, 3, H, W) in -1..1.

        Raises:
            NumericalError: The latents have values that are not finite.
        """
        pixels = continued(pixels, wrap, MARGIN * self.info.factor)
        with self._vae() as vae:
            with self._at_work("vae"):
                pixels = pixels.to(self.device, vae.dtype)
                encoded = vae.encode(pixels[:, :, None] if _of_videos(vae) else pixels)
            latents = closed(_mean(encoded), wrap, MARGIN)
            check_finite(latents, "a picture, as the VAE encodes it,", wider_type(vae.dtype))
        return scaled(vae, latents.float())

    @abstractmethod
    def postprocess(self, image: Tensor) -> Image:
        """Decoded pixels (1, 3, H, W) in -1..1 as a picture, with what else the pipeline does to its pictures."""

    def _at_work(self, part: str) -> AbstractContextManager[None]:
        path = getattr(self.pipe, "name_or_path", None)
        return at_work(f"model '{path}': {part}" if path else f"the model's {part}")

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


def _mean(encoded: Any) -> Tensor:
    # A tiny autoencoder tells latents, the others a distribution of them; those of videos have an axis of frames.
    for name in ("latents", "latent"):
        if hasattr(encoded, name):
            latents: Tensor = getattr(encoded, name)
            return latents
    latents = encoded.latent_dist.mode()
    return latents[:, :, 0] if latents.ndim == 5 else latents


def _of_videos(vae: Any) -> bool:
    """Whether its latents have an axis of frames."""
    return vae.config.get("temperal_downsample") is not None


@contextmanager
def _frozen(modules: Sequence[Any]) -> Iterator[None]:
    """Modules whose weights ask for no gradient, and let others' through; afterwards they ask as before."""
    asking = []
    for parameter in (each for module in modules for each in module.parameters()):
        if parameter.is_inference():
            # Moved or cast by somebody in inference mode: autograd takes no such tensor.
            parameter.data = parameter.data.clone()
        if parameter.requires_grad:
            asking.append(parameter.requires_grad_(False))
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def _cast(module: Any, dtype: torch.dtype) -> None:
    with quiet_diffusers(), torch.inference_mode(False):
        module.to(dtype=dtype)
