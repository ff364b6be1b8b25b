"""What the expert and the ControlNet learn from: pictures drawn for them, encoded, and kept in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from fusionkit_vista.train.clock import say
from fusionkit_vista.train.device import fit_norms, half
from fusionkit_vista.train.pictures import Some, pieces, to_bytes, to_floats
from fusionkit_vista.train.vae import FACTOR, encode
from fusionkit_vista.windows import MARGIN, Window

FILE, ABOUT = "lessons.safetensors", "lessons.json"
BATCH = 16
SAY_EVERY = 512
Choose = Callable[[int, int], Window]
"""Takes a seed and a picture's number."""


@dataclass(frozen=True)
class Lessons:
    """Latents (n, c, 16, 16) in half precision, their captions, and where hints are wanted these (n, 2, 128, 128)."""

    latents: torch.Tensor
    captions: list[str]
    hints: torch.Tensor | None = None


def lessons(
    folder: Path, vae: Any, choose: Choose, count: int, seed: int, device: torch.device, hints: bool = False
) -> Lessons:
    """Draw and encode `count` pictures, or take those that the folder holds of this seed, number and autoencoder."""
    about = {"kind": choose.__name__, "count": count, "seed": seed, "vae": _mark(vae)}
    if (folder / ABOUT).exists():
        kept = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if kept["about"] == about:
            say(f"{count} pictures are drawn and encoded already")
            tensors = {name: value.to(device) for name, value in load_file(folder / FILE).items()}
            return Lessons(tensors["latents"], kept["captions"], tensors.get("hints"))
    found = _made(vae, choose, count, seed, device, hints)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"latents": found.latents} | ({} if found.hints is None else {"hints": found.hints})
    save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, folder / FILE)
    partial = folder / f"{ABOUT}.partial"
    partial.write_text(json.dumps({"about": about, "captions": found.captions}), encoding="utf-8")
    os.replace(partial, folder / ABOUT)
    return found


def _mark(vae: Any) -> float:
    """A number that tells autoencoders apart."""
    return round(sum(float(weight.detach().double().abs().sum()) for weight in vae.encoder.parameters()), 3)


def _made(vae: Any, choose: Choose, count: int, seed: int, device: torch.device, hints: bool) -> Lessons:
    vae.to(memory_format=torch.channels_last)
    fit_norms(vae)
    latents, edges, captions = [], [], []
    for start in range(0, count, BATCH):
        some = Some(min(BATCH, count - start), device)
        for index in range(start, start + len(some.room)):
            chosen = choose(seed, index)
            some.add(chosen.draw()[None], [])
            some.facts.append({"caption": chosen.caption})
        captions += [each["caption"] for each in some.facts]
        latents.append(encoded(vae, some))
        if hints:
            edges.append(hints_of(vae, some, decode=bool(start // BATCH % 2)))
        if (start + BATCH) % SAY_EVERY == 0:
            say(f"{start + BATCH} of {count} pictures are drawn and encoded")
    return Lessons(torch.cat(latents), captions, torch.cat(edges) if hints else None)


@torch.no_grad()
def encoded(vae: Any, some: Some) -> torch.Tensor:
    """The latents (n, c, 16, 16) of pictures, in half precision."""
    inside = slice(MARGIN // FACTOR, -(MARGIN // FACTOR))
    with half(some.room.device):
        parts = [encode(vae, part, BATCH)[..., inside, inside].half() for part in pieces(some.pixels, BATCH)]
    return torch.cat(parts)


@torch.no_grad()
def hints_of(vae: Any, some: Some, decode: bool) -> torch.Tensor:
    """Edges, as bytes (n, 2, 128, 128): those of the window, and those of it at half the size, enlarged.

    With `decode` they are taken from the decoded pictures, because what is upscaled is a decoded one, too.
    """
    import cv2

    from fusionkit_tinyworld.canny import edges, enlarged

    pixels, found = some.windows, []
    if decode:
        with half(some.room.device):
            pixels = to_bytes(vae.decode(vae.encode(to_floats(pixels)).latent_dist.mean).sample)
    for picture in pixels.cpu().numpy():
        picture = np.ascontiguousarray(picture)
        small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        found.append(np.stack([edges(picture), enlarged(edges(small), len(picture))]))
    return torch.from_numpy(np.stack(found)).to(some.room.device)
