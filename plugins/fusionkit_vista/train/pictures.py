"""Drawn pictures on the training's device, taken over while the drawing still goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fusionkit_vista.draw import load
from fusionkit_vista.train.clock import say
from fusionkit_vista.windows import MARGIN, SIDE

HELD_OUT_OF = 50
"""Of so many pictures one is never trained on: those whose number this divides."""
MOST = 100_000
DONE = "done"
"""The file that says that no more pictures will come."""


class Some:
    """Pictures and what each shows.

    Args:
        most: For how many there is room; memory for all of them is taken at once, so that growing costs none.
        device: Where the pixels are kept.
    """

    def __init__(self, most: int, device: torch.device) -> None:
        side = SIDE + 2 * MARGIN
        self.room = torch.empty(most, side, side, 3, dtype=torch.uint8, device=device)
        self.facts: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.facts)

    @property
    def pixels(self) -> torch.Tensor:
        """The pictures with their margin, as bytes (n, 160, 160, 3)."""
        return self.room[: len(self)]

    @property
    def windows(self) -> torch.Tensor:
        """The pictures without their margin, (n, 128, 128, 3)."""
        return self.pixels[:, MARGIN:-MARGIN, MARGIN:-MARGIN]

    def add(self, pixels: np.ndarray, facts: list[dict[str, Any]]) -> None:
        """More of them, as far as there is room."""
        first, count = len(self), min(len(facts), len(self.room) - len(self))
        self.room[first : first + count] = torch.from_numpy(np.ascontiguousarray(pixels[:count])).to(self.room.device)
        self.facts += facts[:count]


class Pictures:
    """The pictures of a folder that `fusionkit_vista.draw` has written, or is still writing.

    `some` holds those that are trained on, `held` those that are not.

    Args:
        folder: Where the shards are.
        device: Where the pixels are kept, as bytes.
        most: How many are enough.
    """

    def __init__(self, folder: Path, device: torch.device, most: int = MOST) -> None:
        self.folder, self.most = folder, most
        self.some, self.held = Some(most, device), Some(most // HELD_OUT_OF + 10, device)
        self.taken: dict[int, int] = {}
        self.looked = 0.0

    def take(self, at_most_every: float = 0.0) -> int:
        """Take over what has been drawn since; returns how many there are now, but for those held out."""
        if time.monotonic() - self.looked >= at_most_every and len(self.some) < self.most:
            self.looked = time.monotonic()
            for shard, (pixels, facts) in enumerate(load(self.folder)):
                first, facts = self.taken.get(shard, 0), facts[: self.most]
                held = np.array([each["index"] % HELD_OUT_OF == 0 for each in facts[first:]], bool)
                for some, chosen in ((self.some, ~held), (self.held, held)):
                    rows = first + np.flatnonzero(chosen)
                    some.add(pixels[rows], [facts[i] for i in rows])
                self.taken[shard] = len(facts)
        return len(self.some)

    def wait(self, count: int | None = None, patience: float = 300.0) -> int:
        """Take over pictures until there are `count` (or all), or no more will come, or `patience` seconds are over.

        Raises:
            RuntimeError: If there are none then.
        """
        begun = time.monotonic()
        enough = min(count or self.most, self.most)
        while self.take() < enough and not (self.folder / DONE).exists() and time.monotonic() - begun < patience:
            time.sleep(0.25)
        self.take()
        if not len(self.some):
            raise RuntimeError(f"no pictures in {self.folder}")
        say(f"{len(self.some)} pictures, {len(self.held)} held out, after {time.monotonic() - begun:.1f} s")
        return len(self.some)


def pieces(tensor: torch.Tensor, size: int) -> list[torch.Tensor]:
    """A tensor in pieces of at most `size` rows."""
    return [tensor[start : start + size] for start in range(0, len(tensor), size)]


def to_floats(pixels: torch.Tensor) -> torch.Tensor:
    """Bytes (n, h, w, 3) as floats (n, 3, h, w) in -1 to 1, the channels innermost in memory."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(pictures: torch.Tensor) -> torch.Tensor:
    """Floats (n, 3, h, w) as bytes (n, h, w, 3)."""
    return ((pictures.detach().float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
