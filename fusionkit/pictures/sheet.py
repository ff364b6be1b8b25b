"""A contact sheet: many pictures on one, small, each with its number and a line below."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_WIDTH, _LEAST, _GAP, _LINE = 1600, 120, 8, 18


def contact_sheet(pictures: Sequence[tuple[Image, str]], columns: int | None = None) -> Image:
    """Pictures in rows, in their order.

    Args:
        pictures: Each with the line that stands below it; one that is too long is cut.
        columns: How many stand side by side; None makes the sheet about as wide as high.
    """
    from PIL import Image, ImageDraw, ImageFont

    width, height = (max(sides) for sides in zip(*(image.size for image, _ in pictures), strict=True))
    columns = columns or max(1, min(len(pictures), round(sqrt(len(pictures) * height / width))))
    cell = min(width, max(_LEAST, (_WIDTH - _GAP) // columns - _GAP))
    row = max(1, round(height * cell / width)) + _LINE
    rows = ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (cell + _GAP) + _GAP, rows * (row + _GAP) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for number, (image, line) in enumerate(pictures):
        left = _GAP + number % columns * (cell + _GAP)
        top = _GAP + number // columns * (row + _GAP)
        small = image.convert("RGB")
        small.thumbnail((cell, row - _LINE))
        sheet.paste(small, (left, top))
        # The font that Pillow brings knows no other letters.
        text = line.encode("latin-1", "replace").decode("latin-1")
        while text and draw.textlength(text, font=font) > cell:
            text = text[:-1]
        draw.text((left, top + small.height + 2), text, fill="black", font=font)
    return sheet
