"""A picture of which region told which part of the picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from fusionkit.pictures.map_pictures import GROUND, MARGIN, TEXT, below
from fusionkit_regions.places import grid_of

if TYPE_CHECKING:
    from fusionkit import Stage, Told
    from fusionkit_regions.shares import Parts

WIDTH = 1024
"""Pixels across of what is drawn, whatever the picture's size, so that text can be read."""
TINT = 0.55
"""How much of a tinted picture is a region's colour."""


def regions_picture(image: Image.Image, stage: Stage, parts: Parts) -> Image.Image:
    """The picture, grey where only the recipe's prompt is heard, tinted where a region is; and what each is told.

    Args:
        image: The picture of the whole canvas; what lies beyond its frame is cut off.
        stage: The last stage.
        parts: Its regions.
    """
    colours = [
        ImageColor.getrgb(f"hsl({round(35 + number * 137.508) % 360}, 90%, 60%)")
        for number in range(len(parts.regions))
    ]
    frame = stage.frame_at(image.size)
    across = min(WIDTH, round(WIDTH * frame[0] / frame[1]))
    size = across * image.width // frame[0], max(1, round(across * image.height / frame[0]))
    grey = image.convert("L").convert("RGB").resize(size, Image.Resampling.LANCZOS)
    counts = np.stack([part.counts.cpu().numpy() for part in parts.regions])
    mixed = np.einsum("nhw,nc->hwc", counts, np.array(colours, np.float32))
    share = counts.sum(0)
    colour = _enlarged(mixed / np.maximum(share, 1e-6)[..., None], size)
    strength = _enlarged(255 * TINT * share, size)
    tinted = Image.composite(colour, grey, strength).crop((0, 0, *stage.frame_at(size)))
    return below([tinted, _legend(stage, parts, colours, WIDTH)])


def _enlarged(values: np.ndarray, size: tuple[int, int]) -> Image.Image:
    small = Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    return small.resize(size, Image.Resampling.NEAREST)


def _legend(stage: Stage, parts: Parts, colours: Sequence[tuple[int, ...]], width: int) -> Image.Image:
    """Each region's colour, name, what it was told, and the share of the picture that it counts for."""
    font, lines = ImageFont.load_default(TEXT), []
    rows, columns = grid_of(stage, stage.factor).covered
    entries = [("around", parts.elsewhere, parts.around, "white")]
    entries += [
        (part.told.part, part.told, part.counts, "#{:02x}{:02x}{:02x}".format(*colour[:3]))
        for part, colour in zip(parts.regions, colours, strict=True)
    ]
    for name, told, counts, colour in entries:
        text = f"{name}, {float(counts[:rows, :columns].mean()):.0%}: {_said(stage, told)}"
        lines += [(line, colour) for line in textwrap.wrap(text, 100, subsequent_indent="    ")]
    legend = Image.new("RGB", (width, len(lines) * (TEXT + 6) + 2 * MARGIN), GROUND)
    draw = ImageDraw.Draw(legend)
    for place, (line, colour) in enumerate(lines):
        draw.text((MARGIN, MARGIN + place * (TEXT + 6)), line, colour, font)
    return legend


def _said(stage: Stage, told: Told) -> str:
    prompt = stage.recipe.prompt if told.prompt is None else told.prompt.text
    said = [prompt or "(nothing)"]
    if told.prompt is not None and told.prompt.negative:
        said.append(f"not: {told.prompt.negative}")
    if told.guidance_scale is not None:
        said.append(f"guidance {told.guidance_scale:g}")
    if told.model:
        said.append(f"by {told.model}")
    return "; ".join(said)
