"""What `fusionkit plan` says of stages that are not usual."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fusionkit import Plugin, StagePlan, hookimpl
from fusionkit.cli.plan import _stage, describe
from fusionkit.models.memory import estimate_memory
from fusionkit.testing import tiny_plan


class Again(Plugin):
    """A ring, and a second stage from the middle of the schedule."""

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Any:
        (plan,) = yield
        return [replace(plan, wrap="xy"), replace(plan, strength=0.5, steps=10)]


def test_rings_beginnings_and_intervals_are_told() -> None:
    fields: Any = {"size": (128, 64), "scheduler": "ddim", "steps": 5, "guidance_interval": [0.2, 0.6]}
    plan = tiny_plan([Again()], **fields)
    first, second = (_stage(stage, views) for stage, views in zip(plan.stages, plan.views, strict=True))
    assert first.endswith("5 steps of DDIMScheduler with 6 views each; a ring along x and y; guided in steps 2 to 3")
    assert second.endswith("; the last 5 of 10, from the stage before; guided in steps 2 to 3")
    passes = (3 * 1 + 2 * 2) * (6 + 3)
    assert plan.forward_passes == passes
    assert f"{passes} of the denoiser for {5 * 9} views" in describe(plan, [plan.recipe])
    (usual,) = tiny_plan(**{**fields, "guidance_interval": [0, 1]}).stages
    assert "guided" not in _stage(usual, 10)


def test_a_rings_margins_count_as_memory() -> None:
    plan = tiny_plan([], size=(128, 64))
    needs = [
        estimate_memory(plan.info, plan.recipe, [StagePlan((128, 64), wrap=wrap)])  # type: ignore[arg-type]
        for wrap in ("", "x", "xy")
    ]
    margins = 2 * 16 * 8
    assert needs[1].canvas == needs[0].canvas
    per_pixel = 8 * 4 * plan.info.vae_channels
    assert needs[1].decode - needs[0].decode == per_pixel * margins * 64
    assert needs[2].decode - needs[0].decode == per_pixel * ((128 + margins) * (64 + margins) - 128 * 64)
