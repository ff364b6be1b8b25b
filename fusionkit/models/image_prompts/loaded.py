"""What a model keeps of the pictures that its denoiser looks at: adapters, and tokens, each made once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.loop.stage import ImagePrompt
from fusionkit.models.image_prompts.load import Adapter, encoded, load_adapter

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.models.image_prompts.adapter import AdapterInfo
    from fusionkit.models.image_prompts.encoder import EncoderInfo


class ImagePrompts:
    """Those of one model; the image encoders are not kept.

    Attributes:
        processors: What lets the denoiser's layers look at several of them, of which no weight is copied.
    """

    def __init__(self) -> None:
        self.processors: dict[Any, Any] = {}
        self._adapters: dict[AdapterInfo, Adapter] = {}
        self._tokens: dict[tuple[AdapterInfo, EncoderInfo, tuple[bytes, ...]], Tensor] = {}

    def made(
        self,
        info: AdapterInfo,
        encoder: EncoderInfo,
        pictures: Sequence[Image],
        unet: Any,
        device: torch.device,
        dtype: torch.dtype,
    ) -> ImagePrompt:
        """Pictures as an adapter shows them to a UNet, everywhere, each layer at a scale of 1.

        Raises:
            ModelError: Weights can't be loaded.
        """
        adapter = self.adapter(info, unet, device, dtype)
        key = info, encoder, tuple(map(_digest, pictures))
        if key not in self._tokens:
            self._tokens[key] = encoded(adapter, encoder, pictures, device, dtype)
        return ImagePrompt(adapter.layers, self._tokens[key], dict.fromkeys(adapter.layers, 1.0))

    def adapter(self, info: AdapterInfo, unet: Any, device: torch.device, dtype: torch.dtype) -> Adapter:
        """An adapter, loaded once."""
        if info not in self._adapters:
            self._adapters[info] = load_adapter(info, unet, device, dtype)
        return self._adapters[info]


def _digest(picture: Image) -> bytes:
    return hashlib.sha256(repr((picture.mode, picture.size)).encode() + picture.tobytes()).digest()
