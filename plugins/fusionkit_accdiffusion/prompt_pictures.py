"""Pictures that show where the views' prompts came from: each word's mask, and the views with their prompts."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageColor, ImageDraw, ImageFilter, ImageFont

from fusionkit.pictures.map_pictures import GROUND, MARGIN, TEXT, beside, captioned

if TYPE_CHECKING:
    from fusionkit import View
    from fusionkit_accdiffusion.masks import Masks
    from fusionkit_accdiffusion.words import Word

SIDE = 768
"""Pixels of the longer side of what is drawn on, whatever the picture's size, so that captions can be read."""

_TINT = "#ff9500"


def mask_pictures(image: Image.Image, words: Sequence[Word], masks: Masks) -> dict[str, Image.Image]:
    """For each word that is judged: the picture, tinted where the word's mask is and dimmed elsewhere.

    Returns:
        Pictures by names such as `word-03-boat`, the number being the word's place in the prompt.
    """
    digits = max(2, len(str(len(words))))
    return {
        f"word-{number + 1:0{digits}}-{_slug(word.text)}": _mask_picture(image, word.text, masks[number])
        for number, word in enumerate(words)
        if word.head == number and word.positions
    }


def prompts_picture(
    image: Image.Image, canvas: tuple[int, int], views: Sequence[View], prompts: Sequence[str]
) -> Image.Image:
    """Each view's box on the dimmed picture, numbered and coloured by its prompt, and a list of the prompts.

    Args:
        image: The finished picture.
        canvas: (H, W) of the canvas that the views lie on.
        views: P views.
        prompts: P prompts.
    """
    ground = _dimmed(_scaled(image, Image.Resampling.LANCZOS), 0.45)
    draw, font = ImageDraw.Draw(ground), ImageFont.load_default(TEXT)
    distinct = list(dict.fromkeys(prompts))
    colours = _colours(len(distinct))
    down, across = ground.height / canvas[0], ground.width / canvas[1]
    for place, (view, prompt) in enumerate(zip(views, prompts, strict=True)):
        number = distinct.index(prompt)
        # Neighbours share edges: drawn at slightly different sizes, both can be seen.
        inset = 2 + 4 * (place % 4)
        # Of a view that goes on at the other edge of a ring, each part has its number.
        for (rows, columns), _ in view.parts(canvas):
            left, top = columns.start * across + inset, rows.start * down + inset
            right, bottom = columns.stop * across - 1 - inset, rows.stop * down - 1 - inset
            draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=colours[number], width=2)
            middle = (left + right) / 2, (top + bottom) / 2
            draw.text(middle, str(number + 1), colours[number], font, anchor="mm", stroke_width=3, stroke_fill=GROUND)
    return beside([ground, _legend(distinct, [prompts.count(prompt) for prompt in distinct], colours, ground.height)])


def _mask_picture(image: Image.Image, text: str, mask: Masks) -> Image.Image:
    picture = _scaled(image, Image.Resampling.LANCZOS)
    inside = Image.fromarray(mask * 255).resize(picture.size, Image.Resampling.NEAREST)
    tinted = Image.blend(picture, Image.new("RGB", picture.size, _TINT), 0.25)
    shown = Image.composite(tinted, _dimmed(picture, 0.35), inside)
    outline = Image.composite(Image.new("L", inside.size), inside, inside.filter(ImageFilter.MinFilter(5)))
    shown.paste(Image.new("RGB", picture.size, _TINT), mask=outline)
    return captioned(shown, f"{text}: {mask.mean():.0%} of the picture")


def _scaled(image: Image.Image, filtering: Image.Resampling) -> Image.Image:
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, filtering)


def _dimmed(image: Image.Image, light: float) -> Image.Image:
    return Image.blend(Image.new("RGB", image.size), image, light)


def _legend(prompts: Sequence[str], counts: Sequence[int], colours: Sequence[str], height: int) -> Image.Image:
    """A list of the prompts, each with its number, its colour, and of how many views it is."""
    font, lines = ImageFont.load_default(TEXT), []
    for number, (prompt, count, colour) in enumerate(zip(prompts, counts, colours, strict=True), 1):
        views = f"{count} view{'s' if count > 1 else ''}"
        text = f"{number}. {prompt or '(empty)'} ({views})"
        lines += [(line, colour) for line in textwrap.wrap(text, 46, subsequent_indent="    ")]
    row = TEXT + 4
    legend = Image.new("RGB", (SIDE * 2 // 3, max(height, len(lines) * row + 2 * MARGIN)), GROUND)
    draw = ImageDraw.Draw(legend)
    for place, (line, colour) in enumerate(lines):
        draw.text((MARGIN, MARGIN + place * row), line, colour, font)
    return legend


def _colours(count: int) -> list[str]:
    """Colours that can be told apart, in hexadecimal."""
    # Steps of the golden angle: neighbours in the list are far apart in hue.
    hues = [round(number * 137.508) % 360 for number in range(count)]
    return ["#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(f"hsl({hue}, 90%, 65%)")) for hue in hues]


def _slug(text: str) -> str:
    """A word as a part of a file's name."""
    return re.sub(r"[^\w-]+", "", text)[:40] or "sign"
