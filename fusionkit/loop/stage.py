"""Stages and their steps: what every hook is asked about. What it answers with, groups of views, is in `patches`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fusionkit.keeping import Shelf
from fusionkit.loop.finite import Facts, check_finite
from fusionkit.loop.noise import generator, keyed_noise
from fusionkit.loop.patches import Control as Control
from fusionkit.loop.patches import Fused as Fused
from fusionkit.loop.patches import ImagePrompt as ImagePrompt
from fusionkit.loop.patches import LeftOut as LeftOut
from fusionkit.loop.patches import Masked as Masked
from fusionkit.loop.patches import Patches as Patches
from fusionkit.loop.patches import Prompt as Prompt
from fusionkit.loop.patches import Tiling as Tiling
from fusionkit.loop.patches import Told as Told
from fusionkit.loop.room import IN_MEMORY, Room
from fusionkit.loop.views import View, Wrap, wrapped

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.loop.model import Model, ModelInfo
    from fusionkit.loop.scheduler import Scheduler
    from fusionkit.recipe.recipe import Recipe


SCENE = 1.5
"""From so many windows' heights on, what a model draws is several scenes, one above the other."""


@dataclass(frozen=True)
class StagePlan:
    """One stage of a run, as `plan_stages` answers it.

    Args:
        size: (width, height) of the stage's picture, in pixels.
        steps: Sampling steps; None is the recipe's number.
        name: For the progress bar and `plan`.
        picture: On the first stage: a picture that stands in for the stage before it. It is cropped to the stage's
            aspect ratio, scaled to `picture_size` and encoded.
        picture_size: (width, height) in pixels at which the picture is encoded; None is the stage's own size.
        network: A super-resolution network by which the picture is enlarged where it is smaller than that; None is
            Lanczos.
        wrap: Along which axes the canvas is a ring, so that its edges meet: "x" (left and right), "y" or "xy".
        strength: The share of the steps, 0..1, that are taken, the last ones: the stage begins with the one before it,
            or the picture, noised to the first of them. None begins with noise alone. As diffusers counts it.
        told: (width, height) in pixels that a model which is told a picture's size is told; None is the recipe's size.
        frame: (width, height) in pixels of what of the canvas is the picture, from its upper left corner; what lies
            beyond is drawn as well, and cut off in the end. None is all of the canvas.
    """

    size: tuple[int, int]
    steps: int | None = None
    name: str = ""
    picture: Path | None = None
    picture_size: tuple[int, int] | None = None
    network: Path | None = None
    wrap: Wrap = ""
    strength: float | None = None
    told: tuple[int, int] | None = None
    frame: tuple[int, int] | None = None

    def skipped(self, steps: int) -> int:
        """How many of so many sampling steps are not taken, the first ones."""
        return 0 if self.strength is None else steps - min(int(steps * self.strength), steps)

    def frame_at(self, size: tuple[int, int]) -> tuple[int, int]:
        """The frame's (width, height) in pixels on a canvas of another size, of which it is the same share."""
        own, whole = self.frame or self.size, self.size
        width, height = (max(1, round(own[axis] * size[axis] / whole[axis])) for axis in (0, 1))
        return width, height


@dataclass(frozen=True)
class Step:
    """One step of a stage.

    Args:
        index: 0 for the first step.
        total: The number of steps in the stage.
        timestep: The scheduler's timestep, a tensor without axes.
        round: 0 when the step is taken first; 1, 2, ... where it is taken again, as the hook `rounds` says.
    """

    index: int
    total: int
    timestep: Tensor
    round: int = 0

    @property
    def is_last(self) -> bool:
        """Whether no step follows."""
        return self.index == self.total - 1


class Hooks(Protocol):
    """Whom a stage asks for the plugins' answers."""

    def ask(self, name: str, **arguments: Any) -> Any:
        """Call one hook."""


