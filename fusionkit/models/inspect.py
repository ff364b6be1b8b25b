"""What a model is, from its configuration files and the headers of its weights; nothing else is read or imported."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from fusionkit.errors import ModelError, did_you_mean
from fusionkit.models.base import ModelInfo
from fusionkit.models.embedded import embedded_models
from fusionkit.models.hub import hub_file, hub_listing
from fusionkit.models.single_file import inspect_header, read_header

PIPELINES: Mapping[str, str] = {
    "StableDiffusionPipeline": "sd",
    "StableDiffusionImg2ImgPipeline": "sd",
    "LatentConsistencyModelPipeline": "sd",
    "StableDiffusionXLPipeline": "sdxl",
}
"""Pipelines whose models can be used, by their class in `model_index.json`, and the kind of each."""

_CONFIGS = ("unet/config.json", "vae/config.json", "scheduler/scheduler_config.json")
_WEIGHTS = ("unet", "vae", "text_encoder", "text_encoder_2")
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
PICKLE_ADVICE = (
    "has pickle-only weights, which can run any code and are refused; convert them with the hub's space "
    "'safetensors/convert', or load them where they are trusted and save them with pipe.save_pretrained(folder)"
)


def inspect_model(source: str, *, revision: str | None = None, variant: str | None = None) -> ModelInfo:
    """What is known of a model before its weights load.

    Args:
        source: An embedded model's name, a folder in diffusers' layout, a `.safetensors` file, or a hub id.
        revision: Branch, tag or commit of a hub id.
        variant: Such as `fp16`: which of several weights files to read.

    Raises:
        ModelError: The model can't be found or read, or is not one that fusionkit can use.
    """
    where = locate(source)
    if isinstance(where, Path) and where.is_file():
        return inspect_header(source, where)
    read = partial(hub_file, where, revision=revision) if isinstance(where, str) else where.joinpath
    index = read_json(read("model_index.json"), f"model '{source}'")
    kind = _kind(source, index)
    configs = {name: read_json(read(name), f"model '{source}'") for name in _CONFIGS}
    if kind == "sd":
        _bring_up_to_date(configs)
    if isinstance(where, str):
        parameters = _count_cached(source, read("model_index.json").parent, index, variant)
    else:
        parameters = _count_parameters(source, where, index, variant)
    info = _of_configs(source, configs, parameters, kind)
    embedded = embedded_models().get(source)
    return info if embedded is None else replace(info, window=embedded.window, defaults=embedded.defaults)


def locate(source: str) -> Path | str:
    """Where a model is: a folder, a `.safetensors` file, or, as a string, a hub id.

    Raises:
        ModelError: Nothing is there, or it can't be a model that is safe to load.
    """
    embedded = embedded_models()
    if source in embedded:
        return embedded[source].folder
    path = Path(source).expanduser()
    if path.suffix in PICKLES:
        raise ModelError(f"model '{source}' {PICKLE_ADVICE}")
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise ModelError(f"model '{source}' is no diffusers folder: it has no model_index.json")
        return path
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise ModelError(f"model '{source}': no such file")
        return path
    if path.is_file():
        raise ModelError(f"model '{source}' is neither a folder nor a .safetensors file")
    prefix = source.partition("/")[0]
    if any(name.partition("/")[0] == prefix for name in embedded):
        hint = did_you_mean(source, embedded) or f"; embedded are: {', '.join(embedded)}"
        raise ModelError(f"no embedded model '{source}'{hint}")
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source):
        hint = did_you_mean(source, embedded)
        raise ModelError(f"model '{source}': no such folder, and no hub id such as 'owner/name'{hint}")
    return source


def info_of_pipeline(pipe: Any) -> ModelInfo:
    """What is known of a diffusers pipeline that its user already has.

    Raises:
        ModelError: It is no Stable Diffusion or SDXL pipeline.
    """
    name = type(pipe).__name__
    kind = next((PIPELINES[base.__name__] for base in type(pipe).__mro__ if base.__name__ in PIPELINES), None)
    if kind is None:
        raise ModelError(
            f"a {name} can't be used; make a Stable Diffusion 1, 2 or XL pipeline of it, as in "
            f"StableDiffusionPipeline.from_pipe(pipe)"
        )
    configs: dict[str, Any] = {
        "unet/config.json": pipe.unet.config,
        "vae/config.json": pipe.vae.config,
        "scheduler/scheduler_config.json": {**pipe.scheduler.config, "_class_name": type(pipe.scheduler).__name__},
    }
    parts = {part: getattr(pipe, part, None) for part in _WEIGHTS}
    parameters = {
        part: sum(weights.numel() for weights in each.parameters()) for part, each in parts.items() if each is not None
    }
    return _of_configs(name, configs, parameters, kind)


def _of_configs(source: str, configs: Mapping[str, Any], parameters: Mapping[str, int], kind: str) -> ModelInfo:
    unet, vae, scheduler = (configs[name] for name in _CONFIGS)
    try:
        widths, vae_widths, name = unet["block_out_channels"], vae["block_out_channels"], scheduler["_class_name"]
    except KeyError as error:
        raise ModelError(f"model '{source}': its configuration does not tell {error}") from error
    channels, taken = vae.get("latent_channels", 4), unet.get("in_channels", 4)
    if taken != channels:
        raise ModelError(
            f"model '{source}' takes {taken} channels, not the {channels} of its latents: "
            f"inpainting, editing and upscaling models can't be used"
        )
    factor = 2 ** (len(vae_widths) - 1)
    mean, std = _moments(vae, channels)
    size = unet.get("sample_size") or 64
    height, width = (size, size) if isinstance(size, int) else size
    return ModelInfo(
        name=source,
        kind=kind,
        channels=channels,
        factor=factor,
        window=(width * factor, height * factor),
        scheduler=name,
        scheduler_config=dict(scheduler),
        prediction_type=scheduler.get("prediction_type", "epsilon"),
        parameters=sum(parameters.values()),
        unet_channels=widths[0],
        vae_channels=vae_widths[0],
        cross_attention_dim=token_width(unet),
        block_out_channels=tuple(widths),
        cross_attention=_cross_attention(unet, len(widths)),
        denoiser_parameters=parameters.get("unet", 0),
        # Where a VAE is silent, its class' default.
        scaling_factor=vae.get("scaling_factor") or 0.18215,
        latents_mean=mean,
        latents_std=std,
    )


def _moments(vae: Mapping[str, Any], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of the VAE's latents, as far as its configuration tells them."""
    mean, std, shift = vae.get("latents_mean"), vae.get("latents_std"), vae.get("shift_factor")
    if mean is not None and std is not None:
        return tuple(mean), tuple(std)
    return (float(shift),) * channels if shift else (), ()


