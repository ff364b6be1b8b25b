"""Attention maps: which words a view's pixels look at, read while the denoiser works and without changing it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from fusionkit.loop.view_maps import ViewMaps
from fusionkit.models.listening import Listener

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
    """Read how the image looks at its text while a model predicts a group of views: `Model.capture`, as a function."""
    with model.capture(views, view_size, levels, asked, layers, over) as maps:
        yield maps


@contextmanager
def heard(adapter: Any, maps: ViewMaps, layers: Collection[int] | None, over: Over | None) -> Iterator[None]:
    """While an adapter of a diffusers pipeline predicts, its denoiser's attention is added to maps; as `capture`."""
    denoiser = getattr(adapter.denoiser, "_orig_mod", adapter.denoiser)
    family = adapter.family
    chosen = family.attentive_layers if layers is None else frozenset(layers)
    listener = Listener(adapter, denoiser, maps, chosen, over or family.attention_over)
    with uncompiled(adapter.denoiser), listener:
        yield


def uncompiled(denoiser: Any) -> Any:
    """A context in which compiled code is not used, where there is any: it knows of no listeners and no patches."""
    compiled = hasattr(denoiser, "_orig_mod") or any(m._compiled_call_impl is not None for m in denoiser.modules())
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
