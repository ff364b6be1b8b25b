"""One attempt at a run: from its start or a checkpoint, until it ends in whatever way, measured and kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.runs.checkpoints.checkpoint import Checkpoint
from fusionkit.runs.checkpoints.keeper import Keeper
from fusionkit.runs.checkpoints.resume import go_on
from fusionkit.runs.spent import Meter, Spent

if TYPE_CHECKING:
    from fusionkit.loop.denoise import Begun, StepEnded
    from fusionkit.loop.model import Model
    from fusionkit.runs.plan import RunPlan


@dataclass(frozen=True)
class Attempt:
    """What `execute` needs to know of an attempt, and what its result tells.

    Args:
        plan: The run.
        models: Its models by name.
        meter: What it costs.
        begun: Where it goes on; None from the start.
        keeper: Writes its checkpoints; None where none are wanted.
    """

    plan: RunPlan
    models: Mapping[str, Model]
    meter: Meter
    begun: Begun | None = None
    keeper: Keeper | None = None

    @property
    def step_ended(self) -> StepEnded | None:
        """Told of each step."""
        return None if self.keeper is None else self.keeper.step_ended

    def denoised(self) -> dict[str, Any]:
        """All steps are done: what the result tells of them; the latents are kept before they are decoded."""
        spent = self.meter.spent()
        if self.keeper is not None:
            self.keeper.write()
        return {
            "denoising_seconds": spent.seconds,
            "forward_share": spent.forward_seconds / spent.seconds if spent.seconds else 0.0,
            "forward_passes": spent.forward_passes,
            "batch_size": spent.batch_size,
            "batches": {name: dict(each.batches) for name, each in self.models.items() if self._chosen(each)},
            "forget_checkpoint": self.keeper.forget if self.keeper is not None else _nothing,
        }

    def _chosen(self, model: Model) -> bool:
        """Whether a model has chosen how many views go through it together, since nobody has said."""
        return bool(model.batches) and self.plan.recipe.batch_size is None and model.batch_size is None


@contextmanager
def attempted(
    plan: RunPlan,
    models: Mapping[str, Model],
    *,
    path: str | Path | None = None,
    every: float | None = 0.0,
    begin: Checkpoint | None = None,
    told: Callable[[str], None] | None = None,
) -> Iterator[Attempt]:
    """Within the block a run is at work; what it did is kept, however the block ends.

    Args:
        plan: The run.
        models: Its models by name, loaded.
        path: Where its checkpoints go; None writes none.
        every: Seconds from one to the next; None writes none, and deletes what was there when the picture is saved.
        begin: The checkpoint from which it goes on.
        told: Told in one line what can't be kept, or what has changed since; None prints it to standard error.

    Raises:
        RecipeError: The checkpoint is of another run.
        FusionError: It is damaged.
    """
    told = told or _note
    device = next(iter(models.values())).device
    begun = None if begin is None else go_on(begin, plan, models, device, told)
    meter = Meter(models, Spent() if begin is None else begin.spent)
    if path is None:
        yield Attempt(plan, models, meter, begun)
        return
    suffix = plan.recipe.output.suffix
    keeper = Keeper(Path(path), every, plan, models, meter, told, begin=begin, suffix=suffix)
    with keeper.at_work():
        yield Attempt(plan, models, meter, begun, keeper)


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def _nothing() -> None:
    """Nothing is kept that could be deleted."""
