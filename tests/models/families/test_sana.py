"""What Sana and Sana-Sprint have of their own: how levels are spaced, whatever solves for them."""

from __future__ import annotations

import pytest
import torch
from on_families import InTurn, apart, drawn, model_of, run, stage_on
from tiny_sana import CASES

from fusionkit.models.silence import quiet_diffusers

SANA, SPRINT = CASES


@pytest.mark.parametrize("scheduler", ["flow-euler", "unipc", "dpm++-2m"])
def test_levels_are_those_of_its_own_solver(scheduler: str) -> None:
    own = stage_on(model_of(SANA), steps=7).scheduler
    other = stage_on(model_of(SANA), scheduler, steps=7).scheduler
    levels = [torch.tensor([each.level(at) for at in each.timesteps]) for each in (own, other)]
    assert apart(*levels) <= 1e-6


def test_two_steps_of_sprint_are_those_of_its_pipeline() -> None:
    """The second step's noise level, 1.3 of an angle, is a case of its own."""
    stage = stage_on(model_of(SPRINT), steps=2)
    call = {"height": 128, "width": 128, "output_type": "latent", "use_resolution_binning": False}
    noise = stage.noise("init")
    with quiet_diffusers(), torch.no_grad(), InTurn(stage):
        theirs = SPRINT.make()(stage.recipe.prompt, latents=noise, guidance_scale=4.0, **call).images
    assert stage.model.info.scheduler == "FlowMatchLCMScheduler"
    assert stage.scheduler.resamples
    assert apart(run(stage), theirs) <= 1e-4
    assert apart(drawn(SPRINT, stage), theirs) > 1e-2, "even angles are others"


def test_sprint_is_told_the_scale() -> None:
    model = model_of(SPRINT)
    one, other = (run(stage_on(model, steps=2, guidance_scale=scale)) for scale in (4.0, 6.0))
    assert apart(one, other) > 1e-3
    assert model.forward_passes == 4
