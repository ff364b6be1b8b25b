"""What fusionkit reads of an autoencoder's configuration file, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from fusionkit.models.files.config_values import (
    BLOCK_LIMIT,
    CHANNEL_LIMIT,
    Activation,
    Count,
    DownBlocks,
    Groups,
    Layers,
    Number,
    Numbers,
    UpBlocks,
    Widths,
    misfit_groups,
    perhaps,
    whole,
)
from fusionkit.models.files.configs import Config

VAES: Mapping[str, str] = {
    "AutoencoderKL": "block_out_channels",
    "AsymmetricAutoencoderKL": "down_block_out_channels",
    "AutoencoderTiny": "encoder_block_out_channels",
    "AutoencoderKLFlux2": "block_out_channels",
    "AutoencoderKLQwenImage": "dim_mult",
    "AutoencoderDC": "encoder_block_out_channels",
}
"""Autoencoders that can be used, and where each tells the channels of its encoder's levels, finest first."""

# Those whose levels are normalised in groups.
_GROUPED = ("AutoencoderKL", "AsymmetricAutoencoderKL", "AutoencoderKLFlux2")


class Vae(Config):
    """`vae/config.json`."""

    class_name: str | None = Field(default=None, alias="_class_name")
    in_channels: Count = 3
    out_channels: Count = 3
    latent_channels: Annotated[int, whole(1, 1_024)] = 4
    z_dim: Annotated[int | None, perhaps(1, 1_024)] = None
    base_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    dim_mult: Widths = None
    block_out_channels: Widths = None
    down_block_out_channels: Widths = None
    encoder_block_out_channels: Widths = None
    decoder_block_out_channels: Widths = None
    up_block_out_channels: Widths = None
    down_block_types: DownBlocks | None = None
    up_block_types: UpBlocks | None = None
    act_fn: Activation = "silu"
    norm_num_groups: Groups = 32
    layers_per_block: Layers = 1
    scaling_factor: Number = None
    shift_factor: Number = None
    latents_mean: Numbers = None
    latents_std: Numbers = None
    force_upcast: bool | None = None

    @model_validator(mode="after")
    def _statistics(self) -> Vae:
        for name in ("latents_mean", "latents_std"):
            given = getattr(self, name)
            if given is not None and len(given) != self.channels:
                raise ValueError(f"must tell {self.channels} {name}, one a channel, not {len(given)}")
        if self.scaling_factor is not None and self.scaling_factor <= 0:
            raise ValueError(f"must have a 'scaling_factor' above 0, not {self.scaling_factor}")
        if self.latents_std is not None and min(self.latents_std) <= 0:
            raise ValueError("must have 'latents_std' above 0")
        if len(self.widths or ()) > BLOCK_LIMIT:
            raise ValueError(f"must have at most {BLOCK_LIMIT} levels, not {len(self.widths or ())}")
        if self.kind not in _GROUPED:
            return self
        if problem := misfit_groups(self.norm_num_groups, self.widths or ()):
            raise ValueError(problem)
        others = self.up_block_out_channels if self.kind == "AsymmetricAutoencoderKL" else self.block_out_channels
        for name, widths in {"down_block_types": self.widths, "up_block_types": others}.items():
            given = getattr(self, name)
            if given is not None and widths is not None and len(given) != len(widths):
                raise ValueError(f"must name {len(widths)} {name}, one for each level, not {len(given)}")
        return self

    @property
    def channels(self) -> int:
        """Channels of its latents."""
        return self.z_dim or self.latent_channels

    @property
    def kind(self) -> str:
        """Its class."""
        return self.class_name or "AutoencoderKL"

    @property
    def widths(self) -> list[int] | None:
        """Channels of the encoder's levels, finest first: each but the last halves the side."""
        own: list[int] | None = getattr(self, VAES.get(self.kind, "block_out_channels"))
        return own or self.block_out_channels

    @property
    def first_width(self) -> int:
        """Channels of the decoder at the picture's size, for memory estimates."""
        if self.dim_mult and self.base_dim:
            return self.base_dim * self.dim_mult[0]
        return (self.decoder_block_out_channels or self.block_out_channels or self.widths or [128])[0]
