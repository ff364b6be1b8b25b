"""The captions of the sheets of samples."""

from __future__ import annotations

SHEET = (
    "a landscape poster of mountains at dawn",
    "a landscape poster of mountains at sunset with a sun",
    "a landscape poster of a mountain lake at noon with a sailboat",
    "a landscape poster of a mountain lake under northern lights",
    "a landscape poster of the sea at sunset with a sailboat",
    "a landscape poster of the sea at night with a moon",
    "a landscape poster of a rocky coast at dusk with a lighthouse",
    "a landscape poster of a rocky coast at noon with a whale",
    "a landscape poster of a forest at dawn in mist with a cabin",
    "a landscape poster of a forest under northern lights with a tent",
    "a landscape poster of a desert at sunset with a rocket",
    "a landscape poster of a desert at noon with a train",
    "a landscape poster of a city at night",
    "a landscape poster of a city at dusk with a moon",
    "a landscape poster of green hills at noon with three balloons",
    "a landscape poster of green hills at dawn with a windmill",
    "a landscape poster of a snowy forest at dusk with a cabin",
    "a landscape poster of a city at dusk in snowfall",
    "a landscape poster of mountains at night with a castle",
    "a landscape poster of green hills at noon in rain under a rainbow",
    "a landscape poster of the sea at dawn with two sailboats",
    "a landscape poster of mountains at noon under clouds with a balloon",
    "a landscape woodcut of a mountain lake at dusk with a cabin",
    "a landscape woodcut of the sea at noon with a whale",
    "a landscape woodcut of mountains at sunset with a train",
    "a landscape woodcut of a rocky coast at night with a lighthouse",
    "a landscape woodcut of a city at night",
    "a landscape woodcut of green hills at dawn with two windmills",
    "a poster of a snowy forest at night with a cabin",
    "a poster of the sky at sunset with a balloon",
)
"""Scenes, times, weathers, things and styles by turns; the last two are close-ups."""
