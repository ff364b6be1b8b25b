"""Weights that wait on the CPU: of several pipelines, only the module at work is on the device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from accelerate.hooks import CpuOffload, add_hook_to_module
from accelerate.utils.memory import clear_device_cache
from torch.nn import Module

_CPU = torch.device("cpu")


# accelerate is untyped.
class OneAtATime(CpuOffload):  # type: ignore[misc]
    """Before a module runs: the others go back to the CPU, then it comes to the device, where it stays.

    `enable_model_cpu_offload` chains the modules of one pipeline, each of which sends back the one before it. A module
    that two pipelines share can be in one chain only, and no chain knows of the other's denoiser.

    Args:
        device: Where the modules compute, with its index.
        modules: All that take turns on it.
    """

    def __init__(self, device: torch.device, modules: Sequence[Module]) -> None:
        super().__init__(execution_device=device)
        self.modules = modules

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def pre_forward(self, module: Module, *args: Any, **kwargs: Any) -> Any:
        """Make room, then as accelerate does: the module and its arguments to the device."""
        send_back(each for each in self.modules if each is not module)
        return super().pre_forward(module, *args, **kwargs)


def take_turns(pipes: Sequence[Any], device: torch.device) -> None:
    """Let the modules of several pipelines, which may share some, take turns on a device."""
    # As a weight names its device: "cuda" is its "cuda:0".
    device = torch.device(device.type, device.index or 0)
    modules = list(dict.fromkeys(module for pipe in pipes for module in modules_of(pipe)))
    for pipe in pipes:
        pipe.remove_all_hooks()
    for module in modules:
        add_hook_to_module(module, OneAtATime(device, modules))


def in_groups(pipes: Sequence[Any], denoisers: Sequence[Module], device: torch.device) -> None:
    """Let the weights of several pipelines, which may share some, come to a device in small groups.

    A denoiser's come block by block, on a CUDA GPU the next one while one computes; those of all else, which run once
    in a while, layer by layer.
    """
    from diffusers.hooks.group_offloading import apply_group_offloading

    ahead: dict[str, Any] = {"use_stream": device.type == "cuda", "low_cpu_mem_usage": True}
    for module in dict.fromkeys(module for pipe in pipes for module in modules_of(pipe)):
        if any(module is each for each in denoisers):
            apply_group_offloading(module, device, offload_type="block_level", num_blocks_per_group=1, **ahead)
        else:
            apply_group_offloading(module, device, offload_type="leaf_level")


def send_back(modules: Iterable[Module]) -> None:
    """Move to the CPU which of the modules are on a device and come there by themselves when they run."""
    away = [module for module in modules if _comes(module) and next(module.parameters()).device != _CPU]
    for module in away:
        module.to("cpu")
    if away:
        clear_device_cache()


def modules_of(pipe: Any) -> list[Module]:
    """The components of a pipeline that have weights."""
    return [each for each in pipe.components.values() if isinstance(each, Module)]


def _comes(module: Module) -> bool:
    hook = getattr(module, "_hf_hook", None)
    return any(isinstance(each, CpuOffload) for each in getattr(hook, "hooks", (hook,)))
