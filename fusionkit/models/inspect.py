"""What a model is, from its configuration files and the headers of its weights; nothing else is read or imported."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from fusionkit.doctor import missing
from fusionkit.errors import ModelError, did_you_mean
from fusionkit.loop.model import ModelInfo
from fusionkit.models.embedded import embedded_models, why_missing
from fusionkit.models.families import family_of_pipeline
from fusionkit.models.families.unets import unet_attention, unet_convolutions
from fusionkit.models.files.autoencoders import Vae
from fusionkit.models.files.configs import TextEncoder, parsed
from fusionkit.models.files.denoisers import Transformer, UNet
from fusionkit.models.files.folder import PICKLE_ADVICE, STEMS, read_weights
from fusionkit.models.files.hub import hub_file, hub_listing
from fusionkit.models.files.model_configs import ModelConfigs, known, read_configs, settings_of
from fusionkit.models.files.on_base import configs_on_base
from fusionkit.models.files.reading import size_of
from fusionkit.models.files.single_file import SingleFile, default_base, inspect_header, read_single_file
from fusionkit.models.files.weights import PICKLES, variants_of
from fusionkit.models.schedulers.options import config_problems
from fusionkit.trust import refusal

_HUB_NAME = r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*"
HUB_ID = re.compile(rf"(?=.{{1,96}}$)(?!.*\.git$){_HUB_NAME}/{_HUB_NAME}")
"""How the hub's ids are spelled: no part begins or ends with . or -, and neither comes twice."""


def inspect_model(
    source: str, *, base: str | None = None, revision: str | None = None, variant: str | None = None
) -> ModelInfo:
    """What is known of a model before its weights load.

    Args:
        source: An embedded model's name, a folder in diffusers' layout, a `.safetensors` file, or a hub id.
        base: For a file: a folder or hub id whose configuration it has, and whose other parts it is used with.
        revision: Branch, tag or commit of a hub id.
        variant: Such as `fp16`: which of several weights files to read.

    Raises:
        ModelError: The model can't be found or read, is damaged, or is not one that fusionkit can use; all problems,
            one a line.
    """
    where, what = locate(source), f"model '{source}'"
    if isinstance(where, Path) and where.is_file():
        return _of_file(source, where, base, revision, variant)
    if base is not None:
        raise ModelError(f"{what} is no .safetensors file, which alone can have a base; leave 'base' out")
    read = partial(hub_file, where, revision=revision) if isinstance(where, str) else where.joinpath
    configs = read_configs(read, what, where if isinstance(where, Path) else None)
    if isinstance(configs.denoiser, UNet) and not configs.denoiser.is_xl:
        configs = _up_to_date(configs)
    notes: tuple[str, ...] = ()
    if isinstance(where, str):
        parameters = _count_cached(where, read("model_index.json").parent, configs, variant, what)
    else:
        weights, _ = read_weights(where, configs, variant, what)
        parameters = {part: each.parameters for part, each in weights.items()}
        chosen = sorted({each.variant for each in weights.values() if each.variant} - {variant})
        if chosen:
            named = " and ".join(f"'{each}'" for each in chosen)
            notes = (f"{what} has weights of variant {named} alone, which are used (variant)",)
    info = _of_configs(source, configs, parameters)
    if (listed := configs.classes["scheduler"]) != (own := configs.scheduler["_class_name"]):
        notes += (f"{what} draws with {own}, as its own file says; model_index.json says {listed} (scheduler)",)
    info = replace(info, notes=notes)
    embedded = embedded_models().get(source)
    if embedded is None:
        return info
    return replace(info, window=embedded.window, defaults=embedded.defaults, words=embedded.words)


