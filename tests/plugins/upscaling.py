"""What the tests of progressive-upscaling share: runs on tiny models, and what they keep of each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import pytest
from torch import Tensor

from fusionkit import Plugin, RecipeError, Stage, Step, hookimpl
from fusionkit.testing import Kind, tiny_plan, tiny_run
from fusionkit_accdiffusion import ProgressiveUpscaling

Size = tuple[int, int]

# The window is 64x64 pixels. Whole multiples, one axis alone, multiples of nothing, a remainder of less and of more
# than a quarter, and aspect ratios that whole latent pixels of the window can't hold.
STAGES: Mapping[Size, Sequence[Size]] = {
    (64, 64): [(64, 64)],
    (64, 32): [(64, 32)],
    (128, 128): [(64, 64), (128, 128)],
    (256, 256): [(64, 64), (128, 128), (192, 192), (256, 256)],
    (256, 128): [(64, 32), (128, 64), (192, 96), (256, 128)],
    (64, 192): [(24, 64), (40, 128), (64, 192)],
    (72, 64): [(64, 56), (72, 64)],
    (80, 80): [(64, 64), (80, 80)],
    (144, 144): [(64, 64), (144, 144)],
    (152, 152): [(64, 64), (128, 128), (152, 152)],
    (200, 136): [(64, 40), (128, 88), (200, 136)],
    (216, 216): [(64, 64), (128, 128), (192, 192), (216, 216)],
}
ODD = [(472, 328), (1000, 72), (72, 1000), (680, 472), (4096, 8), (136, 520)]

# Of the tests that need no certain size: no multiple, and neither square nor wide.
SIZE = (136, 200)


def sizes(size: Size, kind: Kind = "sd", window: Size | None = None, **options: Any) -> list[Size]:
    plan = tiny_plan([ProgressiveUpscaling(**options)], kind, size=size, steps=1, window=window)
    return [stage.plan.size for stage in plan.stages]


def problem(*plugins: Plugin, size: Size = (128, 128), **fields: Any) -> str:
    with pytest.raises(RecipeError) as error:
        tiny_plan(plugins, size=size, **fields)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


class Kept(Plugin):
    """Keeps, of each stage: what it started from, its noise, the canvas after each step, and its clean latents."""

    stages: Any

    @hookimpl
    def step_done(self, stage: Stage, at: Step, latents: Tensor) -> None:
        kept = self.stages.setdefault(stage.index, {"stage": stage, "previous": stage.previous, "canvases": []})
        kept["canvases"].append(latents.clone())


class First(Plugin):
    """Keeps the latents that each stage starts from, and their noise."""

    stages: Any

    @hookimpl(wrapper=True)
    def init_latents(self, stage: Stage, noise: Tensor) -> Any:
        latents = yield
        self.stages[stage.index] = latents.clone(), noise.clone()
        return latents


def watched(*plugins: Plugin, kind: Kind = "sd", size: Size = SIZE, **fields: Any) -> tuple[dict[int, Any], Any]:
    """Everything that `Kept` and `First` kept of a run."""
    kept: dict[int, Any] = {}
    first: dict[int, Any] = {}
    tiny_run([*plugins, Kept(stages=kept), First(stages=first)], kind, size=size, **{"steps": 2, **fields})
    return kept, first


@lru_cache
def plain(kind: Kind, scheduler: str = "ddpm") -> tuple[dict[int, Any], Any]:
    return watched(ProgressiveUpscaling(), kind=kind, scheduler=scheduler)


def close(some: Tensor, others: Tensor, within: float = 1e-4) -> bool:
    return some.shape == others.shape and float((some - others).abs().max()) <= within
