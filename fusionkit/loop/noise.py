"""Keyed noise: a draw depends on its key alone, never on the device, the batch size or the draws before it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from fusionkit.loop.room import IN_MEMORY, Room

if TYPE_CHECKING:
    import torch


def generator(seed: int, *key: str | int) -> torch.Generator:
    """A CPU generator whose state is a hash of the seed and the key."""
    import torch

    digest = blake2b(repr((seed, *key)).encode(), digest_size=8).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest, "little") >> 1)


def keyed_noise(seed: int, *key: str | int, shape: Sequence[int], room: Room = IN_MEMORY) -> torch.Tensor:
    """N(0, 1) noise of a shape, float32 on the CPU, the same for the same seed and key, wherever it is put."""
    return room.empty(shape).normal_(generator=generator(seed, *key))
