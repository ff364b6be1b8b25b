"""The light of a drawing: colours of the sky by time of day, of what is lit and shaded, of haze; a woodcut's inks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from fusionkit_vista.drawer.words import CLOUDS, DARK, MIST, RAIN, SNOWFALL

Colour = Sequence[float]
"""Red, green and blue, 0 to 255."""
# The sky from the zenith to the horizon, two variants that are mixed.
_SKIES = {
    "at dawn": (
        ((84, 132, 184), (152, 178, 208), (246, 200, 184), (255, 228, 190)),
        ((112, 116, 178), (206, 160, 190), (252, 186, 166), (255, 234, 200)),
    ),
    "at noon": (
        ((30, 112, 186), (84, 166, 220), (166, 214, 236), (232, 246, 242)),
        ((14, 96, 158), (58, 154, 204), (142, 208, 222), (252, 240, 212)),
    ),
    "at sunset": (
        ((54, 38, 98), (156, 58, 112), (242, 106, 78), (255, 200, 110)),
        ((34, 62, 116), (176, 88, 116), (252, 136, 68), (255, 216, 128)),
    ),
    "at dusk": (
        ((26, 26, 78), (68, 52, 124), (148, 82, 150), (246, 152, 150)),
        ((18, 40, 88), (42, 82, 134), (120, 112, 158), (252, 178, 138)),
    ),
    "at night": (
        ((6, 14, 46), (12, 32, 82), (28, 64, 122), (70, 114, 166)),
        ((12, 10, 52), (26, 26, 92), (52, 58, 136), (98, 110, 180)),
    ),
    "under northern lights": (
        ((4, 12, 36), (6, 30, 60), (12, 58, 82), (40, 112, 118)),
        ((10, 10, 48), (14, 28, 74), (22, 60, 96), (52, 118, 130)),
    ),
}
_LIT = {
    "at dawn": (1.04, 0.88, 0.82),
    "at noon": (1.0, 1.0, 0.98),
    "at sunset": (1.05, 0.68, 0.50),
    "at dusk": (0.64, 0.53, 0.72),
    "at night": (0.40, 0.50, 0.78),
    "under northern lights": (0.38, 0.60, 0.64),
}
_SHADE = {
    "at dawn": (0.52, 0.52, 0.70),
    "at noon": (0.42, 0.56, 0.72),
    "at sunset": (0.42, 0.26, 0.42),
    "at dusk": (0.26, 0.23, 0.46),
    "at night": (0.09, 0.14, 0.30),
    "under northern lights": (0.07, 0.19, 0.26),
}
_SUN = {
    "at dawn": (255, 240, 206),
    "at noon": (255, 243, 188),
    "at sunset": (255, 222, 124),
    "at dusk": (255, 196, 160),
    "at night": (214, 226, 255),
    "under northern lights": (160, 255, 200),
}
ROCK, SNOW, PINE, GRASS, SAND = (142, 136, 152), (250, 250, 255), (52, 104, 84), (142, 178, 84), (244, 192, 124)
WARM = (255, 206, 112)
"""A lamp behind a window."""
INK, PAPER = (34, 28, 52), (250, 238, 212)
_INKS = np.array(
    [
        *((34, 28, 52), (38, 50, 100), (44, 92, 138), (120, 170, 178), (62, 120, 116), (112, 132, 72), (168, 164, 92)),
        *(
            (226, 174, 84),
            (206, 84, 52),
            (226, 150, 124),
            (110, 78, 62),
            (154, 144, 140),
            (98, 62, 104),
            (120, 200, 156),
        ),
        *((250, 238, 212), (24, 58, 74), (150, 54, 60), (236, 206, 150), (70, 70, 128), (196, 210, 200)),
    ],
    float,
)


def mix(a: Colour, b: Colour, t: float) -> tuple[float, float, float]:
    """The colour `a`, with the share `t` of `b`."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


