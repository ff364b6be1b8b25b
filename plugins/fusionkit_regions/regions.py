"""Regions: parts of the canvas with prompts, guidance and models of their own (arXiv 2302.08113, section 4.2)."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, model_validator

from fusionkit import Field, Patches, Plugin, Prompt, RunMemory, Stage, StageCache, Step, Told, hookimpl
from fusionkit.recipe import Number
from fusionkit_regions.parts import Box, Mask, Once, Region, as_once
from fusionkit_regions.places import Shares, grid_of, in_shares, placed

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

KIND = "window"
USUAL = 0.75
"""Of a thing that is to be there once, the usual width of its place, as a share of a window's."""


class Regions(Plugin):
    """Give parts of the picture prompts, guidance and models of their own (arXiv 2302.08113, section 4.2).

    With m_i the mask of region i, the prediction at a pixel is m_i / max(1, sum_j m_j) of what its views predict, and
    1 - sum_j m_j, at least 0, of what those do that hear the recipe's prompt. A region that fits into a window has one
    window, itself in the middle, so that a thing is drawn once, and whole; larger ones share all windows that see them.
    """

    boxes: dict[str, Box] = Field(
        default={},
        description="Regions that are rectangles, by names of your choice: {NAME: {box, prompt}} or {NAME: {box, "
        "adds}}.",
    )
    masks: dict[str, Mask] = Field(
        default={}, description="Regions that are painted, by names of your choice: {NAME: {mask, prompt}}."
    )
    once: Annotated[dict[str, Once], BeforeValidator(as_once)] = Field(
        default={},
        description="Things that are to be there once in the whole picture: one such as `a red balloon`, or several "
        "by names of your choice, {NAME: {adds, at}}.",
    )
    softness: Number = Field(
        default=0.25,
        ge=0,
        le=0.5,
        description="The share of a box's sides over which it fades out at each border, within it.",
    )
    bootstrapping: Number = Field(
        default=0.0,
        ge=0,
        le=1,
        description="In this share of the steps, the first ones, a region's views see a plain colour in place of all "
        "that lies outside of it, so that the thing is drawn inside; the paper has 0.2. Not in stages that begin with "
        "a picture.",
    )

    # Width and height of the usual place of a thing, in shares of the first stage's picture.
    _first = RunMemory(list[float], list)
    _parts = StageCache(object)

    @model_validator(mode="after")
    def _distinct_names(self) -> Regions:
        names = [*self.boxes, *self.masks, *self.once]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two regions are called '{twice[0]}'; give one of them another name")
        return self

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """Boxes beyond the picture, masks that can't be used, regions without a pixel, and unknown models."""
        from fusionkit_regions.checks import problems

        if stage.index:
            return []
        self._first.set(stage, _usual(stage))
        return [f"{self.plugin_name}: {problem}" for problem in problems(self, stage)]

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        """Regions with words of their own that divide the height say what is where."""
        from fusionkit_regions.checks import divide_the_height

        return divide_the_height(self, stage)

    @hookimpl(wrapper=True)
    def views(self, stage: Stage) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        """Let regions share the windows, and give them what they take from what is around them."""
        groups = yield
        if not self.regions:
            return groups
        from fusionkit_regions.shares import shared

        parts = self.parts(stage)
        return [shared(stage, group, parts) if group.kind == KIND else group for group in groups]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """In the first steps, show the regions' views a plain colour around them."""
        if not self.begins(stage, at) or patches.kind != KIND:
            return (yield)
        from fusionkit_regions.bootstrapping import alone

        latents = patches.latents
        patches.latents = alone(stage, at, patches, {part.told.part: part for part in self.parts(stage).regions})
        try:
            return (yield)
        finally:
            patches.latents = latents

    @hookimpl
    def maps(self, stage: Stage, image: Image) -> Mapping[str, Image]:
        """Where the regions lie, and what was said there."""
        if not self.regions:
            return {}
        from fusionkit_regions.pictures import regions_picture

        return {"regions": regions_picture(image, stage, self.parts(stage))}

    @property
    def other_models(self) -> set[str]:
        """Those that regions name."""
        return {region.model for region in self.regions.values() if region.model}

    @property
    def regions(self) -> dict[str, Region]:
        """All regions by name."""
        return {**self.boxes, **self.masks, **self.once}

    def begins(self, stage: Stage, at: Step) -> bool:
        """Whether regions are drawn by themselves in a step."""
        return at.index < int(self.bootstrapping * at.total) and not stage.has_previous and bool(self.regions)

    def parts(self, stage: Stage) -> Any:
        """The regions on the stage's canvas, a `Parts`."""
        kept = self._parts.get(stage)
        if kept is None:
            from fusionkit_regions.shares import parts_of

            told = {name: region.told(stage.recipe.prompt, name) for name, region in self.regions.items()}
            told, elsewhere = self._avoiding(stage, told)
            kept = parts_of(stage, self.regions, self.places(stage), self.softness, told, elsewhere)
            self._parts.set(stage, kept)
        return kept

    def places(self, stage: Stage) -> dict[str, Shares]:
        """The boxes of all regions that are no masks, in shares of the picture."""
        boxes = {name: in_shares(box.box, stage.finished) for name, box in self.boxes.items()}
        width, height = self._first.get(stage) or _usual(stage)
        things = placed(self.once, stage, (width, height), list(boxes.values()))
        return {**boxes, **dict(zip(self.once, things, strict=True))}

    def _avoiding(self, stage: Stage, told: Mapping[str, Told]) -> tuple[dict[str, Told], Told]:
        """What each region is told, and all others, so that a thing which is to be there once is avoided elsewhere."""
        things = {name: each.thing for name, each in self.once.items() if each.avoid_elsewhere and each.thing}
        if not things:
            return dict(told), Told()

        def without(prompt: Prompt, name: str = "") -> Prompt:
            negative = stage.recipe.negative_prompt if prompt.negative is None else prompt.negative
            others = [thing for other, thing in things.items() if other != name]
            return replace(prompt, negative=", ".join([each for each in (negative, *others) if each]))

        changed = {name: replace(each, prompt=without(each.prompt or Prompt(""), name)) for name, each in told.items()}
        return changed, Told(without(Prompt(stage.recipe.prompt)))


def regions_of(stage: Stage) -> list[str]:
    """The names of all regions of a recipe."""
    return [name for plugin in stage.recipe.plugins if isinstance(plugin, Regions) for name in plugin.regions]


def _usual(stage: Stage) -> list[float]:
    (height, width), (rows, columns) = stage.window, grid_of(stage, stage.factor).picture
    return [USUAL * width / columns, height / rows]
