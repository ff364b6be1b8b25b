"""MultiDiffusion: overlapping windows, averaged where they meet (arXiv 2302.08113)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from fusionkit import Field, Fused, Patches, Plugin, Stage, Step, hookimpl, windows
from fusionkit.loop.views import count, jittered
from fusionkit.recipe import Side, limits, parse_size, refuse_bool
from fusionkit.recipe.costs import too_many_views
from fusionkit.recipe.problems import shown

# So many integers that the remainder of a draw is as good as evenly drawn.
_MANY = 2**31 - 1
Pixels: TypeAlias = tuple[int, int]
"""(horizontal, vertical)."""


def parse_stride(value: Any) -> Any:
    """`384` for both directions, or a size such as `384x256` (horizontal x vertical)."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"a stride is at least 1 pixel, not {value}")
        return value, value
    try:
        return parse_size(value)
    except ValueError:
        text = f"a stride is a number of pixels, or horizontal x vertical such as 384x256, not {shown(value)}"
        raise ValueError(text) from None


def write_stride(stride: tuple[int, int]) -> int | str:
    """A stride as a recipe writes it."""
    return stride[0] if stride[0] == stride[1] else f"{stride[0]}x{stride[1]}"


if TYPE_CHECKING:
    # What may be given; it is a pair by then.
    Stride: TypeAlias = int | str | tuple[int, int]
    Later: TypeAlias = Mapping[float, Stride]
else:
    Stride = Annotated[
        tuple[Side, Side],
        BeforeValidator(parse_stride),
        PlainSerializer(write_stride, return_type=int | str),
        WithJsonSchema(
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^\s*\d+\s*[xX×]\s*\d+\s*$"}]}  # noqa: RUF001
        ),
    ]
    Later = dict[Annotated[float, BeforeValidator(refuse_bool), Field(gt=0, lt=1)], Stride]


