"""A group of windows as regions share it: each region's views, what they count for, and what they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch

from fusionkit import Patches, Stage, Told, View, gather
from fusionkit.loop.canvas import scatter, view_weights, weight_map
from fusionkit_regions.masks import LEAST, mask_on
from fusionkit_regions.parts import Mask, Region
from fusionkit_regions.places import Shares, Span, spans, windows_along

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Part:
    """A region on a stage's canvas.

    Args:
        told: What its views are told.
        counts: What it counts for at each pixel, (H, W); with what is around all regions they add up to 1.
        extent: The rows and columns that it lies in.
        own: Whether it has windows of its own.
    """

    told: Told
    counts: Tensor
    extent: tuple[Span, Span]
    own: bool


@dataclass(frozen=True)
class Parts:
    """All regions of a stage, and what is around them.

    Args:
        around: What the recipe's prompt counts for at each pixel, (H, W).
        elsewhere: What the views around them are told.
        regions: The regions.
    """

    around: Tensor
    elsewhere: Told
    regions: tuple[Part, ...]


def parts_of(
    stage: Stage,
    regions: Mapping[str, Region],
    boxes: Mapping[str, Shares],
    softness: float,
    told: Mapping[str, Told],
    elsewhere: Told,
) -> Parts:
    """The regions on a stage's canvas.

    With m_i the mask of region i, it counts m_i / max(1, sum_j m_j), and what is around 1 - sum_j m_j, at least 0.

    Args:
        stage: The stage.
        regions: By name.
        boxes: Where those lie that are boxes.
        softness: The share of a box's sides over which it fades.
        told: What each is told.
        elsewhere: What the views around them are told.
    """
    masks, extents = [], []
    for name, region in regions.items():
        if isinstance(region, Mask):
            mask = mask_on(stage, region.mask, region.soft_border)
            extent = _around(mask, stage)
        else:
            extent = spans(stage, boxes[name])
            mask = mask_on(stage, boxes[name], region.soft_border, softness)
        masks.append(mask)
        extents.append(extent)
    around, counts = counted(masks)
    return Parts(
        around,
        elsewhere,
        tuple(
            Part(told[name], each, extent, _is_own(stage, region, extent))
            for (name, region), each, extent in zip(regions.items(), counts, extents, strict=True)
        ),
    )


def counted(masks: Sequence[NDArray[np.float32]]) -> tuple[Tensor, list[Tensor]]:
    """What is around masks counts at each pixel, 1 - sum_i m_i, at least 0, and each of them, m_i / max(1, sum_i m_i).

    Each is (H, W); what counts less than `LEAST` is not there.
    """
    total = np.sum(masks, axis=0)
    return _there(1 - total), [_there(mask / np.maximum(1, total)) for mask in masks]


def _there(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.where(values < LEAST, 0, values).astype(np.float32))


def _is_own(stage: Stage, region: Region, extent: tuple[Span, Span]) -> bool:
    if region.window is not None:
        return region.window == "own"
    fits = all(span.end - span.start <= side for span, side in zip(extent, stage.window, strict=True))
    return fits and stage.window != stage.canvas


def _around(mask: NDArray[np.float32], stage: Stage) -> tuple[Span, Span]:
    """The rows and columns in which a mask lies; on a ring the shortest way around."""
    found = []
    for axis, (name, length) in enumerate(zip("yx", stage.canvas, strict=True)):
        there = np.flatnonzero((mask >= LEAST).any(axis=1 - axis))
        places = there if len(there) else np.array([0])
        start, end = int(places[0]), int(places[-1]) + 1
        if name in stage.wrap:
            # Behind the widest gap it begins.
            gaps = np.diff(np.append(places, places[0] + length))
            widest = int(gaps.argmax())
            start = int(places[(widest + 1) % len(places)])
            end = start + length - int(gaps[widest]) + 1
        found.append(Span(start, end, length, name in stage.wrap, (float(start), float(end))))
    return found[0], found[1]


def shared(stage: Stage, patches: Patches, parts: Parts) -> Patches:
    """A group of windows, each once for the recipe's prompt where that counts, and once for each region it sees.

    Regions with windows of their own have those at the end, and share none. A window that sees one region alone, and
    nothing around it, is predicted once. What all count for at a pixel adds up to what it was.
    """
    numbers, told, weights = _copies(stage, patches, parts)
    group = patches.picked(numbers)
    if not all(bool((each == 1).all()) for each in weights):
        group = group.weighted(torch.stack(weights))
    group = replace(group, told=tuple(told) if any(each != Told() for each in told) else ())
    own = [part for part in parts.regions if part.own]
    return _with_own(stage, patches, group, own) if own else group


def _copies(stage: Stage, patches: Patches, parts: Parts) -> tuple[list[int], list[Told], list[Tensor]]:
    """The numbers of the views that are predicted, some several times, what each is told, and what it counts for."""
    inside = gather(torch.ones(1, 1, *stage.canvas, device=stage.device), patches.views) > 0
    before = patches.told or (Told(),) * len(patches.views)
    numbers: list[int] = []
    told: list[Told] = []
    weights: list[Tensor] = []
    layers = [(parts.elsewhere, parts.around), *((part.told, part.counts) for part in parts.regions if not part.own)]
    for layer, (each, counts) in enumerate(layers):
        own = view_weights(stage, counts, patches.views)
        for number in (own.flatten(1).amax(1) > 0).nonzero().flatten().tolist():
            numbers.append(number)
            told.append(before[number] if layer == 0 and each == Told() else each)
            # What lies over a border counts for nothing anyway.
            weights.append(torch.where(inside[number], own[number], 1.0))
    return numbers, told, weights


def _with_own(stage: Stage, patches: Patches, group: Patches, own: Sequence[Part]) -> Patches:
    """A group with the regions' own windows at its end, which count for what the others left to them."""
    total = torch.zeros(1, 1, *stage.canvas, device=stage.device)
    scatter(weight_map(patches, total), patches.views, total)
    views, told = list(group.views), list(group.told or (Told(),) * len(group.views))
    weights = [weight_map(group, total)] if group.views else []
    for part in own:
        windows = own_windows(stage, part.extent, patches.size)
        times = scatter(torch.ones(len(windows), 1, *patches.size).to(total), windows, torch.zeros_like(total))[0, 0]
        counts = total[0, 0] * part.counts.to(total) / times.clamp_min(1)
        weights.append(view_weights(stage, counts, windows))
        views += windows
        told += [part.told] * len(windows)
    added = len(views) - len(group.views)
    return replace(
        group,
        views=tuple(views),
        weights=torch.cat(weights),
        told=tuple(told),
        noise=None if group.noise is None else torch.cat([group.noise, _noise_of(stage, group, added)]),
        left_out=tuple(replace(each, predict=(*each.predict, *(True,) * added)) for each in group.left_out),
    )


def _noise_of(stage: Stage, group: Patches, count: int) -> Tensor:
    """Noise for windows that are added to a group whose views have some."""
    return stage.noise("regions", (count, stage.shape[1], *group.size))


def own_windows(stage: Stage, extent: tuple[Span, Span], size: tuple[int, int]) -> list[View]:
    """The windows of a region alone, of (height, width) latent pixels: one around it, or several that cover it."""
    axes = [windows_along(span, side) for span, side in zip(extent, size, strict=True)]
    return [View(top, left, *size, wrap=stage.wrap) for top, left in product(*axes)]
