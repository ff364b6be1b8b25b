"""The training data: drawings for the VAE, and windows at three zooms with their captions for the UNet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from fusionkit_tinyworld.canvas import SIDE
from fusionkit_tinyworld.captions import window_caption
from fusionkit_tinyworld.drawing import Drawing, draw_seed, shrink
from fusionkit_tinyworld.parts import Autoencoder

WINDOW = 64
"""Side of a window in pixels."""
FACTOR = 4
"""Pixels of a window to one latent, in each direction."""
LATENT = WINDOW // FACTOR
"""Side of a window in latents."""
ZOOMS = (1, 2, 4)
"""A window at zoom z covers 1/z of the drawing's side."""
CLOSE_UPS, CLOSE_UPS_EVERY = 4, 4
"""Close-ups that a drawing gives at zoom 2, and as many at zoom 4; only every fourth drawing gives any."""

TRAIN, HELD_OUT = 0, 1
"""Splits: the second number of a drawing's seed (seed, split, index)."""


@dataclass(frozen=True)
class Window:
    """A window of a drawing: zoom, its first row and column in latents of the zoomed drawing, and its caption."""

    zoom: int
    row: int
    column: int
    caption: str


def zoomed(image: NDArray[np.uint8], zoom: int) -> NDArray[np.uint8]:
    """The whole drawing at a zoom: (64 zoom, 64 zoom, 3)."""
    return shrink(image, WINDOW * zoom)


def to_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """Pictures (n, h, w, 3) as floats (n, 3, h, w) in -1 to 1."""
    floats = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    return (floats / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def choose_windows(drawing: Drawing, rng: np.random.Generator, close_ups: int) -> list[Window]:
    """The whole drawing as one window, and `close_ups` windows at each of the zooms 2 and 4.

    Half of the close-ups of a drawing with an object are centred near the object. Windows lie on the latent grid,
    because a window's latents are a crop of the whole drawing's latents, as at inference.
    """
    places = [(1, 0, 0)]
    for zoom in ZOOMS[1:]:
        cell = SIDE // (LATENT * zoom)  # drawing pixels to one latent
        last = LATENT * (zoom - 1)
        for _ in range(close_ups):
            row, column = rng.integers(0, last + 1, 2)
            if drawing.landscape.thing and rng.random() < 0.5:
                centre = np.argwhere(drawing.object_mask).mean(0) / cell - LATENT / 2
                jitter = rng.uniform(-0.36, 0.36, 2) * LATENT
                row, column = np.clip(np.round(centre + jitter), 0, last).astype(int)
            places.append((zoom, int(row), int(column)))
    return [Window(*place, _caption_at(drawing, *place, rng)) for place in places]


def _caption_at(drawing: Drawing, zoom: int, row: int, column: int, rng: np.random.Generator) -> str:
    cell, side = SIDE // (LATENT * zoom), SIDE // zoom
    box = np.s_[row * cell : row * cell + side, column * cell : column * cell + side]
    area = max(1, int(drawing.object_mask.sum()))
    object_share = float(drawing.object_mask[box].sum()) / area
    covered = (
        drawing.scene_mask[box] | drawing.object_mask[box] if _stands_in_scene(drawing) else drawing.scene_mask[box]
    )
    return window_caption(drawing.landscape, zoom, float(covered.mean()), object_share, rng)


def _stands_in_scene(drawing: Drawing) -> bool:
    return drawing.landscape.thing in ("boat", "house")


class Drawings(Dataset[NDArray[np.uint8]]):
    """The drawings (256, 256, 3) of a seed's split."""

    def __init__(self, seed: int, split: int, count: int) -> None:
        self.seed, self.split, self.count = seed, split, count

    def __len__(self) -> int:
        """How many drawings there are."""
        return self.count

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """The drawing of an index."""
        return draw_seed((self.seed, self.split, index))[0].image


@dataclass(frozen=True)
class CutDrawing:
    """A drawing at the zooms that its windows need, and the windows."""

    pictures: dict[int, NDArray[np.uint8]]
    windows: list[Window]


class CutDrawings(Dataset[CutDrawing]):
    """Drawings with their windows; every so many drawings, one gives close-ups as well as the whole."""

    def __init__(
        self, seed: int, split: int, count: int, close_ups: int = CLOSE_UPS, every: int = CLOSE_UPS_EVERY
    ) -> None:
        self.seed, self.split, self.count = seed, split, count
        self.close_ups, self.every = close_ups, every

    def __len__(self) -> int:
        """How many drawings there are."""
        return self.count

    def __getitem__(self, index: int) -> CutDrawing:
        """The drawing and the windows of an index."""
        drawing, rng = draw_seed((self.seed, self.split, index))
        windows = choose_windows(drawing, rng, 0 if index % self.every else self.close_ups)
        pictures = {zoom: zoomed(drawing.image, zoom) for zoom in {window.zoom for window in windows}}
        return CutDrawing(pictures, windows)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _as_list(items: list[Any]) -> list[Any]:
    return items


def drawing_loader(dataset: Dataset[Any], workers: int) -> DataLoader[Any]:
    """Loads lists of 16 items in order, drawn by `workers` processes (0: by this one)."""
    # Not forked: OpenCV's thread pool does not survive a fork, and its first call in the child never returns.
    context = "spawn" if workers else None
    return DataLoader(
        dataset,
        batch_size=16,
        num_workers=workers,
        collate_fn=_as_list,
        worker_init_fn=_one_thread,
        multiprocessing_context=context,
    )


def draw_pictures(path: Path, seed: int, count: int, workers: int) -> None:
    """Write `count` training drawings as an array file (count, 256, 256, 3)."""
    pictures = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, SIDE, SIDE, 3))
    done = 0
    for batch in drawing_loader(Drawings(seed, TRAIN, count), workers):
        pictures[done : done + len(batch)] = batch
        done += len(batch)
    pictures.flush()


