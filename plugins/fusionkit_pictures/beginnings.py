"""What plugins share that let a run begin with a picture: its size, the plan, and what can't be begun with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit import Stage, StagePlan
from fusionkit.errors import FusionError
from fusionkit.pictures.picture import picture_problems, picture_size

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo


def own_size(path: Path, info: ModelInfo) -> tuple[int, int]:
    """(width, height) of a picture's canvas: its own, but for less than a token a side; else the model's."""
    try:
        sides = picture_size(path)
    except FusionError:
        # What is wrong with it, `beginning_problems` says.
        return info.window
    width, height = (max(side // info.token, 1) * info.token for side in sides)
    return width, height


def begun(
    plans: Sequence[StagePlan], picture: Path, strength: float | None, network: Path | None = None
) -> list[StagePlan]:
    """Stages of which the first begins with a picture, unless it begins with one already."""
    first, *others = plans
    if first.picture is None:
        first = replace(first, picture=picture, strength=strength, network=network)
    return [first, *others]


def beginning_problems(stage: Stage, path: Path) -> Iterator[str]:
    """Why a run can't begin with a picture, one line for each reason.

    Args:
        stage: The run's first stage.
        path: The picture.
    """
    token = stage.info.token
    yield from picture_problems(path, "picture of 'from'", (token, token))
    if stage.plan.picture not in (None, path):
        yield f"the run begins with another plugin's picture, '{stage.plan.picture}', already; leave one of them out"
