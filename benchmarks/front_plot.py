"""The front as a picture: of each score a panel, passes a window area to the right, how much worse upwards; as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import log2
from typing import Any

from front_scores import differences

WIDTH, HEIGHT, LEFT, TOP, GAP, COLUMNS = 270, 190, 54, 34, 14, 2
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4ea3", "#b8860b", "#3b9c9c", "#a33b6f", "#555555", "#84a59d", "#d17a22")
LARGEST = 3.0
"""Differences that matter up to which the plot goes; what is farther away stands at the edge."""


def plot(found: Mapping[str, Any], baseline: str) -> str:
    """An SVG of all settings: how much worse than the baseline each is, in differences that matter."""
    settings, measures = found["settings"], found["measures"]
    rows = -(-len(measures) // COLUMNS)
    legend = 16 * -(-len(settings) // 2) + 24
    size = COLUMNS * (WIDTH + LEFT + GAP), rows * (HEIGHT + TOP + GAP) + legend
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 {size[0]} {size[1]}" font-family="sans-serif" font-size="11">',
        f'<rect width="{size[0]}" height="{size[1]}" fill="white"/>',
    ]
    for number, name in enumerate(measures):
        x = number % COLUMNS * (WIDTH + LEFT + GAP) + LEFT
        y = number // COLUMNS * (HEIGHT + TOP + GAP) + TOP
        parts += _panel(found, baseline, name, x, y)
    for number, title in enumerate(settings):
        x, y = 20 + number % 2 * size[0] // 2, size[1] - legend + 16 * (number // 2) + 12
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{_colour(number)}"/>')
        parts.append(f'<text x="{x + 10}" y="{y}">{escape(title)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(found: Mapping[str, Any], baseline: str, name: str, x: int, y: int) -> list[str]:
    settings, measure = found["settings"], found["measures"][name]
    passes = [setting["passes"] for setting in settings.values()]
    low, high = log2(min(passes)) - 0.3, log2(max(passes)) + 0.3

    def right(value: float) -> float:
        return x + WIDTH * (log2(value) - low) / (high - low)

    def up(value: float) -> float:
        return y + HEIGHT * (0.5 - max(-LARGEST, min(LARGEST, value)) / 2 / LARGEST)

    parts = [
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="#fafafa" stroke="#cccccc"/>',
        f'<rect x="{x}" y="{up(1):.1f}" width="{WIDTH}" height="{up(-1) - up(1):.1f}" fill="#eef3ee"/>',
        f'<line x1="{x}" x2="{x + WIDTH}" y1="{up(0):.1f}" y2="{up(0):.1f}" stroke="#999999"/>',
        f'<text x="{x}" y="{y - 8}">{escape(measure.title)}</text>',
        f'<text x="{x - 6}" y="{up(1) + 4:.1f}" text-anchor="end" fill="#777777">matters</text>',
        f'<text x="{x - 6}" y="{up(LARGEST) + 10:.1f}" text-anchor="end" fill="#777777">worse</text>',
        f'<text x="{x - 6}" y="{up(-LARGEST):.1f}" text-anchor="end" fill="#777777">better</text>',
    ]
    for mark in (16, 32, 64, 128, 256):
        if low < log2(mark) < high:
            parts.append(f'<text x="{right(mark):.1f}" y="{y + HEIGHT + 11}" text-anchor="middle">{mark}</text>')
    base = settings[baseline]["scores"][name]
    for number, setting in enumerate(settings.values()):
        found_ = differences(base, setting["scores"][name])
        centre = found_.worse / found_.matters
        ends = [up((found_.worse + sign * found_.reach) / found_.matters) for sign in (1, -1)]
        at, colour = right(setting["passes"]), _colour(number)
        where = f'x1="{at:.1f}" x2="{at:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"'
        parts.append(f'<line {where} stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{at:.1f}" cy="{up(centre):.1f}" r="4" fill="{colour}"/>')
    return parts


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
