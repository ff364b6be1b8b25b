"""A folder in diffusers' layout: its parts, their configurations and their weights, all checked before any loads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fusionkit.errors import ModelError
from fusionkit.models.files.configs import VAES, Index, TextEncoder, UNet, Vae, parsed, read_config, together
from fusionkit.models.files.reading import read_json
from fusionkit.models.files.tokens import tokenizer_problems
from fusionkit.models.files.weights import PICKLES, Weights, variants_of, weights_of

STEMS: Mapping[str, str] = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
"""The parts of a model that have weights, and how the names of their files begin."""

PICKLE_ADVICE = (
    "has pickle-only weights, which can run any code and are refused; convert them with the hub's space "
    "'safetensors/convert', or load them where they are trusted and save them with pipe.save_pretrained(folder)"
)

_ENCODER = re.compile(r"(?!Auto)[A-Z]\w*(Model|ModelWithProjection)")
_TOKENIZER = re.compile(r"(?!Auto)[A-Z]\w*Tokenizer(Fast)?")
_SCHEDULER = re.compile(r"[A-Z]\w*Scheduler")
_KINDS = "fusionkit uses Stable Diffusion 1, 2 and XL pipelines"


@dataclass(frozen=True)
class ModelConfigs:
    """The configurations of a model in diffusers' layout, checked.

    Args:
        kind: "sd" or "sdxl".
        unet: The denoiser's.
        vae: The autoencoder's.
        scheduler: Its content.
        encoders: The text encoders', by the names of their parts.
        classes: The class of each part that is needed, by its name.
    """

    kind: str
    unet: UNet
    vae: Vae
    scheduler: Mapping[str, Any]
    encoders: Mapping[str, TextEncoder]
    classes: Mapping[str, str]


def read_configs(read: Callable[[str], Path], what: str) -> ModelConfigs:
    """Read and check the configurations of a model; what it is, is told by its denoiser, not by its pipeline's name.

    Args:
        read: Answers where a file of the model is, by its path inside.
        what: Whose they are, as errors begin: "model 'name'".

    Raises:
        ModelError: One is missing, wrong, or of a model that can't be used; all problems, one a line.
    """
    content = read_json(read("model_index.json"), what)
    index = parsed(Index, content, "model_index.json", what)
    if not isinstance(content.get("unet"), list) or not isinstance(index.class_name, str):
        raise ModelError(f"{what} is a {_named(index.class_name)}; {_KINDS}")
    errors: list[ModelError] = []

    def collect(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except ModelError as error:
            errors.append(error)

    unet = collect(lambda: read_config(UNet, read("unet/config.json"), "unet/config.json", what)[0])
    parts = _needed(content, xl=unet is not None and unet.is_xl)
    vae = collect(lambda: _read_vae(read("vae/config.json"), content, what))
    scheduler = collect(lambda: _read_scheduler(read("scheduler/scheduler_config.json"), content, what))
    encoders = {
        part: collect(partial(_read_encoder, read, part, content[part], what))
        for part in parts
        if part.startswith("text_encoder") and isinstance(content.get(part), list)
    }
    errors += [ModelError(f"{what} {problem}") for problem in _wrong_parts(content, parts)]
    together(errors)
    if problem := next(_misfits(index, unet, vae, encoders), ""):
        raise ModelError(f"{what} {problem}")
    classes = {part: content[part][1] for part in parts}
    return ModelConfigs("sdxl" if unet.is_xl else "sd", unet, vae, scheduler, encoders, classes)


def _read_encoder(read: Callable[[str], Path], part: str, named: Sequence[Any], what: str) -> TextEncoder:
    name = f"{part}/config.json"
    # It loads as what the index says, whatever its configuration does.
    told = {"_class_name": named[1]} if len(named) == 2 else {}
    return parsed(TextEncoder, {**read_json(read(name), what), **told}, name, what)


def _read_vae(path: Path, index: Mapping[str, Any], what: str) -> Vae:
    content = read_json(path, what)
    named = index.get("vae")
    # Where a configuration does not say, the index does.
    silent = {"_class_name": named[1]} if isinstance(named, list) and len(named) == 2 else {}
    vae = parsed(Vae, {**silent, **content}, "vae/config.json", what)
    if silent and silent["_class_name"] in VAES and vae.kind in VAES and silent["_class_name"] != vae.kind:
        told = f"is a {silent['_class_name']} by model_index.json, and a {vae.kind} by vae/config.json"
        raise ModelError(f"{what}: its vae {told}: the files are of two models; get them again")
    return vae


def _read_scheduler(path: Path, index: Mapping[str, Any], what: str) -> dict[str, Any]:
    named = index.get("scheduler")
    silent = {"_class_name": named[1]} if isinstance(named, list) and len(named) == 2 else {}
    return {**silent, **read_json(path, what)}


def _needed(index: Mapping[str, Any], *, xl: bool) -> list[str]:
    """The parts that a picture needs; all others, such as a safety checker, are left alone."""
    parts = ["unet", "vae", "scheduler", "text_encoder", "tokenizer"]
    if xl:
        # Some SDXL models do with their second text encoder.
        first = parts[3:] if _is_there(index, "text_encoder") else []
        parts = [*parts[:3], *first, "text_encoder_2", "tokenizer_2"]
    return parts


def _is_there(index: Mapping[str, Any], part: str) -> bool:
    entry = index.get(part)
    return isinstance(entry, list) and len(entry) == 2 and None not in entry


def _wrong_parts(index: Mapping[str, Any], parts: Sequence[str]) -> Iterator[str]:
    """Needed parts that are of no class that may be loaded."""
    if gone := [part for part in parts if not _is_there(index, part)]:
        yield f"has no {', '.join(gone)} in its model_index.json, without which it can't draw"
    for part in (each for each in parts if _is_there(index, each)):
        library, name = index[part]
        kind = part.removesuffix("_2")
        if library not in ("diffusers", "transformers"):
            yield f"needs its own code for '{part}' ({library}.{name}), which is not run"
        elif kind == "unet" and (library, name) != ("diffusers", "UNet2DConditionModel"):
            yield f"has a {name} for its unet; fusionkit takes a UNet2DConditionModel"
        elif kind == "vae" and (library != "diffusers" or name not in VAES):
            yield f"has a {name} for its vae; fusionkit takes {', '.join(VAES)}"
        elif kind == "scheduler" and (library != "diffusers" or not _SCHEDULER.fullmatch(name)):
            yield f"has a {library}.{name:.40} for its scheduler, which is none"
        elif (kind == "text_encoder" and not _ENCODER.fullmatch(name)) or (
            kind == "tokenizer" and not _TOKENIZER.fullmatch(name)
        ):
            yield f"has a {library}.{name} for its {part}, which is none"


def _misfits(index: Index, unet: UNet, vae: Vae, encoders: Mapping[str, TextEncoder]) -> Iterator[str]:
    """Why parts that are right by themselves make no model that draws from a prompt."""
    if vae.kind not in VAES:
        yield f"has a {vae.kind} for its vae; fusionkit takes {', '.join(VAES)}"
    if unet.strangeness:
        yield f"has a denoiser that takes more than a prompt ({unet.strangeness}); {_KINDS}"
    if index.requires_aesthetics_score:
        yield "is an SDXL refiner, which can't draw a picture of its own"
    channels = vae.latent_channels
    if unet.in_channels != channels or unet.out_channels != channels:
        taken = "takes" if unet.in_channels != channels else "answers"
        count = unet.in_channels if unet.in_channels != channels else unet.out_channels
        yield (
            f"{taken} {count} channels, not the {channels} of its latents: "
            f"inpainting, editing and upscaling models can't be used"
        )
    width = sum(encoder.width for encoder in encoders.values())
    if unet.token_width and all(encoder.width for encoder in encoders.values()) and width != unet.token_width:
        whose = "text encoders'" if len(encoders) > 1 else "text encoder's"
        yield f"does not fit together: its {whose} tokens have {width} numbers; its denoiser takes {unet.token_width}"
    last = encoders.get("text_encoder_2")
    if last is not None and last.projection_dim and unet.addition_time_embed_dim:
        given = 6 * unet.addition_time_embed_dim + last.projection_dim
        if unet.projection_class_embeddings_input_dim not in (None, given):
            yield (
                f"does not fit together: its denoiser takes {unet.projection_class_embeddings_input_dim} numbers on "
                f"the picture's size, and gets {given}"
            )


def read_weights(
    folder: Path, configs: ModelConfigs, variant: str | None, what: str
) -> tuple[dict[str, Weights], str | None]:
    """The weights of every part that has some, with each file's header checked, and which variant they are of.

    Where the plain weights of a part are not there, and one variant is, that one is used unless another is asked for.

    Args:
        folder: The model's folder.
        configs: Its configurations.
        variant: What the recipe asks for; a part that has no such weights keeps its plain ones.
        what: Whose they are, as errors begin: "model 'name'".

    Raises:
        ModelError: Some are missing or damaged, or a tokenizer does not fit its text encoder; all problems.
    """
    parts = [part for part in configs.classes if part in STEMS]
    there = {part: variants_of(folder / part, STEMS[part]) for part in parts}
    if variant is not None and not any(variant in each for each in there.values()):
        raise ModelError(f"{what} has no .safetensors weights of variant '{variant}'")
    chosen = variant or only_variant(there)
    weights: dict[str, Weights] = {}
    errors: list[ModelError] = []
    missing = []
    for part, variants in there.items():
        alone = variants[0] if variant is None and len(variants) == 1 else None
        try:
            found = weights_of(folder / part, STEMS[part], chosen if chosen in variants else alone, what)
        except ModelError as error:
            errors.append(error)
            continue
        if found is None:
            missing.append(part)
        else:
            weights[part] = found
    if missing:
        errors.append(ModelError(f"{what} {_why_missing(folder, missing, there, variant)}"))
    errors += [ModelError(f"{what}: {line}") for line in _wrong_shapes(configs, weights)]
    for part, encoder in configs.encoders.items():
        if (folder / part / "adapter_config.json").exists():
            # transformers would load the model that it names.
            name = f"{part}/adapter_config.json"
            errors.append(ModelError(f"{what}: {name} names another model, which is not loaded; remove it"))
        tokenizer = part.replace("text_encoder", "tokenizer")
        try:
            lines = tokenizer_problems(folder / tokenizer, configs.classes[tokenizer], encoder, what)
            errors += [ModelError(f"{what} {line}") for line in lines]
        except ModelError as error:
            errors.append(error)
    together(errors)
    return weights, chosen


def only_variant(there: Mapping[str, Sequence[str | None]]) -> str | None:
    """The variant of which all parts without plain weights are, if there is one alone.

    Args:
        there: Of each part, the variants that are there; None are plain weights.
    """
    bare = [each for each in there.values() if each and None not in each]
    common = set.intersection(*map(set, bare)) if bare else set()
    return common.pop() if len(common) == 1 else None


def _why_missing(
    folder: Path, parts: Sequence[str], there: Mapping[str, Sequence[str | None]], asked: str | None
) -> str:
    variants = sorted({variant for part in parts for variant in there[part] if variant})
    if variants:
        listed = " and ".join(f"'{variant}'" for variant in variants)
        if asked is not None:
            whose = ", ".join(parts)
            return (
                f"has no weights of variant '{asked}' for its {whose}, nor plain ones, but {listed}; leave variant out"
            )
        return f"has its weights in {listed} alone; say which: variant: {variants[0]}"
    files = [file for part in parts for file in (folder / part).glob("*")]
    if any(file.suffix in PICKLES for file in files):
        return PICKLE_ADVICE
    named = any(file.suffix == ".safetensors" for file in files)
    lacking = "no " + ", ".join(f"{part}/{STEMS[part] if named else '*'}.safetensors" for part in parts)
    return f"has {lacking}"


def _wrong_shapes(configs: ModelConfigs, weights: Mapping[str, Weights]) -> Iterator[str]:
    """Where configuration and weights are not of one model, as far as a few tensors tell."""
    unet = configs.unet
    if "unet" in weights and unet.block_out_channels:
        shape = weights["unet"].shapes.get("conv_in.weight")
        expected = (unet.block_out_channels[0], unet.in_channels)
        if shape is not None and shape[:2] != expected:
            channels = f"{_cross(shape[:2])} channels, not {_cross(expected)}"
            yield f"unet/config.json does not fit its weights: conv_in has {channels}"
    if "unet" in weights and unet.cross_attention_dim:
        given = unet.cross_attention_dim
        widths = given if isinstance(given, list) else [given]
        shapes = weights["unet"].shapes.items()
        keys = ((name, each) for name, each in shapes if name.endswith("attn2.to_k.weight") and len(each) == 2)
        if odd := next(((name, each) for name, each in keys if each[1] not in widths), None):
            numbers = f"{odd[0]:.80} takes {odd[1][1]:,} numbers a token, not {unet.token_width:,}"
            yield f"unet/config.json does not fit its weights: {numbers}"
    for part, encoder in configs.encoders.items():
        if part in weights and 0 < (layers := _layers(weights[part].shapes)) < encoder.num_hidden_layers:
            yield (
                f"{part}/config.json does not fit its weights: they have {layers} layers, "
                f"not {encoder.num_hidden_layers}"
            )
        for name, shape in weights[part].shapes.items() if part in weights else ():
            if name.endswith(("token_embedding.weight", "word_embeddings.weight")) and encoder.vocab_size:
                known = encoder.vocab_size
                if len(shape) == 2 and shape[0] != known:
                    yield f"{part}/config.json does not fit its weights: they know {shape[0]:,} tokens, not {known:,}"


def _layers(names: Iterable[str]) -> int:
    """How many layers a text encoder's weights have by their names; 0 where these do not tell."""
    found = (re.search(r"\bencoder\.layers?\.(\d+)\.", name) for name in names)
    return max((int(each[1]) + 1 for each in found if each), default=0)


def _cross(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))


def _named(entry: Any) -> str:
    if isinstance(entry, list):
        return ".".join(str(part) for part in entry)[:80]
    return "model of no known class" if not isinstance(entry, str) else entry[:80]
