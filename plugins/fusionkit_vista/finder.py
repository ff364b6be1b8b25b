"""Finds the things in a picture of any size, of whatever size they are: where, how large, and so how many."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from fusionkit_vista.judge import SIZE, Judge

WEIGHTS = "finder.safetensors"
STRIDE = 4
"""Pixels of a place of the maps."""
WIDTH = 48
DEPTHS = (48, 64, 96, 112)
"""Channels of the judge's layers at strides 4, 8, 16 and 32."""
STEP = 64
"""Pixels from one window to the next."""
RIM = 10
"""Pixels at a window's borders where another window sees more."""
BATCH = 16
SURE = 0.4
"""How sure a find is at least, 0 to 1."""
INSIDE = 0.6
"""A find nearer to a surer one than this share of the larger's size is the same thing."""


@dataclass(frozen=True)
class Find:
    """A thing in a picture: its middle and its size (the root of its box's area) in pixels, and how sure it is."""

    x: float
    y: float
    size: float
    sure: float


class Finder(nn.Module):
    """The judge's layers, whose maps are brought together from the coarsest to stride 4, and read at each place.

    Args:
        things: The kinds of things.
    """

    def __init__(self, things: Sequence[str]) -> None:
        super().__init__()
        self.things = list(things)
        self.body = Judge({}, things).body
        self.lateral = nn.ModuleList([nn.Conv2d(depth, WIDTH, 1) for depth in DEPTHS])
        self.smooth = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.GroupNorm(8, WIDTH),
            nn.SiLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.SiLU(),
        )
        self.heat = nn.Conv2d(WIDTH, len(things), 1)
        self.extent = nn.Conv2d(WIDTH, 1, 1)
        nn.init.constant_(self.heat.get_parameter("bias"), -4.0)  # few places hold a thing

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of a thing's middle (n, things, h/4, w/4) and log sizes in pixels (n, 1, h/4, w/4).

        Args:
            pictures: (n, 3, h, w) in -1 to 1.
        """
        maps, x = {}, pictures
        for layer in self.body:
            x = layer(x)
            if isinstance(layer, nn.SiLU):
                maps[x.shape[-1]] = x  # the last one of each stride
        fine = [maps[side] for side in sorted(maps, reverse=True)][-len(DEPTHS) :]
        total = self.lateral[-1](fine[-1])
        for lateral, each in zip(self.lateral[-2::-1], fine[-2::-1], strict=True):
            total = lateral(each) + F.interpolate(total, size=each.shape[-2:], mode="nearest")
        total = self.smooth(total)
        return self.heat(total), self.extent(total) + 3.5

    @torch.no_grad()
    def find(self, picture: NDArray[np.uint8], name: str) -> list[Find]:
        """All things of a kind in a picture (h, w, 3), the surest first.

        The picture is looked at in windows of 128 px, as it is and made smaller by halves, so that a thing may be
        anything from two thirds of its usual size in a window up to as large as the picture.
        """
        self.eval()
        found: list[Find] = []
        for scale, level in _levels(picture):
            windows = list(_windows(level))
            for start in range(0, len(windows), BATCH):
                part = windows[start : start + BATCH]
                x = torch.from_numpy(np.stack([level[y : y + SIZE, x : x + SIZE] for x, y in part]))
                heat, extent = self(x.permute(0, 3, 1, 2).float() / 127.5 - 1)
                chance = heat[:, self.things.index(name)].sigmoid()
                for at, peaks, sizes in zip(part, chance, extent[:, 0].exp(), strict=True):
                    found += [_scaled(each, scale, at) for each in _peaks(peaks, sizes, at, level.shape[:2])]
        return distinct(found)


def _levels(picture: NDArray[np.uint8]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """A picture as it is and made smaller by halves, while a window fits, with its pixels a pixel of each."""
    height, width = picture.shape[:2]
    x = torch.tensor(np.asarray(picture)).permute(2, 0, 1)[None].float()
    scale = 1.0
    while min(height, width) / scale >= SIZE:
        size = (round(height / scale), round(width / scale))
        level = x if scale == 1 else F.interpolate(x, size, mode="area")
        yield scale, level[0].round().byte().permute(1, 2, 0).numpy()
        scale *= 2


def _windows(level: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Where windows begin, the last ones at the right and lower edges."""
    height, width = level.shape[:2]
    for y in (*range(0, height - SIZE, STEP), height - SIZE):
        for x in (*range(0, width - SIZE, STEP), width - SIZE):
            yield x, y


def _peaks(
    chance: torch.Tensor, sizes: torch.Tensor, at: tuple[int, int], level: tuple[int, ...]
) -> Iterator[tuple[float, float, float, float]]:
    """Middles, sizes and certainties of a window's finds, in its pixels, but for those that another sees whole."""
    highest = F.max_pool2d(chance[None], 3, stride=1, padding=1)[0]
    for row, column in ((chance == highest) & (chance > SURE)).nonzero().tolist():
        x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
        near = ((x, at[0], level[1]), (y, at[1], level[0]))
        hidden = (
            (place < RIM and first > 0) or (place > SIZE - RIM and first + SIZE < end) for place, first, end in near
        )
        if not any(hidden):
            yield x, y, float(sizes[row, column]), float(chance[row, column])


def _scaled(peak: tuple[float, float, float, float], scale: float, at: tuple[int, int]) -> Find:
    x, y, size, sure = peak
    return Find((x + at[0]) * scale, (y + at[1]) * scale, size * scale, sure)


def distinct(found: Sequence[Find]) -> list[Find]:
    """Finds of which none is another's: what lies within a surer one, or around it, is left out."""
    kept: list[Find] = []
    for each in sorted(found, key=lambda find: -find.sure):
        apart = [np.hypot(each.x - other.x, each.y - other.y) / max(each.size, other.size) for other in kept]
        if all(distance > INSIDE for distance in apart):
            kept.append(each)
    return kept


def save_finder(finder: Finder, folder: Path) -> None:
    """Write the finder's weights, in half precision, and the names of the things."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: value.detach().half().cpu().contiguous() for name, value in finder.state_dict().items()}
    save_file(halves, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # written for the owner alone
    (folder / "config.json").write_text(json.dumps({"things": finder.things}, indent=2) + "\n", encoding="utf-8")


def load_finder(folder: Path) -> Finder:
    """The finder of a folder."""
    finder = Finder(json.loads((folder / "config.json").read_text(encoding="utf-8"))["things"])
    finder.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS).items()})
    return finder.eval()
