"""What fusionkit reads of each configuration file of a model, checked: types, limits, and what can't be used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fusionkit.errors import ModelError
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
    Number,
    Numbers,
    UpBlocks,
    Widths,
    activation,
    each_of,
    misfit_groups,
    perhaps,
    whole,
)
from fusionkit.models.files.reading import excesses, read_json
from fusionkit.models.files.sources import Arguments, arguments_of, fields_of, fits
from fusionkit.recipe.problems import problems_of, shown

VAES: Mapping[str, str] = {
    "AutoencoderKL": "block_out_channels",
    "AsymmetricAutoencoderKL": "down_block_out_channels",
    "AutoencoderTiny": "encoder_block_out_channels",
}
"""Autoencoders that can be used, and where each tells the channels of its encoder's levels, finest first."""

# What a file may make its library load beside the weights: code, other files, or other models.
_REACHES = {
    "auto_map": "code of its own",
    "quantization_config": "quantised weights",
    "transformers_weights": "weights of another name",
    "attn_implementation": "an attention of its own",
    "_attn_implementation": "an attention of its own",
    "experts_implementation": "code of its own",
}

# Parts that a pipeline may do without, and whose place it expects to be named all the same.
_PERHAPS = ("safety_checker", "feature_extractor", "image_encoder")
_OWN_ATTENTION = ("eager", "sdpa")
# Where transformers has the configurations of text encoders; the type that a file tells is not asked when one loads.
_ENCODERS = {"CLIPTextConfig": "models/clip/*.py", "BertConfig": "models/bert/*.py"}
_ANY_ENCODER = "models/*/configuration_*.py"
_TYPES = {"clip_text_model": "CLIPTextModel", "bert": "BertModel"}
# Where diffusers has the classes of which a file may be, and the one where it does not say.
_CLASSES = {
    "Denoiser": ("models/controlnets/controlnet.py", "ControlNetModel"),
    "UNet": ("models/unets/unet_2d_condition.py", "UNet2DConditionModel"),
    "Vae": ("models/autoencoders/autoencoder*.py", ""),
}

C = TypeVar("C", bound=BaseModel)
D = TypeVar("D", bound="Denoiser")


class Config(BaseModel):
    """A configuration file, as far as fusionkit reads it."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


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
    def strangeness(self) -> str:
        """What it wants to be told that a prompt does not hold; empty for SD's and SDXL's own."""
        if self.addition_embed_type not in (None, "text_time"):
            return f"addition_embed_type '{self.addition_embed_type}'"
        told = {name: getattr(self, name) for name in ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type")}
        if self.attention_type != "default":
            told["attention_type"] = self.attention_type
        return next((f"{name} {shown(value)}" for name, value in told.items() if value is not None), "")


class UNet(Denoiser):
    """A denoiser's configuration, with what text to image with SD or SDXL asks of it."""

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


class Vae(Config):
    """`vae/config.json`."""

    class_name: str | None = Field(default=None, alias="_class_name")
    in_channels: Count = 3
    out_channels: Count = 3
    latent_channels: Annotated[int, whole(1, 1_024)] = 4
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
            if given is not None and len(given) != self.latent_channels:
                raise ValueError(f"must tell {self.latent_channels} {name}, one a channel, not {len(given)}")
        if self.scaling_factor is not None and self.scaling_factor <= 0:
            raise ValueError(f"must have a 'scaling_factor' above 0, not {self.scaling_factor}")
        if self.latents_std is not None and min(self.latents_std) <= 0:
            raise ValueError("must have 'latents_std' above 0")
        if len(self.widths or ()) > BLOCK_LIMIT:
            raise ValueError(f"must have at most {BLOCK_LIMIT} levels, not {len(self.widths or ())}")
        if self.kind == "AutoencoderTiny":
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
    def kind(self) -> str:
        """Its class."""
        return self.class_name or "AutoencoderKL"

    @property
    def widths(self) -> list[int] | None:
        """Channels of the encoder's levels, finest first: each but the last halves the side."""
        own: list[int] | None = getattr(self, VAES.get(self.kind, "block_out_channels"))
        return own or self.block_out_channels


