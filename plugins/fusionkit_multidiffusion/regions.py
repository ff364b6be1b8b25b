"""Regions: parts of the canvas with prompts of their own (arXiv 2302.08113, section 4.2)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, model_validator

from fusionkit import Field, Patches, Plugin, Prompt, Stage, View, hookimpl
from fusionkit.loop.views import starts
from fusionkit.recipe import Number, Part, PromptText, refuse_bool

if TYPE_CHECKING:
    from torch import Tensor

Pixels = Annotated[int, BeforeValidator(refuse_bool), Field(ge=0)]


def _not_empty(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    if min(box[2:]) < 1:
        raise ValueError(f"a box is [left, top, width, height], and none of {list(box[2:])} may be 0")
    return box


class Region(Part):
    """A part of the picture, and what it shows."""

    box: Annotated[tuple[Pixels, Pixels, Pixels, Pixels], AfterValidator(_not_empty)] = Field(
        description="Left, top, width and height, in pixels of the finished picture."
    )
    prompt: PromptText | None = Field(default=None, description="What is to be seen there.")
    adds: PromptText | None = Field(
        default=None, description="In place of `prompt`: what is said there behind the recipe's, such as 'with a moon'."
    )
    negative_prompt: PromptText | None = Field(default=None, description="By default the recipe's.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Region:
        if (self.prompt is None) == (self.adds is None):
            raise ValueError("a region has either a prompt of its own, or what it adds to the recipe's")
        return self

    def told(self, whole: str) -> Prompt:
        """Its prompt, in a recipe with the prompt `whole`."""
        return Prompt(f"{whole} {self.adds}" if self.prompt is None else self.prompt, self.negative_prompt)


class Regions(Plugin):
    """Give parts of the picture prompts of their own, each in a window around it (arXiv 2302.08113, section 4.2).

    With m_i the mask of region i, which fades out towards its border, and M = max_i m_i, the prediction at a pixel is
    1 - M of the other windows' mean and M of the regions' own. A region that fits into a window has one window, itself
    in the middle: so that a thing is drawn once, and whole.
    """

    boxes: dict[str, Region] = Field(
        description="The regions, by names of your choice: {NAME: {box, prompt}} or {NAME: {box, adds}}."
    )
    softness: Number = Field(
        default=0.25, ge=0, le=0.5, description="The share of a region's sides over which it fades out at each border."
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """Boxes that reach beyond the picture."""
        width, height = stage.recipe.size
        return [
            f"{self.plugin_name}: box {list(region.box)} of '{name}' reaches beyond the picture of {width}x{height}; "
            f"move it, or leave it out"
            for name, region in self.boxes.items()
            if region.box[0] + region.box[2] > width or region.box[1] + region.box[3] > height
        ]

    @hookimpl(wrapper=True)
    def views(self, stage: Stage) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        """Add the regions' windows to the first group of windows, and give them what they take from all others."""
        groups = list((yield))
        numbers = [number for number, patches in enumerate(groups) if patches.kind == "window"]
        if not numbers or not self.boxes:
            return groups
        import torch

        from fusionkit.loop.canvas import scatter, view_weights, weight_map

        masks = [self.mask(stage, region) for region in self.boxes.values()]  # each (H, W)
        covered = torch.stack(masks).amax(0)
        total = torch.zeros(1, 1, *stage.canvas)
        for number in numbers:
            patches = groups[number]
            scatter(weight_map(patches, total), patches.views, total)
            groups[number] = patches.weighted(view_weights(stage, 1 - covered, patches.views).to(total))
        # The weights of all windows at a pixel add up to what they did before.
        shared = total[0, 0] * covered / torch.stack(masks).sum(0).clamp_min(1e-9)
        groups[numbers[0]] = self._with_own(stage, groups[numbers[0]], [shared * mask for mask in masks])
        return [counting for patches in groups if (counting := _counting(patches)) is not None]

    def _with_own(self, stage: Stage, patches: Patches, maps: Sequence[Tensor]) -> Patches:
        """A group of windows with those of the regions at its end, which count as the maps (H, W) say."""
        import torch

        from fusionkit.loop.canvas import scatter, view_weights, weight_map

        views = list(patches.views)
        weights = [weight_map(patches, maps[0])]
        for region, counts in zip(self.boxes.values(), maps, strict=True):
            own = self.windows_of(stage, region, patches.size)
            times = scatter(torch.ones(len(own), 1, *patches.size), own, torch.zeros(1, 1, *stage.canvas))[0, 0]
            weights.append(view_weights(stage, counts / times.clamp_min(1), own).to(counts))
            views += own
        return replace(patches, views=tuple(views), weights=torch.cat(weights))

    @hookimpl(wrapper=True)
    def prompt_per_patch(
        self, stage: Stage, patches: Patches
    ) -> Generator[None, Sequence[str | Prompt], Sequence[str | Prompt]]:
        """Tell the regions' windows their prompts."""
        prompts = list((yield))
        if patches.kind != "window":
            return prompts
        views: list[View] = []
        told: list[Prompt] = []
        for region in self.boxes.values():
            own = self.windows_of(stage, region, patches.size)
            views += own
            told += [region.told(stage.recipe.prompt)] * len(own)
        if views and list(patches.views[-len(views) :]) == views:
            prompts[-len(views) :] = told
        return prompts

    def windows_of(self, stage: Stage, region: Region, size: tuple[int, int]) -> list[View]:
        """The windows of a region, of (height, width) latent pixels: one around it, or several that cover it."""
        axes = []
        for axis, length, window, (start, end) in zip("yx", stage.canvas, size, _place(stage, region), strict=True):
            if end - start > window:
                begins = [start + offset for offset in starts(end - start, window, max(1, window // 2))]
            else:
                begins = [(start + end - window) // 2]
            if axis in stage.wrap:
                axes.append([begin % length for begin in begins])
            else:
                axes.append([min(max(begin, 0), length - window) for begin in begins])
        return [View(top, left, *size, wrap=stage.wrap) for top, left in product(*axes)]

    def mask(self, stage: Stage, region: Region) -> Tensor:
        """How much each pixel of the canvas is the region's, (H, W): 1 inside, 0 outside, linear between."""
        import torch

        rows, columns = (
            self._fading(start, end, length, ring=axis in stage.wrap)
            for axis, length, (start, end) in zip("yx", stage.canvas, _place(stage, region), strict=True)
        )
        return torch.outer(torch.tensor(rows), torch.tensor(columns))

    def _fading(self, start: int, end: int, length: int, ring: bool) -> list[float]:
        """A region's mask along an axis of `length`; it does not fade out where the canvas ends."""
        soft = self.softness * (end - start)
        values = [0.0] * length
        for place in range(start, end):
            before = 1.0 if start == 0 and not ring else (place + 0.5 - start) / max(soft, 0.5)
            after = 1.0 if end == length and not ring else (end - place - 0.5) / max(soft, 0.5)
            values[place] = min(1.0, before, after)
        return values


def _counting(patches: Patches) -> Patches | None:
    """A group without the views that count for nothing, since they lie inside regions; None where that is all."""
    if patches.weights is None:
        return patches
    weights = patches.weights.expand(len(patches.views), *patches.weights.shape[1:])
    kept = [number for number, counts in enumerate(weights.flatten(1).amax(1).tolist()) if counts > 0]
    if len(kept) == len(patches.views):
        return patches
    return (
        replace(patches, views=tuple(patches.views[number] for number in kept), weights=weights[kept]) if kept else None
    )


def _place(stage: Stage, region: Region) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last-but-one row, and column, of a region on the stage's canvas, which is at least one each."""
    left, top, width, height = region.box
    found = []
    for length, whole, start, side in zip(
        stage.canvas, reversed(stage.recipe.size), (top, left), (height, width), strict=True
    ):
        begin = min(round(start * length / whole), length - 1)
        found.append((begin, min(max(round((start + side) * length / whole), begin + 1), length)))
    rows, columns = found
    return rows, columns
