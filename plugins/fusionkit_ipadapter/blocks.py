"""How strongly each block of a UNet looks at a picture, as diffusers writes it. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fusionkit.recipe import finite
from fusionkit.recipe.problems import shown

SIDES = ("down", "mid", "up")
_BLOCK = re.compile(r"block_\d+")


def as_scale(value: Any) -> Any:
    """A number, or numbers by block, such as {"up": {"block_0": [0, 1, 0]}}.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(value, Mapping):
        return _number(value)
    if not value or (unknown := [each for each in value if each not in SIDES]):
        which = f"not {shown(unknown[0])}" if value else "and is empty"
        raise ValueError(f"must name the blocks 'down', 'mid' or 'up', {which}")
    return {side: _number(each) if side == "mid" else _of_side(side, each) for side, each in value.items()}


def _of_side(side: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return _numbers(value)
    if odd := next((name for name in value if not _BLOCK.fullmatch(str(name))), None):
        raise ValueError(f"must name the blocks of '{side}' as block_0, block_1, ..., not {shown(odd)}")
    return {name: _numbers(each) for name, each in value.items()}


def _numbers(value: Any) -> Any:
    return [_number(each) for each in value] if isinstance(value, (list, tuple)) and value else _number(value)


def _number(value: Any) -> float:
    number = finite(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise ValueError(
            f"must be a number, or numbers by block such as {{up: {{block_0: [0, 1, 0]}}}}, not {shown(value)}"
        )
    return float(number)


def is_zero(scale: Any) -> bool:
    """Whether no block looks."""
    if isinstance(scale, Mapping):
        return all(map(is_zero, scale.values()))
    return all(map(is_zero, scale)) if isinstance(scale, list) else scale == 0


def by_layer(scale: Any, layers: Iterable[str]) -> dict[str, float]:
    """The number of each layer of a UNet, by its name; 0 of blocks that are not named, as in diffusers.

    Args:
        scale: As `as_scale` answers it.
        layers: Names such as `up_blocks.0.attentions.1.transformer_blocks.0.attn2`.
    """
    return {name: _of_layer(scale, name) for name in layers}


def _of_layer(scale: Any, name: str) -> float:
    if not isinstance(scale, Mapping):
        return float(scale)
    block, _, rest = name.partition(".")
    side = block.partition("_")[0]
    found = scale.get(side, 0.0)
    if side == "mid":
        return float(found)
    number, _, transformer, *_ = rest.split(".")
    if isinstance(found, Mapping):
        found = found.get(f"block_{number}", 0.0)
    if isinstance(found, list):
        found = found[0] if len(found) == 1 else found[int(transformer)]
    return float(found)


def problems(scale: Any, layers: Iterable[str]) -> Iterator[str]:
    """Where a scale names blocks that a UNet does not have, or more or fewer transformers than there are."""
    if not isinstance(scale, Mapping):
        return
    there: dict[str, dict[str, int]] = {side: {} for side in SIDES}
    for name in layers:
        block, _, rest = name.partition(".")
        number, _, transformer, *_ = rest.split(".") if not block.startswith("mid") else ("0", "", "0")
        there[block.partition("_")[0]][f"block_{number}"] = int(transformer) + 1
    for side, value in scale.items():
        own = there[side]
        if side == "mid":
            yield from () if own else ("scale: the middle block does not look at prompts; leave out 'mid'",)
            continue
        each = value if isinstance(value, Mapping) else dict.fromkeys(own, value)
        for block, numbers in each.items():
            if block not in own:
                yield f"scale: no {side} block '{block}' looks at prompts; there are {', '.join(own) or 'none'}"
            elif isinstance(numbers, list) and len(numbers) not in (1, own[block]):
                yield f"scale: {side}.{block} has {own[block]} transformers, and {len(numbers)} numbers are given"
