"""Pictures of what the base does not know, for an expert and for the judge; loads no torch."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit_vista.drawer import sample_spec, window_caption
from fusionkit_vista.drawer.spec import Thing
from fusionkit_vista.drawer.words import THINGS
from fusionkit_vista.windows import MARGIN, SIDE, Window

FOLDER = "expert-pictures"
"""The folder of the work folder in which they are."""
SKIES = 0.5
"""The share of the expert's lessons that show the sky."""


def expert_window(seed: int, index: int) -> Window:
    """A picture of what the base does not know: a watercolour, a dragon, or both."""
    rng = np.random.default_rng((seed, index, 77))
    kind = float(rng.random())
    style, thing = "watercolour" if kind < 0.7 else "poster", "dragon" if kind > 0.45 else None
    spec = sample_spec(rng, style=style, thing=thing)
    return Window(spec, (0.0, 0.0, 1.0), window_caption(spec, (0.0, 0.0, 1.0, 1.0), rng))


def taught_window(seed: int, index: int) -> Window:
    """A picture that the expert's LoRA learns from: a dragon before the sky in any style, or a watercolour.

    Of those before the sky one in five has no dragon, so that it also knows what is around it.
    """
    rng = np.random.default_rng((seed, index, 78))
    if rng.random() < SKIES:
        return _dragon(rng)
    spec = sample_spec(rng, style="watercolour")
    return Window(spec, (0.0, 0.0, 1.0), window_caption(spec, (0.0, 0.0, 1.0, 1.0), rng))


def _dragon(rng: np.random.Generator) -> Window:
    """A close-up of the sky at zoom 2, with a dragon in it or without."""
    spec = sample_spec(rng, style=str(rng.choice(("poster", "woodcut", "watercolour"), p=(0.4, 0.3, 0.3))), thing="")
    x, y = float(rng.uniform(0, 0.5)), float(rng.uniform(0, 0.05))
    if rng.random() < 0.8:
        size = float(rng.uniform(0.10, 0.15))
        left, top, right, _ = THINGS["dragon"].extent
        across = float(rng.uniform(x - left * size, x + 0.5 - right * size))
        height = float(rng.uniform(y - top * size + 0.01, y + 0.27))
        spec = replace(spec, things=(Thing("dragon", across, height, size),))
    return Window(spec, (x, y, 2.0), window_caption(spec, (x, y, x + 0.5, y + 0.5), rng))


def draw_expert_shard(folder: Path, number: int, of: int, count: int, seed: int, until: float) -> None:
    """Draw the expert's pictures number, number + of, ... below `count` into a shard, until a moment.

    The shard is such as `fusionkit_vista.draw` writes, and `load` reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    side, path = SIDE + 2 * MARGIN, folder / f"shard-{number:02d}.npy"
    indices = range(number, count, of)
    pictures = np.lib.format.open_memmap(path, "w+", np.uint8, (len(indices), side, side, 3))
    facts: list[dict[str, Any]] = []
    for row, index in enumerate(indices):
        if time.time() > until:
            break
        chosen = expert_window(seed, index)
        pictures[row] = chosen.draw()
        facts.append({"index": index, **chosen.facts()})
    pictures.flush()
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"seed": seed, "margin": MARGIN, "facts": facts}), encoding="utf-8")
    os.replace(part, path.with_suffix(".json"))


def draw_expert(folder: Path, processes: int, seed: int, until: float, count: int = 20_000) -> int:
    """Draw the expert's pictures with several processes until a moment; returns how many failed."""
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=draw_expert_shard, args=(folder, k, processes, count, seed, until))
        for k in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(worker.exitcode != 0 for worker in workers)
