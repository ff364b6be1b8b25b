"""A scheduler that takes its steps strip by strip, for canvases that are not in memory as a whole.

A step of a scheduler looks at each pixel by itself: what it makes of a strip is the strip of what it makes of the
canvas, and so is its history. Those that look at all pixels at once (`DiffusersScheduler.is_local`) are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fusionkit.loop.room import Room

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.scheduler import Scheduler

STRIP = 2**20
"""Numbers of a canvas that a step is taken of together, roughly."""


class InStrips:
    """A scheduler whose steps, and whose history, need no more memory than a strip of the canvas does.

    All else is the scheduler's own.

    Args:
        scheduler: The scheduler.
        room: Where what is as large as the canvas is kept.
        strip: How many numbers of the canvas are looked at together, roughly.
    """

    def __init__(self, scheduler: Scheduler, room: Room, strip: int = STRIP) -> None:
        self._whole: Any = scheduler
        self._room = room
        self._strip = strip

    def __getattr__(self, name: str) -> Any:
        """What is not of this class is the scheduler's."""
        if name.startswith("__") or "_whole" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._whole, name)

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The latents as the model expects them; of many views, some at a time."""
        if latents.numel() <= self._strip:
            scaled: Tensor = self._whole.scale_model_input(latents, timestep)
            return scaled
        each = max(1, self._strip * len(latents) // latents.numel())
        places = range(0, len(latents), each)
        parts = (self._whole.scale_model_input(latents[at : at + each], timestep) for at in places)
        return self._room.joined(parts, len(latents))

    def step(
        self, prediction: Tensor, timestep: Tensor, latents: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """One step, as of the whole canvas (1, C, H, W)."""
        before = dict(self._whole.state())
        following = self._room.empty(latents.shape, latents)
        denoised: Tensor | None = None
        after: Any = None
        shape = tuple(latents.shape)
        for rows in self._rows(shape):
            self._whole.restore(_mapped(before, shape, lambda each, rows=rows: each[..., rows, :]))
            parts = (each[..., rows, :] for each in (prediction, latents, noise))
            own, given, drawn = parts
            moved, clean = self._whole.step(own, timestep, given, drawn)
            following[..., rows, :] = moved
            if clean is not None:
                denoised = self._room.empty(shape, latents) if denoised is None else denoised
                denoised[..., rows, :] = clean
            here = dict(self._whole.state())
            strip = tuple(given.shape)
            if after is None:
                after = _mapped(here, strip, lambda each: self._room.empty(shape, each))
            _copy_into(after, here, strip, rows)
        self._whole.restore(after)
        return following, denoised

    def _rows(self, shape: tuple[int, ...]) -> Iterator[slice]:
        height = shape[-2]
        step = max(1, self._strip // max(1, shape[1] * shape[-1]))
        yield from (slice(top, min(top + step, height)) for top in range(0, height, step))


def _mapped(value: Any, shape: tuple[int, ...], change: Any) -> Any:
    """A state, with what is as large as a canvas changed."""
    if getattr(value, "shape", None) is not None and tuple(value.shape) == shape:
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(each, shape, change) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(each, shape, change) for each in value)
    return value


def _copy_into(whole: Any, part: Any, shape: tuple[int, ...], rows: slice) -> None:
    """Put a strip's state, whose tensors of a strip's shape are the strip's own, into the canvas'."""
    if getattr(part, "shape", None) is not None and tuple(part.shape) == shape:
        whole[..., rows, :] = part
    elif isinstance(part, Mapping):
        for key, each in part.items():
            _copy_into(whole[key], each, shape, rows)
    elif isinstance(part, (list, tuple)):
        for own, each in zip(whole, part, strict=True):
            _copy_into(own, each, shape, rows)
