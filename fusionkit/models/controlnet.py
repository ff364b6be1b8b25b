"""ControlNets: what one is by its configuration alone, whether it fits a model, and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import ModelError, did_you_mean
from fusionkit.loop.model import ModelInfo, NetInfo
from fusionkit.models.embedded import embedded_controlnets, why_missing
from fusionkit.models.families import FAMILIES, family_of_denoiser
from fusionkit.models.files.config_values import Count, Widths
from fusionkit.models.files.configs import known_entries, parsed
from fusionkit.models.files.denoisers import Denoiser, Transformer
from fusionkit.models.files.folder import PICKLE_ADVICE, STEMS
from fusionkit.models.files.hub import download_controlnet, hub_file, hub_listing
from fusionkit.models.files.reading import read_json
from fusionkit.models.files.weights import PICKLES, variants_of, weights_of
from fusionkit.models.inspect import HUB_ID, expanded
from fusionkit.trust import refusal

if TYPE_CHECKING:
    import torch

    from fusionkit.models.families.base import Family


UNETS = "ControlNetModel"
"""Class of diffusers' ControlNets that steer a UNet."""


class ControlNetConfig(Denoiser):
    """The `config.json` of a UNet's ControlNet."""

    conditioning_channels: Count = 3
    conditioning_embedding_out_channels: Widths = None
    global_pool_conditions: bool = False


class TransformerControlNet(Transformer):
    """The same of one that steers a transformer; a family knows the rest."""


@dataclass(frozen=True)
class ControlNetInfo:
    """What a ControlNet's configuration tells without its weights.

    Args:
        source: As the recipe names it.
        where: Its folder, or its hub id.
        kind: The family of models that it steers.
        channels: Channels of the latents that it takes.
        cross_attention_dim: Length of a token's embedding.
        block_out_channels: Channels of each block, finest first.
        factor: Pixels of a hint along one side of a latent pixel.
        variant: Of its weights' files, where there are no plain ones.
        class_name: Of diffusers.
        unet_channels: Width of the tokens that it adds to, of a transformer's; 0 of a UNet's.
        parameters: How many weights it has; 0 of one on the hub that is not on this machine.
    """

    source: str
    where: Path | str
    kind: str
    channels: int
    cross_attention_dim: int
    block_out_channels: tuple[int, ...]
    factor: int
    variant: str | None = None
    class_name: str = UNETS
    unet_channels: int = 0
    parameters: int = 0

    def misfit(self, model: ModelInfo) -> str:
        """Why it can't steer a model, in one line; empty where it can."""
        what = f"controlnet '{self.source}' does not fit model '{model.name}'"
        if self.kind != model.kind:
            return (
                f"{what}: it is made for {FAMILIES[self.kind].title}, and the model is a {FAMILIES[model.kind].title}"
            )
        differing = [
            said.format(ours=_listed(ours), theirs=_listed(theirs))
            for name, said in _DIFFERS.items()
            # What a configuration does not tell is 0 or empty.
            if (theirs := getattr(model, name)) and (ours := getattr(self, name)) and ours != theirs
        ]
        return f"{what}: {' and '.join(differing)}" if differing else ""


_DIFFERS = {
    "channels": "its latent channels are {ours}, not {theirs}",
    "cross_attention_dim": "its cross_attention_dim is {ours}, not {theirs}",
    "block_out_channels": "its block_out_channels are {ours}, not {theirs}",
    "unet_channels": "it adds to tokens of {ours} numbers, not {theirs}",
    "factor": "its hint takes {ours}x{ours} pixels for a latent pixel, not {theirs}x{theirs}",
}


def _listed(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)


def inspect_controlnet(source: str) -> ControlNetInfo:
    """What is known of a ControlNet before its weights load.

    Args:
        source: An embedded ControlNet's name such as `tinyworld/canny`, a folder in diffusers' layout, or a hub id.

    Raises:
        ModelError: It can't be found or read, or is not one that fusionkit can use.
    """
    where = _locate(source)
    what = f"controlnet '{source}'"
    if isinstance(where, Path):
        path = where / "config.json"
    else:
        path = hub_file(where, "config.json", None, what="controlnet", known=embedded_controlnets())
    content = read_json(path, what)
    name = str(content.get("_class_name") or UNETS)
    if (family := _family_of(name)) is not None:
        return _of_transformer(source, where, family, content, path)
    if name != UNETS:
        known = ", ".join([UNETS, *(each for family in FAMILIES.values() for each in family.controlnets)])
        raise ModelError(f"{what} is a {name:.80}; fusionkit uses diffusers' {known}")
    config = parsed(ControlNetConfig, content, "config.json", what)
    if config.global_pool_conditions:
        raise ModelError(f"{what} looks at the whole hint at once, which can't be cropped for each view; use another")
    if (hint_channels := config.conditioning_channels) != 3:
        raise ModelError(f"{what} takes hints of {hint_channels} channels; fusionkit's are RGB pictures")
    family = family_of_denoiser("", "unet", content)
    if (strange := config.strangeness(projects=family is not None)) or family is None:
        raise ModelError(f"{what} takes more than a prompt and a hint ({strange}); use another")
    if content.get("conditioning_embedding_out_channels", 0) is None:
        raise ModelError(f"{what}: 'conditioning_embedding_out_channels' of config.json must be a list, not null")
    if config.block_out_channels is None:
        raise ModelError(f"{what}: its configuration does not tell 'block_out_channels'")
    variant, parameters = _weights(source, where, path.parent)
    return ControlNetInfo(
        source=source,
        where=where,
        kind=family.kind,
        channels=config.in_channels,
        cross_attention_dim=config.token_width,
        block_out_channels=tuple(config.block_out_channels),
        factor=2 ** (len(config.conditioning_embedding_out_channels or range(4)) - 1),
        variant=variant,
        parameters=parameters,
    )


