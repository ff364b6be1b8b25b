"""Draws what a comparison lacks on workers: the folder is the state, and this process alone writes it."""

from __future__ import annotations

from collections.abc import Sequence

from fusionkit.comparison.claims import Claims
from fusionkit.comparison.draw import Progress, claimed
from fusionkit.comparison.folder import Folder
from fusionkit.comparison.jobs import Job
from fusionkit.distributed.pool import Pool
from fusionkit.drawing.drawn import Drawn
from fusionkit.drawing.many import draw_many
from fusionkit.drawing.tasks import Draw
from fusionkit.pictures.image import metadata_of


def draw_on(
    pool: Pool, folder: Folder, jobs: Sequence[Job], claims: Claims, *, together: int = 0, progress: bool = True
) -> int:
    """Draw the pictures that are not there yet and that nobody else draws on workers, and return how many that were.

    No worker needs to see the folder. Ended at any moment, the next time goes on with what is missing.

    Args:
        pool: The workers; each loads the models once.
        folder: Where the pictures go.
        jobs: The pictures, those that are there among them; of one model after the other.
        claims: Who draws what.
        together: So many pictures are claimed at a time, so that other processes find some, too; 0 is all.
        progress: Whether to show a progress bar, with the time left.

    Raises:
        FusionError: A run failed, or a picture can't be written.
    """
    missing = [job for job in jobs if not folder.has(job)]
    with Progress(missing, shown=progress and bool(missing)) as bar:
        size, drawn = together or max(1, len(missing)), 0
        for start in range(0, len(missing), size):
            drawn += _draw_some(pool, folder, missing[start : start + size], claims, bar)
    return drawn


def _draw_some(pool: Pool, folder: Folder, jobs: Sequence[Job], claims: Claims, bar: Progress) -> int:
    """Draw those of some pictures that nobody else draws; how many that were."""
    mine = []
    for job in jobs:
        if claimed(folder, job, claims):
            mine.append(job)
        else:
            bar.leave_out(job)

    def write(number: int, drawn: Drawn) -> None:
        job, result = mine[number], drawn.result()
        if claims.holds(job.file):
            folder.save(result.image, job, {**metadata_of(result), "run": dict(drawn.run)})
        claims.end(job.file)
        bar.drawn(job)

    if mine:
        draw_many(pool, [Draw(job.recipe, f"picture {job.file}", job.where) for job in mine], write)
    return len(mine)
