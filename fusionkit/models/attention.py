"""Attention maps: which words a view's pixels look at, read while the denoiser works and without changing it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from fusionkit.models.listening import Listener
from fusionkit.models.view_maps import ViewMaps, map_size

if TYPE_CHECKING:
    from fusionkit.loop.model import Model
    from fusionkit.models.families.base import Over


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
    with uncompiled(adapter.denoiser), listener:
        yield maps


def uncompiled(denoiser: Any) -> Any:
    """A context in which compiled code is not used, where there is any: it knows of no listeners and no patches."""
    compiled = hasattr(denoiser, "_orig_mod") or any(m._compiled_call_impl is not None for m in denoiser.modules())
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
