"""The attention maps of a group's views, added up layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from fusionkit.errors import ModelError


class ViewMaps:
    """The attention maps of a group's views: running sums over layers, means over heads.

    Args:
        views: P, how many views there are.
        sizes: (height, width) of a view's map at each level.
        asked: Asked when maps come: the numbers of the views that are predicted; None is all.
    """

    def __init__(
        self, views: int, sizes: Mapping[int, tuple[int, int]], asked: Callable[[], Sequence[int]] | None = None
    ) -> None:
        self.views = views
        self._asked: Callable[[], Sequence[int]] = asked or partial(range, views)
        self.sizes = dict(sizes)
        self._sums: dict[int, Tensor] = {}
        self._counts = {level: [0] * views for level in sizes}
        self._rows: dict[str, int] = {}

    def level_of(self, queries: int) -> int | None:
        """The level whose maps have that many pixels, if it is one of those asked for."""
        return next((level for level, (height, width) in self.sizes.items() if height * width == queries), None)

    def add(self, layer: str, level: int, maps: Tensor) -> None:
        """Add one layer's maps (rows, L, h, w) of the views that come next, in float32."""
        start = self._rows.get(layer, 0)
        # Views come in the order of the group, in batches; a second prediction of the group begins anew.
        asked = self._asked()
        numbers = [asked[(start + row) % len(asked)] for row in range(len(maps))]
        self._rows[layer] = start + len(maps)
        tokens = maps.shape[1]
        sums = self._sums.get(level, maps.new_zeros(self.views, *maps.shape[1:]))
        if sums.shape[1] < tokens:  # prompts of a group may differ in their number of chunks
            sums = torch.cat([sums, sums.new_zeros(self.views, tokens - sums.shape[1], *maps.shape[2:])], dim=1)
        for number, each in zip(numbers, maps, strict=True):
            sums[number, :tokens] += each
            self._counts[level][number] += 1
        self._sums[level] = sums

    def of(self, numbers: Sequence[int]) -> ViewMaps:
        """Those of some views alone, to which others may add before they are put `back`."""
        part = ViewMaps(len(numbers), self.sizes)
        part._sums = {level: sums[list(numbers)] for level, sums in self._sums.items()}
        part._counts = {level: [counts[number] for number in numbers] for level, counts in self._counts.items()}
        return part

    def back(self, numbers: Sequence[int], part: ViewMaps) -> None:
        """Take over those of some views."""
        for level, sums in part._sums.items():
            own = self._sums.get(level, sums.new_zeros(self.views, *sums.shape[1:]))
            # Prompts of a group may differ in their number of chunks.
            tokens = max(own.shape[1], sums.shape[1])
            own = pad(own, (0, 0, 0, 0, 0, tokens - own.shape[1]))
            own[list(numbers)] = pad(sums, (0, 0, 0, 0, 0, tokens - sums.shape[1]))
            self._sums[level] = own
        for level, counts in part._counts.items():
            for number, count in zip(numbers, counts, strict=True):
                self._counts[level][number] = count

    def numbers(self, rows: range) -> list[int]:
        """The numbers of the views that are predicted in some places, from the first that is on."""
        asked = self._asked()
        return [asked[row % len(asked)] for row in rows]

    @property
    def seen(self) -> list[bool]:
        """Whether each of the P views was predicted."""
        return [all(counts[number] for counts in self._counts.values()) for number in range(self.views)]

    def mean(self, level: int) -> Tensor:
        """Each view's map, (P, L, h, w), float32: the mean over heads and layers; L text tokens, padding included.

        Of a view that was not predicted it is zeros.

        Of a prompt of several chunks L counts all of them, one after the other; where a view's prompt has fewer than
        another's, the rest is zeros.

        Raises:
            ModelError: The denoiser did not use cross-attention at that level.
        """
        counts = self._counts[level]
        if not any(counts):
            height, width = self.sizes[level]
            raise ModelError(f"the denoiser used no cross-attention of {width}x{height} queries, at level {level}")
        return self._sums[level] / self._sums[level].new_tensor(counts).clamp_min(1).view(-1, 1, 1, 1)


def maps_of(
    views: int, view_size: tuple[int, int], levels: Sequence[int], asked: Callable[[], Sequence[int]] | None = None
) -> ViewMaps:
    """Maps to be filled, as for `Model.capture`."""
    return ViewMaps(views, {level: map_size(view_size, level) for level in levels}, asked)


def map_size(view_size: tuple[int, int], level: int) -> tuple[int, int]:
    """(height, width) of the attention maps of a view of (height, width) latent pixels at a level, a power of 2."""
    # Each of the denoiser's halvings rounds up, which is the same as rounding up once.
    return -(-view_size[0] // level), -(-view_size[1] // level)
