"""Runs of a plugin that several tests of the contract look at: each is drawn once."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionkit.testing.resuming import Ended, whole_run
from fusionkit.testing.tiny import SIZE, Kind, tiny_run

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.plugin import Plugin
    from fusionkit.runs.plan import RunPlan


@dataclass(frozen=True)
class Drawn:
    """A run, and what it left alone.

    Args:
        plugin: The object under test, which has met this run.
        steps: The canvas after each step.
        reproducible: Whether torch's global random numbers were neither used nor seeded.
    """

    plugin: Plugin
    steps: list[Ended]
    reproducible: bool

    @property
    def latents(self) -> Tensor:
        """The clean latents, (1, C, H, W)."""
        return self.steps[-1].latents


def drawn(plugin: Plugin, plan: Callable[..., RunPlan], kind: Kind, *, other_seed: int) -> Drawn:
    """Run a plan, with global random numbers of a seed that the recipe does not know.

    Args:
        plugin: The object under test.
        plan: Plans the run; told `plugin`.
        kind: Of the tiny models.
        other_seed: Of Python's and torch's global random numbers.
    """
    import torch

    random.seed(other_seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(other_seed)
        state = torch.random.get_rng_state()
        steps = whole_run(plan(plugin=plugin), kind)
        return Drawn(plugin, steps, state.equal(torch.random.get_rng_state()))


def drawn_without(before: Sequence[Plugin], kind: Kind, fields: Mapping[str, Any]) -> Tensor:
    """The latents of a run without the plugin under test, which are the same for many.

    Args:
        before: The plugins that come before it.
        kind: Of the tiny models.
        fields: Fields of the recipe, as for `tiny_plan`.
    """
    fields = {"size": SIZE, **fields}
    told = (kind, *((type(each), repr(each)) for each in before), repr(sorted(fields.items())))
    if told not in _WITHOUT:
        _WITHOUT[told] = tiny_run(before, kind, **fields)
    return _WITHOUT[told]


_WITHOUT: dict[tuple[object, ...], Tensor] = {}
