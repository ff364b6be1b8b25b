"""Several pipelines in one memory: what is equal is there once, and offloaded ones take turns on the device.

Importing this needs no torch.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from fusionkit.models.silence import quiet_diffusers

if TYPE_CHECKING:
    import torch

# Of a component's configuration: where it came from, how it was stored, and what counts in training alone or shows in
# the weights.
_IDLE = {
    "architectures",
    "attention_dropout",
    "dropout",
    "dtype",
    "id2label",
    "initializer_factor",
    "initializer_range",
}
_IDLE |= {"label2id", "problem_type", "projection_dim", "torch_dtype", "transformers_version"}


def denoiser_of(pipe: Any) -> Any:
    """A pipeline's UNet or transformer."""
    transformer = getattr(pipe, "transformer", None)
    return pipe.unet if transformer is None else transformer


def share_components(pipes: Sequence[Any]) -> None:
    """Make what is equal in several pipelines one object: the first one's, as far as there is one.

    Two components of one name are equal if they are of one class and configuration, and their weights in every number;
    two tokenizers if they are in every rule. What carries a LoRA or hooks is left alone, and so are schedulers. A copy
    that was replaced is gone afterwards.

    Args:
        pipes: Pipelines of diffusers that are nobody else's, before they are placed on a device.
    """
    replaced = False
    for number, pipe in enumerate(pipes):
        for name, component in pipe.components.items():
            earlier = (each.components.get(name) for each in pipes[:number])
            found = next((each for each in earlier if each is component or _equal(each, component)), component)
            if found is not component:
                pipe.register_modules(**{name: found})
                replaced = True
    if replaced:
        # Modules are in cycles with what wraps their methods.
        gc.collect()


def place(pipes: Sequence[Any], device: torch.device, offload: str) -> None:
    """Put pipelines, which may share components, where they compute.

    Args:
        pipes: Pipelines of diffusers.
        device: Where they compute.
        offload: "none"; "model", for one component at a time on the device, of all pipelines together; "group", block
            by block, the next one while one computes; or "sequential", layer by layer.
    """
    if offload == "group":
        from fusionkit.models.offload import in_groups

        in_groups(pipes, [denoiser_of(pipe) for pipe in pipes], device)
        return
    if offload == "model" and len(pipes) > 1:
        from fusionkit.models.offload import take_turns

        take_turns(pipes, device)
        return
    for pipe in pipes:
        if offload == "model":
            pipe.enable_model_cpu_offload(device=device)
        elif offload == "sequential":
            pipe.enable_sequential_cpu_offload(device=device)
        else:
            # diffusers warns, twice, that float16 is slow on a CPU: whoever asks for it knows.
            with quiet_diffusers():
                pipe.to(device)


class Turns:
    """Keeps one denoiser at a time on the device where pipelines are offloaded each by itself, as their user may do.

    The adapters of one run share one. It does nothing to what is not offloaded.
    """

    def __init__(self) -> None:
        self._pipes: list[Any] = []

    def take(self, pipe: Any) -> None:
        """Before a pipeline's denoiser runs: the others' go back to the CPU."""
        if not any(each is pipe for each in self._pipes):
            self._pipes.append(pipe)
        own = denoiser_of(pipe)
        others = [each for each in map(denoiser_of, self._pipes) if each is not own]
        if others:
            from fusionkit.models.offload import send_back

            send_back(others)

    def release(self) -> None:
        """Before and after a picture is decoded: all components of the pipelines that had a turn go back to the CPU."""
        from fusionkit.models.offload import modules_of, send_back

        send_back(chain.from_iterable(modules_of(pipe) for pipe in self._pipes))


def _equal(one: Any, other: Any) -> bool:
    from torch.nn import Module

    if type(one) is not type(other):
        return False
    if isinstance(one, Module):
        return _equal_modules(one, other)
    rules = [_rules(each) for each in (one, other)]
    return rules[0] is not None and rules[0] == rules[1]


def _equal_modules(one: Any, other: Any) -> bool:
    import torch

    if any(_adapted(each) for each in (one, other)) or _config(one) != _config(other):
        return False
    mine, theirs = one.state_dict(), other.state_dict()
    if mine.keys() != theirs.keys() or one.training != other.training:
        return False
    pairs = [(weights, theirs[name]) for name, weights in mine.items()]
    if any((a.shape, a.dtype, a.device) != (b.shape, b.dtype, b.device) for a, b in pairs):
        return False
    # Models that differ do so almost everywhere: a few numbers of each tensor tell, before all are read.
    return all(a.flatten()[:8].equal(b.flatten()[:8]) for a, b in pairs) and all(torch.equal(a, b) for a, b in pairs)


def _adapted(module: Any) -> bool:
    """Whether it has a LoRA, whose scale is no weight, or hooks that move or change it."""
    return bool(getattr(module, "peft_config", None)) or hasattr(module, "_hf_hook")


def _config(module: Any) -> Mapping[str, Any] | None:
    config = getattr(module, "config", None)
    if config is None:
        return None
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return {key: value for key, value in values.items() if key not in _IDLE and not key.startswith("_")}


def _rules(tokenizer: Any) -> tuple[Any, ...] | None:
    """All that decides what a tokenizer makes of a text; None of what is none, or can't tell."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    return (
        backend.to_str(),
        tokenizer.special_tokens_map,
        tokenizer.model_max_length,
        tokenizer.padding_side,
        tokenizer.truncation_side,
        tokenizer.model_input_names,
    )