@dataclass(frozen=True)
class LatentCache:
    """Windows ready for the UNet: latents (n, 4, 16, 16), their zooms (n,) and their captions."""

    latents: NDArray[np.float16]
    zooms: NDArray[np.int8]
    captions: list[str]

    def save(self, path: Path) -> None:
        """Write the cache as an .npz file."""
        np.savez(path, latents=self.latents, zooms=self.zooms, captions=np.array(self.captions))

    @classmethod
    def load(cls, path: Path) -> LatentCache:
        """Read a cache."""
        with np.load(path) as data:
            return cls(data["latents"], data["zooms"], [str(text) for text in data["captions"]])


@torch.no_grad()
def encode_windows(vae: Autoencoder, seed: int, count: int, workers: int, device: torch.device) -> LatentCache:
    """Encode the windows of `count` training drawings: whole drawings are encoded, and latents are cropped."""
    vae.eval()
    latents: list[NDArray[np.float16]] = []
    zooms: list[int] = []
    captions: list[str] = []
    for number, batch in enumerate(drawing_loader(CutDrawings(seed, TRAIN, count), workers)):
        for zoom in ZOOMS:
            cut = [drawing for drawing in batch if zoom in drawing.pictures]
            if not cut:
                continue
            pictures = to_tensor(np.stack([drawing.pictures[zoom] for drawing in cut])).to(device)
            encoded = vae.encode(pictures).latent_dist.mean.cpu().numpy().astype(np.float16)
            for drawing, whole in zip(cut, encoded, strict=True):
                for w in drawing.windows:
                    if w.zoom == zoom:
                        latents.append(whole[:, w.row : w.row + LATENT, w.column : w.column + LATENT].copy())
                        zooms.append(zoom)
                        captions.append(w.caption)
        if number % 50 == 49:
            print(f"encoded {len(latents)} windows of {16 * (number + 1)} drawings", flush=True)
    return LatentCache(np.stack(latents), np.array(zooms, np.int8), captions)
