"""Pictures that a recipe names as input: checked before the model loads, opened upright and in RGB."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

if TYPE_CHECKING:
    from PIL.Image import Image


_recipe_folder: ContextVar[Path | None] = ContextVar("recipe folder", default=None)


@contextmanager
def pictures_beside(folder: Path) -> Iterator[None]:
    """While a recipe is read: pictures that are not in the working folder are looked for in `folder`, the recipe's."""
    token = _recipe_folder.set(folder)
    try:
        yield
    finally:
        _recipe_folder.reset(token)


def found(path: Path) -> Path:
    """A picture's path: from the working folder, or else beside the recipe that is being read."""
    folder = _recipe_folder.get()
    return folder / path if folder is not None and not path.exists() and (folder / path).exists() else path


PicturePath = Annotated[Path, AfterValidator(found)]
"""Type of an option that names a picture."""


def picture_problems(path: Path, what: str, least: tuple[int, int] | None = None) -> list[str]:
    """Why a picture can't be used, in one line; none where it can.

    Args:
        path: The file.
        what: What the picture is for, as the line begins: "reference image".
        least: The smallest (width, height) in pixels that makes sense.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        width, height = open_picture(path).size
    except FileNotFoundError:
        return [f"{what} '{path}' does not exist"]
    except IsADirectoryError:
        return [f"{what} '{path}' is a folder, not a picture"]
    except UnidentifiedImageError:
        return [f"{what} '{path}' is no picture of a known format"]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return [f"{what} '{path}' can't be read: {' '.join(str(error).split())}"]
    if least is not None and (width < least[0] or height < least[1]):
        return [f"{what} '{path}' has {width}x{height} pixels; it takes at least {least[0]}x{least[1]}"]
    return []


def open_picture(path: Path, size: tuple[int, int] | None = None) -> Image:
    """A picture in RGB, turned upright as its EXIF says.

    Args:
        path: The file.
        size: (width, height) in pixels: the picture is scaled to cover it, by Lanczos, and cropped around its centre.

    Raises:
        OSError: It can't be read.
    """
    from PIL import Image, ImageOps

    # Pillow warns of photos that are merely large, and of careless headers that it can do without.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        # Pillow would take all but the darkest 256 of 65536 greys for white.
        upright = upright.point(lambda grey: grey / 257).convert("L")
    upright = upright.convert("RGB")
    return upright if size is None else ImageOps.fit(upright, size, Image.Resampling.LANCZOS)
