"""Pictures that a recipe names as input: checked before the model loads, opened upright and in RGB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from fusionkit.pictures.opening import PictureError, decode, opened
from fusionkit.recipe.beside import looked_for, recipe_folders
from fusionkit.recipe.texts import unfit_path

if TYPE_CHECKING:
    from PIL.Image import Image


def found(path: Path) -> Path:
    """A picture's path: from the working folder, or else beside the recipe that names it.

    Raises:
        ValueError: No path can be so.
    """
    if problem := unfit_path(str(path)):
        raise ValueError(problem)
    return looked_for(path, recipe_folders(str(path)))


PicturePath = Annotated[Path, AfterValidator(found)]
"""Type of an option that names a picture."""


def picture_problems(path: Path, what: str, least: tuple[int, int] | None = None) -> list[str]:
    """Why a picture can't be used, in one line; none where it can.

    Args:
        path: The file.
        what: What the picture is for, as the line begins: "reference image".
        least: The smallest (width, height) in pixels that makes sense.
    """
    try:
        width, height = open_picture(path).size
    except PictureError as error:
        return [f"{what} {error}"]
    if least is not None and (width < least[0] or height < least[1]):
        return [f"{what} '{path}' has {width}x{height} pixels; it takes at least {least[0]}x{least[1]}"]
    return []


def open_picture(path: Path, size: tuple[int, int] | None = None, within: int = 0) -> Image:
    """A picture in RGB: the one way in which files become pixels, whoever made them.

    It is turned upright as its EXIF says, brought to sRGB by its colour profile, or by a PNG's gamma, and laid on white
    where it is transparent. More than 8 bits are scaled. Of several frames or pages, it is the first.

    Args:
        path: The file: PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, or AVIF where Pillow has it.
        size: (width, height) in pixels: the picture is scaled to cover it, by Lanczos, and cropped around its centre.
        within: Where each side has fewer than so many pixels too many, the picture is cropped, and not scaled.

    Raises:
        PictureError: It can't be used: missing, no ordinary file, of another format, damaged, larger than the memory,
            of numbers of which nothing tells what is white, or named by a stranger's recipe.
    """
    from fusionkit.pictures.colours import UnknownRange, in_rgb, raw_mode

    with opened(path) as image:
        raw = raw_mode(image)
        decode(image, path)
        try:
            picture = in_rgb(image, raw)
        except UnknownRange as error:
            raise PictureError(path, f"can't be used: {error}") from None
        return picture if size is None else fitted(picture, size, within)


def fitted(picture: Image, size: tuple[int, int], within: int = 0, *, smooth: bool = True) -> Image:
    """A picture at another size, which it covers; what is too much is cut off around its centre.

    Args:
        picture: The picture.
        size: (width, height) in pixels.
        within: Where each side has fewer than so many pixels too many, the picture is cropped, and not scaled.
        smooth: By Lanczos, which overshoots at edges; or else linearly, which a mask wants.
    """
    from PIL import ImageOps
    from PIL.Image import Resampling

    beyond = [own - side for own, side in zip(picture.size, size, strict=True)]
    if within and all(0 <= more < within for more in beyond):
        left, top = (more // 2 for more in beyond)
        return picture.crop((left, top, left + size[0], top + size[1]))
    return ImageOps.fit(picture, size, Resampling.LANCZOS if smooth else Resampling.BILINEAR)


def reflected(picture: Image, size: tuple[int, int]) -> Image:
    """A picture on a larger one, (width, height), in its upper left corner: beyond its edges it is reflected."""
    beyond = size[0] - picture.width, size[1] - picture.height
    if not any(beyond):
        return picture
    import numpy as np
    from PIL import Image

    pixels = np.asarray(picture)
    pad = [(0, beyond[1]), (0, beyond[0]), *[(0, 0)] * (pixels.ndim - 2)]
    return Image.fromarray(np.pad(pixels, pad, mode="reflect"))


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels of a picture file, upright; its pixels are not decoded, unless its EXIF is behind them.

    Raises:
        PictureError: It can't be used.
    """
    from fusionkit.pictures.colours import ON_THEIR_SIDE, orientation

    with opened(path) as image:
        if image.format == "PNG" and "exif" not in image.info:
            decode(image, path)
        # What a TIFF that is not decoded says of its size differs between Pillow's versions where it lies on its side.
        tags = getattr(image, "tag_v2", {})
        width, height = (tags.get(tag, side) for tag, side in zip((256, 257), image.size, strict=True))
        lies = orientation(image)
    return (height, width) if lies in ON_THEIR_SIDE else (width, height)


def is_enlarged(own: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether a picture of (width, height) pixels is smaller than another size along a side."""
    return own[0] < size[0] or own[1] < size[1]


def has_more(path: Path) -> bool:
    """Whether a picture has frames or pages after its first, which is the one that counts.

    Raises:
        PictureError: It can't be used.
    """
    with opened(path) as image:
        # Photos hold previews, and maps for bright screens, in the same way.
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