def _family_of(name: str) -> Family | None:
    """The family that a class of ControlNets steers, where it is no UNet's."""
    return next((each for each in FAMILIES.values() if name in each.controlnets), None)


def _of_transformer(
    source: str, where: Path | str, family: Family, content: Mapping[str, Any], path: Path
) -> ControlNetInfo:
    """What is known of a ControlNet that steers a transformer.

    Raises:
        ModelError: It is of other types than it should be, or of a kind that can't be used.
    """
    what = f"controlnet '{source}'"
    config = parsed(TransformerControlNet, content, "config.json", what)
    told = {name: default for name, (_, default) in known_entries(TransformerControlNet, content).items()} | dict(
        content
    )
    if problems := list(family.controlnet_problems(told)):
        raise ModelError("\n".join(f"{what} {problem}" for problem in problems))
    variant, parameters = _weights(source, where, path.parent)
    return ControlNetInfo(
        source=source,
        where=where,
        kind=family.kind,
        channels=(config.in_channels or 0) // (family.patch**2 if family.packs else 1),
        cross_attention_dim=next((int(told[key]) for key in family.widths if told.get(key)), 0),
        block_out_channels=(),
        factor=0,
        variant=variant,
        parameters=parameters,
        class_name=str(content["_class_name"]),
        unet_channels=family.width(told),
    )


def load_controlnet(info: NetInfo, device: torch.device, dtype: torch.dtype) -> Any:
    """A ControlNet of diffusers, from safetensors only.

    Raises:
        ModelError: The weights can't be loaded.
    """
    from fusionkit.models.guard import loading
    from fusionkit.models.pipelines import load_part

    what = f"controlnet '{info.source}'"
    folder = _folder(info)  # may ask the hub, as what follows may not
    with loading(what):
        variant, _ = _weights(info.source, folder, folder)
        diffusers: Any = import_module("diffusers")
        net = load_part(getattr(diffusers, info.class_name), folder, variant, dtype, what)
        return net.to(device).eval().requires_grad_(False)


def _folder(info: NetInfo) -> Path:
    """Where a ControlNet's files are, downloaded if they are not."""
    if isinstance(info.where, Path):
        return info.where
    cached = hub_file(info.where, "config.json", None, what="controlnet").parent
    return cached if variants_of(cached, STEMS["unet"]) else download_controlnet(info.where)


def _locate(source: str) -> Path | str:
    """Where a ControlNet is: a folder, or, as a string, a hub id.

    Raises:
        ModelError: Nothing is there, or it can't be a ControlNet that is safe to load.
    """
    embedded, what = embedded_controlnets(), f"controlnet '{source}'"
    if source in embedded:
        return embedded[source].folder
    if refused := refusal(source):
        if HUB_ID.fullmatch(source):
            return source
        raise ModelError(f"{what} {refused}")
    path = expanded(source, what)
    if path.suffix in PICKLES:
        raise ModelError(f"{what} {PICKLE_ADVICE}")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{what} is no diffusers folder: it has no config.json")
        return path
    if path.exists() or path.suffix == ".safetensors":
        problem = "is a single file" if path.exists() else "does not exist"
        raise ModelError(f"{what} {problem}; a ControlNet is a folder in diffusers' layout, or a hub id")
    if reason := why_missing(source):
        raise ModelError(f"controlnet {reason}")
    prefix = source.partition("/")[0]
    if any(name.partition("/")[0] == prefix for name in embedded):
        hint = did_you_mean(source, embedded) or f"; embedded are: {', '.join(embedded)}"
        raise ModelError(f"no embedded controlnet '{source}'{hint}")
    if not HUB_ID.fullmatch(source):
        raise ModelError(f"{what}: no such folder, and no hub id such as 'owner/name'{did_you_mean(source, embedded)}")
    return source


def _weights(source: str, where: Path | str, folder: Path) -> tuple[str | None, int]:
    """Which variant of a ControlNet's weights to read, and how many these are, their files checked.

    For the hub, as far as its cache tells: 0 of weights that are not there.

    Raises:
        ModelError: There are no safetensors weights, or they are damaged.
    """
    what, stem = f"controlnet '{source}'", STEMS["unet"]
    found = variants_of(folder, stem)
    variant = None if None in found or not found else found[0]
    if len(found) > 1 and variant is not None:
        raise ModelError(f"{what} has no plain weights, and several variants: {', '.join(map(str, found))}; keep one")
    if found and (weights := weights_of(folder, stem, variant, what)) is not None:
        return variant, weights.parameters
    files = list(folder.glob("*"))
    if isinstance(where, str):
        files = hub_listing(where, revision=folder.name)
        if not files or any(file.suffix == ".safetensors" for file in files):
            return None, 0
    pickled = any(file.suffix in PICKLES for file in files)
    raise ModelError(f"{what} {PICKLE_ADVICE if pickled else 'has no .safetensors weights'}")