class MultiDiffusion(Plugin, name="multidiffusion"):
    """Windows at a stride of your choice, averaged where they overlap (arXiv 2302.08113, eq. 5).

    The windows are made here. The equation is what the hook `fuse` answers without a plugin, for whatever windows there
    are: `WeightedMean` in `fusionkit/loop/canvas.py`.
    """

    stride: Stride | None = Field(
        default=None,
        description="Pixels from one window to the next, one number or WIDTHxHEIGHT; by default half of the window, "
        "so that two windows at least share every pixel inside the canvas. Less is smoother and slower.",
    )
    later: Later = Field(
        default={},
        description="Other strides from a share of a stage's steps on: {0.3: 128} is 128 pixels once 30 % of them are "
        "taken. Windows that overlap early agree on what is where; late they smooth what is left of seams.",
    )
    jitter: Annotated[int, BeforeValidator(refuse_bool)] = Field(
        default=0, ge=0, description="Pixels by which each step may move a window off the grid; hides faint seams."
    )
    jitter_edges: Literal["keep", "cross"] = Field(
        default="keep",
        description="Whether jitter leaves windows at an edge of the canvas there, or moves them across it, where they "
        "see zeros (DemoFusion's and AccDiffusion's way, for comparison). A ring has no edges.",
    )
    noise: Literal["canvas", "averaged"] = Field(
        default="canvas",
        description="Noise of stochastic steps: drawn once for the canvas, or drawn for each window and averaged, "
        "which loses variance where windows overlap and blurs (the paper's way, for comparison).",
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """Strides and jitter that the latents can't hold or that leave holes, and noise that nothing draws."""
        problems = list(dict.fromkeys(each for stride in self._strides for each in self._misfits(stage, stride)))
        if self.jitter % (factor := stage.factor):
            problems.append(f"jitter {self.jitter} is not a multiple of the model's latent factor, {factor} pixels")
        elif not problems and self.jitter > (most := max(self._most_jitter(stage, each) for each in self._strides)):
            problems.append(
                f"jitter {self.jitter} is more than half of the windows' overlap and would leave holes; "
                f"use at most {most}, or a smaller stride"
            )
        if self.noise == "averaged" and not stage.scheduler.stochastic:
            from fusionkit.models.schedulers.by_name import stochastic_names

            problems.append(
                f"noise 'averaged' needs a scheduler whose steps draw noise, and {stage.scheduler.name} draws none; "
                f"use one that does, such as {stochastic_names(stage.info)}, or noise 'canvas'"
            )
        return [f"{self.plugin_name}: {problem}" for problem in problems]

    @hookimpl
    def views(self, stage: Stage, at: Step) -> Sequence[Patches]:
        """Windows that cover the canvas; `jitter` moves them anew at each step."""
        stride = self.stride_at(at)
        views = windows(stage.canvas, stage.window, _latent(stage, stride), stage.wrap)
        # Where windows overlap less for a while, they move less.
        jitter = min(self.jitter, self._most_jitter(stage, stride)) if self.later else self.jitter
        if jitter:
            reach = jitter // stage.factor
            draws = iter(stage.integers("multidiffusion jitter", 2 * len(views), 0, _MANY, at=at))
            views = jittered(
                views,
                stage.canvas,
                (reach, reach),
                lambda low, high: low + next(draws) % (high - low + 1),
                cross=self.jitter_edges == "cross",
            )
        return [Patches(views)]

    @hookimpl(wrapper=True)
    def fuse(self, stage: Stage, at: Step, groups: Sequence[Patches]) -> Generator[None, Fused, Fused]:
        """The noise of the paper's baseline, if asked for and if no other plugin brings its own."""
        fused = yield
        if self.noise == "canvas" or fused.noise is not None:
            return fused
        from fusionkit.loop.canvas import WeightedMean, view_noise

        mean = WeightedMean(groups, fused.prediction)
        return replace(fused, noise=mean(view_noise(stage, at, groups)))

    def stride_at(self, at: Step) -> Pixels | None:
        """(horizontal, vertical) in pixels of a step; None is half of the window."""
        # What is a whole number of steps may come out a little above it.
        begun = [share for share in self.later if share * at.total - 1e-6 <= at.index]
        return self._later[max(begun)] if begun else self._pixels

    def _misfits(self, stage: Stage, pixels: Pixels | None) -> Iterator[str]:
        """What is wrong with one stride."""
        width, height = stage.recipe.window or stage.info.window
        (horizontal, vertical), stride = pixels or (0, 0), pixels and write_stride(pixels)
        if horizontal % stage.factor or vertical % stage.factor:
            yield f"stride {stride} is not a multiple of the model's latent factor, {stage.factor} pixels"
        if horizontal > width or vertical > height:
            yield (
                f"stride {stride} is larger than the window, {width}x{height}: "
                f"pixels between two windows would stay empty; use at most {width}x{height}"
            )
        elif (views := count(stage.canvas, stage.window, _latent(stage, pixels), stage.wrap)) > limits.VIEWS:
            yield too_many_views(f"stride {stride or 'of half a window'}", views) + "; use a larger stride"

    @property
    def _pixels(self) -> Pixels | None:
        """(horizontal, vertical) in pixels."""
        pixels: Pixels | None = self.stride  # type: ignore[assignment]  # see `Stride`
        return pixels

    @property
    def _later(self) -> Mapping[float, Pixels]:
        """Likewise, by the share of the steps from which on they hold."""
        later: Mapping[float, Pixels] = self.later  # type: ignore[assignment]  # see `Later`
        return later

    @property
    def _strides(self) -> list[Pixels | None]:
        """All strides."""
        return [self._pixels, *self._later.values()]

    def _most_jitter(self, stage: Stage, pixels: Pixels | None) -> int:
        """The largest jitter, in pixels, that leaves no hole: half of the overlap, where windows move at all."""
        overlaps = [
            window - stride
            for axis, length, window, stride in zip(
                "yx", stage.canvas, stage.window, _latent(stage, pixels), strict=True
            )
            if length > window or axis in stage.wrap
        ]
        return min(overlaps, default=2 * self.jitter) // 2 * stage.factor


def _latent(stage: Stage, pixels: Pixels | None) -> tuple[int, int]:
    """A stride as (vertical, horizontal) in latent pixels; no more than the window, which may be cut to the canvas."""
    if pixels is None:
        return max(1, stage.window[0] // 2), max(1, stage.window[1] // 2)
    horizontal, vertical = pixels
    return min(vertical // stage.factor, stage.window[0]), min(horizontal // stage.factor, stage.window[1])
