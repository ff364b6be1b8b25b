"""Pictures of any size: drawn on a canvas of whole tokens, which is at least as large, and cut out of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import model_validator

from fusionkit import Field, PicturePath, Plugin, Recipe, Stage, StagePlan, hookimpl
from fusionkit.errors import FusionError
from fusionkit.pictures.picture import picture_problems, picture_size
from fusionkit.recipe import Number, Size

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo


class ExactSize(Plugin):
    """Draw a picture of any size: on a canvas of whole tokens, of which the rest is cut off in the end.

    A picture that the run begins with, and all that lies on it, is laid on that part, and reflected beyond. The part
    of a stage before the last is the same share of its canvas.
    """

    size: Size | None = Field(default=None, description="Width x height of the picture in pixels: any at all.")
    from_: PicturePath | None = Field(
        default=None, description="In place of a size: a picture whose size it is, upright, times `times`."
    )
    times: Annotated[Number, Field(gt=0, le=64)] = Field(
        default=1.0, description="How many times as wide and high as that picture; rounded to whole pixels."
    )
    canvas: Literal["tokens", "window"] = Field(
        default="tokens",
        description="How large the canvas is where the recipe has no size: the fewest whole tokens of the model, or at "
        "least its window, for a picture that is there already and can be continued.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> ExactSize:
        if (self.size is None) == (self.from_ is None):
            raise ValueError("takes either a 'size', or a picture 'from' which it is taken")
        if self.from_ is None and self.times != 1:
            raise ValueError("has 'times' of a 'size'; give the size itself, or a picture 'from' which it is taken")
        return self

    @hookimpl(wrapper=True)
    def default_size(self, recipe: Recipe, info: ModelInfo) -> Generator[None, tuple[int, int], tuple[int, int]]:
        """As many whole tokens as hold the picture."""
        others = yield
        if (size := self._size()) is None:
            return others
        token, least = info.token, recipe.window or info.window if self.canvas == "window" else (1, 1)
        width, height = (-(-max(each) // token) * token for each in zip(size, least, strict=True))
        return width, height

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Generator[None, list[StagePlan], list[StagePlan]]:
        """Each stage knows its part of the canvas."""
        plans = yield
        size, last = self._size(), plans[-1].size
        # A canvas that does not hold the picture is told by `check`.
        if size is None or size[0] > last[0] or size[1] > last[1]:
            return plans
        shares = [own / whole for own, whole in zip(size, last, strict=True)]
        return [replace(plan, frame=_part(plan.size, shares)) for plan in plans]

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A picture that can't be read, a canvas that is too small, and edges that meet beyond the picture."""
        return [f"{self.plugin_name}: {problem}" for problem in self._problems(stage)] if stage.index == 0 else []

    def _problems(self, stage: Stage) -> Iterator[str]:
        if self.from_ is not None and (wrong := picture_problems(self.from_, "picture of 'from'")):
            yield from wrong
            return
        if (size := self._size()) is not None and stage.plan.frame is None:
            yield "the canvas of the last stage does not hold {}x{}; leave the recipe's 'size' out".format(*size)
        for axis, own, side in zip("xy", stage.frame, stage.plan.size, strict=True):
            if axis in stage.wrap and own < side:
                yield (
                    f"the edges of the canvas meet along {axis}, and {side - own} pixels of it are cut off; use a size "
                    f"divisible by {stage.info.token} there"
                )

    def _size(self) -> tuple[int, int] | None:
        """(width, height) in pixels; None where the picture can't be read, which `check` tells."""
        if self.from_ is None:
            return self.size
        try:
            width, height = (max(1, round(side * self.times)) for side in picture_size(self.from_))
        except FusionError:
            return None
        return width, height


def _part(size: tuple[int, int], shares: list[float]) -> tuple[int, int]:
    width, height = (max(1, round(side * share)) for side, share in zip(size, shares, strict=True))
    return width, height
