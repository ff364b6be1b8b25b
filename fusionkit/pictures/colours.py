"""Whatever a picture file holds, as 8-bit RGB in sRGB's colours on white."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fusionkit.pictures.brightness import by_gamma, for_bright_screens

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

BACKGROUND = (255, 255, 255)
"""What transparent pixels show."""
ON_THEIR_SIDE = (5, 6, 7, 8)
"""Orientations that swap width and height."""

_ORIENTATION = 0x0112
_BITS, _PHOTOMETRIC, _SAMPLES = 258, 262, 339  # TIFF's tags
_WHITE_IS_ZERO, _UNSIGNED = 0, 1
_LARGEST_SIGNED_16, _LARGEST_16, _LARGEST_32 = 2**15 - 1, 2**16 - 1, 2**32 - 1


class UnknownRange(ValueError):  # noqa: N818 - it is what it says
    """A picture's numbers do not tell which of them is white."""


def orientation(image: ImageFile) -> int:
    """How a picture lies, as EXIF counts it from 1 to 8; 1 is upright, and what damaged EXIF is taken for.

    A PNG may hold its EXIF after its pixels, which are then decoded.
    """
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything, and a picture is worth more than its notes
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def raw_mode(image: ImageFile) -> str:
    """How a file that is not decoded yet holds its numbers, as Pillow calls it; empty where that is not told."""
    args = image.tile[0][3] if len(image.tile) else ""
    return args if isinstance(args, str) else str(args[0]) if isinstance(args, tuple) and args else ""


def in_rgb(image: ImageFile, raw: str) -> Image:
    """A decoded picture in RGB, upright, its colour profile's colours as sRGB's, transparency on white.

    Args:
        image: The picture.
        raw: `raw_mode` of it, before it was decoded.

    Raises:
        UnknownRange: Its numbers do not tell what is white; says what to do.
    """
    from PIL.Image import Transpose

    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation(image))
    if for_bright_screens(image.info):
        raise UnknownRange("its colours are those of bright screens (HDR); save it in sRGB")
    colours, alpha = _split(image, raw)
    rgb = _in_srgb(colours, image.info)
    if alpha is not None:
        from PIL import Image

        below = Image.new("RGB", rgb.size, BACKGROUND)
        below.paste(rgb, mask=alpha)
        rgb = below
    return rgb if turn is None else rgb.transpose(turn)


def _split(image: ImageFile, raw: str) -> tuple[Image, Image | None]:
    """Colours without transparency, in a mode of 8 bits, and the opacity where there is one."""
    mode = image.mode
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _as_grey(image, raw)
    if mode == "La":
        return image.convert("LA").convert("L"), image.getchannel("a")
    if mode in ("RGBA", "RGBa", "LA", "PA"):
        whole = image.convert("RGBA")
        return (whole.convert("RGB") if mode != "LA" else image.convert("L")), whole.getchannel("A")
    if "transparency" in image.info:
        return _keyed(image, raw)
    if mode in ("L", "RGB", "CMYK", "LAB"):
        return image, None
    return image.convert("L" if mode == "1" else "RGB"), None


def _keyed(image: ImageFile, raw: str) -> tuple[Image, Image | None]:
    """A picture of which one colour, or entries of its palette, are transparent."""
    key = image.info["transparency"]
    if image.mode == "P":
        whole = image.convert("RGBA")
        return whole.convert("RGB"), whole.getchannel("A")
    if isinstance(key, int) and image.mode == "L":
        # The key is one of the file's own numbers, and Pillow has made 0..255 of those.
        key *= {"L;2": 85, "L;4": 17}.get(raw, 1)
    elif isinstance(key, tuple) and ";16" in raw:
        key = tuple(value >> 8 for value in key)
    image.info["transparency"] = key
    whole = image.convert("RGBA")
    return whole.convert("RGB"), whole.getchannel("A")


def _as_grey(image: ImageFile, raw: str) -> tuple[Image, Image | None]:
    """A picture of one number a pixel, of more than 8 bits, as 0..255."""
    import numpy as np
    from PIL import Image

    numbers: NDArray[Any] = np.asarray(image)
    if raw == "F;32BF" and image.info.get("compression") != "raw" and sys.byteorder == "little":
        # Whoever unpacked it had turned its bytes already.
        numbers = numbers.byteswap()
    tags: Any = getattr(image, "tag_v2", {})
    key = image.info.get("transparency")
    # What is transparent may be of any number.
    alpha = Image.fromarray(np.where(numbers == key, 0, 255).astype(np.uint8)) if isinstance(key, int) else None
    if image.mode == "I" and _first(tags.get(_SAMPLES, _UNSIGNED)) == _UNSIGNED and _first(tags.get(_BITS, 0)) == 32:
        numbers = numbers.view(np.uint32)
    largest = _white(image, numbers)
    grey = np.rint(numbers * (255 / largest)).clip(0, 255).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow turns those of 8 bits alone
        grey = 255 - grey
    return Image.fromarray(grey), alpha


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _white(image: ImageFile, numbers: NDArray[Any]) -> float:
    """The number that stands for white.

    Raises:
        UnknownRange: Nothing tells.
    """
    import numpy as np

    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _LARGEST_16
    low, high = float(numbers.min()), float(numbers.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UnknownRange("it holds numbers that are infinite or none; save it with numbers of 0..1, or as 16-bit PNG")
    if low < 0:
        raise UnknownRange(f"it holds numbers below 0, down to {low:g}; save it with numbers of 0..1, or as 16-bit PNG")
    whole = numbers.dtype.kind in "iu" or bool((numbers == np.rint(numbers)).all())
    if numbers.dtype.kind == "f" and high <= 1:
        return 1
    # Whole numbers have a range that programs use. Its upper half is empty in a picture that is all but black.
    # Without a sign, numbers of 16 bits would have been of another mode.
    signed = image.mode == "I" and _first(getattr(image, "tag_v2", {}).get(_BITS, 0)) == 16
    ranges = (255, _LARGEST_SIGNED_16 if signed else _LARGEST_16)
    if whole and (largest := next((each for each in ranges if high <= each), 0)):
        return largest
    if whole and high > 2**24:
        return _LARGEST_32 if numbers.dtype == np.uint32 else 2**31 - 1
    raise UnknownRange(
        f"it holds numbers up to {high:g}, which does not tell what is white; save it with numbers of 0..1, "
        f"or as 16-bit PNG"
    )


_WORKS_ON = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}


def _in_srgb(image: Image, info: Mapping[Any, Any]) -> Image:
    """A picture of 8 bits a colour, as RGB, by its colour profile where that is sound and of its kind."""
    profile = info.get("icc_profile")
    if profile and (converted := _by_profile(image, profile)) is not None:
        return converted
    return by_gamma(image if image.mode == "RGB" else image.convert("RGB"), info)


def _by_profile(image: Image, profile: bytes) -> Image | None:
    try:
        from PIL import ImageCms

        given = ImageCms.ImageCmsProfile(BytesIO(profile))
        # What says that it is sRGB is left as it is: two descriptions of it differ in the last bit.
        if "sRGB" in (given.profile.profile_description or ""):
            return None
        mode = _WORKS_ON.get(given.profile.xcolor_space, "")
        if image.mode == "L" and mode == "RGB":
            image = image.convert("RGB")
        if image.mode != mode:
            return None
        return ImageCms.profileToProfile(
            image,
            given,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except Exception:  # noqa: BLE001 - damaged profiles are common and raise anything; and a Pillow may lack littlecms
        return None
