"""Pictures of who won where: the tinted picture at some steps and over all, and each model's share step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from colorsys import hls_to_rgb
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from fusionkit.pictures.map_pictures import GROUND, MARGIN, TEXT, below, beside, captioned

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit_magicfusion.winners import Winners

WIDTH = 1024
"""Pixels across of what is drawn, whatever the picture's size, so that captions can be read."""

PLOT = (90, 50, WIDTH - 20, 370)
"""Left, top, right and bottom of the chart's columns, in pixels."""

TINT = 0.6
"""How much of a tinted picture is the winner's colour."""

# Told apart in any kind of colour vision.
_FIRST = ((255, 149, 0), (50, 173, 230), (191, 90, 242), (48, 209, 88), (255, 214, 10), (255, 69, 58))


def winners_picture(image: Image.Image, seen: Winners) -> Image.Image:
    """The picture tinted by the winners: small at some steps, with their timesteps; large as it is and over all steps.

    A pixel that several views hold has the mixture of their winners' colours.

    Args:
        image: The finished picture.
        seen: The winners, of one step at least.
    """
    shown, colours, aspect = seen.shown(), colours_of(len(seen.names)), image.width / image.height
    # Wide pictures below each other, tall ones beside each other.
    columns = max(1, min(len(shown), 8, round(4 / aspect)))
    small, large = _fitting(aspect, WIDTH // columns, WIDTH), _fitting(aspect, WIDTH, WIDTH // 2)
    tiles = [captioned(tinted(image, shares, small, colours), f"t = {timestep:g}") for timestep, shares in shown]
    whole = [
        captioned(image.convert("RGB").resize(large, Image.Resampling.LANCZOS), "the picture"),
        captioned(tinted(image, seen.overall(), large, colours), f"all {len(seen.timesteps)} steps"),
    ]
    rows = [*_rows(tiles, columns), *_rows(whole, 2 if 2 * large[0] <= WIDTH else 1)]
    return below([*rows, _legend(seen, colours)])


def shares_picture(seen: Winners) -> Image.Image:
    """A chart of the share of the pixels that each model won: a stacked column for each step, the first at the left.

    Its numbers are in the picture's `info`: `timesteps`, a list, and `shares`, a list for each model's name.
    """
    shares, colours = seen.shares(), colours_of(len(seen.names))
    left, top, right, bottom = PLOT
    chart = Image.new("RGB", (WIDTH, bottom + 3 * TEXT + MARGIN), GROUND)
    draw, font = ImageDraw.Draw(chart), ImageFont.load_default(TEXT)
    count = len(seen.timesteps)
    for step in range(count):
        x0, x1 = (left + round(place * (right - left) / count) for place in (step, step + 1))
        for colour, (low, high) in zip(colours, _stacked([shares[name][step] for name in seen.names]), strict=True):
            y0, y1 = (bottom - round(share * (bottom - top)) for share in (high, low))
            if y0 < y1:
                draw.rectangle((x0, y0, x1 - 1, y1 - 1), colour)
    for share in (0, 0.5, 1):
        y = bottom - round(share * (bottom - top))
        draw.line((left - 6, y, left, y), "white")
        draw.text((left - 10, y), f"{share:.0%}", "white", font, anchor="rm")
    for step in _labelled(count):
        x = left + round((step + 0.5) * (right - left) / count)
        draw.line((x, bottom, x, bottom + 6), "white")
        draw.text((x, bottom + 8), f"{seen.timesteps[step]:g}", "white", font, anchor="mt")
    draw.text((MARGIN, MARGIN), "share of the pixels that each model won", "white", font)
    draw.text(((left + right) / 2, chart.height - MARGIN), "timestep", "white", font, anchor="mb")
    picture = below([chart, _legend(seen, colours)])
    picture.info.update(timesteps=list(seen.timesteps), shares=shares)
    return picture


def tinted(
    image: Image.Image, shares: NDArray[np.float32], size: tuple[int, int], colours: Sequence[tuple[int, int, int]]
) -> Image.Image:
    """The picture in grey, scaled, and over it each model's colour by its share of each latent pixel, (N, H, W)."""
    import numpy as np

    mixed = np.einsum("nhw,nc->hwc", shares, np.array(colours, np.float32))
    colour = Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    grey = image.convert("L").resize(size, Image.Resampling.LANCZOS).convert("RGB")
    return Image.blend(grey, colour, TINT)


def colours_of(count: int) -> list[tuple[int, int, int]]:
    """Colours that can be told apart."""
    # Steps of the golden angle: neighbours in the list are far apart in hue.
    more = (hls_to_rgb(number * 0.381966 % 1, 0.65, 0.9) for number in range(len(_FIRST), count))
    others = [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in more]
    return [*_FIRST[:count], *others]


def _stacked(shares: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Where each share begins and ends on top of those before it."""
    low = 0.0
    for share in shares:
        yield low, low + share
        low += share


def _labelled(count: int) -> set[int]:
    """The steps whose timesteps are written below the chart."""
    labels = min(count, 11)
    return {round(number * (count - 1) / max(1, labels - 1)) for number in range(labels)}


def _fitting(aspect: float, width: int, height: int) -> tuple[int, int]:
    """The largest size of that aspect ratio within a width and a height, in pixels."""
    across = min(width, height * aspect)
    return max(1, round(across)), max(1, round(across / aspect))


def _legend(seen: Winners, colours: Sequence[tuple[int, int, int]]) -> Image.Image:
    """Each model's colour, name, and share of all pixels and steps, one a line."""
    row, font, shares = TEXT + MARGIN, ImageFont.load_default(TEXT), seen.shares()
    legend = Image.new("RGB", (WIDTH, row * len(seen.names) + MARGIN), GROUND)
    draw = ImageDraw.Draw(legend)
    for number, (name, colour) in enumerate(zip(seen.names, colours, strict=True)):
        middle, mean = MARGIN + number * row + TEXT / 2, sum(shares[name]) / len(shares[name])
        draw.rectangle((MARGIN, middle - TEXT / 2, MARGIN + TEXT, middle + TEXT / 2), colour)
        draw.text((2 * MARGIN + TEXT, middle), f"{name}: {mean:.0%}", "white", font, anchor="lm")
    return legend


def _rows(images: Sequence[Image.Image], columns: int) -> list[Image.Image]:
    return [beside(images[start : start + columns]) for start in range(0, len(images), columns)]