def token_width(config: Mapping[str, Any]) -> int:
    """Length of a token's embedding as a denoiser, or a ControlNet, takes it; 0 where its configuration is silent."""
    width = config.get("cross_attention_dim") or 0
    return int(width if isinstance(width, int) else width[-1])


def _cross_attention(unet: Mapping[str, Any], blocks: int) -> tuple[int, ...]:
    """The divisors of the latents' sides at which a denoiser's down and up blocks look at the text."""
    # What a configuration leaves out is as in Stable Diffusion 1.
    attending = ("CrossAttnDownBlock2D",) * (blocks - 1)
    down = unet.get("down_block_types", (*attending, "DownBlock2D"))
    up = unet.get("up_block_types", ("UpBlock2D", *attending))
    return tuple(sorted({2**i for row in (down, reversed(up)) for i, kind in enumerate(row) if "CrossAttn" in kind}))


def _bring_up_to_date(configs: dict[str, dict[str, Any]]) -> None:
    """Change what `StableDiffusionPipeline` corrects in outdated configurations when it is built."""
    unet, scheduler = configs["unet/config.json"], configs["scheduler/scheduler_config.json"]
    scheduler.update(steps_offset=1, clip_sample=False)
    version = re.match(r"0\.(\d+)", str(unet.get("_diffusers_version", "")))
    if version and int(version[1]) < 9 and isinstance(unet.get("sample_size"), int):
        unet["sample_size"] = max(64, unet["sample_size"])


def _kind(source: str, index: Mapping[str, Any]) -> str:
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str) or pipeline not in PIPELINES:
        raise ModelError(
            f"model '{source}' is a {_named(pipeline)}; fusionkit uses Stable Diffusion 1, 2 and XL pipelines"
        )
    for part, made_by in index.items():
        library = made_by[0] if isinstance(made_by, list) else None
        if library not in (None, "diffusers", "transformers", "stable_diffusion"):
            raise ModelError(f"model '{source}' needs its own code for '{part}' ({_named(made_by)}), which is not run")
    return PIPELINES[pipeline]


def _named(entry: Any) -> str:
    return ".".join(str(part) for part in entry) if isinstance(entry, list) else str(entry)


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A configuration file.

    Args:
        path: The file.
        what: Whose it is, as errors begin: "model 'name'".

    Raises:
        ModelError: It is missing, can't be read, or is no configuration.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{what} is no whole diffusers folder: it has no {_inner(path)}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{what}: {_inner(path)} can't be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{what}: {_inner(path)} holds no configuration")
    return content


def _inner(path: Path) -> str:
    part = f"{path.parent.name}/{path.name}"
    return part if part in _CONFIGS else path.name


def _count_parameters(source: str, folder: Path, index: Mapping[str, Any], variant: str | None) -> dict[str, int]:
    """The number of weights of each component."""
    if variant is not None and not list(folder.glob(f"*/*.{variant}*.safetensors")):
        raise ModelError(f"model '{source}' has no .safetensors weights of variant '{variant}'")
    counts = {}
    for part in _WEIGHTS:
        if not isinstance(index.get(part), list) or index[part][0] is None:
            continue
        files = _weights(folder / part, variant)
        if not files:
            pickled = any(file.suffix in PICKLES for file in (folder / part).glob("*"))
            raise ModelError(f"model '{source}' {PICKLE_ADVICE if pickled else f'has no {part}/*.safetensors'}")
        counts[part] = sum(prod(shape) for file in files for shape in read_header(file, source).values())
    return counts


def _weights(folder: Path, variant: str | None) -> list[Path]:
    """The weights files of one component that diffusers would read: of the variant, else the plain ones."""
    found = sorted(folder.glob("*.safetensors"))
    plain = [file for file in found if "." not in file.stem]
    return [file for file in found if variant and f".{variant}" in file.stem] or plain


def _count_cached(hub_id: str, snapshot: Path, index: Mapping[str, Any], variant: str | None) -> dict[str, int]:
    """The number of weights of each component in the hub's cache; none if they are not there yet, but could be.

    Raises:
        ModelError: The hub has pickled weights alone.
    """
    try:
        return _count_parameters(hub_id, snapshot, index, variant)
    except ModelError:
        files = [file for file in hub_listing(hub_id, revision=snapshot.name) if file.parent.name == "unet"]
    if any(file.suffix in PICKLES for file in files) and not any(file.suffix == ".safetensors" for file in files):
        raise ModelError(f"model '{hub_id}' {PICKLE_ADVICE}")
    return {}
