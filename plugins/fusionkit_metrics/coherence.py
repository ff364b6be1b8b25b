"""Whether one picture looks alike all over: LPIPS and style loss between its own crops (arXiv 2306.05178)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import nan
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.evaluation.metric import Better, Metric

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools


class _BetweenCrops(Metric):
    """A mean over all pairs of a picture's crops."""

    better: ClassVar[Better] = "lower"

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """Pictures of one crop, or the base's problems: it may download a network to find them."""
        if single := [each for each in pictures if each.crop_count == 1]:
            (width, height), crop = single[0].size, single[0].crop or (0, 0)
            return [
                f"needs pictures of at least 2 crops; {single[0].path.name} of {width}x{height} holds one of "
                f"{crop[0]}x{crop[1]}"
            ]
        return super().problems(pictures, reference, tools)


class IntraLPIPS(_BetweenCrops, name="intra-lpips"):
    """How differently the crops of one picture look: the mean perceptual distance of all pairs (arXiv 2306.05178)."""

    title: ClassVar[str] = "intra-LPIPS"
    needs: ClassVar[frozenset[str]] = frozenset({"perceptual-distance", "crop"})

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The mean over the pairs of the picture's crops."""
        crops = picture.crops()
        pairs = list(combinations(range(len(crops)), 2))
        if not pairs:
            return nan
        first, second = (crops[list(side)] for side in zip(*pairs, strict=True))
        return float(tools.features.perceptual_distance(first, second).mean())


class StyleLoss(_BetweenCrops):
    """How much the style differs between a picture's crops: the mean squared difference of Gram matrices.

    G = F F' / (C h w) of a layer's activations F, (C, h w) (Gatys et al., arXiv 1508.06576); the mean over the
    matrix, over the layers, and over all pairs of crops (arXiv 2306.05178).
    """

    title: ClassVar[str] = "style loss"
    needs: ClassVar[frozenset[str]] = frozenset({"feature-maps", "crop"})

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The mean over the pairs of the picture's crops."""
        # One crop at a time: the activations of the first layers are large, and the matrices small.
        matrices = [grams(tools.features.maps(crop[None])) for crop in picture.crops()]
        losses = [style_difference(some, others) for some, others in combinations(matrices, 2)]
        return sum(losses) / len(losses) if losses else nan


def grams(maps: Sequence[Tensor]) -> list[Tensor]:
    """The Gram matrix (C, C) of each layer, from one crop's activations (1, C, h, w): F F' / (C h w)."""
    flat = [layer[0].flatten(1).double() for layer in maps]
    return [layer @ layer.T / layer.numel() for layer in flat]


def style_difference(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """The mean squared difference of two crops' Gram matrices, over each layer's matrix and then over the layers."""
    losses = [float((a - b).square().mean()) for a, b in zip(some, others, strict=True)]
    return sum(losses) / len(losses)
