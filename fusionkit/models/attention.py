"""Attention maps: which words a view's pixels look at, read while the denoiser works and without changing it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.errors import ModelError
from fusionkit.models.listening import Listener

if TYPE_CHECKING:
    from fusionkit.loop.model import Model
    from fusionkit.models.families.base import Over


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
        self._asked = asked or (lambda: range(views))
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


@contextmanager
def capture(
    model: Model,
    views: int,
    view_size: tuple[int, int],
    levels: Sequence[int],
    asked: Callable[[], Sequence[int]] | None = None,
    layers: Collection[int] | None = None,
    over: Over | None = None,
) -> Iterator[ViewMaps]:
    """Read how the conditional half's image looks at its text while a group of views is predicted.

    The layers are only listened to: their processors, LoRAs and adapters stay in place, the output is the same to the
    last bit, and nothing is left on the model afterwards. A compiled denoiser runs uncompiled meanwhile.

    Args:
        model: The adapter of a diffusers pipeline that predicts.
        views: P, how many views it is about to predict.
        view_size: (height, width) of each view, in latent pixels.
        levels: Divisors of the view's size at which attention is read, such as 4 for the layers at latent/4; for a
            transformer its patch.
        asked: Asked while the denoiser works: the numbers of the views that are predicted, where some may be left out.
        layers: Which layers count, from 0 in the denoiser's order; None is the family's choice, which is mostly all.
        over: What a pixel's attention adds up to 1 over, in layers that look at text and image at once: "text" alone,
            which makes it cross-attention, or "all", where a pixel that looks at the image looks less at the text. None
            is the family's choice.
    """
    adapter: Any = model
    denoiser = getattr(adapter.denoiser, "_orig_mod", adapter.denoiser)
    maps = ViewMaps(views, {level: map_size(view_size, level) for level in levels}, asked)
    family = adapter.family
    chosen = family.attentive_layers if layers is None else frozenset(layers)
    listener = Listener(adapter, denoiser, maps, chosen, over or family.attention_over)
    with _uncompiled(adapter.denoiser), listener:
        yield maps


def map_size(view_size: tuple[int, int], level: int) -> tuple[int, int]:
    """(height, width) of the attention maps of a view of (height, width) latent pixels at a level, a power of 2."""
    # Each of the denoiser's halvings rounds up, which is the same as rounding up once.
    return -(-view_size[0] // level), -(-view_size[1] // level)


def _uncompiled(denoiser: Any) -> Any:
    """A context in which compiled code is not used, where there is any: it does not know of listeners."""
    compiled = hasattr(denoiser, "_orig_mod") or any(m._compiled_call_impl is not None for m in denoiser.modules())
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
