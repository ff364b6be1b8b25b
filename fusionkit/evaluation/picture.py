"""A picture to evaluate: a file, what it says of how it was made, and the parts of it that metrics look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.errors import FusionError, RecipeError
from fusionkit.pictures.opening import PictureError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.layout import Box as Box
    from fusionkit.loop.views import Wrap
    from fusionkit.recipe.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture file; its pixels are read when they are asked for.

    Args:
        path: The file.
        size: (width, height) in pixels.
        prompt: What it was to show; None where that is not known.
        seed: The seed it was drawn from; None where that is not known.
        recipe: What made it, from the file's own metadata; None for a picture of another program.
        partner: The file to compare it with, in metrics between two runs.
        crop: (width, height) in pixels of the size that the model was trained at; None where that is not known.
        stride: Pixels from one view to the next, where they are not to be taken from the recipe.
        note: What its reader should know of how it was read; empty for nothing.
        trusted: Whether what the recipe names is opened, which may be anything where a stranger's file carries it.
    """

    path: Path
    size: tuple[int, int]
    prompt: str | None = None
    seed: int | None = None
    recipe: Recipe | None = None
    partner: Path | None = None
    crop: tuple[int, int] | None = None
    stride: int | None = None
    note: str = ""
    trusted: bool = True

    def pixels(self) -> NDArray[np.uint8]:
        """The picture in RGB, (H, W, 3), upright.

        Raises:
            RecipeError: The file can't be read.
        """
        stat = self.path.stat() if self.path.exists() else None
        # Several metrics look at a picture in turn; each gets pixels of its own, which it may change.
        kept: NDArray[np.uint8] = _kept_pixels(self.path, stat and (stat.st_mtime_ns, stat.st_size)).copy()
        return kept

    @property
    def crop_count(self) -> int:
        """How many crops `crops` gives; 0 where the model's size is not known."""
        return self.count_crops()

    def count_crops(self, step: int | None = None) -> int:
        """How many crops `crops` gives for a step; 0 where the model's size is not known."""
        if self.crop is None:
            return 0
        across, down = (
            max(0, (length - side) // (step or side) + 1) for length, side in zip(self.size, self.crop, strict=True)
        )
        return across * down

    @property
    def factor(self) -> int | None:
        """Pixels along one side of a latent pixel; None where the recipe, or its model, is not known."""
        from fusionkit.evaluation.layout import factor_of

        try:
            return None if self.recipe is None else factor_of(self.recipe, trusted=self.trusted)
        except FusionError:
            return None

    def crops(self, step: int | None = None) -> NDArray[np.uint8]:
        """Crops of the model's own size, (n, h, w, 3), from the top left, row by row.

        By default they lie side by side, as in the papers; what is left at the right and at the bottom is left out.

        Args:
            step: Pixels from one crop to the next, in both directions; less than a crop's side has crops overlap, so
                that some lie across every border of the windows that a picture was drawn in.

        Raises:
            RecipeError: The model's own size is not known, or the file can't be read.
        """
        import numpy as np

        if self.crop is None:
            raise RecipeError([f"{self.path}: the size of its crops is not known; give it: --crop WxH"])
        width, height = self.crop
        whole = self.pixels()
        if whole.shape[0] < height or whole.shape[1] < width:
            return np.zeros((0, height, width, 3), np.uint8)
        every = np.lib.stride_tricks.sliding_window_view(whole, (height, width), axis=(0, 1))
        chosen = every[:: step or height, :: step or width].transpose(0, 1, 3, 4, 2)
        crops: NDArray[np.uint8] = np.ascontiguousarray(chosen.reshape(-1, height, width, 3))
        return crops

    def views(self, last: float = 1.0) -> Sequence[tuple[Box, float]]:
        """The windows of the last stage, and for each the share of that stage's steps in which it was there, 0..1.

        From the recipe, planned again without the model's weights; or from `crop` and `stride`. A window of a ring
        begins on the picture, and may end beyond its edge.

        Args:
            last: The share of the stage's steps, the last ones, that are looked at; one step at least.

        Raises:
            RecipeError: Neither tells.
        """
        from fusionkit.evaluation.layout import layout_of

        return layout_of(self, last).views

    def wrap(self) -> Wrap:
        """Along which axes the picture's edges meet, as its recipe was planned: "", "x", "y" or "xy".

        Raises:
            RecipeError: As for `views`.
        """
        from fusionkit.evaluation.layout import layout_of

        return layout_of(self).wrap


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """A picture file in RGB, (H, W, 3), upright.

    Raises:
        RecipeError: It can't be read.
    """
    import numpy as np

    from fusionkit.pictures.picture import open_picture

    with _reading(path):
        return np.array(open_picture(path), dtype=np.uint8)


@lru_cache(maxsize=2)  # a picture and its partner
def _kept_pixels(path: Path, version: tuple[int, int] | None) -> NDArray[np.uint8]:
    return read_pixels(path)


def upright_size(path: Path, *, decode: bool = False) -> tuple[int, int]:
    """(width, height) of a picture file in pixels, upright, from its header.

    Args:
        path: The file.
        decode: Whether to decode all of it, so that a damaged file is found.

    Raises:
        RecipeError: It can't be read.
    """
    from fusionkit.pictures.finished import check_whole
    from fusionkit.pictures.picture import picture_size

    with _reading(path):
        return check_whole(path) if decode else picture_size(path)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Why a picture can't be read, in one line that begins with its name."""
    try:
        yield
    except PictureError as error:
        says = "no such file" if error.says == "does not exist" else error.says
        raise RecipeError([f"{path}: {says}"]) from None
