"""How well samples follow the hints of vista's ControlNet: `python -m fusionkit_vista.evaluate canny`."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from fusionkit_tinyworld.evaluate_canny import Windows, compare, load_controlnet
from fusionkit_tinyworld.pipeline import load_pipeline
from fusionkit_vista.models import WEIGHTS
from fusionkit_vista.train.lessons import encoded, hints_of
from fusionkit_vista.train.pictures import Some, to_bytes
from fusionkit_vista.windows import window

COUNT = 8
"""So many whole drawings, and as many close-ups."""

HELD_OUT = 1_000_000
"""Added to the seed, so that no picture of the training is among them."""


@torch.no_grad()
def choose_windows(vae: Any, seed: int, each: int, enlarged: bool) -> Windows:
    """`each` whole drawings and as many close-ups that training never saw; `enlarged` hints are of half the size."""
    found: dict[bool, list[Any]] = {False: [], True: []}
    index = 0
    while min(map(len, found.values())) < each:
        chosen = window(HELD_OUT + seed, index)
        found[chosen.view[2] > 1].append(chosen)
        index += 1
    some, windows = Some(2 * each, vae.device), [w for kind in (False, True) for w in found[kind][:each]]
    for chosen in windows:
        some.add(chosen.draw()[None], [chosen.facts()])
    hints = hints_of(vae, some, decode=True)[:, int(enlarged)].cpu().numpy()
    latents = encoded(vae, some).float()
    pictures = [to_bytes(vae.decode(part[None]).sample).cpu().numpy() for part in latents]
    return Windows(hints, np.concatenate(pictures), [chosen.caption for chosen in windows])


def main(options: argparse.Namespace) -> None:
    """Print the table: of the drawings themselves, and of samples at several scales."""
    pipeline = load_pipeline(WEIGHTS / "scenes", torch.device("cpu"))
    controlnet = load_controlnet(options.controlnet or WEIGHTS / "canny", torch.device("cpu"))
    windows = choose_windows(pipeline.vae, options.seed, options.count or COUNT, options.enlarged)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    compare(pipeline, controlnet, windows, options.seed, options.out and options.out / "canny.png")
