"""Coarse pictures of a canvas, each of every d-th latent pixel: where they lie, and how they exchange pixels."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from fusionkit import Patches, Stage, Step, View

if TYPE_CHECKING:
    from torch import Tensor

# So many integers that the remainder of a draw is as good as evenly drawn.
_MANY = 2**31 - 1


def dilated_views(
    canvas: tuple[int, int], dilation: int | tuple[int, int], start: tuple[int, int] = (0, 0)
) -> tuple[View, ...]:
    """The views of every dilation-th latent pixel, one for each place to begin at, row by row.

    Where a side of the canvas (H, W) is no multiple, the first ones begin above or left of it.

    Args:
        canvas: (H, W) in latent pixels.
        dilation: How many latent pixels lie from one to the next, for both axes or (down, across).
        start: Where the first one begins on a ring, (row, column).
    """
    down, across = (dilation, dilation) if isinstance(dilation, int) else dilation
    height, width = -(-canvas[0] // down), -(-canvas[1] // across)
    top, left = start[0] + canvas[0] - height * down, start[1] + canvas[1] - width * across
    # Told where it says something.
    other = 0 if across == down else across
    return tuple(
        View(top + row, left + column, height, width, down, across=other)
        for row in range(down)
        for column in range(across)
    )


def start_of(stage: Stage, at: Step) -> tuple[int, int]:
    """Where the first one begins, (row, column): on a ring elsewhere at each step, so that no edge stays one."""
    if not stage.wrap:
        return 0, 0
    row, column = stage.integers("dilated samples on a ring", 2, 0, _MANY, at=at)
    return row % stage.canvas[0] if "y" in stage.wrap else 0, column % stage.canvas[1] if "x" in stage.wrap else 0


def exchanged(patches: Patches, given: Tensor, order: Tensor | None) -> Generator[None, Tensor, Tensor]:
    """Around the prediction of a group, for a wrapper to `yield from`: other latents, whose pixels change places.

    Args:
        patches: The group.
        given: What the model is to see in place of its latents, (P, C, h, w).
        order: For each channel and place, which view each view gets its pixel from, and gives it back to afterwards,
            (P, C, h, w), as far as both are asked for; None exchanges nothing.
    """
    latents = patches.latents
    try:
        if order is None:
            patches.latents = given
            return (yield)
        if patches.predict is not None:
            order = among(order, patches.asked)
        patches.latents = given.gather(0, order)
        mixed = yield
        return mixed.gather(0, order.argsort(0))
    finally:
        patches.latents = latents


def among(order: Tensor, asked: Sequence[int]) -> Tensor:
    """A permutation (P, C, h, w) among those views alone that are asked for; the others keep their pixels."""
    import torch

    numbers = torch.tensor(asked, device=order.device)
    found = torch.arange(len(order), device=order.device).reshape(-1, 1, 1, 1).expand_as(order).clone()
    found[numbers] = numbers[order[numbers].argsort(0)]
    return found
