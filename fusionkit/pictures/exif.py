"""EXIF of a photo that goes on with a picture made of it: camera, date and place, and nothing of its old pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusionkit.pictures.opening import PictureError, decode, opened

# What a camera and its user say; all else in this part is about how the file holds its pixels.
_KEPT = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x0132: "DateTime",
    0x013B: "Artist",
    0x8298: "Copyright",
}
_EXIF, _GPS = 0x8769, 0x8825
# Of the part about the exposure: the maker's own format holds places in the old file; comments are for other programs'
# settings; the rest is the old picture's size, colours, and where else there is something.
_NOT_KEPT = {0x927C, 0x9286, 0xA001, 0xA002, 0xA003, 0xA005}


def exif_of(path: Path) -> bytes:
    """What a photo's EXIF says of camera, exposure, date, author and place, as EXIF; empty where it says nothing.

    Orientation, previews, sizes and the maker's notes are left out. So is all of what is damaged.

    Raises:
        PictureError: It is no picture.
    """
    from PIL import Image

    kept: Any = Image.Exif()
    with opened(path) as image:
        if image.format == "PNG" and "exif" not in image.info:
            decode(image, path)  # it may be behind the pixels
        try:
            found: Any = image.getexif()
            for tag in _KEPT.keys() & found.keys():
                kept[tag] = found[tag]
            exposure = {tag: value for tag, value in found.get_ifd(_EXIF).items() if tag not in _NOT_KEPT}
            for part, values in ((_EXIF, exposure), (_GPS, dict(found.get_ifd(_GPS)))):
                if values:
                    kept[part] = values
            written: bytes = kept.tobytes() if len(kept) else b""
            _check(written)
        except PictureError:
            raise
        except Exception:  # noqa: BLE001 - damaged EXIF raises anything, and a picture is worth more than its notes
            return b""
    return written


def _check(written: bytes) -> None:
    """Read again what was written of a stranger's values."""
    from PIL import Image

    again: Any = Image.Exif()
    again.load(written)
    for part in (_EXIF, _GPS):
        dict(again.get_ifd(part))