@dataclass
class Stage:
    """One stage of a run: a canvas, the model's window, the steps, and everything a hook may ask.

    Args:
        plan: The stage as planned.
        index: 0 for the first stage.
        recipe: The recipe of the run.
        info: What is known of the model without its weights; of the main one, where there are several.
        scheduler: The stage's own scheduler, with its timesteps set.
        model: The model adapter, or the main one; None while a run is only planned.
        previous: The clean latents (1, C, h, w) of the stage before, or of the picture that stands in for it; None in
            a first stage without a picture.
        memory: What plugins keep until the run ends, shared by its stages; they reach it by their `RunMemory`.
        state: What they keep until the stage ends, by their `StageState`.
        cache: What can be made again, by their `StageCache`.
        infos: What is known of each model, by the names that the recipe gives them, the main one first.
        models: The model adapters by the same names; empty while a run is only planned.
        hooks: The run's plugins, whom `encode` and `decode` ask; None for none.
        tilings: The views that were checked before the run, by the step's index and round, in short.
        facts: What must be true of this run's tensors, such as that they are finite; the loop looks at it.
        finished: (width, height) in pixels of the finished picture, whose pixels a recipe counts: the last stage's
            frame at the recipe's size; by default this stage's.
        room: Where its large tensors, and its picture, are: in memory, or in files.
    """

    plan: StagePlan
    index: int
    recipe: Recipe
    info: ModelInfo
    scheduler: Scheduler
    model: Model = None  # type: ignore[assignment]
    previous: Tensor | None = None
    memory: Shelf = field(default_factory=dict)
    state: Shelf = field(default_factory=dict)
    cache: Shelf = field(default_factory=dict)
    infos: Mapping[str, ModelInfo] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    hooks: Hooks | None = field(default=None, repr=False, compare=False)
    tilings: dict[tuple[int, int], Tiling] = field(default_factory=dict, repr=False, compare=False)
    facts: Facts = field(default_factory=Facts, repr=False, compare=False)
    finished: tuple[int, int] = (0, 0)
    room: Room = IN_MEMORY

    def __post_init__(self) -> None:
        """Where nothing else is said, there is one model, and no stage after this one whose frame is rounded."""
        self.infos = self.infos or {"model": self.info}
        self.finished = self.finished if any(self.finished) else self.frame_at(self.recipe.size)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(1, C, H, W) of the canvas, in latent pixels."""
        width, height = self.plan.size
        return 1, self.info.channels, height // self.factor, width // self.factor

    @property
    def canvas(self) -> tuple[int, int]:
        """(H, W) of the canvas, in latent pixels."""
        return self.shape[2], self.shape[3]

    @property
    def window(self) -> tuple[int, int]:
        """(h, w) of the model's window, in latent pixels, cut to the canvas."""
        width, height = self.recipe.window or self.info.window
        return min(height // self.factor, self.canvas[0]), min(width // self.factor, self.canvas[1])

    def is_high(self, rows: float) -> bool:
        """Whether so many rows of the canvas, in latent pixels, are more than one scene: one and a half windows."""
        return rows >= SCENE * (self.recipe.window or self.info.window)[1] / self.factor

    @property
    def wrap(self) -> Wrap:
        """Along which axes the canvas is a ring: "", "x", "y" or "xy"."""
        return self.plan.wrap

    @property
    def factor(self) -> int:
        """How many pixels of the picture one latent pixel spans along a side."""
        return self.info.factor

    @property
    def frame(self) -> tuple[int, int]:
        """(width, height) in pixels of what of the canvas is the picture, from its upper left corner."""
        return self.plan.frame or self.plan.size

    def laid(self, picture: Image, size: tuple[int, int] | None = None, *, smooth: bool = True) -> Image:
        """A picture as it lies on the canvas: within its frame, and reflected beyond; elsewhere it covers the canvas.

        Args:
            picture: Of any size and shape.
            size: (width, height) in pixels of the canvas, where it is not the stage's own.
            smooth: As for `fitted`: a mask is not.
        """
        from fusionkit.pictures.picture import fitted, reflected

        size, token = size or self.plan.size, self.info.token
        return reflected(fitted(picture, self.frame_at(size), token, smooth=smooth), size)

    def frame_at(self, size: tuple[int, int]) -> tuple[int, int]:
        """The frame's (width, height) in pixels on a canvas of another size, of which it is the same share."""
        return self.plan.frame_at(size)

    @property
    def begun_at(self) -> tuple[int, int]:
        """(width, height) in pixels at which the picture that a run begins with is laid on its canvas."""
        return self.frame_at(self.plan.picture_size or self.plan.size)

    def cut(self, picture: Image) -> Image:
        """A picture of the canvas without what lies beyond its frame; one of another size is left as it is."""
        whole = picture.size != self.plan.size or self.frame == self.plan.size
        return picture if whole else picture.crop((0, 0, *self.frame))

    @property
    def told(self) -> tuple[int, int]:
        """(width, height) in pixels of the picture, as models are told it that are told sizes."""
        return self.plan.told or self.recipe.size

    def told_corners(self, views: Sequence[View]) -> list[tuple[int, int]]:
        """Where in that picture each view begins, (top, left) in its pixels; a dilated view is all of it."""
        across, down = (
            (1.0, 1.0)
            if self.plan.told is None
            else tuple(told / side for told, side in zip(self.plan.told, self.plan.size, strict=True))
        )
        return [
            (0, 0)
            if view.is_dilated
            else (int(max(0, view.top) * self.factor * down), int(max(0, view.left) * self.factor * across))
            for view in wrapped(views, self.canvas, self.wrap)
        ]

    @property
    def has_previous(self) -> bool:
        """Whether a stage, or a picture, comes before this one; known while a run is only planned."""
        return self.index > 0 or self.plan.picture is not None

    @property
    def sampling_steps(self) -> int:
        """How many sampling steps the stage takes; some schedulers make more `steps` of them."""
        steps = self.plan.steps or self.recipe.steps
        return steps - self.plan.skipped(steps)

    def guidance_at(self, at: Step, scale: float | None = None, interval: tuple[float, float] | None = None) -> float:
        """The guidance scale of a step: 1, which is no guidance, outside of the interval.

        Args:
            at: The step.
            scale: None is the recipe's.
            interval: Where guidance begins and ends, in shares of the stage's steps; None is the recipe's.
        """
        scale = self.recipe.guidance_scale if scale is None else scale
        begin, end = self.recipe.guidance_interval if interval is None else interval
        return scale if begin <= at.index / at.total < end else min(scale, 1.0)

    @cached_property
    def steps(self) -> list[Step]:
        """The stage's steps, first to last."""
        timesteps = self.scheduler.timesteps
        return [Step(i, len(timesteps), t) for i, t in enumerate(timesteps)]

    @cached_property
    def previous_picture(self) -> Image:
        """The picture of `previous`, decoded once a stage however many plugins look at it."""
        assert self.previous is not None, "asked for in stages alone that have one before them"
        return self.decode(self.previous)

    @cached_property
    def masked(self) -> Masked:
        """What models that fill in masked parts are told of the canvas, by the hook `masked`, once a stage."""
        found: Masked = self._ask("masked")
        return found

    @property
    def device(self) -> torch.device:
        """Where the canvas lives."""
        import torch

        return self.model.device if self.model is not None else torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """The canvas' type: float32, whatever the model's, so that steps lose nothing."""
        import torch

        return torch.float32

    def encode(self, picture: Image) -> Tensor:
        """A picture of the canvas, at any size, as scaled latents (1, C, h, w), by the hook `encode`.

        Raises:
            ValueError: It is no picture, or a side is not divisible by the latent factor.
            NumericalError: The latents have values that are not finite.
            PluginError: A plugin failed, or its answer does not fit.
        """
        size, factor = getattr(picture, "size", None), self.factor
        if not isinstance(size, tuple) or size[0] % factor or size[1] % factor:
            what = f"a picture of {size[0]}x{size[1]} pixels" if isinstance(size, tuple) else type(picture).__name__
            raise ValueError(f"{what} can't be encoded; expected a picture of Pillow, its sides divisible by {factor}")
        latents: Tensor = self._ask("encode", picture=picture)
        return latents

    def decode(self, latents: Tensor) -> Image:
        """Clean latents of the canvas (1, C, h, w), at any size, as a picture, by the hook `decode`.

        Raises:
            ValueError: They are of another shape.
            NumericalError: The latents, or the picture, have values that are not finite.
            PluginError: A plugin failed, or its answer does not fit.
        """
        shape = tuple(getattr(latents, "shape", ()))
        if len(shape) != 4 or shape[:2] != self.shape[:2]:
            what = f"latents of {shape}" if shape else type(latents).__name__
            raise ValueError(f"{what} can't be decoded; expected a tensor (1, {self.shape[1]}, h, w)")
        check_finite(latents, "the canvas that is to be decoded", "nothing can be drawn of it")
        picture: Image = self._ask("decode", latents=latents)
        return picture

    def glimpse(self, latents: Tensor, size: int = 256) -> Image:
        """A small picture of clean latents (1, C, h, w): reduced before they are decoded, so that it costs little.

        By the model alone: no hook is asked. What lies beyond the frame is cut off.

        Args:
            latents: The latents, such as the estimate of the canvas in `Fused.denoised`.
            size: It has about as many pixels as a square of this side, and no more than the decoded picture.

        Raises:
            NumericalError: The latents, or the picture, have values that are not finite.
        """
        import torch

        from fusionkit.loop.ring import resized

        check_finite(latents, "the canvas that is to be looked at", "nothing can be seen of it")
        height, width = latents.shape[-2:]
        ratio = size / self.factor / (height * width) ** 0.5
        with torch.inference_mode():
            if ratio < 1:
                sides = max(1, round(height * ratio)), max(1, round(width * ratio))
                latents = resized(latents.float(), sides, mode="area")
            picture = self.model.decode(latents)
        return picture.crop((0, 0, *self.frame_at(picture.size)))

    def _ask(self, name: str, **arguments: Any) -> Any:
        import torch

        if self.model is None:
            raise ValueError(f"there is nothing to {name} with before the model has loaded")
        with torch.inference_mode():
            if self.hooks is not None:
                return self.hooks.ask(name, stage=self, **arguments)
            return getattr(self.model, name)(*arguments.values())

    def noise(self, purpose: str, shape: Sequence[int] | None = None, at: Step | None = None) -> Tensor:
        """N(0, 1) noise that depends on the seed, the stage, the step and the purpose alone.

        Args:
            purpose: What it is for; two plugins that must not share a draw use two purposes.
            shape: Shape of the draw; None is the canvas.
            at: The step, for noise that differs from step to step.
        """
        shape = self.shape if shape is None else shape
        drawn = keyed_noise(self.recipe.seed, *self._key(purpose, at), shape=shape, room=self.room)
        return drawn.to(self.device, self.dtype)

    def integers(self, purpose: str, count: int, low: int, high: int, at: Step | None = None) -> list[int]:
        """`count` integers drawn evenly from low..high, both included, keyed as `noise` is."""
        import torch

        drawn = torch.randint(
            low, high + 1, (count,), generator=generator(self.recipe.seed, *self._key(purpose, at))
        ).tolist()
        return [int(value) for value in drawn]

    def _key(self, purpose: str, at: Step | None) -> tuple[str | int, ...]:
        again = f" round {at.round}" if at is not None and at.round else ""
        return self.index, -1 if at is None else at.index, purpose + again

    def let_go(self, state: bool = True) -> None:
        """Forget what the stage can make again, and what plugins have kept of it unless somebody may still ask."""
        self.cache.clear()
        for name in ("previous_picture", "masked"):
            self.__dict__.pop(name, None)
        if state:
            self.state.clear()
