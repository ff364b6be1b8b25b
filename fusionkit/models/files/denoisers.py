"""What fusionkit reads of a denoiser's configuration file, checked: those of UNets, of ControlNets, of transformers."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field, model_validator

from fusionkit.models.families.unets import projects_text
from fusionkit.models.files.config_values import (
    BLOCK_LIMIT,
    CHANNEL_LIMIT,
    LAYER_LIMIT,
    SIDE_LIMIT,
    Above0,
    Activation,
    Count,
    DownBlocks,
    Groups,
    Layers,
    UpBlocks,
    Widths,
    each_of,
    misfit_groups,
    perhaps,
)
from fusionkit.models.files.configs import Config
from fusionkit.recipe.problems import shown

D = TypeVar("D", bound="Denoiser")


class Denoiser(Config):
    """`unet/config.json`, and what of it a ControlNet's has as well."""

    in_channels: Count = 4
    out_channels: Count = 4
    block_out_channels: Widths = None
    down_block_types: DownBlocks | None = None
    up_block_types: UpBlocks | None = None
    attention_head_dim: Annotated[Any, each_of(1, CHANNEL_LIMIT, alone=True)] = 8
    num_attention_heads: Annotated[Any, each_of(1, CHANNEL_LIMIT, alone=True)] = None
    act_fn: Activation = "silu"
    norm_eps: Above0 = 1e-5
    norm_num_groups: Groups = 32
    cross_attention_dim: Annotated[Any, each_of(1, CHANNEL_LIMIT, alone=True)] = None
    layers_per_block: Layers = 2
    transformer_layers_per_block: Layers = 1
    reverse_transformer_layers_per_block: Layers = None
    sample_size: Annotated[Any, each_of(1, SIDE_LIMIT, alone=True)] = None
    addition_embed_type: str | None = None
    addition_time_embed_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    projection_class_embeddings_input_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    time_cond_proj_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    class_embed_type: str | None = None
    num_class_embeds: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    encoder_hid_dim_type: str | None = None
    encoder_hid_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    attention_type: str | None = None

    @model_validator(mode="after")
    def _normalised(self: D) -> D:
        if problem := misfit_groups(self.norm_num_groups, self.block_out_channels or ()):
            raise ValueError(problem)
        return self

    @property
    def token_width(self) -> int:
        """Length of a token's embedding; 0 where the configuration is silent."""
        width = self.cross_attention_dim or 0
        return int(width if isinstance(width, int) else width[-1])

    @property
    def is_xl(self) -> bool:
        """Whether it is told where a picture was cropped, as SDXL is."""
        return self.addition_embed_type == "text_time"

    @property
    def projects(self) -> bool:
        """Whether it projects the text's tokens before its layers see them."""
        return projects_text(self.model_dump())

    def strangeness(self, *, projects: bool = False) -> str:
        """What it wants to be told that a prompt does not hold; empty for what a family knows.

        Args:
            projects: Whether the denoisers of the family project the text's tokens.
        """
        if self.addition_embed_type not in (None, "text_time"):
            return f"addition_embed_type '{self.addition_embed_type}'"
        told = {name: getattr(self, name) for name in ("class_embed_type", "num_class_embeds")}
        if not (projects and self.projects):
            told |= {"encoder_hid_dim_type": self.encoder_hid_dim_type, "encoder_hid_dim": self.encoder_hid_dim}
        if self.attention_type != "default":
            told["attention_type"] = self.attention_type
        return next((f"{name} {shown(value)}" for name, value in told.items() if value is not None), "")


class UNet(Denoiser):
    """A denoiser's configuration, with what text to image with SD or SDXL asks of it."""

    mid_block_type: str | None = "UNetMidBlock2DCrossAttn"
    class_name: str | None = Field(default=None, alias="_class_name")
    diffusers_version: Any = Field(default=None, alias="_diffusers_version")

    @model_validator(mode="after")
    def _text_to_image(self) -> UNet:
        size = self.sample_size
        if isinstance(size, list) and (len(size) != 2 or not all(isinstance(each, int) for each in size)):
            raise ValueError(f"must tell 'sample_size' as one number or two, not {shown(size)}")
        blocks = len(self.block_out_channels or ())
        kinds = {"down_block_types": self.down_block_types, "up_block_types": self.up_block_types}
        for name, given in kinds.items():
            if blocks and given is not None and len(given) != blocks:
                raise ValueError(f"must name {blocks} {name}, one for each of its block_out_channels, not {len(given)}")
        if blocks > BLOCK_LIMIT:
            raise ValueError(f"must have at most {BLOCK_LIMIT} block_out_channels, not {blocks}")
        return self


class Transformer(Config):
    """`transformer/config.json`, as far as most diffusion transformers have it; a family knows the rest."""

    class_name: str | None = Field(default=None, alias="_class_name")
    in_channels: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    out_channels: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    num_layers: Annotated[int | None, perhaps(0, LAYER_LIMIT)] = None
    num_single_layers: Annotated[int | None, perhaps(0, LAYER_LIMIT)] = None
    num_attention_heads: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    attention_head_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    joint_attention_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    pooled_projection_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    sample_size: Annotated[Any, each_of(1, SIDE_LIMIT, alone=True)] = None