@lru_cache(maxsize=65536)
def _printed(red: int, green: int, blue: int) -> tuple[float, float, float]:
    """A colour as a woodcut's few inks print it on cream paper: most of the way to the nearest ink."""
    c = np.array([red, green, blue], float)
    grey = c.mean()
    c = (grey + (c - grey) * 1.05) * np.array(PAPER) / 255
    far = ((c - _INKS) ** 2 * (0.8, 1.0, 0.7)).sum(1)
    weight = np.exp(-(far - far.min()) / 500)
    ink = (weight[:, None] * _INKS).sum(0) / weight.sum()
    red_, green_, blue_ = c + (ink - c) * 0.62
    return (float(red_), float(green_), float(blue_))


def printed(c: Colour) -> tuple[float, float, float]:
    """A colour as a woodcut prints it."""
    return _printed(int(c[0]) & ~3, int(c[1]) & ~3, int(c[2]) & ~3)


class Light:
    """The light at a time of day in a weather: `lit` and `dim` give a surface's colours, `sky` those of the sky."""

    def __init__(self, time: str, weather: str, rng: np.random.Generator, x: float, side: int):
        self.time, self.weather, self.dark = time, weather, time in DARK
        blend = float(rng.random())
        tint = rng.uniform(-7, 7, (4, 3))
        sky = [mix(a, b, blend) for a, b in zip(*_SKIES[time], strict=True)]
        self.sky = [
            tuple(min(255.0, max(0.0, v + d)) for v, d in zip(c, t, strict=True))
            for c, t in zip(sky, tint, strict=True)
        ]
        self._lit, self._shade, self.sun = _LIT[time], _SHADE[time], _SUN[time]
        self.veil = 0.0  # how much haze the weather adds to all that is far
        grey = mix(mix(self.lit((150, 164, 190)), self.dim((190, 200, 230)), 0.45), self.sky[2], 0.25)
        if weather in (RAIN, SNOWFALL, CLOUDS):
            amount = {RAIN: 0.5, SNOWFALL: 0.42, CLOUDS: 0.12}[weather]
            self.sky = [mix(c, mix(grey, c, k), amount) for c, k in zip(self.sky, (0.1, 0.1, 0.2, 0.4), strict=True)]
            self.veil = 0.22 if weather != CLOUDS else 0.0
        if weather == MIST:
            pale = mix(self.sky[3], self.sky[2], 0.4)
            self.sky = [mix(c, pale, k) for c, k in zip(self.sky, (0.12, 0.24, 0.4, 0.2), strict=True)]
            self.veil = 0.42
        self.haze = mix(self.sky[3], self.sky[2], 0.35)
        self.x = x
        self.side = side  # from where it comes: -1 left, 1 right

    def lit(self, c: Colour, haze: float = 0.0) -> tuple[float, float, float]:
        """A surface that faces the light; `haze` is the share of air before it."""
        m = self._lit
        bright = (min(c[0] * m[0], 255), min(c[1] * m[1], 255), min(c[2] * m[2], 255))
        return mix(bright, self.haze, self._air(haze)) if haze else bright

    def dim(self, c: Colour, haze: float = 0.0) -> tuple[float, float, float]:
        """A surface that faces away from the light."""
        m = self._shade
        dark = (c[0] * m[0], c[1] * m[1], c[2] * m[2])
        return mix(dark, self.haze, self._air(haze)) if haze else dark

    def half(self, c: Colour, t: float, haze: float = 0.0) -> tuple[float, float, float]:
        """Between `dim` (t = 0) and `lit` (t = 1)."""
        return mix(self.dim(c, haze), self.lit(c, haze), t)

    @contextmanager
    def near(self) -> Iterator[None]:
        """Whatever is drawn within is lit a little by the viewer's own light when it is dark."""
        lit, shade = self._lit, self._shade
        if self.dark:
            self._lit, self._shade = mix(lit, (1, 1, 1), 0.16), mix(shade, lit, 0.16)
        yield
        self._lit, self._shade = lit, shade

    def _air(self, haze: float) -> float:
        return haze + (1 - haze) * self.veil * min(1.0, haze * 3)
