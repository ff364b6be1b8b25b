"""Runs on tiny models that end after each of their steps and go on from what a checkpoint would hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fusionkit.runs.checkpoints.snapshot import Snapshot, put_back, take
from fusionkit.testing.tiny import Kind, execute_tiny

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.stage import Stage, Step
    from fusionkit.plugin import Plugin
    from fusionkit.runs.plan import RunPlan


@dataclass(frozen=True)
class Ended:
    """Where a run ended.

    Args:
        stage: The stage's index.
        done: Its steps that are done.
        latents: The canvas, (1, C, H, W).
    """

    stage: int
    done: int
    latents: Tensor

    def __str__(self) -> str:
        return f"step {self.done} of stage {self.stage + 1}"


class _Over(BaseException):
    """Ends a run, as Ctrl-C does."""


def whole_run(plan: RunPlan, kind: Kind = "sd") -> list[Ended]:
    """A run that nobody ends: the canvas after each of its steps."""
    found: list[Ended] = []

    def step_ended(stage: Stage, at: Step, latents: Tensor) -> None:
        found.append(Ended(stage.index, at.index + 1, latents.clone()))

    execute_tiny(plan, kind, step_ended=step_ended)
    return found


def ended_runs(plan: Callable[[], RunPlan], kind: Kind = "sd") -> list[Ended]:
    """A run that ends after each of its steps, and goes on in a fresh plan from what was written.

    Args:
        plan: Plans the run anew, with plugin objects of its own.
        kind: Of the tiny models.

    Returns:
        The canvas after each of its steps; they are those of `whole_run` if all that counts was written.

    Raises:
        PluginError: A plugin keeps what can't be written.
    """
    found: list[Ended] = []
    kept: list[Snapshot] = []
    while True:
        attempt = plan()
        begun = put_back(written_and_read(kept[-1]), attempt, "cpu") if kept else None

        def step_ended(stage: Stage, at: Step, latents: Tensor, plugins: list[Plugin] = attempt.recipe.plugins) -> None:
            found.append(Ended(stage.index, at.index + 1, latents.clone()))
            kept.append(take(stage, at.index + 1, latents, plugins))
            raise _Over

        try:
            execute_tiny(attempt, kind, begun=begun, step_ended=step_ended)
        except _Over:
            continue
        return found


def written_and_read(snapshot: Snapshot) -> Snapshot:
    """A snapshot as a file gives it back."""
    from safetensors.torch import load, save

    content: dict[str, Any] = json.loads(json.dumps(snapshot.content))
    tensors = {name: tensor.contiguous() for name, tensor in snapshot.tensors.items()}
    return replace(snapshot, content=content, tensors=load(save(tensors)))
