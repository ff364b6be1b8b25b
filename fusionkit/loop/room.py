"""Where a run keeps what is as large as its canvas: in memory, or in temporary files of a folder.

Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor


@dataclass(frozen=True)
class Room:
    """Where a run's large tensors and its picture are.

    Args:
        folder: Of their temporary files, which are gone when the run has ended, however it ends; None: in memory.
        least: Bytes; what is smaller stays in memory, since files have their price.
    """

    folder: Path | None = None
    least: int = 2**20

    @property
    def on_disk(self) -> bool:
        """Whether large tensors lie in files."""
        return self.folder is not None

    def empty(self, shape: Sequence[int], like: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of a shape whose numbers are not set yet.

        Args:
            shape: Its shape.
            like: Its type and its device; None is the CPU. On another device, it is in that device's memory.
            dtype: Its type; None is that of `like`, or float32.

        Raises:
            FusionError: The disk has no room for it.
        """
        import torch

        dtype = dtype or (torch.float32 if like is None else like.dtype)
        size = prod(shape) * dtype.itemsize
        elsewhere = like is not None and like.device.type != "cpu"
        if self.folder is None or elsewhere or size < self.least:
            return torch.empty(tuple(shape), dtype=dtype, device=None if like is None else like.device)
        from fusionkit.pictures.on_disk import mapped

        # The tensor holds the file's memory, and with it the file.
        return torch.frombuffer(mapped(self.folder, size), dtype=dtype).reshape(tuple(shape))

    def joined(self, parts: Iterable[Tensor], count: int) -> Tensor:
        """Tensors one after the other along their first axis, of which all together have `count`; each as it comes.

        Raises:
            FusionError: The disk has no room for it.
        """
        import torch

        if self.folder is None:
            return torch.cat(list(parts))
        whole: Tensor | None = None
        begin = 0
        for part in parts:
            whole = self.empty((count, *part.shape[1:]), part) if whole is None else whole
            whole[begin : begin + len(part)] = part
            begin += len(part)
        assert whole is not None, "of nothing there is no shape"
        return whole

    def copy(self, tensor: Tensor) -> Tensor:
        """A copy of a tensor, with its strides, in which libraries add up numbers."""
        if not self.on_disk or not tensor.is_contiguous():
            return tensor.clone()
        return self.empty(tensor.shape, tensor).copy_(tensor)

    def picture(self, size: tuple[int, int]) -> tuple[NDArray[np.uint8], Callable[[], Image]]:
        """A picture in RGB that is to be drawn: its pixels, (H, W, 3), and what makes the picture once they are.

        Args:
            size: (width, height) in pixels.

        Raises:
            FusionError: The disk has no room for it.
        """
        import numpy as np
        from PIL.Image import fromarray

        if self.folder is None:
            pixels: Any = np.empty((size[1], size[0], 3), np.uint8)
            return pixels, lambda: fromarray(pixels)
        from fusionkit.pictures.on_disk import PictureOnDisk

        picture = PictureOnDisk(size, self.folder)
        return picture.pixels, lambda: picture


def scaled(tensor: Tensor, by: float, room: Room) -> Tensor:
    """A tensor times a number."""
    import torch

    return torch.mul(tensor, by, out=room.empty(tensor.shape, tensor)) if room.on_disk else tensor * by


IN_MEMORY = Room()
"""The room of whoever says nothing else."""
