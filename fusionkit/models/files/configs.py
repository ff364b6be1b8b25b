"""What fusionkit reads of each configuration file of a model, checked: types, limits, and what can't be used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fusionkit.errors import ModelError
from fusionkit.models.files.config_values import (
    CHANNEL_LIMIT,
    LAYER_LIMIT,
    Above0,
    Count,
    activation,
    perhaps,
    whole,
)
from fusionkit.models.files.reading import excesses, read_json
from fusionkit.models.files.sources import Arguments, arguments_of, fields_of, fits
from fusionkit.recipe.problems import problems_of, shown

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
    "Transformer": ("models/transformers/*.py", ""),
    "TransformerControlNet": ("models/controlnets/*.py", ""),
    "Vae": ("models/autoencoders/autoencoder*.py", ""),
}

C = TypeVar("C", bound=BaseModel)


class Config(BaseModel):
    """A configuration file, as far as fusionkit reads it."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


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
    num_layers: Annotated[int | None, perhaps(1, LAYER_LIMIT)] = None
    num_attention_heads: Annotated[int | None, perhaps(1, 1_024)] = None
    head_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    intermediate_size: Count = 2_048
    ffn_hidden_size: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    kv_channels: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None
    seq_length: Annotated[int | None, perhaps(1, 10_000_000)] = None
    padded_vocab_size: Annotated[int | None, perhaps(1, 2_000_000)] = None
    max_position_embeddings: Annotated[int, whole(1, 10_000_000)] = 77
    projection_dim: Annotated[int | None, perhaps(1, CHANNEL_LIMIT)] = None

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        # Those that see pictures as well, or write text, tell apart what they know of text, or how they read it.
        told = (value.get(key) for key in ("text_config", "encoder")) if isinstance(value, dict) else ()
        inner = next((each for each in told if isinstance(each, dict)), None)
        return {**value, **inner, "model_type": value.get("model_type")} if isinstance(inner, dict) else value

    @model_validator(mode="after")
    def _heads(self) -> TextEncoder:
        if self.model_type == "clip_text_model" and type(self.eos_token_id) is not int:
            # CLIP looks for it in the prompt, and makes the prompt's pooled form of what it finds there.
            raise ValueError(f"must have a whole number for its 'eos_token_id', not {shown(self.eos_token_id)}")
        if self.num_attention_heads and not self.head_dim and self.width % self.num_attention_heads:
            heads = f"num_attention_heads {self.num_attention_heads}"
            raise ValueError(f"must have a width that its {heads} divide, not {self.width}")
        return self

    @property
    def layers(self) -> int:
        """How many layers it has, by whichever of two names."""
        return self.num_layers or self.num_hidden_layers

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
            if isinstance(part, list) and not (_names(part) or all(type(each) is int for each in part)):
                raise ValueError(f"must name '{name:.40}' by its library and its class, not {shown(part)}")
            if part is None and name in _PERHAPS:
                raise ValueError(f"must say [null, null] for a '{name}' that is not there, not null")
        return value


def _names(part: Sequence[Any]) -> bool:
    """Whether an entry of an index is a part, by its library and its class, and no list of numbers."""
    return len(part) == 2 and all(each is None or isinstance(each, str) for each in part)


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
        name = re.sub(r"((Encoder)?Model(WithProjection)?|For(CausalLM|ConditionalGeneration))$", "Config", str(kind))
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
