"""Shifted windows: one tiling a step, without overlap, that lies elsewhere at each step (arXiv 2407.15507)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator

from fusionkit import Field, Patches, Plugin, Stage, Step, hookimpl, windows
from fusionkit.loop.views import count
from fusionkit.recipe import Number, limits, refuse_bool
from fusionkit.recipe.costs import too_many_views
from fusionkit_multidiffusion.multidiffusion import Stride, write_stride
from fusionkit_multidiffusion.ring import Axes, closed

if TYPE_CHECKING:
    from fusionkit import StagePlan

# So many integers that the remainder of a draw is as good as evenly drawn.
_MANY = 2**31 - 1
Pixels = Annotated[int, BeforeValidator(refuse_bool), Field(ge=0)]
Share = Annotated[Number, Field(ge=0, le=1)]


class ShiftedWindows(Plugin):
    """Windows that only touch, moved at each step so that no seam stays in one place (arXiv 2407.15507).

    The paper rolls the canvas under a fixed grid, after each step. Here the grid is turned and the canvas stays where
    it is, which is the same with every roll undone.
    """

    axes: Literal["x", "y", "xy"] = Field(
        default="xy",
        description="Along which axes the windows move: `x` is to the side, as in the paper, `y` up and down.",
    )
    ring: Axes = Field(
        default="x",
        description="Along which axes the canvas is a ring, whose edges meet; the paper's is one along `x`. "
        "Along others the edges stay edges, and one more row or column of windows covers what moved away from them.",
    )
    shifts: tuple[Pixels, ...] = Field(
        default=(),
        description="Pixels by which the windows move from step to step, in turn; by default they move at random.",
    )
    overlap: Stride | None = Field(
        default=None,
        description="Pixels by which neighbouring windows overlap in those steps in which they do, one number or "
        "WIDTHxHEIGHT; by default half of the window.",
    )
    overlap_first: Share = Field(
        default=0.0, description="Share of the steps, the first ones, in which windows overlap: they fix what is where."
    )
    overlap_last: Share = Field(
        default=0.0,
        description="Share of the steps, the last ones, in which they do: they smooth what is left of seams.",
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """Shifts and overlaps that the latents can't hold, and windows that overlap so much that there are too many."""
        width, height = stage.recipe.window or stage.info.window
        horizontal, vertical = self._overlap or (0, 0)
        factor, overlap = stage.factor, self._overlap and write_stride(self._overlap)
        problems = [
            f"shift {shift} is not a multiple of the model's latent factor, {factor} pixels"
            for shift in dict.fromkeys(self.shifts)
            if shift % factor
        ]
        if horizontal % factor or vertical % factor:
            problems.append(f"overlap {overlap} is not a multiple of the model's latent factor, {factor} pixels")
        elif horizontal >= width or vertical >= height:
            problems.append(f"overlap {overlap} is as large as the window, {width}x{height}; use less")
        elif (
            views := count(
                stage.canvas,
                stage.window,
                self._stride(stage, bool(self.overlap_first + self.overlap_last)),
                stage.wrap,
            )
        ) > limits.VIEWS:
            problems.append(too_many_views(f"overlap {overlap or 'of half a window'}", views) + "; use a smaller one")
        return [f"{self.plugin_name}: {problem}" for problem in problems]

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Generator[None, list[StagePlan], list[StagePlan]]:
        """Let the canvas' edges meet along the axes of `ring`."""
        return closed((yield), self.ring)

    @hookimpl
    def views(self, stage: Stage, at: Step) -> Sequence[Patches]:
        """Windows that cover the canvas, where this step has them."""
        stride = self._stride(stage, self.overlaps(at))
        return [Patches(windows(stage.canvas, stage.window, stride, stage.wrap, self.offset(stage, at)))]

    def overlaps(self, at: Step) -> bool:
        """Whether the windows overlap in a step."""
        # What is a whole number of steps may come out a little below it.
        left = at.total - at.index
        return at.index < self.overlap_first * at.total - 1e-6 or left <= self.overlap_last * at.total + 1e-6

    def offset(self, stage: Stage, at: Step) -> tuple[int, int]:
        """By how much the windows are shifted in a step, (down, right) in latent pixels; not at all in the first."""
        if at.index == 0:
            return 0, 0
        if self.shifts:
            moved = sum(self.shifts[number % len(self.shifts)] for number in range(at.index)) // stage.factor
            drawn = [moved, moved]
        else:
            drawn = stage.integers("shifted windows", 2, 0, _MANY, at=at)
        # Of a ring every place is a beginning; between two edges the windows' grid repeats itself after one of them.
        down, right = (
            place % (length if axis in stage.wrap else stride) if axis in self.axes else 0
            for axis, place, length, stride in zip("yx", drawn, stage.canvas, stage.window, strict=True)
        )
        return down, right

    @property
    def _overlap(self) -> tuple[int, int] | None:
        """(horizontal, vertical) in pixels."""
        pixels: tuple[int, int] | None = self.overlap  # type: ignore[assignment]  # see `Stride`
        return pixels

    def _stride(self, stage: Stage, overlapping: bool) -> tuple[int, int]:
        """(vertical, horizontal) in latent pixels."""
        if not overlapping:
            return stage.window
        height, width = stage.window
        if self._overlap is None:
            return max(1, height - height // 2), max(1, width - width // 2)
        horizontal, vertical = self._overlap
        return max(1, height - vertical // stage.factor), max(1, width - horizontal // stage.factor)
