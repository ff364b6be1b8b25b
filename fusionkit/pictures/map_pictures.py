"""What plugins draw their maps with, so that all of them look alike: text below a picture, pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

TEXT, MARGIN = 20, 10
"""Height of the text, and what is left free around it, in pixels."""
GROUND = "#1c1c1e"
"""Colour of what lies behind text, and of what pictures leave free."""


def captioned(image: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text below it."""
    height = TEXT + 2 * MARGIN
    whole = Image.new("RGB", (image.width, image.height + height), GROUND)
    whole.paste(image)
    font = ImageFont.load_default(TEXT)
    ImageDraw.Draw(whole).text((MARGIN, image.height + height / 2), text, "white", font, anchor="lm")
    return whole


def beside(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures from left to right, aligned at the top."""
    whole = Image.new("RGB", (sum(each.width for each in images), max(each.height for each in images)), GROUND)
    left = 0
    for each in images:
        whole.paste(each, (left, 0))
        left += each.width
    return whole


def below(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures from top to bottom, aligned at the left."""
    whole = Image.new("RGB", (max(each.width for each in images), sum(each.height for each in images)), GROUND)
    top = 0
    for each in images:
        whole.paste(each, (0, top))
        top += each.height
    return whole
