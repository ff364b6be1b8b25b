"""What ControlNets add to a denoiser: a UNet's residuals, and how those of several add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.errors import PluginError

if TYPE_CHECKING:
    from fusionkit.loop.stage import Control, Stage


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
        net, dtype = control.net, control.net.dtype
        # Its makers' own class projects the text, and diffusers' does not.
        project = getattr(net, "encoder_hid_proj", None)
        own = text.to(dtype) if project is None else project(text.to(dtype))
        down, middle = net(
            latents.to(dtype),
            timestep,
            encoder_hidden_states=own,
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


def added(one: Any, other: Any) -> Any:
    """The sum of two ControlNets' answers, of which one may be None, or lack layers that the other has."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Tensor):
        return one + other
    if isinstance(one, Mapping):
        return {key: added(one.get(key), other.get(key)) for key in {**one, **other}}
    return [added(*pair) for pair in zip(one, other, strict=True)]


def in_type(value: Any, dtype: torch.dtype) -> Any:
    """The same in a type."""
    if isinstance(value, Tensor):
        return value.to(dtype)
    if isinstance(value, Mapping):
        return {key: in_type(each, dtype) for key, each in value.items()}
    return value if value is None else [in_type(each, dtype) for each in value]
