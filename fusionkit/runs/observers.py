"""Observers of a run: progress bar, callback and previews, as plugins like any other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PrivateAttr

from fusionkit.errors import Cancelled, NumericalError, RecipeError
from fusionkit.loop.finite import place
from fusionkit.loop.hookspecs import hookimpl
from fusionkit.loop.stage import Fused, Patches, Stage, Step
from fusionkit.plugin import Plugin
from fusionkit.recipe.made import make_recipe
from fusionkit.runs.live import LivePreview, live_preview

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


class Watched:
    """Whoever watches a run, as plugins that a run takes beside its recipe's.

    Args:
        progress: Whether a progress bar is shown.
        callback: Called after each step.
        preview: Called with a picture of the canvas, decoded in full, every `preview_every` steps; or what
            `live_preview` takes.
        preview_every: How many steps apart.

    Raises:
        RecipeError: The preview can't be so.
    """

    def __init__(
        self,
        *,
        progress: bool,
        callback: Callable[..., bool | None] | None = None,
        preview: LivePreview | str | Path | bool | Callable[..., None] | None = None,
        preview_every: int | None = None,
    ) -> None:
        if preview_every is not None:
            preview_every = make_recipe(preview_every=preview_every).preview_every
        self._bar = Progress()
        self._progress = progress
        self.observers: list[Plugin] = [self._bar] if progress else []
        if callable(preview):
            if preview_every is None:
                raise RecipeError(["a preview's function is called every 'preview_every' steps; give it, too"])
            self.observers.append(Preview(every=preview_every, show=preview))
        elif (live := live_preview(preview, preview_every)) is not None:
            self.observers.append(live)
        if callback is not None:
            self.observers.append(OnStepDone(call=callback))

    @contextmanager
    def shown(self, total: int, done: int = 0) -> Iterator[None]:
        """Within the block the bar is there: for `total` views, of which some have been predicted before.

        So is one of a network's tiles, while a picture is enlarged.
        """
        from fusionkit.models.enlarging import bar_of_tiles
        from fusionkit.runs.bars import progress_bar

        if not self._progress:
            yield
            return
        self._bar.open(total, done)
        token = bar_of_tiles.set(progress_bar)
        try:
            yield
        finally:
            bar_of_tiles.reset(token)
            self._bar.close()


class Progress(Plugin):
    """A progress bar over the views of all stages, in a terminal or a notebook, with the time left.

    It counts views and not steps: a step of a large stage takes many times as long as one of a small one.
    """

    _bar: Any = PrivateAttr(None)

    def open(self, total: int, done: int = 0) -> None:
        """Show the bar, for `total` views that go through the denoiser, of which some have before."""
        from fusionkit.runs.bars import progress_bar

        self._bar = progress_bar(total=total, initial=min(done, total), unit="view")

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Count a group's views."""
        before = _passes(stage)
        prediction = yield
        name = f"{stage.plan.name}, " if stage.plan.name else ""
        self._bar.set_description(f"{name}step {at.index + 1}/{at.total}", refresh=False)
        # A plugin may predict more than was planned, or less.
        self._bar.update(min(_passes(stage) - before, self._bar.total - self._bar.n))
        return prediction

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


def _passes(stage: Stage) -> int:
    return sum(model.forward_passes for model in stage.models.values())


class OnStepDone(Plugin):
    """Calls a function with the stage, the step and the canvas after each step; the run ends where it answers False."""

    call: Callable[..., bool | None]

    @hookimpl
    def step_done(self, stage: Stage, at: Step, latents: Tensor) -> None:
        """Call the function.

        Raises:
            Cancelled: The function answered False.
        """
        if self.call(stage, at, latents) is False:
            raise Cancelled(f"cancelled after step {at.index + 1} of {at.total}")


class Preview(Plugin):
    """Decodes the clean estimate every few steps and calls a function with the picture, the stage and the step.

    A preview that can't be decoded is left out, and `told` why in one line: the picture itself may still come well.
    """

    every: Annotated[int, Field(ge=1)]
    show: Callable[..., None]
    told: Callable[[str], None] = partial(print, file=sys.stderr)

    @hookimpl
    def step_done(self, stage: Stage, at: Step, latents: Tensor, fused: Fused) -> None:
        """Decode and show; the last step is left to the finished picture."""
        if (at.index + 1) % self.every == 0 and not at.is_last:
            try:
                image = stage.cut(stage.decode(latents if fused.denoised is None else fused.denoised))
            except NumericalError as error:
                self.told(f"no preview at {place(stage, at)}: {error}")
                return
            self.show(image, stage, at)
