"""The encoded pictures, from which the denoisers learn."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fusionkit_vista.train.clock import Clock, say
from fusionkit_vista.train.pictures import Pictures, pieces
from fusionkit_vista.train.vae import FACTOR, encode, psnr
from fusionkit_vista.train.whitening import whiten
from fusionkit_vista.windows import MARGIN

FILE, ABOUT = "latents.npy", "latents.json"
INSIDE = slice(MARGIN // FACTOR, -(MARGIN // FACTOR))
"""Of the rows and columns of a picture's latents: those without its margin."""


@torch.no_grad()
def finish(vae: Any, pictures: Pictures, folder: Path, batch: int) -> None:
    """Whiten the autoencoder and encode all pictures, as they are and mirrored."""
    pixels = pictures.some.pixels
    whiten(vae, encode(vae, pixels[:: max(1, len(pixels) // 2000)], batch)[..., INSIDE, INSIDE])
    write(vae, pictures, folder, batch)


@torch.no_grad()
def write(vae: Any, pictures: Pictures, folder: Path, batch: int, mirrored: bool = True) -> None:
    """Encode all pictures, as they are and mirrored or not, with an autoencoder as it is.

    The pictures are encoded with their margin, and the latents of the window are cut out of theirs, so that no border
    is special.
    """
    begun = time.monotonic()
    parts = []
    ways = (False, True) if mirrored else (False,)
    for flipped in ways:
        for number, piece in enumerate(pieces(pictures.some.pixels, batch)):
            part = encode(vae, piece.flip(2) if flipped else piece, batch)[..., INSIDE, INSIDE]
            parts.append(part.half().cpu().numpy())
            if number % 100 == 99:
                say(f"{len(parts) * batch} pictures are encoded")
    latents = np.concatenate(parts)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{FILE}.partial", "wb") as file:
        np.save(file, latents)
    os.replace(folder / f"{FILE}.partial", folder / FILE)
    (folder / f"{ABOUT}.partial").write_text(
        json.dumps([each["caption"] for each in pictures.some.facts] * len(ways)), encoding="utf-8"
    )
    os.replace(folder / f"{ABOUT}.partial", folder / ABOUT)
    sample = latents[::50].astype(np.float32)
    spread = [round(float(v), 2) for v in sample.std((0, 2, 3))]
    columns = [round(float(v), 2) for v in sample.std((0, 1, 2))]
    held = pictures.held.windows[:512]
    say(f"psnr {psnr(vae, held, min(batch, 64)):.2f} dB of {len(held)} held-out windows")
    say(f"{len(latents)} latents in {time.monotonic() - begun:.1f} s; std by channel {spread}, by column {columns}")


def wait(path: Path, clock: Clock | None = None, patience: float = 300.0) -> None:
    """Wait until a file is there.

    Raises:
        RuntimeError: If it doesn't come within `patience` seconds, or before the clock's end.
    """
    begun = time.monotonic()
    while not path.exists():
        late = clock is not None and clock.until is not None and time.time() > clock.until
        if late or time.monotonic() - begun > patience:
            raise RuntimeError(f"{path} did not come")
        time.sleep(0.1)


def load(folder: Path, device: torch.device, patience: float = 300.0) -> tuple[torch.Tensor, list[str]]:
    """The latents (n, c, 16, 16) in half precision and their captions; waits for them.

    Raises:
        RuntimeError: If they don't come within `patience` seconds.
    """
    wait(folder / ABOUT, patience=patience)
    latents = torch.from_numpy(np.load(folder / FILE)).to(device)
    return latents, json.loads((folder / ABOUT).read_text(encoding="utf-8"))
