"""HiDiffusion against megvii-research/HiDiffusion hidiffusion.py: every canvas after every step.

Its denoiser has the blocks of Stable Diffusion 1.5; the weights are what torch draws from a seed, and are drawn again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from replay import Case, cases, checkpoint, largest, run

from fusionkit import Plugin, Stage, Step
from fusionkit_hidiffusion import ResolutionAwareUNet, WindowedAttention

TOLERANCE = 1e-3
SEED = 71


class Drawn(WindowedAttention):
    """The shifts that the reference drew."""

    random: Any

    def shifts(self, stage: Stage, at: Step, model: str, blocks: int) -> Sequence[int]:
        assert blocks == len(self.random[at.index])
        return [max(0, ceil(4 * float(each)) - 1) for each in self.random[at.index]]


@pytest.fixture
def case() -> Iterator[Case]:
    """The recorded case, with its denoiser in the place of the tiny checkpoint's own."""
    (path,) = cases("hidiffusion")
    pipe, found = checkpoint("tiny-sd"), Case.read(path)
    config = Path(__file__).parent / "checkpoints" / "tiny-sd15-layout" / "unet" / "config.json"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        unet = diffusers.UNet2DConditionModel.from_config(diffusers.UNet2DConditionModel.load_config(config))
    unet.conv_out.weight.data *= 3
    found.params["checkpoint"] = "tiny-sd"
    own, pipe.unet = pipe.unet, unet.eval()
    yield found
    pipe.unet = own


def difference(case: Case, plugins: list[Plugin], steps: int | None = None) -> float:
    seen = run(case, plugins, (256, 256), (256, 256), steps)
    return largest(seen.canvases, case["canvas_after_step"][:steps])


def test_every_canvas_after_every_step(case: Case) -> None:
    found = difference(case, [ResolutionAwareUNet(), Drawn(random=case["window_random"])])
    print(f"largest difference: {found:.1e}")
    assert found < TOLERANCE


def test_either_half_alone_and_other_shifts_are_told_apart(case: Case) -> None:
    assert difference(case, [Drawn(random=case["window_random"])], steps=1) > 0.1
    assert difference(case, [ResolutionAwareUNet()], steps=1) > 0.1
    assert difference(case, [ResolutionAwareUNet(), Drawn(random=1 - case["window_random"])], steps=1) > 0.1
