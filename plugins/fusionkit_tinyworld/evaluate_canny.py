"""How well samples follow the ControlNet's hints: `python -m fusionkit_tinyworld.evaluate_canny`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit.models.silence import quiet_loading
from fusionkit_tinyworld import WEIGHTS
from fusionkit_tinyworld.canny import HintCache, edges, encode_hints, hint_tensor, to_pictures
from fusionkit_tinyworld.data import HELD_OUT, ZOOMS
from fusionkit_tinyworld.parts import ControlNet, Pipeline, diffusers
from fusionkit_tinyworld.pipeline import GUIDANCE, load_pipeline, sheet, write_picture

STEPS = 20
BATCH = 16
SCALES = (0.0, 0.5, 1.0)
"""Conditioning scales that are compared; 0 is the pipeline without the ControlNet."""
SHEET_WINDOWS = 8
"""Windows of each zoom in a contact sheet."""


@dataclass(frozen=True)
class Windows:
    """Held-out windows: their hints (n, side, side), the decoded truth (n, side, side, 3) and their captions."""

    hints: NDArray[np.uint8]
    pictures: NDArray[np.uint8]
    captions: list[str]


@dataclass(frozen=True)
class Agreement:
    """How well samples follow hints; all are means over the samples."""

    recall: float
    """Share of the hint's edge pixels that lie within 1 pixel of an edge of the sample."""
    precision: float
    """Share of the sample's edge pixels that lie within 1 pixel of the hint's edges."""
    ssim: float
    """Structural similarity of the sample to the drawing that the hint was made from, in grey."""


@torch.no_grad()
def choose_windows(pipeline: Pipeline, seed: int, each: int, enlarged: bool) -> Windows:
    """`each` windows at each of the zooms 2 and 4 of held-out drawings; `enlarged` hints are of half the size."""
    device = pipeline.unet.device
    drawings = max(2, -(-each // 2))
    cache: HintCache = encode_hints(pipeline.vae, seed, drawings, 0, device, HELD_OUT)
    drawn = (cache.hints[:, 1] > 0).any((1, 2))  # a hint without an edge asks for nothing
    rng = np.random.default_rng(seed)
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero((cache.windows.zooms == zoom) & drawn))[:each] for zoom in ZOOMS[1:]]
    )
    latents = torch.from_numpy(cache.windows.latents[chosen]).float().to(device)
    pictures = to_pictures(pipeline.vae.decode(latents).sample)
    return Windows(cache.hints[chosen, int(enlarged)], pictures, [cache.windows.captions[i] for i in chosen])


def sample(pipeline: Pipeline, controlnet: ControlNet, windows: Windows, scale: float, seed: int) -> NDArray[np.uint8]:
    """One picture (n, side, side, 3) to each window's caption and hint; the i-th starts from the noise of seed + i."""
    controlled = diffusers.StableDiffusionControlNetPipeline(
        **pipeline.components, controlnet=controlnet, requires_safety_checker=False
    )
    controlled.set_progress_bar_config(disable=True)
    pictures = []
    for start in range(0, len(windows.captions), BATCH):
        chosen = slice(start, start + BATCH)
        captions = windows.captions[chosen]
        result = controlled(
            captions,
            image=hint_tensor(windows.hints[chosen]).to(pipeline.unet.device),
            height=windows.hints.shape[1],
            width=windows.hints.shape[2],
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            controlnet_conditioning_scale=scale,
            generator=[torch.Generator().manual_seed(seed + start + i) for i in range(len(captions))],
            output_type="np",
        )
        pictures.append((result.images * 255).round().astype(np.uint8))
    return np.concatenate(pictures)


def agreement(pictures: NDArray[np.uint8], windows: Windows) -> Agreement:
    """Compare pictures (n, side, side, 3) with the windows' hints and truth."""
    recalls, precisions = [], []
    for picture, hint in zip(pictures, windows.hints, strict=True):
        found, wanted = edges(picture) > 0, hint > 127
        if wanted.any():
            recalls.append(float(_near(found)[wanted].mean()))
        if found.any():
            precisions.append(float(_near(wanted)[found].mean()))
    similarities = [ssim(picture, truth) for picture, truth in zip(pictures, windows.pictures, strict=True)]
    return Agreement(*(float(np.mean(values)) for values in (recalls, precisions, similarities)))


def _near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Mean structural similarity (Wang et al., 2004) of two pictures (h, w, 3) in grey; 1 where they are equal."""
    a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) for picture in (first, second))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float64)

    mean_a, mean_b = mean(a), mean(b)
    spread = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    shared = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(
        ((2 * mean_a * mean_b + c1) * (2 * shared + c2) / ((mean_a**2 + mean_b**2 + c1) * (spread + c2))).mean()
    )


def load_controlnet(folder: Path, device: torch.device) -> ControlNet:
    """The ControlNet of a folder, in single precision."""
    with quiet_loading():
        return diffusers.ControlNetModel.from_pretrained(folder, local_files_only=True).float().to(device).eval()


def contact_sheet(windows: Windows, by_scale: dict[float, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows, for each zoom: the truth, the hints, and the samples of each scale with the same noise."""
    each = len(windows.captions) // 2
    shown = min(SHEET_WINDOWS, each)
    hints = np.repeat(windows.hints[..., None], 3, axis=-1)
    rows = [
        pictures[first : first + shown]
        for first in (0, each)
        for pictures in (windows.pictures, hints, *by_scale.values())
    ]
    return sheet(np.concatenate(rows), shown)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m fusionkit_tinyworld.evaluate_canny", description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=WEIGHTS / "scenes", help="folder of the pipeline")
    parser.add_argument("--controlnet", type=Path, default=WEIGHTS / "canny", help="folder of the ControlNet")
    parser.add_argument("--windows", type=int, default=24, help="windows at each of the zooms 2 and 4")
    parser.add_argument("--seed", type=int, default=0, help="seed of the drawings and of the noise")
    parser.add_argument("--same-size", action="store_true", help="hints of the same size, not enlarged ones")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet, PNG or JPEG")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    pipeline = load_pipeline(options.pipeline, device)
    controlnet = load_controlnet(options.controlnet, device)
    windows = choose_windows(pipeline, options.seed, options.windows, enlarged=not options.same_size)
    compare(pipeline, controlnet, windows, options.seed, options.sheet)
    return 0


def compare(pipeline: Pipeline, controlnet: ControlNet, windows: Windows, seed: int, path: Path | None) -> None:
    """Print how well samples of each scale follow the hints, and write them as a contact sheet if there is a path."""
    by_scale = {scale: sample(pipeline, controlnet, windows, scale, seed) for scale in SCALES}
    named = {"the drawing": windows.pictures} | {f"scale {scale:g}": by_scale[scale] for scale in SCALES}
    for name, pictures in named.items():
        a = agreement(pictures, windows)
        print(f"{name}: recall {a.recall:.1%}, precision {a.precision:.1%}, SSIM {a.ssim:.3f}", flush=True)
    if path:
        write_picture(path, contact_sheet(windows, by_scale))


if __name__ == "__main__":
    sys.exit(main())
