"""ControlNets: what one is by its configuration alone, whether it fits a model, and what it adds to a prediction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import ModelError, PluginError, did_you_mean
from fusionkit.models.base import ModelInfo
from fusionkit.models.embedded import embedded_controlnets
from fusionkit.models.hub import hub_file, hub_listing
from fusionkit.models.inspect import PICKLE_ADVICE, PICKLES, read_json, token_width

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fusionkit.stage import Control, Stage

_KINDS = {"sd": "Stable Diffusion 1 or 2", "sdxl": "Stable Diffusion XL"}


@dataclass(frozen=True)
class ControlNetInfo:
    """What a ControlNet's configuration tells without its weights.

    Args:
        source: As the recipe names it.
        where: Its folder, or its hub id.
        kind: "sd" or "sdxl".
        channels: Channels of the latents that it takes.
        cross_attention_dim: Length of a token's embedding.
        block_out_channels: Channels of each block, finest first.
        factor: Pixels of a hint along one side of a latent pixel.
    """

    source: str
    where: Path | str
    kind: str
    channels: int
    cross_attention_dim: int
    block_out_channels: tuple[int, ...]
    factor: int

    def misfit(self, model: ModelInfo) -> str:
        """Why it can't steer a model, in one line; empty where it can."""
        what = f"controlnet '{self.source}' does not fit model '{model.name}'"
        if self.kind != model.kind:
            return (
                f"{what}: it is made for {_KINDS[self.kind]}, and the model is a {_KINDS.get(model.kind, model.kind)}"
            )
        differing = [
            said.format(ours=_shown(ours), theirs=_shown(theirs))
            for name, said in _DIFFERS.items()
            # What the model's configuration does not tell is 0 or empty.
            if (theirs := getattr(model, name)) and (ours := getattr(self, name)) != theirs
        ]
        return f"{what}: {' and '.join(differing)}" if differing else ""


_DIFFERS = {
    "channels": "its latent channels are {ours}, not {theirs}",
    "cross_attention_dim": "its cross_attention_dim is {ours}, not {theirs}",
    "block_out_channels": "its block_out_channels are {ours}, not {theirs}",
    "factor": "its hint takes {ours}x{ours} pixels for a latent pixel, not {theirs}x{theirs}",
}


def _shown(value: Any) -> str:
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
    config = read_json(path, what)
    name = config.get("_class_name")
    if name != "ControlNetModel":
        raise ModelError(f"{what} is a {name}; fusionkit uses diffusers' ControlNetModel")
    if config.get("global_pool_conditions"):
        raise ModelError(f"{what} looks at the whole hint at once, which can't be cropped for each view; use another")
    if (hint_channels := config.get("conditioning_channels", 3)) != 3:
        raise ModelError(f"{what} takes hints of {hint_channels} channels; fusionkit's are RGB pictures")
    _check_weights(source, where, path)
    try:
        return ControlNetInfo(
            source=source,
            where=where,
            kind="sdxl" if config.get("addition_embed_type") == "text_time" else "sd",
            channels=int(config.get("in_channels", 4)),
            cross_attention_dim=token_width(config),
            block_out_channels=tuple(config["block_out_channels"]),
            factor=2 ** (len(config.get("conditioning_embedding_out_channels", range(4))) - 1),
        )
    except KeyError as error:
        raise ModelError(f"{what}: its configuration does not tell {error}") from error


def load_controlnet(info: ControlNetInfo, device: torch.device, dtype: torch.dtype) -> Any:
    """A ControlNet of diffusers, from safetensors only.

    Raises:
        ModelError: The weights can't be loaded.
    """
    import torch

    from fusionkit.models.load import dtype_option
    from fusionkit.models.silence import quiet_loading

    try:
        # It is asked for inside the loop, and weights made in inference mode could never be changed afterwards.
        with quiet_loading(), torch.inference_mode(False):
            diffusers: Any = import_module("diffusers")
            net = diffusers.ControlNetModel.from_pretrained(
                str(info.where), use_safetensors=True, **{dtype_option(): dtype}
            )
            return net.to(device).eval().requires_grad_(False)
    except Exception as error:
        # Weights are somebody else's: what diffusers raises for bad ones has no common type.
        reason = " ".join(str(error).split())
        raise ModelError(f"controlnet '{info.source}' can't be loaded: {reason:.300}") from error


