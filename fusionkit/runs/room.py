"""Whether a run's canvas and its picture are in memory or on the disk, and how much of both it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.loop.room import IN_MEMORY, Room

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.loop.stage import StagePlan
    from fusionkit.recipe.recipe import Recipe

_SHARE = 2
"""In files is what takes more than one in so many bytes that are free."""


def room_of(recipe: Recipe, info: ModelInfo, stages: Sequence[StagePlan], device: Any) -> Room:
    """Where a run keeps its canvas and its picture, as its recipe says, or as the memory suggests.

    Args:
        recipe: The completed recipe.
        info: The model, or the main one.
        stages: The planned stages.
        device: Where the canvas will live.
    """
    from fusionkit.models.memory import kept_bytes
    from fusionkit.pictures.image import output_path
    from fusionkit.pictures.opening import available_memory

    if recipe.canvas == "memory":
        return IN_MEMORY
    on_cpu = str(device).startswith("cpu")
    if recipe.canvas == "auto" and kept_bytes(info, recipe, stages, on_cpu) * _SHARE < available_memory():
        return IN_MEMORY
    return Room(output_path(recipe).parent)
