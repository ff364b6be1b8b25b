"""How strongly guidance responds, and who wins by it: the maths of MagicFusion (arXiv 2303.13126, section 3).

Saliency-aware Noise Blending, for the models i and their predictions e_i of one view at one step:

    S_i  = Smooth(|s_i (e_i(x_t, c_i) - e_i(x_t, null))|), mean over channels    `saliency`
    S_i* = Softmax(k_i S_i), over all pixels                                     `log_salience`
    M    = argmax_i S_i*, at each pixel                                          `winners`
    e    = the guided e_i where M = i                                            `blended`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

POOL, PADDING = 4, 1
"""The smoothing of the published code: the mean of 4 x 4 latent pixels, one row of zeros around them counted."""


def saliency(cond: Tensor, baseline: Tensor, scale: float | Sequence[float], smoothing: bool = True) -> Tensor:
    """S: how strongly guidance responds at each pixel, |scale (cond - baseline)| as a mean over channels; (P, h, w).

    Args:
        cond: The conditional predictions, (P, C, h, w).
        baseline: What they are compared with, (P, C, h, w).
        scale: The guidance scale, one for all views or one for each.
        smoothing: Whether neighbouring pixels are averaged too.
    """
    response = (_by_view(scale, cond) * (cond - baseline)).abs()
    # Smoothed before the mean over channels, as the published code rounds: with a large k, one bit decides pixels.
    return (smoothed(response) if smoothing else response).mean(dim=1)


def smoothed(maps: Tensor) -> Tensor:
    """Maps (P, C, h, w) as means over 4 x 4 pixels, enlarged bilinearly from h - 1 and w - 1 to their size again.

    Pixels beyond the border count as 0 in the mean. Along an axis of one pixel the mean is over three.
    """
    from torch.nn.functional import avg_pool2d, interpolate

    height, width = maps.shape[-2:]
    kernel = min(POOL, height + 2 * PADDING), min(POOL, width + 2 * PADDING)
    pooled = avg_pool2d(maps, kernel, stride=1, padding=PADDING)
    return interpolate(pooled, (height, width), mode="bilinear", align_corners=False)


def log_salience(maps: Tensor, k: float) -> Tensor:
    """log(n softmax(k maps)) over all n pixels of each view, (P, h, w): 0 where no pixel stands out.

    Not the softmax itself, which is 0 in float32 wherever a view's peak stands out enough: there all models would tie.
    Nor its logarithm, whose log(1 / n) would drown small differences.
    """
    flat = (k * maps).flatten(1)
    below = flat - flat.amax(dim=1, keepdim=True)
    return (below - below.exp().mean(dim=1, keepdim=True).log()).view_as(maps)


def winners(saliences: Sequence[Tensor]) -> Tensor:
    """The number of the most salient of N models at each pixel, (P, h, w), from N times (P, h, w).

    Of exact ties the first model wins, so that N models in one order always give one answer.
    """
    import torch

    return torch.stack(tuple(saliences)).argmax(dim=0)


def guided(cond: Tensor, uncond: Tensor, scale: float | Sequence[float]) -> Tensor:
    """A prediction (P, C, h, w) with guidance, uncond + scale (cond - uncond); with none at a scale of at most 1."""
    import torch

    factor = _by_view(scale, cond)
    if isinstance(factor, float):
        return cond if factor <= 1 else uncond + factor * (cond - uncond)
    return torch.where(factor <= 1, cond, uncond + factor * (cond - uncond))


def _by_view(scale: float | Sequence[float], like: Tensor) -> Tensor | float:
    """One number where that is what all views have, else (P, 1, 1, 1)."""
    scales = list(scale) if isinstance(scale, Sequence) else [scale]
    return float(scales[0]) if len(set(scales)) == 1 else like.new_tensor(scales).reshape(-1, 1, 1, 1)


def blended(predictions: Sequence[Tensor], winner: Tensor) -> Tensor:
    """Of N predictions (P, C, h, w), at each pixel the one that the winners (P, h, w) name; the very values."""
    import torch

    stacked = torch.stack(tuple(predictions))
    return stacked.gather(0, winner[None, :, None].expand(1, *stacked.shape[1:]))[0]