def locate(source: str) -> Path | str:
    """Where a model is: a folder, a `.safetensors` file, or, as a string, a hub id.

    Raises:
        ModelError: Nothing is there, or it can't be a model that is safe to load.
    """
    embedded = embedded_models()
    if source in embedded:
        return embedded[source].folder
    if refused := refusal(source):
        if HUB_ID.fullmatch(source):
            return source
        raise ModelError(f"model '{source}' {refused}")
    path = expanded(source, f"model '{source}'")
    if path.suffix in PICKLES:
        raise ModelError(f"model '{source}' {PICKLE_ADVICE}")
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise ModelError(f"model '{source}' is no diffusers folder: it has no model_index.json")
        return path
    if path.suffix == ".safetensors":
        try:
            size_of(path, f"model '{source}'")
        except FileNotFoundError:
            raise ModelError(f"model '{source}': no such file") from None
        return path
    if path.exists():
        raise ModelError(f"model '{source}' is neither a folder nor a .safetensors file")
    if reason := why_missing(source):
        raise ModelError(f"model {reason}")
    prefix = source.partition("/")[0]
    if any(name.partition("/")[0] == prefix for name in embedded):
        hint = did_you_mean(source, embedded) or f"; embedded are: {', '.join(embedded)}"
        raise ModelError(f"no embedded model '{source}'{hint}")
    if not HUB_ID.fullmatch(source):
        hint = did_you_mean(source, embedded)
        raise ModelError(f"model '{source}': no such folder, and no hub id such as 'owner/name'{hint}")
    return source


def expanded(source: str, what: str) -> Path:
    """A path as its user wrote it, with `~` resolved.

    Raises:
        ModelError: It can't be a path.
    """
    try:
        path = Path(source).expanduser()
        path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise ModelError(f"{what:.200}: no such folder or file: {reason}") from error
    return path


def info_of_pipeline(pipe: Any) -> ModelInfo:
    """What is known of a diffusers pipeline that its user already has.

    Raises:
        ModelError: It is of no family that fusionkit can draw with, or its denoiser is told more than a prompt.
    """
    name = type(pipe).__name__
    family = family_of_pipeline(*(base.__name__ for base in type(pipe).__mro__))
    if family is None:
        raise ModelError(
            f"a {name} can't be used; make a pipeline of it that draws from a prompt alone, as in "
            f"StableDiffusionPipeline.from_pipe(pipe); {known()}"
        )
    if lines := missing(family.needs):
        raise ModelError("\n".join(f"a {name} {line}" for line in lines))
    net = getattr(pipe, family.denoiser)
    told = {**_plain(net.config), "_class_name": type(net).__name__}
    parts = {part: each for part in STEMS if (each := getattr(pipe, part, None)) is not None}
    configs = ModelConfigs(
        family=family,
        pipeline=name,
        denoiser=_denoiser(told, f"{family.denoiser}.config", name),
        told={**settings_of(_plain(pipe.config)), **told},
        vae=parsed(Vae, {**_plain(pipe.vae.config), "_class_name": type(pipe.vae).__name__}, "vae.config", name),
        scheduler={**pipe.scheduler.config, "_class_name": type(pipe.scheduler).__name__},
        encoders={
            part: parsed(TextEncoder, _plain(each.config.to_dict()), f"{part}.config", name)
            for part, each in parts.items()
            if part.startswith("text_encoder")
        },
        classes={},
    )
    if problem := next(family.problems({**configs.told, **configs.denoiser.model_dump()}, configs.vae.channels), ""):
        raise ModelError(f"a {name} {problem}")
    parameters = {part: sum(weights.numel() for weights in each.parameters()) for part, each in parts.items()}
    return _of_configs(name, configs, parameters)


def _denoiser(told: Mapping[str, Any], file: str, what: str) -> UNet | Transformer:
    if file.startswith("unet"):
        return parsed(UNet, told, file, what)
    return parsed(Transformer, told, file, what)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as a file would hold it, without what only a library's object has."""
    idle = ("_name_or_path", "_attn_implementation", "quantization_config")
    return {key: _listed(value) for key, value in config.items() if key not in idle}


def _listed(value: Any) -> Any:
    return [_listed(each) for each in value] if isinstance(value, (list, tuple)) else value


