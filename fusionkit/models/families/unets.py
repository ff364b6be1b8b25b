"""What the families with a UNet have in common. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.models.families.base import Family
from fusionkit.models.families.in_file import DENOISER, Shapes

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.model import ModelInfo

# Stability's names in a whole model's file: the first layer, that of what looks at the text, and what only SDXL has.
FIRST = f"{DENOISER}input_blocks.0.0.weight"
TEXT = f"{DENOISER}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_XL = (
    "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias",
    "edm_mean",
    "edm_vpred.sigma_max",
)
LATENTS = 4
"""Channels of the latents of all whole models in one file."""
_TOLD_MORE = "that are told more than a prompt can't be used; use a plain one"
BETAS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "clip_sample": False,
    "set_alpha_to_one": False,
}
"""The noise schedule of Stable Diffusion."""


def is_xl(shapes: Shapes) -> bool:
    """Whether a whole model in one file is SDXL, or was trained from it."""
    return any(name in shapes for name in _XL)


def fills_in_file(shapes: Shapes) -> bool:
    """Whether a whole model in one file fills in masked parts of pictures."""
    return shapes[FIRST][1] == filling_channels(LATENTS)


def whole_file(
    shapes: Shapes, side: int, widths: tuple[int, ...], config: Mapping[str, Any], *, why: str
) -> dict[str, Any]:
    """What is known of a whole model in one file, as fields of a `ModelInfo`.

    What the header does not tell, or tells by a mark, is in the notes, with the key of a recipe that says otherwise.

    Args:
        shapes: Those of the file.
        side: Pixels along one side of its window.
        widths: Channels of the denoiser's levels.
        config: The scheduler's configuration.
        why: How it is known what the denoiser answers, where that is worth a word.
    """
    name, prediction = config["_class_name"], config["prediction_type"]
    notes = [
        f"trained at {side}x{side} pixels, as such models are (window)",
        f"scheduler {name} (scheduler)",
        f"predicts {prediction}{why} (scheduler.NAME.prediction-type)",
    ]
    if config.get("rescale_betas_zero_snr"):
        notes += ["begins at zero signal by the file's mark 'ztsnr' (scheduler.NAME.rescale-betas-zero-snr)"]
    return {
        "notes": tuple(notes),
        "channels": LATENTS,
        "fills_masks": fills_in_file(shapes),
        "factor": 8,
        "window": (side, side),
        "scheduler": name,
        "scheduler_config": config,
        "prediction_type": prediction,
        "block_out_channels": widths,
        "convolutions": unet_convolutions(len(widths), 2),
    }


def projects_text(config: Mapping[str, Any]) -> bool:
    """Whether a UNet, or its ControlNet, projects the text's tokens before its layers see them."""
    kind, length = config.get("encoder_hid_dim_type"), config.get("encoder_hid_dim")
    return kind == "text_proj" or (kind is None and length is not None)


_MIDDLE = "UNetMidBlock2DCrossAttn"
_ATTENDING = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D", _MIDDLE)


