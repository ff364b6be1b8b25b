"""Self-attention at two scales as one (arXiv 2412.09626)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import conv1d, pad

from fusionkit import View
from fusionkit.layers import FeatureSize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit_freescale.scale_fusion import ScaleFusion


def fused(
    fusion: ScaleFusion,
    noted: FeatureSize,
    windows_in: Callable[[tuple[int, int]], Sequence[View]],
    times: tuple[int, int],
    forward: Callable[..., Tensor],
    hidden: Tensor,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Around a self-attention of tokens (B, N, C): G(l) + g - G(g), which is g + G(l - g), a blur being linear.

    Args:
        fusion: The plugin, with its options.
        noted: How high and wide the features are.
        windows_in: The windows of features of (h, w).
        times: How often the model's window fits into the view, (vertical, horizontal), rounded up.
        forward: The layer's own.
        hidden: Its tokens.
        args: What else it is given.
        kwargs: What else it is given.
    """

    def attention(features: Tensor) -> Tensor:
        """Of features (B, h, w, C)."""
        answer = forward(features.flatten(1, 2), *args, **kwargs)
        return answer.unflatten(1, features.shape[1:3])  # type: ignore[no-untyped-call, no-any-return]

    features: Tensor = hidden.unflatten(1, noted.size)  # type: ignore[no-untyped-call]
    local = in_windows(features, windows_in(noted.size), attention, times[0] * times[1])
    whole = in_samples(features, times, attention) if fusion.fast_mode else attention(features)
    between = blurred(local - whole, 2 * max(times) - 1, fusion.sigma, fusion.blurred_axes)
    return (whole + between).flatten(1, 2)


def in_windows(features: Tensor, views: Sequence[View], attention: Callable[[Tensor], Tensor], together: int) -> Tensor:
    """The mean of attention in each of several windows of one size, (B, h, w, C); zeros lie beyond the features.

    Args:
        features: (B, h, w, C).
        views: The windows.
        attention: Of features (B, h, w, C).
        together: How many windows are looked at at once: so many need the memory of the whole.
    """
    batch, height, width, _ = features.shape
    above, before = max(0, *(-view.top for view in views)), max(0, *(-view.left for view in views))
    below = max(0, *(view.top + view.height - height for view in views))
    behind = max(0, *(view.left + view.width - width for view in views))
    wide = pad(features, (0, 0, before, behind, above, below))
    total, count = torch.zeros_like(wide), torch.zeros_like(wide[:1, ..., :1])
    places = [
        (
            slice(view.top + above, view.top + above + view.height),
            slice(view.left + before, view.left + before + view.width),
        )
        for view in views
    ]
    for first in range(0, len(places), together):
        part = places[first : first + together]
        answers = attention(torch.cat([wide[:, rows, columns] for rows, columns in part]))
        for (rows, columns), answer in zip(part, torch.split(answers, batch), strict=True):
            total[:, rows, columns] += answer
            count[:, rows, columns] += 1
    inside = slice(above, above + height), slice(before, before + width)
    return total[:, inside[0], inside[1]] / count[:, inside[0], inside[1]]


def in_samples(features: Tensor, times: tuple[int, int], attention: Callable[[Tensor], Tensor]) -> Tensor:
    """Attention in each of the coarse pictures that every n-th feature (B, h, w, C) makes, put together again."""
    answer = torch.empty_like(features)
    for row in range(min(times[0], features.shape[1])):
        for column in range(min(times[1], features.shape[2])):
            answer[:, row :: times[0], column :: times[1]] = attention(features[:, row :: times[0], column :: times[1]])
    return answer


def blurred(features: Tensor, size: int, sigma: float, axes: Sequence[int]) -> Tensor:
    """Features blurred along axes by a Gaussian of `size` values, an odd number; zeros lie beyond."""
    line = torch.exp(-0.5 * ((torch.arange(size, dtype=torch.float64) - size // 2) / sigma) ** 2)
    line = (line / line.sum()).to(features).reshape(1, 1, size)
    for axis in axes:
        along = features.movedim(axis, -1)
        smooth = conv1d(along.reshape(-1, 1, along.shape[-1]), line, padding=size // 2)
        features = smooth.reshape(along.shape).movedim(-1, axis)
    return features
