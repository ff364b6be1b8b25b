"""What several families make their denoiser's arguments of: batches of embeddings, masks, and places of tokens.

Importing this needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Asked, Embedding


def stacked(embeddings: Sequence[Embedding], number: int) -> Tensor:
    """One part of several embeddings as a batch."""
    import torch

    return torch.cat([embedding[number] for embedding in embeddings])


def filled(embeddings: Sequence[Embedding]) -> list[Embedding]:
    """Embeddings (1, L, D), (1, L) of different lengths, with zeros up to the longest; the second is the mask."""
    import torch.nn.functional as F

    longest = max(text.shape[1] for text, *_ in embeddings)
    return [
        (F.pad(text, (0, 0, 0, longest - text.shape[1])), F.pad(mask, (0, longest - mask.shape[1])))
        for text, mask in embeddings
    ]


def in_small_letters(prompt: str) -> str:
    """A prompt in small letters, each in its place: of the few that would become two, as they are."""
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in prompt)


def scales(asked: Asked) -> Tensor:
    """The guidance scale as an input of the denoiser, one for each row, (B,), float32."""
    return asked.like.new_full((len(asked.views),), asked.scale).float()


def at_each_layer(samples: Sequence[Tensor] | None, depth: int, rows: int) -> list[Tensor] | None:
    """What a ControlNet of fewer layers adds to each of the denoiser's, for all rows.

    Args:
        samples: Of each of its layers, of the rows that have the prompt; those without it get the same.
        depth: How many layers the denoiser has.
        rows: How many rows.
    """
    if samples is None:
        return None
    each = math.ceil(depth / len(samples))  # as in diffusers' transformers
    whole = [sample.repeat(rows // len(sample), 1, 1) for sample in samples]
    return [whole[number // each] for number in range(depth)]


def image_ids(asked: Asked, first: float = 0.0) -> Tensor:
    """The place of each image token, (h w, 3), float32: `first`, its row, its column."""
    import torch

    height, width = asked.size
    rows = torch.arange(height, device=asked.like.device, dtype=torch.float32)
    columns = torch.arange(width, device=asked.like.device, dtype=torch.float32)
    rows, columns = rows[:, None].expand(height, width).flatten(), columns[None].expand(height, width).flatten()
    return torch.stack([torch.full_like(rows, first), rows, columns], -1)


def text_ids(asked: Asked, count: int) -> Tensor:
    """The place of each text token along the diagonal, (count, 3), float32: token n at (0, n, n)."""
    import torch

    numbers = torch.arange(count, device=asked.like.device, dtype=torch.float32)
    return torch.stack([torch.zeros_like(numbers), numbers, numbers], -1)


def corners(asked: Asked) -> list[list[int]]:
    """Where in the picture each row's view begins, (top, left) in pixels; a dilated one is the whole picture."""
    return [list(corner) for corner in asked.stage.told_corners(asked.views)]