class TextEncoder(Config):
    """`text_encoder/config.json`, of CLIP, BERT or another one."""

    model_type: str | None = None
    vocab_size: Annotated[int | None, perhaps(1, 2_000_000)] = None
    hidden_size: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    d_model: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    hidden_act: Annotated[str, activation("transformers")] = "quick_gelu"
    layer_norm_eps: Above0 = 1e-5
    eos_token_id: Any = 49_407
    num_hidden_layers: Annotated[int, whole(1, LAYER_LIMIT)] = 12
    num_attention_heads: Annotated[int, whole(1, 1_024)] = 12
    intermediate_size: Count = 2_048
    max_position_embeddings: Annotated[int, whole(1, 100_000)] = 77
    projection_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None

    @model_validator(mode="after")
    def _heads(self) -> TextEncoder:
        if self.model_type == "clip_text_model" and type(self.eos_token_id) is not int:
            # CLIP looks for it in the prompt, and makes the prompt's pooled form of what it finds there.
            raise ValueError(f"must have a whole number for its 'eos_token_id', not {shown(self.eos_token_id)}")
        if self.width % self.num_attention_heads:
            heads = f"num_attention_heads {self.num_attention_heads}"
            raise ValueError(f"must have a width that its {heads} divide, not {self.width}")
        return self

    @property
    def width(self) -> int:
        """Length of a token's embedding; 0 where the configuration is silent."""
        return self.hidden_size or self.d_model or 0


class Index(Config):
    """`model_index.json`: which class each part is of; only the parts' names and classes are read."""

    class_name: Any = Field(default=None, alias="_class_name")
    requires_aesthetics_score: bool | None = None
    force_zeros_for_empty_prompt: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _parts(cls, value: Any) -> Any:
        for name, part in value.items():
            if isinstance(part, list) and (
                len(part) != 2 or not all(each is None or isinstance(each, str) for each in part)
            ):
                raise ValueError(f"must name '{name:.40}' by its library and its class, not {shown(part)}")
            if part is None and name in _PERHAPS:
                raise ValueError(f"must say [null, null] for a '{name}' that is not there, not null")
        return value


def parsed(model: type[C], content: Mapping[str, Any], file: str, what: str) -> C:
    """A configuration, checked.

    Args:
        model: What is read of it.
        content: The file's content.
        file: How errors call it.
        what: Whose it is: "model 'name'".

    Raises:
        ModelError: It is of other types than it should be, or exceeds a limit; all problems, one a line.
    """
    lines = [f"{what}: {file}: {line}" for line in excesses(dict(content))]
    lines += [
        f"{what}: {file} asks for {reach} ('{key}'), which is not loaded"
        for key, reach in _REACHES.items()
        if content.get(key) and not (key.endswith("attn_implementation") and content[key] in _OWN_ATTENTION)
    ]
    try:
        found = model.model_validate(dict(content))
    except ValidationError as error:
        lines += [f"{what}: {line}" for line in problems_of(error, model, file)]
    if not lines:
        lines = [f"{what}: '{key}' of {file} {problem}" for key, problem in _wrong_types(model, content)]
    if lines:
        raise ModelError("\n".join(dict.fromkeys(lines[:10])))
    return found


def _wrong_types(model: type[BaseModel], content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Entries that fusionkit does not read, and that would make a library stumble when it builds or runs the part."""
    exact = issubclass(model, TextEncoder)
    for key, (annotation, default) in known_entries(model, content).items():
        if key in content and not fits(content[key], annotation, default, exact=exact):
            yield key, f"must be of another type ({annotation}), not {shown(content[key])}"


def known_entries(model: type[BaseModel], content: Mapping[str, Any]) -> Arguments:
    """What the library's own class takes from a configuration file; nothing where that class can't be found.

    Args:
        model: What fusionkit reads of it.
        content: The file's content, which tells its class.
    """
    if issubclass(model, TextEncoder):
        kind = content.get("_class_name") or _TYPES.get(str(content.get("model_type")), "")
        name = re.sub(r"(Encoder)?Model(WithProjection)?$", "Config", str(kind))
        return fields_of(_ENCODERS.get(name, _ANY_ENCODER), name) if kind else {}
    found = next((_CLASSES[each.__name__] for each in model.__mro__ if each.__name__ in _CLASSES), None)
    if found is None:
        return {}
    files, name = found
    return arguments_of(files, name or str(content.get("_class_name"))).get("__init__", {})


def read_config(model: type[C], path: Path, file: str, what: str) -> tuple[C, dict[str, Any]]:
    """A configuration file, checked, and all that it holds; raises as `read_json` and `parsed` do."""
    content = read_json(path, what)
    return parsed(model, content, file, what), content


def together(errors: Sequence[ModelError]) -> None:
    """Raise the problems of several files at once.

    Raises:
        ModelError: There are some.
    """
    if errors:
        raise ModelError("\n".join(dict.fromkeys(line for error in errors for line in str(error).splitlines())))
