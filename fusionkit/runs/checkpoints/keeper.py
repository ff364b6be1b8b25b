"""Keeps a run while it lasts: a snapshot after each step, a checkpoint of it now and then, and when the run ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.errors import FusionError, NumericalError, OutOfMemory, PluginError
from fusionkit.loop.finite import place
from fusionkit.runs.checkpoints.checkpoint import Checkpoint, Progress, remove_checkpoints, write_checkpoint
from fusionkit.runs.checkpoints.identity import Identity, identity_of
from fusionkit.runs.checkpoints.snapshot import Snapshot, take
from fusionkit.runs.signals import interrupts_first, interrupts_later
from fusionkit.runs.spent import Meter, Spent

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.model import Model
    from fusionkit.loop.stage import Stage, Step
    from fusionkit.runs.plan import RunPlan

_SHARE = 0.01
"""Of its time, that a run spends on writing at most, however slow the disk is; but where every step is asked for."""


@dataclass(frozen=True)
class _Kept:
    """The last step that is kept."""

    snapshot: Snapshot
    progress: Progress
    spent: Spent
    facts: Callable[[], None]


def how_to_go_on(path: Path, progress: Progress, short: bool = False) -> str:
    """Where a run is kept, and how it goes on, in a few words.

    Args:
        path: The checkpoint.
        progress: How far it is.
        short: Memory ran out.
    """
    if progress.only_decoding_is_left:
        return f"'{path}' ({progress}; fusionkit decode makes the picture of it)"
    less = ", also with a smaller batch-size, or offload" if short else ""
    return f"'{path}' ({progress}; --resume goes on from there{less})"


class Keeper:
    """Writes the checkpoints of one run.

    Args:
        path: Where they go; where a file is there already that is none of this run, a number is added to the name.
        every: Seconds from one to the next; 0 writes one after each step, None none at all.
        plan: The run.
        models: Its models by name.
        meter: What it costs.
        told: Told in one line what can't be written; the run goes on.
        begin: The checkpoint of this very run from which it goes on; it is replaced.
        suffix: How the name of the picture's file ends, with its dot.
    """

    def __init__(
        self,
        path: Path,
        every: float | None,
        plan: RunPlan,
        models: Mapping[str, Model],
        meter: Meter,
        told: Callable[[str], None],
        *,
        begin: Checkpoint | None = None,
        suffix: str = ".png",
    ) -> None:
        self.wanted = path
        self.every = every
        self.told = told
        self.written: Path | None = None if begin is None else begin.path
        self._plan = plan
        self._models = models
        self._meter = meter
        self._suffix = suffix
        self._identity: Identity | None = None
        self._kept: _Kept | None = None
        self._on_disk: _Kept | None = None
        self._told_of = None if begin is None else begin.progress
        self._last = time.monotonic()
        self._cost = 0.0
        self._before = [sum(len(stage.steps) for stage in plan.stages[:index]) for index in range(len(plan.stages))]

    @property
    def identity(self) -> Identity:
        """Which run it is; found out when it is first needed."""
        if self._identity is None:
            self._identity = identity_of(self._plan.recipe, self._models)
        return self._identity

    def step_ended(self, stage: Stage, at: Step, latents: Tensor) -> None:
        """Keep a step, and write a checkpoint if it is time to."""
        if self.every is None:
            return
        try:
            snapshot = take(stage, at.index + 1, latents, self._plan.recipe.plugins)
        except PluginError as error:
            self.every, self._kept = None, None
            self.told(f"no checkpoints of this run: {error}")
            return
        batches = {
            name: [[*view, size] for view, size in model.batches.items()] for name, model in self._models.items()
        }
        done = self._before[stage.index] + at.index + 1
        progress = Progress(stage.index, at.index + 1, done, self._plan.steps, batches, self._suffix)
        self._kept = _Kept(snapshot, progress, self._meter.spent(), lambda: stage.facts.wait(place(stage, at)))
        since = time.monotonic() - self._last
        if since >= max(self.every, self._cost / _SHARE if self.every else 0):
            self.write()

    def write(self) -> Path | None:
        """Write what is kept, if that is not there yet; where it is.

        Raises:
            NumericalError: The numbers of the last steps are not finite, which is known only now.
        """
        kept = self._kept
        if kept is None or kept is self._on_disk:
            return self.written
        kept.facts()
        began = time.monotonic()
        try:
            with interrupts_later():
                self.written = write_checkpoint(
                    self.written or self.wanted,
                    kept.snapshot,
                    self.identity,
                    kept.progress,
                    kept.spent,
                    replace=self.written is not None,
                )
                self._on_disk, self._told_of = kept, kept.progress
        except FusionError as error:
            self.told(f"no checkpoint: {error}")
        self._last = time.monotonic()
        self._cost = self._last - began
        return self.written

    def forget(self) -> None:
        """The picture is saved: delete what was kept of it."""
        if self.written is not None:
            remove_checkpoints(self.wanted, self.identity.picture)
            self.written.unlink(missing_ok=True)
            self.written = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within the block the run goes on; however it ends, what is kept of it is written.

        What is raised has the attribute `checkpoint`, the file, or None, and `kept`, how to go on, where there is one.
        """
        with interrupts_first():
            try:
                yield
            except BaseException as error:
                # What came of numbers that are not finite is no use, but the last checkpoint before may be.
                with interrupts_later():
                    try:
                        if not isinstance(error, NumericalError) or self._finished:
                            self.write()
                    except NumericalError:
                        pass
                    self._tell(error)
                raise

    def _tell(self, error: BaseException) -> None:
        """Let an error say where the run is kept."""
        error.checkpoint = self.written  # type: ignore[attr-defined]
        if self.written is None or self._told_of is None:
            return
        error.kept = how_to_go_on(  # type: ignore[attr-defined]
            self.written, self._told_of, isinstance(error, OutOfMemory)
        )

    @property
    def _finished(self) -> bool:
        return self._kept is not None and self._kept.progress.only_decoding_is_left
