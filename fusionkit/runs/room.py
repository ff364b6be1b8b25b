"""Whether a run's canvas and its picture are in memory or on the disk, and how much of both it takes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Disk:
    """Bytes that a run takes on the disk, in the folder of its picture.

    Args:
        picture: The picture's file, at most; its noise decides how far it can be packed.
        meanwhile: What lies in temporary files while the run lasts, at most; 0 where that is in memory.
    """

    picture: int
    meanwhile: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.picture + self.meanwhile


NOTHING = Disk(0, 0)
"""What takes no room."""


def disk_needs(
    room: Room, recipe: Recipe, info: ModelInfo, stages: Sequence[StagePlan], *, with_canvas: bool = True
) -> Disk:
    """What a run takes on the disk.

    Args:
        room: Of `room_of`.
        recipe: The completed recipe.
        info: The model, or the main one.
        stages: The planned stages.
        with_canvas: Whether the canvas is in files as well, as of a CPU.
    """
    from fusionkit.models.memory import kept_bytes

    width, height = stages[-1].size
    picture = 3 * width * height
    # Each level of a deep zoom has a quarter of the pixels of the one above.
    pyramid = picture // 3 if recipe.output.suffix.lower() == ".dzi" else 0
    if not room.on_disk:
        return Disk(picture + pyramid, 0)
    drawn = picture + pyramid if recipe.vae_tiling else 0
    canvas = kept_bytes(info, recipe.model_copy(update={"vae_tiling": False}), stages, with_canvas)
    return Disk(picture + pyramid, canvas + drawn)


def disk_problems(room: Room, needs: Disk) -> list[str]:
    """Why a run that keeps its canvas in files has no room for them, in one line; none where it has."""
    from fusionkit.pictures.files import in_bytes
    from fusionkit.pictures.names import existing

    if room.folder is None or needs.total <= (free := shutil.disk_usage(there := existing(room.folder)).free):
        return []
    return [
        f"output folder '{there}' has {in_bytes(free)} free, and the run may need {in_bytes(needs.total)} there, "
        f"{in_bytes(needs.meanwhile)} of them while it lasts; give an output on another disk, or use 'canvas: memory'"
    ]
