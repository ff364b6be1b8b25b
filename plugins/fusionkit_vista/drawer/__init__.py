"""The drawer of the embedded world `vista`: captioned landscapes, drawn as vectors, at any size, width and zoom.

Choosing a drawing and saying what it shows needs numpy alone; `draw` needs `skia-python` and OpenCV.
"""

from __future__ import annotations

from fusionkit_vista.drawer.captions import caption, parse, visible, vocabulary, window_caption
from fusionkit_vista.drawer.drawing import boxes, draw
from fusionkit_vista.drawer.spec import Spec, Thing, labels, sample_spec
from fusionkit_vista.drawer.words import EXTRA_STYLES, SCENES, STYLES, THINGS, TIMES, WEATHERS, things_of, weathers_of

__all__ = [
    "EXTRA_STYLES",
    "SCENES",
    "STYLES",
    "THINGS",
    "TIMES",
    "WEATHERS",
    "Spec",
    "Thing",
    "boxes",
    "caption",
    "draw",
    "labels",
    "parse",
    "sample_spec",
    "things_of",
    "visible",
    "vocabulary",
    "weathers_of",
    "window_caption",
]
