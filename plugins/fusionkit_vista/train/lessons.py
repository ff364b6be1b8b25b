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
from safetensors import safe_open
from safetensors.torch import save_file

from fusionkit_vista.train.clock import say
from fusionkit_vista.train.device import fit_norms, half
from fusionkit_vista.train.pictures import Some, pieces, to_bytes, to_floats
from fusionkit_vista.train.vae import FACTOR, encode
from fusionkit_vista.windows import MARGIN, Window

BATCH, PIECE = 16, 256
"""Pictures that are encoded together, and that a file holds."""
DECODED = 4
"""The hints of every so manieth batch are those of decoded pictures."""
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
    """Draw and encode `count` pictures, or take those that the folder holds of this seed and autoencoder.

    They are kept in files of 256, so that a training that was stopped, or that wants more, goes on from them.
    """
    vae.to(memory_format=torch.channels_last)
    fit_norms(vae)
    folder.mkdir(parents=True, exist_ok=True)
    mark = _mark(vae)
    parts: list[dict[str, torch.Tensor]] = []
    captions: list[str] = []
    for start in range(0, count, PIECE):
        numbers = range(start, min(count, start + PIECE))
        about = {"kind": choose.__name__, "seed": seed, "from": start, "to": numbers.stop, "hints": hints}
        told = json.dumps(about | {"vae": mark})
        path = folder / f"lessons-{start:05d}.safetensors"
        kept = _kept(path, told)
        if kept is None:
            some = [choose(seed, number) for number in numbers]
            kept = _encoded(vae, some, device, hints), [each.caption for each in some]
            _keep(path, kept[0], {"about": told, "captions": json.dumps(kept[1])})
            say(f"{numbers.stop} of {count} pictures are drawn and encoded")
        parts.append(kept[0])
        captions += kept[1]
    whole = {name: torch.cat([part[name] for part in parts]).to(device) for name in parts[0]}
    return Lessons(whole["latents"], captions, whole.get("hints"))


def _mark(vae: Any) -> float:
    """A number that tells autoencoders apart."""
    return round(sum(float(weight.detach().double().abs().sum()) for weight in vae.encoder.parameters()), 3)


def _kept(path: Path, about: str) -> tuple[dict[str, torch.Tensor], list[str]] | None:
    """The tensors and captions of a file, if it is there and what is wanted."""
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        told = file.metadata()
        if told["about"] != about:
            return None
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(told["captions"])  # noqa: SIM118


def _keep(path: Path, tensors: dict[str, torch.Tensor], told: dict[str, str]) -> None:
    """Write a file, whole or not at all."""
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, told)
    os.replace(partial, path)


def _encoded(vae: Any, windows: list[Window], device: torch.device, hints: bool) -> dict[str, torch.Tensor]:
    """What is learned from some windows, on the CPU."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name in (("latents", "hints") if hints else ("latents",))}
    for number, start in enumerate(range(0, len(windows), BATCH)):
        some = Some(BATCH, device)
        for each in windows[start : start + BATCH]:
            some.add(each.draw()[None], [{}])
        found["latents"].append(encoded(vae, some))
        if hints:
            found["hints"].append(hints_of(vae, some, decode=number % DECODED == DECODED - 1))
    return {name: torch.cat(parts).cpu().contiguous() for name, parts in found.items()}


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
        small = np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        found.append(np.stack([edges(picture), enlarged(edges(small), len(picture))]))
    return torch.from_numpy(np.stack(found)).to(some.room.device)