def check_hints(controls: Iterable[Control], stage: Stage) -> None:
    """Check that every hint covers a stage's canvas, so that views are cropped from the right places.

    Raises:
        PluginError: One is of another shape.
    """
    width, height = stage.plan.size
    for control in controls:
        if (shape := tuple(control.hint.shape)) != (1, 3, height, width):
            raise PluginError(
                f"a control's hint has shape {shape}; the canvas takes {(1, 3, height, width)}, in pixels"
            )


def residuals(
    latents: Tensor, timestep: Tensor, controls: Sequence[tuple[Control, Tensor]], conditions: Mapping[str, Any]
) -> dict[str, Any]:
    """What ControlNets add to the denoiser's features, as arguments of the denoiser; several add up.

    Args:
        latents: (B, C, h, w), scaled for the timestep.
        timestep: Without axes.
        controls: Each control with the B views' own crops of its hint, (B, 3, h factor, w factor).
        conditions: The denoiser's other arguments, of which the text and its like go to the nets as well.
    """
    text: Tensor = conditions["encoder_hidden_states"]
    total: list[Tensor] = []
    for control, hints in controls:
        dtype = control.net.dtype
        down, middle = control.net(
            latents.to(dtype),
            timestep,
            encoder_hidden_states=text.to(dtype),
            controlnet_cond=hints.to(latents.device, dtype),
            conditioning_scale=control.scale,
            guess_mode=False,
            added_cond_kwargs={name: each.to(dtype) for name, each in conditions.get("added_cond_kwargs", {}).items()},
            return_dict=False,
        )
        found = [*down, middle]
        total = [a + b for a, b in zip(total, found, strict=True)] if total else found
    *down, middle = (each.to(text.dtype) for each in total)
    return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}


def _locate(source: str) -> Path | str:
    """Where a ControlNet is: a folder, or, as a string, a hub id.

    Raises:
        ModelError: Nothing is there, or it can't be a ControlNet that is safe to load.
    """
    embedded, what = embedded_controlnets(), f"controlnet '{source}'"
    if source in embedded:
        return embedded[source].folder
    path = Path(source).expanduser()
    if path.suffix in PICKLES:
        raise ModelError(f"{what} {PICKLE_ADVICE}")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{what} is no diffusers folder: it has no config.json")
        return path
    if path.is_file() or path.suffix == ".safetensors":
        problem = "is a single file" if path.is_file() else "does not exist"
        raise ModelError(f"{what} {problem}; a ControlNet is a folder in diffusers' layout, or a hub id")
    prefix = source.partition("/")[0]
    if any(name.partition("/")[0] == prefix for name in embedded):
        hint = did_you_mean(source, embedded) or f"; embedded are: {', '.join(embedded)}"
        raise ModelError(f"no embedded controlnet '{source}'{hint}")
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source):
        raise ModelError(f"{what}: no such folder, and no hub id such as 'owner/name'{did_you_mean(source, embedded)}")
    return source


def _check_weights(source: str, where: Path | str, config: Path) -> None:
    """Refuse a ControlNet that has no safetensors weights, as far as can be told before they are downloaded."""
    files = list(config.parent.glob("*"))
    if isinstance(where, str) and not any(file.suffix == ".safetensors" for file in files):
        files = hub_listing(where, revision=config.parent.name)
    if any(file.suffix == ".safetensors" for file in files) or (isinstance(where, str) and not files):
        return
    pickled = any(file.suffix in PICKLES for file in files)
    raise ModelError(f"controlnet '{source}' {PICKLE_ADVICE if pickled else 'has no .safetensors weights'}")
