"""Several processes draw one comparison: each what nobody else draws, until all is drawn; one of them finishes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import groupby
from time import sleep

from fusionkit.comparison.claims import Claim, Claims
from fusionkit.comparison.folder import Folder
from fusionkit.comparison.jobs import Job

MEASURING = "measuring"
"""The claim of the one that measures; a file's name, as no picture has it."""


def in_order_of(jobs: Sequence[Job], part: int, parts: int) -> list[Job]:
    """All pictures in the order in which one of several processes draws them: its own share, then what others left.

    Each begins elsewhere, so that they seldom want the same. Pictures of one prompt and seed stay together, and so do
    those of one model, which is loaded once.

    Args:
        jobs: All pictures.
        part: Which part, from 0 or from 1; the last of those from 1 is the first of those from 0.
        parts: How many there are.
    """
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys((job.prompt, job.seed) for job in jobs))}
    of_one_model = (list(group) for _, group in groupby(jobs, lambda job: job.weights))
    return [
        job
        for group in of_one_model
        for job in sorted(group, key=lambda job: (numbers[job.prompt, job.seed] + 1 - part) % parts)
    ]


def draw_together(
    folder: Folder,
    jobs: Sequence[Job],
    claims: Claims,
    draw: Callable[[Sequence[Job]], int],
    waits: Callable[[int, Claim], None],
    every: float = 1.0,
) -> int | None:
    """Draw what others do not, and be the one that sees all drawn, if nobody else is.

    That one waits for those that still draw, and draws what they leave if they die.

    Args:
        folder: The comparison's.
        jobs: All pictures, in the order in which this process draws them.
        claims: Who draws what.
        draw: Draws of some pictures those that are missing and nobody else draws, and returns how many that were.
        waits: Called when others still draw: how many pictures, and who draws one of them.
        every: Seconds between two looks.

    Returns:
        How many pictures this process has drawn; None where another one sees all drawn.
    """
    drawn = draw(jobs)
    if not claims.take(finishing(jobs)):
        return None
    told = False
    while missing := [job for job in jobs if not folder.has_now(job)]:
        holders = {job.file: claim for job in missing if (claim := claims.holder(job.file)) is not None}
        if free := [job for job in missing if job.file not in holders]:
            drawn += draw(free)
            continue
        if not told:
            waits(len(missing), next(iter(holders.values())))
            told = True
        sleep(every)
    return drawn


def finishing(jobs: Sequence[Job]) -> str:
    """The claim of the one that sees these pictures drawn; of other pictures in the same folder it is another one."""
    wanted = sorted(f"{job.file} {job.fingerprint}" for job in jobs)
    return f"finishing-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]}"