def _of_configs(source: str, configs: ModelConfigs, parameters: Mapping[str, int]) -> ModelInfo:
    vae, family, told = configs.vae, configs.family, configs.told
    scheduler = family.solver(configs.scheduler)
    denoiser, what = configs.denoiser, f"model '{source}'"
    unet = denoiser if isinstance(denoiser, UNet) else None
    silent = {
        "block_out_channels": (unet is None or unet.block_out_channels) and vae.widths,
        "_class_name": scheduler.get("_class_name"),
    }
    if lacking := next((name for name, value in silent.items() if not value), None):
        raise ModelError(f"{what}: its configuration does not tell '{lacking}'")
    assert vae.widths is not None
    if problems := config_problems(scheduler):
        raise ModelError("\n".join(f"{what}: scheduler/scheduler_config.json: {line}" for line in problems))
    factor = 2 ** (len(vae.widths) - 1)
    shift = (float(vae.shift_factor),) * vae.channels if vae.shift_factor else ()
    moments = vae.latents_mean is not None and vae.latents_std is not None
    flow = family.prediction == "flow_prediction"
    return ModelInfo(
        name=source,
        kind=family.kind,
        channels=vae.channels,
        factor=factor,
        window=family.window_of(told, factor),
        scheduler=scheduler["_class_name"],
        scheduler_config=dict(family.schedule(told, scheduler)),
        prediction_type=family.prediction if flow else scheduler.get("prediction_type", family.prediction),
        parameters=sum(parameters.values()),
        defaults=family.defaults_of(told),
        vae_channels=vae.first_width,
        denoiser_parameters=parameters.get(family.denoiser, 0),
        scaling_factor=_scaling(vae),
        latents_mean=tuple(vae.latents_mean or ()) if moments else shift,
        latents_std=tuple(vae.latents_std or ()) if moments else (),
        vae=vae.kind,
        fills_masks=family.fills({**told, **denoiser.model_dump()}, vae.channels),
        told_size=family.told_size(told),
        takes_guidance=family.takes_scale(told),
        most_clip_skip=_most_clip_skip(configs),
        patch=family.patch,
        most_tokens=family.most_tokens(told),
        **(_of_unet(unet) if unet is not None else _of_transformer(configs)),
    )


def _of_unet(unet: UNet) -> dict[str, Any]:
    assert unet.block_out_channels is not None
    return {
        "unet_channels": unet.block_out_channels[0],
        "cross_attention_dim": unet.token_width,
        "block_out_channels": tuple(unet.block_out_channels),
        "convolutions": unet_convolutions(len(unet.block_out_channels), unet.layers_per_block),
        **unet_attention(
            *_blocks(unet, len(unet.block_out_channels)),
            unet.layers_per_block,
            unet.transformer_layers_per_block,
            unet.reverse_transformer_layers_per_block,
            unet.mid_block_type,
        ),
    }


def _of_transformer(configs: ModelConfigs) -> dict[str, Any]:
    family, told = configs.family, configs.told
    return {
        "unet_channels": family.width(told),
        "cross_attention_dim": next((int(told[key]) for key in family.widths if told.get(key)), 0),
        "cross_attention": (family.patch,) if family.readable else (),
        "attention_layers": family.layers(told),
    }


def _scaling(vae: Vae) -> float:
    # A tiny autoencoder's latents come scaled as those of the model that it was made for; which one, it does not tell.
    if vae.kind == "AutoencoderTiny":
        return 0.0
    # Where a VAE is silent, its class' default; of those that tell moments alone, there is none.
    return vae.scaling_factor or (0.18215 if vae.kind in ("AutoencoderKL", "AsymmetricAutoencoderKL") else 1.0)


def _most_clip_skip(configs: ModelConfigs) -> int | None:
    """How many last layers diffusers can leave out of a prompt: CLIP's, and of SDXL's one more is left out anyway."""
    if not configs.encoders:
        return None
    if configs.family.denoiser != "unet":
        return 0
    # Where a configuration does not say of which type it is, its class does.
    kinds = [encoder.model_type or configs.classes.get(part, "") for part, encoder in configs.encoders.items()]
    if not all(kind.lower().startswith("clip") for kind in kinds):
        return 0
    return min(encoder.num_hidden_layers for encoder in configs.encoders.values()) - configs.family.skipped


