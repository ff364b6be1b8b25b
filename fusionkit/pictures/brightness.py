"""What a PNG's numbers mean in light, where it says so itself and has no colour profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

# ITU-T H.273, transfer characteristics.
_LINEAR, _BRIGHT_SCREENS = 8, (16, 18)
# As in libpng, a difference that nobody sees does not count; nor does what no camera and no screen has.
_USUAL, _NOT_SEEN, _SENSIBLE = 1 / 2.2, 0.05, (0.1, 10)


def for_bright_screens(info: Mapping[Any, Any]) -> bool:
    """Whether a picture's numbers are absolute or relative light of HDR (PQ or HLG), which has no white of paper."""
    return _transfer(info) in _BRIGHT_SCREENS


def by_gamma(rgb: Image, info: Mapping[Any, Any]) -> Image:
    """A picture in RGB whose `gAMA` or `cICP` says how its numbers become light, with those of sRGB instead.

    Args:
        rgb: The picture.
        info: What Pillow says of it: `gamma`, `srgb`; and `cicp`, the bytes of that chunk.
    """
    transfer = _transfer(info)
    gamma = 1.0 if transfer == _LINEAR else info.get("gamma")
    told_otherwise = "srgb" in info or (transfer is not None and transfer != _LINEAR)
    if gamma is None or told_otherwise or not _SENSIBLE[0] <= gamma <= _SENSIBLE[1]:
        return rgb
    if abs(gamma / _USUAL - 1) <= _NOT_SEEN:
        return rgb
    return rgb.point([round(255 * _encoded((number / 255) ** (1 / gamma))) for number in range(256)] * 3)


def _transfer(info: Mapping[Any, Any]) -> int | None:
    return info["cicp"][1] if "cicp" in info else None


def _encoded(light: float) -> float:
    return float(12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)
