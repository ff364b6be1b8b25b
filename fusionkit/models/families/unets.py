"""What the families with a UNet have in common. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.models.families.base import Family

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo


class UNetFamily(Family):
    """A family whose denoiser is a `UNet2DConditionModel`.

    Attributes:
        crops: Whether the denoiser is told where a view lies in the picture, and the picture's size.
    """

    denoiser, denoisers = "unet", ("UNet2DConditionModel",)
    autoencoders = ("AutoencoderKL", "AsymmetricAutoencoderKL", "AutoencoderTiny")
    reads = {}
    patch, half, text_first = 1, "float16", None
    prediction = "epsilon"  # where the scheduler's configuration is silent, which is what tells
    crops: ClassVar[bool] = False

    def suits(self, config: Mapping[str, Any]) -> bool:
        """By what the denoiser wants to be told."""
        return (config.get("addition_embed_type") == "text_time") == self.crops

    def loader(self, named: str) -> str:
        """The plainest, whatever a folder says."""
        return self.pipelines[0]

    def takes_scale(self, config: Mapping[str, Any]) -> bool:
        """Distilled models (LCM) do."""
        return config.get("time_cond_proj_dim") is not None

    def window_of(self, config: Mapping[str, Any], factor: int) -> tuple[int, int]:
        """By `sample_size`: one side, or height and width."""
        size = config.get("sample_size") or 64
        height, width = (size, size) if isinstance(size, int) else size
        return width * factor, height * factor

    def problems(self, config: Mapping[str, Any], channels: int) -> Iterator[str]:
        """Channels that are not the latents', going in or coming out."""
        for taken, key in (("takes", "in_channels"), ("answers", "out_channels")):
            if (count := config.get(key)) not in (None, channels):
                yield (
                    f"{taken} {count} channels, not the {channels} of its latents: "
                    f"inpainting, editing and upscaling models can't be used"
                )
                return

    def view_bytes(self, info: ModelInfo, view: tuple[int, int], itemsize: int) -> int:
        """A multiple of the first feature map, twice."""
        return max(1, 2 * self.maps * info.unet_channels * view[0] * view[1] * itemsize)

    def sigmas(self, steps: int) -> None:
        """It is no flow."""
