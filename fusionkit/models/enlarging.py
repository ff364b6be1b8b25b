"""Pictures enlarged by a super-resolution network: tile by tile, as often as it takes, and brought to a size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from contextvars import ContextVar
from math import ceil, floor, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling

from fusionkit.models.networks import Network, applied, load_network

if TYPE_CHECKING:
    from fusionkit.loop.views import Wrap

TILE = 256
"""Pixels along one side of what a network sees at once."""
_CONTEXT, _FADE = 16, 16
OVERLAP = 2 * _CONTEXT + _FADE
"""Pixels that two tiles share: in the middle third one fades into the other, and the rest is only looked at."""

bar_of_tiles: ContextVar[Callable[..., Any] | None] = ContextVar("bar_of_tiles", default=None)
"""What makes a progress bar, with tqdm's arguments, of the tiles of each picture; None for none."""

Box = tuple[float, float, float, float]


def enlarged_by(
    network: Path, picture: Image.Image, size: tuple[int, int], device: Any = "cpu", wrap: Wrap = ""
) -> Image.Image:
    """A picture enlarged by a super-resolution network, and cropped around its centre to the shape of a size.

    The network is applied as often as its scale needs, at least once, and Lanczos does the rest. It is loaded for the
    call, and sees a tile at a time, so that memory does not grow with the picture, but for the pixels themselves.

    Args:
        network: Its file.
        picture: The picture.
        size: (width, height) in pixels.
        device: Where the network computes.
        wrap: Along which axes the picture's edges meet.

    Raises:
        ModelError: The network can't be used.
    """
    loaded = load_network(network, device)
    ratio = max(side / own for side, own in zip(size, picture.size, strict=True))
    times = max(1, round(log(max(ratio, 1), loaded.scale)))
    picture, box = _needed(picture.convert("RGB"), size, wrap)
    for _ in range(times - 1):
        picture = _network_on(loaded, picture)
        box = _scaled(box, loaded.scale)
    return _network_on(loaded, picture, size, _scaled(box, loaded.scale))


def _needed(picture: Image.Image, size: tuple[int, int], wrap: Wrap) -> tuple[Image.Image, Box]:
    """What a network has to see of a picture, and where in it what is wanted lies."""
    around = [_CONTEXT if axis in wrap else 0 for axis in "xy"]
    if wrap:
        pixels = np.pad(np.asarray(picture), ((around[1],) * 2, (around[0],) * 2, (0, 0)), mode="wrap")
        own, picture = picture.size, Image.fromarray(pixels)
    else:
        own = picture.size
    ratio = max(side / each for side, each in zip(size, own, strict=True))
    sides = [side / ratio for side in size]
    begin = [max(0.0, each - side) / 2 + more for each, side, more in zip(own, sides, around, strict=True)]
    end = [first + side for first, side in zip(begin, sides, strict=True)]
    first = [max(0, floor(each) - _CONTEXT) for each in begin]
    last = [min(each, ceil(there) + _CONTEXT) for each, there in zip(picture.size, end, strict=True)]
    box = begin[0] - first[0], begin[1] - first[1], end[0] - first[0], end[1] - first[1]
    return picture.crop((first[0], first[1], last[0], last[1])), box


def _scaled(box: Box, scale: int) -> Box:
    left, top, right, bottom = (each * scale for each in box)
    return left, top, right, bottom


def _network_on(
    network: Network, picture: Image.Image, size: tuple[int, int] | None = None, box: Box | None = None
) -> Image.Image:
    """A picture as a network enlarges it, or a box of that at another size.

    A band is brought to the width as soon as it is done: the same numbers as of the whole, which is never there.
    """
    scale = network.scale
    height = picture.height * scale
    left, top, right, bottom = box or (0, 0, picture.width * scale, height)
    width = size[0] if size else picture.width * scale
    found = Image.new("RGB", (width, height))
    tops, across = _starts(picture.height, network.whole), _starts(picture.width, network.whole)
    bar = bar_of_tiles.get()
    tiles = nullcontext() if bar is None else closing(bar(total=len(tops) * len(across), unit="tile", leave=False))
    with tiles as shown:
        for start, band in _bands(network, picture, tops, across, shown):
            if size:
                right = min(right, band.width)
                band = band.resize((width, band.height), Resampling.LANCZOS, (left, 0, right, band.height))
            found.paste(band, (0, start * scale))
    if not size:
        return found
    return found.resize(size, Resampling.LANCZOS, (0, top, width, min(bottom, height)))


def _bands(
    network: Network, picture: Image.Image, tops: list[int], across: list[int], bar: Any
) -> Iterator[tuple[int, Image.Image]]:
    """A picture as a network enlarges it, in bands as wide as all of it: where each begins, in the picture's pixels."""
    scale = network.scale
    high, wide = (side if network.whole else min(TILE, side) for side in (picture.height, picture.width))
    before: Image.Image | None = None
    for number, top in enumerate(tops):
        strip = Image.new("RGB", (picture.width * scale, high * scale))
        for place, left in enumerate(across):
            tile = _tile(network, picture.crop((left, top, left + wide, top + high)))
            strip.paste(tile, (left * scale, 0), _fading(tile.size, scale, "x") if place else None)
            if bar is not None:
                bar.update()
        if before is not None:
            # Below, the rows of both are there; above the fading those of the band before it count.
            shared = tops[number - 1] + high - top
            rows = before.crop((0, before.height - shared * scale, before.width, before.height))
            rows.paste(strip.crop((0, 0, *rows.size)), (0, 0), _fading(rows.size, scale, "y"))
            strip.paste(rows, (0, 0))
        end = tops[number + 1] if number + 1 < len(tops) else top + high
        yield top, strip.crop((0, 0, strip.width, (end - top) * scale))
        before = strip


def _starts(length: int, whole: bool) -> list[int]:
    """Where tiles begin along one side, evenly, so that two share at least the overlap."""
    if whole or length <= TILE:
        return [0]
    count = ceil((length - OVERLAP) / (TILE - OVERLAP))
    return [round(number * (length - TILE) / (count - 1)) for number in range(count)]


def _fading(size: tuple[int, int], scale: int, axis: str) -> Image.Image:
    """How much of a tile counts where it lies on the one before it: 0, then more and more, then all of it."""
    length = size[0] if axis == "x" else size[1]
    at = (np.arange(length) + 0.5) / scale
    values = np.rint(255 * np.clip((at - _CONTEXT) / _FADE, 0, 1)).astype(np.uint8)
    line = values[None, :] if axis == "x" else values[:, None]
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(line, (size[1], size[0]))))


def _tile(network: Network, picture: Image.Image) -> Image.Image:
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    large = (applied(network, pixels)[0] * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(large.contiguous().cpu().numpy())
