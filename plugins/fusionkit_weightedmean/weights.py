"""What each model counts at a step, in each view, and at each of its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionkit_magicfusion.roles import fraction
from fusionkit_regions.masks import LEAST
from fusionkit_weightedmean.parts import Place, Stretch, WeightedMask, normalised

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import Patches, Stage

EIGHTH = 1 / 8
"""How wide the border of a box is by default, as a share of its shorter side."""


@dataclass(frozen=True)
class Weighing:
    """The weights of N models in P views.

    Args:
        names: The models.
        values: (P, N, h, w), or (P, N, 1, 1) where they are the same all over; of each view and pixel they add up to 1.
    """

    names: Sequence[str]
    values: Tensor

    def asked(self, number: int) -> list[int]:
        """The numbers of the views in which a model, by its number, counts anything."""
        return [view for view, each in enumerate(self.values[:, number].flatten(1).any(1).tolist()) if each]


def at_time(
    usual: Mapping[str, float], stretches: Mapping[str, Stretch], remaining: float, timesteps: int, soft: float
) -> dict[str, float]:
    """What the models count at a step; it adds up to 1.

    With s_k the part of the step that is stretch k's, it counts s_k / max(1, sum_k s_k), and the usual weights what is
    left.

    Args:
        usual: The weights outside of all stretches.
        stretches: By name.
        remaining: How much of the noise schedule lies ahead, 1..0.
        timesteps: The number of training timesteps.
        soft: Over how much of the schedule weights change, as a fraction, or in timesteps.
    """
    parts = [belongs(each, remaining, timesteps, soft) for each in stretches.values()]
    total = max(1.0, sum(parts))
    layers = [(max(0.0, 1 - sum(parts)), usual)]
    layers += [(part / total, each.weights) for part, each in zip(parts, stretches.values(), strict=True)]
    found: dict[str, float] = {}
    for count, weights in layers:
        if count >= LEAST:
            for name, weight in normalised(weights).items():
                found[name] = found.get(name, 0.0) + count * weight
    return normalised(found)


def belongs(stretch: Stretch, remaining: float, timesteps: int, soft: float) -> float:
    """How much of a step is a stretch's, 0..1: a ramp around each of its ends, but not at those of the run."""
    wide = fraction(soft, timesteps)
    if wide == 0:
        return float(stretch.holds(remaining, timesteps))
    begin, end = stretch.fractions(timesteps)
    after = 1.0 if stretch.from_ == 1 else _ramp((begin - remaining) / wide)
    before = 1.0 if stretch.to == 0 else _ramp((remaining - end) / wide)
    return after * before


def _ramp(value: float) -> float:
    return min(1.0, max(0.0, 0.5 + value))


def layers_on(stage: Stage, places: Sequence[Place]) -> Tensor:
    """What is around all places counts at each pixel of the canvas, and what each place does, (1, 1 + places, H, W)."""
    import torch

    from fusionkit_regions.masks import mask_on
    from fusionkit_regions.shares import counted

    around, counts = counted([mask_on(stage, place.place, _soft(stage, place)) for place in places])
    return torch.stack([around, *counts])[None]


def _soft(stage: Stage, place: Place) -> float | None:
    from fusionkit_regions.places import in_shares

    if place.soft_border is not None or isinstance(place, WeightedMask):
        return place.soft_border
    _, _, width, height = in_shares(place.box, stage.finished)
    return EIGHTH * min(width * stage.finished[0], height * stage.finished[1])


def in_views(
    usual: Mapping[str, float],
    patches: Patches,
    own: Sequence[Mapping[str, float] | None],
    places: Sequence[Place],
    layers: Tensor | None,
) -> Weighing:
    """The weights of a group's views, which add up to 1.

    Args:
        usual: Those outside of all places.
        patches: The group.
        own: Those that hold in all of a view, whatever the places say; None for views that have none.
        places: Places with weights of their own.
        layers: What they count for on the canvas, of `layers_on`; None without places.
    """
    import torch

    from fusionkit import gather

    sets = [usual, *(normalised(place.weights) for place in places), *(each for each in own if each)]
    # In one order whatever the recipe's, so that rounding does not depend on it.
    names = sorted(dict.fromkeys(name for each in sets for name in each))

    def row(weights: Mapping[str, float]) -> Tensor:
        return torch.tensor([weights.get(name, 0.0) for name in names]).reshape(-1, 1, 1)

    if layers is None:
        return Weighing(names, torch.stack([row(usual if each is None else each) for each in own]))
    seen = gather(layers, patches.views)
    table = torch.stack([row(each)[:, 0, 0] for each in sets[: 1 + len(places)]])
    total = seen.sum(1, keepdim=True)
    # Over a border there is nothing; what stands there counts for nothing, and must be a number.
    values = torch.where(total > 0, torch.einsum("plhw,ln->pnhw", seen, table) / total, row(usual))
    # One model alone counts 1 to the last bit.
    counting = values != 0
    values = torch.where(counting & (counting.sum(1, keepdim=True) == 1), 1.0, values)
    for number, each in enumerate(own):
        if each is not None:
            values[number] = row(each)
    return Weighing(names, values)