def _blocks(unet: UNet, blocks: int) -> tuple[Sequence[str], Sequence[str]]:
    """The classes of a UNet's down and up blocks."""
    # What a configuration leaves out is as in Stable Diffusion 1.
    attending = ("CrossAttnDownBlock2D",) * (blocks - 1)
    return unet.down_block_types or (*attending, "DownBlock2D"), unet.up_block_types or ("UpBlock2D", *attending)


def _up_to_date(configs: ModelConfigs) -> ModelConfigs:
    """Change what `StableDiffusionPipeline` corrects in outdated configurations when it is built."""
    scheduler = {**configs.scheduler, "steps_offset": 1, "clip_sample": False}
    unet = configs.denoiser
    assert isinstance(unet, UNet)
    version = re.match(r"0\.(\d+)", str(unet.diffusers_version))
    if version and int(version[1]) < 9 and isinstance(unet.sample_size, int):
        unet = unet.model_copy(update={"sample_size": max(64, unet.sample_size)})
    told = {**configs.told, "sample_size": unet.sample_size}
    return replace(configs, denoiser=unet, told=told, scheduler=scheduler)


def _of_file(source: str, path: Path, base: str | None, revision: str | None, variant: str | None) -> ModelInfo:
    single, what = read_single_file(source, path), f"model '{source}'"
    if base is None and (info := inspect_header(source, single)) is not None:
        return info
    named, base = base is not None, base or default_base(source, single)
    folder, configs = read_base(single, base, what, revision, named=named)
    held = single.parts(configs.family)
    if isinstance(folder, Path):
        weights, _ = read_weights(folder, configs, variant, f"base '{base}'", held)
        parameters = {part: each.parameters for part, each in weights.items()}
    else:
        snapshot = hub_file(folder, "model_index.json", revision).parent
        parameters = _count_cached(folder, snapshot, configs, variant, f"base '{base}'", held)
    inner = sum(map(prod, single.denoiser.values()))
    parameters |= {configs.family.denoiser: inner, "": sum(map(prod, single.shapes.values())) - inner}
    beside = ", ".join(part for part in configs.classes if part in STEMS and part not in held)
    notes = f"configured as '{base}'{f', whose {beside} it is used with' if beside else ''} (base)"
    return replace(_of_configs(source, configs, parameters), notes=(notes,))


def read_base(
    single: SingleFile, base: str, what: str, revision: str | None, *, named: bool
) -> tuple[Path | str, ModelConfigs]:
    """Where a single file's base is, a folder or a hub id, and its configurations.

    Args:
        single: The file.
        base: As its user names it.
        what: Whose the file is, as errors begin: "model 'name'".
        revision: Branch, tag or commit of a hub id.
        named: As for `configs_on_base`.

    Raises:
        ModelError: It can't be used, or not with this file.
    """
    where = locate(base)
    if isinstance(where, Path) and where.is_file():
        raise ModelError(f"{what} has a file for its base, '{base}'; name a folder in diffusers' layout, or a hub id")
    read = partial(hub_file, where, revision=revision) if isinstance(where, str) else where.joinpath
    folder = where if isinstance(where, Path) else None
    return where, configs_on_base(single, base, read, what, folder, named=named)


def _count_cached(
    hub_id: str, snapshot: Path, configs: ModelConfigs, variant: str | None, what: str, without: Collection[str] = ()
) -> dict[str, int]:
    """The number of weights of each component in the hub's cache; none if they are not there yet, but could be.

    Raises:
        ModelError: The hub has pickled weights alone, or those of the cache are damaged.
    """
    parts = [part for part in configs.classes if part in STEMS and part not in without]
    if all(variants_of(snapshot / part, STEMS[part]) for part in parts):
        weights, _ = read_weights(snapshot, configs, variant, what, without)
        return {part: each.parameters for part, each in weights.items()}
    if configs.family.denoiser in without:
        return {}
    files = [
        file for file in hub_listing(hub_id, revision=snapshot.name) if file.parent.name == configs.family.denoiser
    ]
    if any(file.suffix in PICKLES for file in files) and not any(file.suffix == ".safetensors" for file in files):
        raise ModelError(f"{what} {PICKLE_ADVICE}")
    return {}