class UNetFamily(Family):
    """A family whose denoiser is a `UNet2DConditionModel`.

    Attributes:
        projects: Whether the denoiser itself brings the text's tokens to the length that its layers take.
    """

    denoiser, denoisers = "unet", ("UNet2DConditionModel",)
    autoencoders = ("AutoencoderKL", "AsymmetricAutoencoderKL", "AutoencoderTiny")
    reads = {}
    patch, half, text_first = 1, "float16", None
    prediction = "epsilon"  # where the scheduler's configuration is silent, which is what tells
    projects: ClassVar[bool] = False

    def suits(self, config: Mapping[str, Any]) -> bool:
        """By what the denoiser wants to be told."""
        return (config.get("addition_embed_type") == "text_time") == self.crops

    def guesses(self, config: Mapping[str, Any]) -> bool:
        """Any pipeline with a UNet that is told a crop, or is not, and projects the text, or does not."""
        return self.suits(config) and projects_text(config) == self.projects

    def pooled(self, encoders: Mapping[str, Any]) -> int:
        """Numbers of a prompt's pooled form, by the text encoders' configurations; 0 where there is none."""
        return 0

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
        """Channels that are not the latents', going in or coming out, but for a mask's and a picture's."""
        taken, given = config.get("in_channels"), config.get("out_channels")
        if problem := unknown_channels(channels if taken is None else taken, channels):
            yield problem
        elif given not in (None, channels):
            yield f"answers {given} channels, not the {channels} of its latents: upscaling models can't be used"

    def fills(self, config: Mapping[str, Any], channels: int) -> bool:
        """By its channels."""
        return config.get("in_channels") == filling_channels(channels)

    def beside(self, mask: Tensor, picture: Tensor) -> Tensor:
        """The mask, of which a latent pixel counts by the most of its pixels, and the picture."""
        import torch
        import torch.nn.functional as F

        return torch.cat([F.max_pool2d(mask, mask.shape[-1] // picture.shape[-1]), picture], dim=1)

    def view_bytes(self, info: ModelInfo, view: tuple[int, int], itemsize: int) -> int:
        """A multiple of the first feature map, twice."""
        return max(1, 2 * self.maps * info.unet_channels * view[0] * view[1] * itemsize)

    def sigmas(self, steps: int) -> None:
        """It is no flow."""


def filling_channels(channels: int) -> int:
    """What a UNet takes that fills in masked parts: latents of so many channels, a mask, and a picture's latents."""
    return channels + 1 + channels


def unknown_channels(count: int, channels: int) -> str:
    """Why a UNet that takes so many channels can't be used, as a line that reads on from its name; empty if it can.

    Args:
        count: Channels that it takes.
        channels: Channels of the autoencoder's latents.
    """
    if count in (channels, filling_channels(channels)):
        return ""
    told = {
        2 * channels: "that edit a picture by instructions can't be used; use image-to-image with a plain one",
        channels + 1: "that are told a picture's depth can't be used; use a plain one with a ControlNet for depth",
        channels + 3: "that upscale can't be used; use progressive-upscaling with a plain one",
    }
    return f"takes {count} channels, not the {channels} of its latents: models {told.get(count, _TOLD_MORE)}"


def unet_convolutions(blocks: int, layers: int | Sequence[int]) -> tuple[str, ...]:
    """The names of a UNet's 3x3 convolutions, in the order in which they are computed: all but its first and last.

    Args:
        blocks: The number of its down blocks, which is that of its up blocks.
        layers: ResNets of each down block, or of all of them; an up block has one more.
    """
    counts = [layers] * blocks if isinstance(layers, int) else list(layers)
    names: list[str] = []
    for block, count in enumerate(counts):
        names += _resnets(f"down_blocks.{block}", count)
        names += [f"down_blocks.{block}.downsamplers.0.conv"] * (block < blocks - 1)
    names += _resnets("mid_block", 2)
    for block, count in enumerate(reversed(counts)):
        names += _resnets(f"up_blocks.{block}", count + 1)
        names += [f"up_blocks.{block}.upsamplers.0.conv"] * (block < blocks - 1)
    return tuple(names)


def unet_attention(
    down: Sequence[str], up: Sequence[str], layers: Any, depths: Any, up_depths: Any = None, middle: Any = _MIDDLE
) -> dict[str, Any]:
    """Where a UNet looks at the text, as fields of a `ModelInfo`: the layers' names, in diffusers' order, and levels.

    Nothing of a configuration whose numbers do not fit each other, which is not judged here.

    Args:
        down: The classes of its down blocks.
        up: Those of its up blocks.
        layers: ResNets of each down block, or of all of them; an up block has one more.
        depths: Such layers in each transformer of a down block, or of all of them; an up block's are likewise, in the
            reverse order.
        up_depths: Of the up blocks, in their order, where a configuration tells.
        middle: The class of its middle block.
    """
    try:
        names = tuple(_text_layers(down, up, layers, depths, up_depths, middle))
    except (IndexError, TypeError):
        names = ()
    return {"text_layers": names, "cross_attention": tuple(sorted(_levels(names, len(down))))}


def _levels(names: Iterable[str], blocks: int) -> set[int]:
    """The divisors of the latents' sides at which down and up blocks have layers of these names."""
    found = set()
    for name in names:
        side, number, *_ = name.split(".")
        if side != "mid_block":
            found.add(2 ** (int(number) if side == "down_blocks" else blocks - 1 - int(number)))
    return found


def _text_layers(
    down: Sequence[str], up: Sequence[str], layers: Any, depths: Any, up_depths: Any, middle: Any
) -> Iterator[str]:
    blocks = len(down)
    counts = [layers] * blocks if isinstance(layers, int) else list(layers)
    deep = [depths] * blocks if isinstance(depths, int) else list(depths)
    for number, kind in enumerate(down):
        yield from _attending(f"down_blocks.{number}", kind, counts[number], deep[number])
    for number, kind in enumerate(up):
        own = up_depths[number] if up_depths is not None else deep[blocks - 1 - number]
        yield from _attending(f"up_blocks.{number}", kind, counts[blocks - 1 - number] + 1, own)
    yield from _attending("mid_block", middle, 1, deep[-1])


def _attending(block: str, kind: str | None, count: int, depth: Any) -> list[str]:
    if kind not in _ATTENDING:
        return []
    own = [depth] * count if isinstance(depth, int) else list(depth)
    places = ((number, layer) for number in range(count) for layer in range(own[number]))
    return [f"{block}.attentions.{number}.transformer_blocks.{layer}.attn2" for number, layer in places]


def _resnets(block: str, count: int) -> list[str]:
    return [f"{block}.resnets.{number}.conv{half}" for number in range(count) for half in (1, 2)]
