"""Draws what a comparison lacks, one picture after the other, each written whole together with what it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from time import process_time
from typing import TYPE_CHECKING, Any

from fusionkit.bench.measure import peak_memory, quick_collections
from fusionkit.comparison.claims import Claims
from fusionkit.comparison.folder import Folder
from fusionkit.comparison.jobs import Job
from fusionkit.drawing.drawn import run_of, told_of
from fusionkit.fusion import Fusion
from fusionkit.pictures.image import metadata_of
from fusionkit.pictures.result import Result
from fusionkit.runs.bars import progress_bar

if TYPE_CHECKING:
    from fusionkit.distributed.pool import Pool
    from fusionkit.loop.stage import Stage, Step


def draw(
    folder: Folder, jobs: Sequence[Job], claims: Claims, *, progress: bool = True, pool: Pool | None = None
) -> int:
    """Draw the pictures that are not there yet and that nobody else draws, and return how many that were.

    Args:
        folder: Where they go.
        jobs: The pictures, those that are there among them, in the order in which they are drawn.
        claims: Who draws what.
        progress: Whether to show a progress bar, with the time left.
        pool: Workers that share the views of each picture; None draws here alone.

    Raises:
        FusionError: A run failed, or a picture can't be written.
    """
    missing = [job for job in jobs if not folder.has(job)]
    with Progress(missing, shown=progress and bool(missing)) as bar:
        # One model after the other: two may not fit.
        return sum(
            draw_group(folder, list(group), claims, bar, pool) for _, group in groupby(missing, lambda job: job.weights)
        )


def draw_group(folder: Folder, jobs: Sequence[Job], claims: Claims, bar: Progress, pool: Pool | None = None) -> int:
    """Draw those pictures of one model that nobody else draws, and return how many that were.

    Args:
        folder: Where they go.
        jobs: The pictures.
        claims: Who draws what.
        bar: Is told how far they are.
        pool: As for `draw`.
    """
    fusion, drawn = None, 0
    with quick_collections():
        for job in jobs:
            if not claimed(folder, job, claims):
                bar.leave_out(job)
                continue
            if fusion is None:
                fusion = Fusion.from_recipe(job.recipe, pool=pool)
                fusion.models_for(job.recipe)
            with bar.picture(job) as callback:
                draw_one(folder, job, fusion, callback, warm=drawn > 0, wanted=partial(claims.holds, job.file))
            claims.end(job.file)
            drawn += 1
    return drawn


def claimed(folder: Folder, job: Job, claims: Claims) -> bool:
    """Whether a picture is this process' to draw from now on: it is not drawn, and nobody else draws it."""
    if folder.has(job) or not claims.take(job.file):
        return False
    # Who had it may have drawn it between the look and the claim.
    if folder.has_now(job):
        claims.end(job.file)
        return False
    return True


def draw_one(
    folder: Folder, job: Job, fusion: Fusion, callback: Any, warm: bool, wanted: Callable[[], bool] = lambda: True
) -> Result:
    """Draw and write one picture.

    Args:
        folder: Where it goes.
        job: The picture.
        fusion: Its model.
        callback: Called after each step.
        warm: Whether the model has drawn before; the first picture takes longer than its like.
        wanted: Asked whether the picture is to be written: another process may have drawn it where this one slept.
    """
    device = next(iter(fusion.models_for(job.recipe).values())).device
    with peak_memory(device) as memory, told_of(job.where):
        began = process_time()
        result = fusion.run(job.recipe, callback=callback, progress=False)
        in_processors = process_time() - began
    run = run_of(result, in_processors, memory.peak, warm, device)
    if wanted():
        folder.save(result.image, job, {**metadata_of(result), "run": run})
    return result


class Progress:
    """A progress bar over all missing pictures, counted in forward passes, so that the time left holds.

    Args:
        jobs: The missing pictures.
        shown: Whether there is a bar.
    """

    def __init__(self, jobs: Sequence[Job], shown: bool) -> None:
        self._jobs, self._shown = jobs, shown
        self._bar: Any = None
        self._passes: dict[str, int] = {}

    def __enter__(self) -> Progress:
        if self._shown:
            total = sum(self._planned(job) for job in self._jobs)
            self._bar = progress_bar(total=total, unit="view")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _planned(self, job: Job) -> int:
        """The forward passes of a picture; those of one setting have equally many."""
        if job.setting.name not in self._passes:
            from fusionkit.runs.checks import inspected
            from fusionkit.runs.run import prepare

            infos = {name: inspected(spec) for name, spec in job.recipe.specs.items()}
            plan = prepare(job.recipe, next(iter(infos.values())), infos=infos)
            self._passes[job.setting.name] = plan.forward_passes
        return self._passes[job.setting.name]

    def leave_out(self, job: Job) -> None:
        """Somebody else draws a picture."""
        if self._bar is not None:
            self._bar.total -= self._planned(job)
            self._bar.refresh()

    def drawn(self, job: Job) -> None:
        """Note a picture that was drawn elsewhere."""
        if self._bar is not None:
            self._bar.update(self._planned(job))

    @contextmanager
    def picture(self, job: Job) -> Iterator[Any]:
        """While one picture is drawn: a callback for its steps."""
        if self._bar is None:
            yield None
            return
        bar, total, shown = self._bar, self._planned(job), 0
        number = 1 + next(index for index, each in enumerate(self._jobs) if each is job)
        bar.set_description(f"picture {number}/{len(self._jobs)}, {job.setting.title[:40]}", refresh=False)

        def step_done(stage: Stage, at: Step, latents: Any) -> None:
            nonlocal shown
            # Of several stages, the larger ones take longer; the bar is right again at the picture's end.
            done = min(total, shown + max(1, total // (at.total + 1)))
            bar.update(done - shown)
            shown = done

        yield step_done
        bar.update(total - shown)
