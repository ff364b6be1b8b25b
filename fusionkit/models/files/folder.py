"""A folder in diffusers' layout: the weights of its parts, all checked before any loads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fusionkit.errors import ModelError
from fusionkit.models.files.configs import together
from fusionkit.models.files.denoisers import UNet
from fusionkit.models.files.model_configs import ModelConfigs
from fusionkit.models.files.tokens import tokenizer_problems
from fusionkit.models.files.weights import PICKLES, Weights, variants_of, weights_of

STEMS: Mapping[str, str] = {
    "unet": "diffusion_pytorch_model",
    "transformer": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "text_encoder_3": "model",
    "text_encoder_4": "model",
}
"""The parts of a model that have weights, and how the names of their files begin."""

PICKLE_ADVICE = (
    "has pickle-only weights, which can run any code and are refused; convert them with the hub's space "
    "'safetensors/convert', or load them where they are trusted and save them with pipe.save_pretrained(folder)"
)


def read_weights(
    folder: Path, configs: ModelConfigs, variant: str | None, what: str, without: Collection[str] = ()
) -> tuple[dict[str, Weights], str | None]:
    """The weights of every part that has some, with each file's header checked, and which variant they are of.

    Where the plain weights of a part are not there, and one variant is, that one is used unless another is asked for.

    Args:
        folder: The model's folder.
        configs: Its configurations.
        variant: What the recipe asks for; a part that has no such weights keeps its plain ones.
        what: Whose they are, as errors begin: "model 'name'".
        without: Parts whose weights are elsewhere.

    Raises:
        ModelError: Some are missing or damaged, or a tokenizer does not fit its text encoder; all problems.
    """
    parts = [part for part in configs.classes if part in STEMS and part not in without]
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
            # Of what is read in chunks, and of CLIP, prompts are filled up to the length that the tokenizer tells.
            filled = not configs.family.reads or configs.classes[part].startswith("CLIP")
            lines = tokenizer_problems(folder / tokenizer, configs.classes[tokenizer], encoder, what, filled=filled)
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
    unet = configs.denoiser
    if isinstance(unet, UNet) and "unet" in weights and unet.block_out_channels:
        shape = weights["unet"].shapes.get("conv_in.weight")
        expected = (unet.block_out_channels[0], unet.in_channels)
        if shape is not None and shape[:2] != expected:
            channels = f"{_cross(shape[:2])} channels, not {_cross(expected)}"
            yield f"unet/config.json does not fit its weights: conv_in has {channels}"
    if isinstance(unet, UNet) and "unet" in weights and unet.cross_attention_dim:
        given = unet.cross_attention_dim
        widths = given if isinstance(given, list) else [given]
        shapes = weights["unet"].shapes.items()
        keys = ((name, each) for name, each in shapes if name.endswith("attn2.to_k.weight") and len(each) == 2)
        if odd := next(((name, each) for name, each in keys if each[1] not in widths), None):
            numbers = f"{odd[0]:.80} takes {odd[1][1]:,} numbers a token, not {unet.token_width:,}"
            yield f"unet/config.json does not fit its weights: {numbers}"
    for part, encoder in configs.encoders.items():
        if part in weights and 0 < (layers := _layers(weights[part].shapes)) < encoder.layers:
            yield (f"{part}/config.json does not fit its weights: they have {layers} layers, not {encoder.layers}")
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
