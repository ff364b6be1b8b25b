"""A watercolour, made of a drawing's pixels: washes that bleed, pigment that gathers at their edges, bare paper."""

from __future__ import annotations

import cv2
import numpy as np

from fusionkit_vista.drawer.geography import BEYOND, room
from fusionkit_vista.drawer.spec import Spec
from fusionkit_vista.drawer.view import View

_PAPER = np.array((252, 248, 238), np.float32)


def _field(spec: Spec, view: View, name: str, grain: float) -> np.ndarray:
    """Smooth noise in the places of the view's pixels, about -1 to 1; `grain` is its size in heights of the drawing."""
    rng = room(spec.seed, f"watercolour {name}")
    shape = (int(2.4 / grain) + 4, int((spec.width + 2 * BEYOND + 0.6) / grain) + 4)
    grid = rng.uniform(-1, 1, shape).astype(np.float32)
    columns = ((view.xs() + BEYOND + 0.3) / grain + 1).astype(np.float32)
    rows = ((view.ys() + 0.6) / grain + 1).astype(np.float32)
    at = (np.repeat(columns[None], len(rows), 0), np.repeat(rows[:, None], len(columns), 1))
    return np.asarray(cv2.remap(grid, *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))


def painted(spec: Spec, view: View, pixels: np.ndarray) -> np.ndarray:
    """The pixels (height, width, 3) of a drawing, painted over."""
    scale = view.scale
    y, x = np.mgrid[: view.height, : view.width].astype(np.float32)
    dx = 0.009 * _field(spec, view, "x", 0.07) + 0.0035 * _field(spec, view, "x fine", 0.022)
    dy = 0.009 * _field(spec, view, "y", 0.07) + 0.0035 * _field(spec, view, "y fine", 0.022)
    moved = cv2.remap(pixels, x + dx * scale, y + dy * scale, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    ink = (255.0 - moved.astype(np.float32)) / 255
    wet = cv2.GaussianBlur(ink, (0, 0), max(0.012 * scale, 0.3))
    bleed = np.clip(0.2 + 0.8 * _field(spec, view, "bleed", 0.16), 0, 0.65)[..., None]
    ink = ink * (1 - bleed) + wet * bleed
    # pigment that the drying edge of a wash gathers: where a place is darker than what is around it
    around = cv2.GaussianBlur(ink, (0, 0), max(0.02 * scale, 0.3))
    ink = ink + 0.9 * np.clip(ink - around, -0.04, 0.4)
    load = 0.88 + 0.13 * _field(spec, view, "load", 0.2) + 0.06 * _field(spec, view, "granules", 0.03)
    ink = np.clip(ink, 0, 1) ** 1.12 * load[..., None] * 0.92
    return np.clip(_PAPER * (1 - ink) + 18 * ink, 0, 255).astype(np.uint8)
