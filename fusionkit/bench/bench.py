"""Times a recipe and what it is measured against, in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from fusionkit.bench.baselines import Baseline, Contestant, problems_of
from fusionkit.bench.drawing import Drawing
from fusionkit.bench.measure import Stopwatch, peak_memory, quick_collections
from fusionkit.bench.report import Report, Run, about
from fusionkit.errors import Cancelled, RecipeError
from fusionkit.foreign import guarded

if TYPE_CHECKING:
    import torch

    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.runs.plan import RunPlan


def bench(
    recipe: Recipe,
    infos: Mapping[str, ModelInfo],
    baselines: Sequence[Baseline] = (),
    runs: int = 5,
    *,
    progress: bool = True,
) -> Report:
    """Measure a recipe on this machine, and baselines in turn with it, so that whatever else slows down slows all.

    Args:
        recipe: What to measure.
        infos: What is known of its models by their names, the main one first.
        baselines: What to measure it against.
        runs: How often each of them is timed, beside one run to warm up.
        progress: Whether to show a progress bar.

    Raises:
        RecipeError: The recipe can't be run, or not be measured against a baseline; before any weights load.
        FusionError: A model can't be loaded, or a baseline draws another picture.
        Cancelled: Ctrl-C.
    """
    plan = planned(recipe, infos)
    if problems := problems_of(baselines, plan):
        raise RecipeError(problems)

    from fusionkit.models.load import load_models

    with shown(progress) as doing:
        doing.begins("loading the models")
        began = perf_counter()
        drawing = Drawing(recipe, infos, load_models(recipe, infos))
        loaded = perf_counter()
        doing.begins("warming up")
        noted = drawing.note()
        warm = perf_counter()
        contestants = [Contestant(recipe.name, drawing.draw, noted.passes, noted.plan.recipe.size)]
        for baseline in baselines:
            with guarded(f"baseline '{baseline.name}' failed in contestants"):
                contestants += baseline.contestants(drawing, noted)
        machine = about(noted.plan, drawing.device)
        with quick_collections():
            timed = in_turn(contestants, runs, drawing.device, doing)
    return Report(noted.plan, machine, loaded - began, warm - loaded, contestants, timed)


def planned(recipe: Recipe, infos: Mapping[str, ModelInfo]) -> RunPlan:
    """The recipe's plan; nothing is loaded.

    Raises:
        RecipeError: It can't be run, or not on this machine; all problems at once.
    """
    from fusionkit.models.load import check_machine
    from fusionkit.runs.run import prepare

    problems = check_machine(recipe)
    if recipe.devices:
        problems.append("devices: bench takes the time of one device apart; leave them out, or give it --device")
    if problems:
        raise RecipeError(problems)
    return prepare(recipe, next(iter(infos.values())), infos=infos)


def in_turn(contestants: Sequence[Contestant], runs: int, device: torch.device, doing: Progress) -> list[list[Run]]:
    """Each contestant's runs: round after round, each in the opposite order of the one before."""
    timed: list[list[Run]] = [[] for _ in contestants]
    doing.bar.reset(total=runs * len(contestants))
    for number in range(runs):
        doing.begins(f"in round {number + 1} of {runs}")
        order = list(zip(contestants, timed, strict=True))
        # A machine that grows slower or faster favours neither the first nor the last.
        for contestant, its_runs in order if number % 2 == 0 else reversed(order):
            # What the recipe itself raises is known by its own words.
            named = nullcontext() if contestant is contestants[0] else guarded(f"baseline '{contestant.name}' failed")
            with named, peak_memory(device) as memory, Stopwatch(device) as clock:
                began = process_time()
                contestant.run(clock)
                cpu = process_time() - began
            its_runs.append(Run(clock.total, cpu, clock.seconds, memory))
            doing.bar.update()
    return timed


@dataclass
class Progress:
    """What the bench is doing: for a bar, and for when somebody ends it."""

    bar: Any
    now: str = "before anything was done"

    def begins(self, now: str) -> None:
        """Something else is done."""
        self.now = now
        self.bar.set_description_str(f"{now}: ")


@contextmanager
def shown(wanted: bool) -> Iterator[Progress]:
    """A progress bar, if it is wanted, and one line where somebody ends the bench.

    Raises:
        Cancelled: Ctrl-C.
    """
    from fusionkit.runs.bars import progress_bar

    with progress_bar(unit="run", disable=not wanted, leave=False) as bar:
        progress = Progress(bar)
        try:
            yield progress
        except KeyboardInterrupt:
            raise Cancelled(f"interrupted {progress.now}; nothing was written") from None
