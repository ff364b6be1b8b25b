"""A comparison small enough to know every number of its page by heart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
"""The fixture `open_page`."""
Write = Callable[..., Path]
"""The fixture `write`."""

HOSTILE = "</script><script>window.broken = 1</script><!-- \" ' &lt; {{ 7 * 7 }} \u2028 <img src=x onerror=broken()>"
SIZES = {"md": (160, 40), "gf": (160, 40), "vcf": (320, 80)}
COLOURS = {"md": "#b03030", "gf": "#30a050", "vcf": "#3050b0"}
NOT_DRAWN = ("vcf", 1, 5)


def score(value: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "count": 4}


def make_report() -> dict[str, Any]:
    """Three settings, two prompts, two seeds; one picture is not drawn, and one score could not be computed."""
    return {
        "title": "Three ways to fuse",
        "about": {"fusionkit": "0.1.0", "machine": "a laptop", "command": "fusionkit compare md gf vcf --seeds 0,5"},
        "metrics": [
            {"name": "fid", "title": "FID", "better": "lower", "unit": ""},
            {"name": "seam", "title": "Seam", "better": "closer-to-1", "unit": ""},
            {"name": "clip-score", "title": "CLIP score", "better": "higher", "unit": ""},
            {"name": "contrast", "title": "Contrast", "better": "none", "unit": "dB"},
        ],
        "costs": [
            {"name": "seconds", "title": "seconds a picture", "unit": "s"},
            {"name": "forward-passes", "title": "forward passes", "unit": ""},
        ],
        "settings": [
            {
                "name": "md",
                "title": "MultiDiffusion",
                "changes": {},
                "recipe": "recipes/md.yaml",
                "drawn": {"size": "160x40", "steps": 20, "model": "vista/scenes"},
                "larger": ["fusionkit", "run", "{picture}", "--set", "plugins.p={times: 2}", "-o", "{output}"],
                "scores": {
                    "fid": score(5.0, 4.6, 5.4),
                    "seam": score(1.3, 1.2, 1.4),
                    "clip-score": score(30.0, 29.0, 31.0),
                    "contrast": score(7.0, 6.0, 8.0),
                },
                "costs": {"seconds": score(1.0, 0.9, 1.1), "forward-passes": score(40)},
                "differences": {},
            },
            {
                "name": "gf",
                "title": "Guided Fusion",
                "changes": {"plugins.guided-fusion": True},
                "recipe": "recipes/gf.yaml",
                "drawn": {"size": "160x40", "steps": 10, "model": "vista/scenes"},
                "larger": ["fusionkit", "upscale", "{picture}", "--prompt", "{prompt}", "-o", "{output}"],
                "scores": {
                    "fid": score(3.0, 2.6, 3.4),
                    "seam": score(0.96, 0.93, 0.99),
                    "clip-score": score(27.0, 26.0, 28.0),
                    "contrast": score(9.0, 8.0, 10.0),
                },
                "costs": {"seconds": score(2.0, 1.8, 2.2), "forward-passes": score(80)},
                "differences": {
                    "fid": score(-2.0, -2.5, -1.5),
                    "seam": score(-0.34, -0.4, -0.28),
                    "clip-score": score(-3.0, -4.0, -2.0),
                    "contrast": score(2.0, 1.0, 3.0),
                },
            },
            {
                "name": "vcf",
                "title": "Variance correction",
                "changes": {"plugins.variance-corrected-fusion": True, "scheduler": "ddpm"},
                "recipe": "recipes/vcf.yaml",
                "drawn": {"size": "320x80", "steps": 20, "model": "vista/scenes"},
                "larger": None,
                "scores": {
                    "fid": score(3.3, 2.9, 3.7),
                    "seam": score(1.02, 0.99, 1.05),
                    "clip-score": None,
                    "contrast": score(8.0, 7.0, 9.0),
                },
                "costs": {"seconds": score(20.0, 18.0, 22.0), "forward-passes": score(80)},
                "differences": {"fid": score(-1.7, -3.5, 0.1), "seam": score(-0.28, -0.4, -0.16)},
            },
        ],
        "prompts": ["a beach at noon", "a city at night"],
        "seeds": [0, 5],
        "pictures": [
            make_picture(name, prompt, seed)
            for name in SIZES
            for prompt in (0, 1)
            for seed in (0, 5)
            if (name, prompt, seed) != NOT_DRAWN
        ],
    }


def make_picture(name: str, prompt: int, seed: int) -> dict[str, Any]:
    width, height = SIZES[name]
    stem = f"{name}/p{prompt:02}-s{seed}"
    return {
        "setting": name,
        "prompt": prompt,
        "seed": seed,
        "file": f"pictures/{stem}.png",
        "thumbnail": f"thumbnails/{stem}.webp",
        "width": width,
        "height": height,
        "scores": {"seam": 1.25, "clip-score": None},
        "costs": {"seconds": 2.1},
    }


def draw(folder: Path, report: dict[str, Any]) -> None:
    """The pictures of a report, plain, each setting in its colour."""
    for picture in report["pictures"]:
        path = folder / picture["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (picture["width"], picture["height"]), COLOURS.get(picture["setting"], "gray")).save(path)
