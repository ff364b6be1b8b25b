"""What a bench found, as JSON and as text."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionkit.bench.parts import PARTS

if TYPE_CHECKING:
    import torch

    from fusionkit.bench.baselines import Contestant
    from fusionkit.bench.measure import Memory
    from fusionkit.runs.plan import RunPlan


RESAMPLES = 2000
"""How many times the rounds are drawn for an interval."""


@dataclass(frozen=True)
class Run:
    """One timed run.

    Args:
        seconds: All of it.
        cpu: Seconds of the processors, of all threads of this process; they hardly grow where others keep them busy.
        parts: Seconds of each part of `PARTS`; they add up to `seconds`.
        memory: What it needed.
    """

    seconds: float
    cpu: float
    parts: Mapping[str, float]
    memory: Memory


@dataclass(frozen=True)
class Report:
    """What a bench found.

    Args:
        plan: The recipe's plan.
        about: Of the machine and the versions, by names.
        loading: Seconds that the models took to load, imports included.
        warming_up: Seconds of the first run, which counts for nothing else.
        contestants: The recipe, and then what it was measured against.
        runs: Each contestant's runs, in the order of the rounds.
    """

    plan: RunPlan
    about: Mapping[str, Any]
    loading: float
    warming_up: float
    contestants: Sequence[Contestant]
    runs: Sequence[Sequence[Run]]

    def ratios(self, index: int) -> list[float]:
        """The recipe's seconds in units of a contestant's, round by round."""
        return [mine.seconds / other.seconds for mine, other in zip(self.runs[0], self.runs[index], strict=True)]

    def cpu_ratios(self, index: int) -> list[float]:
        """The same of the processors' seconds."""
        return [mine.cpu / other.cpu for mine, other in zip(self.runs[0], self.runs[index], strict=True)]

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for a JSON file; seconds and bytes."""
        recipe, scheduler = self.plan.recipe, self.plan.stages[-1].scheduler
        return {
            "recipe": recipe.dump(),
            "size": list(recipe.size),
            "scheduler": scheduler.name,
            "about": dict(self.about),
            "loading": self.loading,
            "warming-up": self.warming_up,
            "runs": len(self.runs[0]),
            "contestants": [self._contestant(index) for index in range(len(self.contestants))],
        }

    def _contestant(self, index: int) -> dict[str, Any]:
        contestant, runs = self.contestants[index], self.runs[index]
        whole = sum(run.seconds for run in runs)
        found: dict[str, Any] = {
            "name": contestant.name,
            "seconds": spread([run.seconds for run in runs]),
            "cpu-seconds": spread([run.cpu for run in runs]),
            "memory": {
                "before": spread([run.memory.before for run in runs]),
                "growth": spread([run.memory.growth for run in runs]),
            },
        }
        if contestant.passes is not None:
            found["forward-passes"] = contestant.passes.views
            found["forward-passes-a-pixel"] = a_pixel(contestant)
        # Who tells the stopwatch nothing has no parts.
        if any(len(run.parts) > 2 for run in runs):
            found["parts"] = {
                part: {"seconds": spread(taken), "share": sum(taken) / whole}
                for part in PARTS
                for taken in ([run.parts.get(part, 0.0) for run in runs],)
            }
        if index:
            for key, ratios in (("recipe-takes", self.ratios(index)), ("recipe-takes-cpu", self.cpu_ratios(index))):
                found[key] = {**spread(ratios), "mean": geometric_mean(ratios)}
        if contestant.difference is not None:
            found["latents-differ"] = contestant.difference
        return found


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Values with the least, the median and the most of them."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values), "values": list(values)}


def geometric_mean(ratios: Sequence[float]) -> dict[str, float | None]:
    """The geometric mean of ratios with its 95 % interval, by resampling the rounds; None for what one can't tell."""
    import numpy as np

    from fusionkit.evaluation.intervals import bootstrap

    logarithms = np.log(ratios)
    score = bootstrap(lambda rounds, _: float(logarithms[rounds].mean()), len(ratios), RESAMPLES).score
    values = {"value": score.value, "low": score.low, "high": score.high}
    return {name: math.exp(value) if math.isfinite(value) else None for name, value in values.items()}


def a_pixel(contestant: Contestant) -> float | None:
    """How often a pixel of the picture is predicted, on average: the pixels of all views by those of the picture."""
    if contestant.passes is None or contestant.size is None:
        return None
    return contestant.passes.pixels / (contestant.size[0] * contestant.size[1])


def about(plan: RunPlan, device: torch.device) -> dict[str, Any]:
    """The machine, where it computes, and the versions."""
    import torch

    from fusionkit.models.devices import pick_dtype
    from fusionkit.pictures.image import versions

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return {
        "device": name,
        "dtype": str(pick_dtype(plan.recipe.dtype, device)).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        # The mean number of processes that wanted a core in the last minute, before anything is timed.
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions(plan.recipe.plugins),
    }
