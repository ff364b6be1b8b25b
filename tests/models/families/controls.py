"""Tiny ControlNets for transformers, random in every layer, and the pipelines of diffusers that draw with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from tiny_parts import Case, seeded, shaken

from fusionkit import Plugin, hookimpl
from fusionkit.loop.stage import Control, Patches
from fusionkit.models.silence import quiet_loading


@dataclass(frozen=True)
class Steering:
    """A ControlNet for a case.

    Args:
        name: Of the kind of ControlNet.
        pipeline: Class of diffusers' pipeline that draws with it.
        make: Builds it for a pipeline's transformer.
    """

    name: str
    pipeline: Any
    make: Callable[[Any], Any]

    def __str__(self) -> str:
        return self.name


def _like(cls: Any, **changes: Any) -> Callable[[Any], Any]:
    """From the transformer's configuration, with changes, as diffusers' own `from_transformer` makes one."""

    def made(transformer: Any) -> Any:
        known = cls.__init__.__wrapped__.__code__.co_varnames
        config = {name: value for name, value in transformer.config.items() if name in known}
        with quiet_loading():  # its own class of places is deprecated
            return shaken(cls(**{**config, **changes}), 2)

    return made


def _of_z_image(transformer: Any) -> Any:
    net = diffusers.ZImageControlNetModel(
        control_layers_places=[0],
        control_refiner_layers_places=[0],
        control_in_dim=33,
        add_control_noise_refiner="control_noise_refiner",
        dim=transformer.config.dim,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
    )
    return shaken(net, 2)


_SD3 = diffusers.StableDiffusion3ControlNetPipeline
_OF_SD35 = {"use_pos_embed": False, "joint_attention_dim": None, "force_zeros_for_pooled_projection": False}
STEERINGS = {
    "flux": [
        Steering(
            "flux",
            diffusers.FluxControlNetPipeline,
            _like(diffusers.FluxControlNetModel, num_layers=1, num_single_layers=1),
        )
    ],
    "sd3": [
        Steering("of-instantx", _SD3, _like(diffusers.SD3ControlNetModel, num_layers=2)),
        Steering("of-sd35", _SD3, _like(diffusers.SD3ControlNetModel, num_layers=1, **_OF_SD35)),
    ],
    "qwen-image": [
        Steering(
            "qwen-image", diffusers.QwenImageControlNetPipeline, _like(diffusers.QwenImageControlNetModel, num_layers=1)
        )
    ],
    "hunyuandit": [
        Steering(
            "hunyuandit",
            diffusers.HunyuanDiTControlNetPipeline,
            _like(diffusers.HunyuanDiT2DControlNetModel, transformer_num_layers=4),
        )
    ],
    "z-image": [Steering("z-image", diffusers.ZImageControlNetPipeline, _of_z_image)],
}


def net_for(case: Case, steering: Steering) -> Any:
    """The ControlNet, always with the same weights."""
    net: Any = seeded(lambda: _Quiet(steering.make(case.make().transformer)))()
    return net.net


class _Quiet:
    """A ControlNet has no progress to show."""

    def __init__(self, net: Any) -> None:
        self.net = net

    def set_progress_bar_config(self, **_: Any) -> None:
        """Nothing."""


class Steered(Plugin):
    """Adds controls to the windows."""

    controls: tuple[Any, ...]

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Any:
        patches.controls = tuple(Control(*each) for each in self.controls)
        return (yield)


def hint(width: int, height: int, seed: int = 0) -> torch.Tensor:
    """Blocks of black and white, (1, 3, H, W), 0..1."""
    blocks = torch.rand(1, 1, height // 8, width // 8, generator=torch.Generator().manual_seed(seed)) > 0.5
    return blocks.float().repeat_interleave(8, -1).repeat_interleave(8, -2).repeat(1, 3, 1, 1)
