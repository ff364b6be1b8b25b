"""Bootstrapping: in the first steps a region's views see a plain colour around it (arXiv 2302.08113, section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from PIL import Image

from fusionkit import Patches, Stage, Step, view_weights

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit_regions.shares import Part


def alone(stage: Stage, at: Step, patches: Patches, parts: Mapping[str, Part]) -> Tensor:
    """The latents (P, C, h, w) of a group, in which a region's views have a plain colour where it counts for nothing.

    The colour is drawn evenly for each step and region, encoded, and noised to the step.

    Args:
        stage: The stage.
        at: The step.
        patches: The group.
        parts: The regions by name.
    """
    latents = list(patches.latents)
    seen: dict[str, Tensor] = {}
    for number in patches.asked:
        name = patches.told[number].part if patches.told else ""
        if name not in parts:
            continue
        if name not in seen:
            seen[name] = background(stage, at, name, patches.size)
        inside = view_weights(stage, parts[name].counts, [patches.views[number]])[0] > 0
        latents[number] = torch.where(inside, latents[number], seen[name])
    return torch.stack(latents)


def background(stage: Stage, at: Step, name: str, size: tuple[int, int]) -> Tensor:
    """Latents (C, h, w) of one colour, noised to a step."""
    height, width = (side * stage.factor for side in size)
    red, green, blue = stage.integers(f"regions colour {name}", 3, 0, 255, at=at)
    colour = stage.model.encode(Image.new("RGB", (width, height), (red, green, blue)))
    noised = stage.scheduler.add_noise(colour, stage.noise(f"regions noise {name}", colour.shape, at), at.timestep)
    return noised[0]
