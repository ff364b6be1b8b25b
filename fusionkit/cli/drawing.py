"""Who draws for `compare`: this process, or workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fusionkit.cli.common import aside
from fusionkit.cli.workers import Workers, summary_of
from fusionkit.comparison.draw import draw

if TYPE_CHECKING:
    from fusionkit.comparison.claims import Claims
    from fusionkit.comparison.folder import Folder
    from fusionkit.comparison.jobs import Job

_ROUNDS = 2
"""Pictures a worker that are claimed together where other processes draw, too."""


@contextmanager
def drawing(
    helped: Workers | None, folder: Folder, jobs: Sequence[Job], claims: Claims, quiet: bool, *, alone: bool = True
) -> Iterator[Callable[[Sequence[Job]], int]]:
    """Within the block: what draws those of some pictures that are missing and nobody else draws.

    Args:
        helped: The workers that were asked for; None draws here.
        folder: Where pictures go.
        jobs: All pictures.
        claims: Who draws what.
        quiet: Whether nothing is told but what is wrong.
        alone: Whether no other process is meant to draw, so that all pictures are claimed at once.
    """
    missing = sum(not folder.has(job) for job in jobs)
    if helped is None or not missing:
        yield lambda some: aside(draw, folder, some, claims, progress=not quiet)
        return
    from fusionkit.comparison.on_workers import draw_on

    with helped.pool(jobs[0].recipe.device) as pool:
        if helped.shares(missing, pool.size) == "pictures":
            together = 0 if alone else _ROUNDS * pool.size
            yield lambda some: aside(draw_on, pool, folder, some, claims, together=together, progress=not quiet)
        else:
            yield lambda some: aside(draw, folder, some, claims, progress=not quiet, pool=pool)
        if not quiet:
            click.echo(summary_of(pool), err=True)
