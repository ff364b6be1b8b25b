"""What a family's model is told, whoever asks: its scale in a pair, its time beside another model, its places."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from on_families import NEGATIVE, PROMPT, apart, model_of, stage_on
from tiny_cogview4 import CASES as COGVIEW
from tiny_flux import CASES as FLUX
from tiny_flux2 import CASES as FLUX2
from tiny_parts import Case
from tiny_qwen_image import CASES as QWEN

from fusionkit import Patches, View
from fusionkit.loop.stage import Stage
from fusionkit.models.adapters.moments import scaled, unscaled
from fusionkit.models.noising import nearest
from fusionkit.models.parameterisation import alpha_sigma, converted


def patches_on(stage: Stage, view: View, latents: torch.Tensor) -> Any:
    return Patches((view,), latents=latents, prompts=[PROMPT])


@pytest.mark.parametrize("of", [QWEN[0], FLUX[0]], ids=str)
def test_a_pair_is_of_its_scale_whatever_the_recipes_interval_says(of: Case) -> None:
    """A role may be guided where the recipe is not: renormalised here, told to the denoiser there."""
    model = model_of(of)
    stage = stage_on(model, guidance_interval=(0.0, 0.25))
    at, patches = stage.steps[2], patches_on(stage, View(0, 0, 16, 16), stage.noise("x", (1, *stage.shape[1:])))
    cond, uncond = model.predict_pair(stage, at, patches, 4.0)
    guided = model.predict(stage, at, patches, 4.0, (0.0, 1.0))
    assert apart(uncond + 4 * (cond - uncond), guided) <= 1e-4
    assert apart(guided, model.predict(stage, at, patches, 4.0)) > 1e-2, "the recipe's interval has ended"
    own = model.predict_pair(stage, at, patches)
    assert apart(own[0], cond) == apart(own[1], uncond) == 0


def test_cogview_beside_another_model_is_told_its_own_time() -> None:
    """Its time is that before its shift, of the noise level that its latents have."""
    model: Any = model_of(COGVIEW[0])
    main = replace(model.info, kind="sd", prediction_type="epsilon", scheduler="DDIMScheduler")
    main = replace(main, scheduler_config={"_class_name": "DDIMScheduler", "prediction_type": "epsilon"})
    other: Any = model_of(COGVIEW[0])
    other.info = main
    stage = stage_on(other, "ddim", guidance_scale=1.0)
    told: list[float] = []
    handle = model.denoiser.register_forward_pre_hook(
        lambda _, args, given: told.append(float(given["timestep"][0])), with_kwargs=True
    )
    try:
        for at in stage.steps:
            latents = stage.noise("x", (1, *stage.shape[1:]), at=at)
            said = model.predict(stage, at, patches_on(stage, View(0, 0, 16, 16), latents))
            a, s = alpha_sigma(stage.scheduler, at.timestep)
            level = nearest(model.info, s / a)[1]
            config = model.pipe.scheduler.config
            mu = model.family.shift(config, 64, 0)
            shift = mu if config["time_shift_type"] == "linear" else torch.tensor(mu).exp().item()
            assert 1 / level - 1 == pytest.approx((1000 / told[-1] - 1) / shift, rel=1e-4)
            clean = converted(said, latents, a, s, "epsilon", "sample")
            own = patches_on(stage, View(0, 0, 16, 16), latents * (level / s))
            alone = stage_on(model, guidance_scale=1.0)
            velocity = model.predict(alone, replace(at, timestep=torch.tensor(1000 * level)), own)
            assert apart(clean, own.latents - level * velocity) <= 1e-3 * float(clean.abs().max())
    finally:
        handle.remove()
    assert len(told) == 2 * len(stage.steps)


@pytest.mark.parametrize("view", [View(1, 0, 16, 16), View(2, 3, 16, 15), View(1, 1, 8, 8, 2)], ids=str)
def test_flux2_at_odd_places_sees_the_same_picture(view: View) -> None:
    """Its statistics are those of a place within a token: a view that begins at an odd pixel is moved to its own."""
    model: Any = model_of(FLUX2[0], window=(256, 256))
    stage = stage_on(model, guidance_scale=4.0, negative_prompt=NEGATIVE)
    at, vae = stage.steps[1], model.pipe.vae
    s = float(at.timestep) / 1000
    (rows, columns), _ = view.parts((32, 32))[0]
    pixels = torch.randn(1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    there = scaled(vae, pixels)[..., rows, columns]
    high, wide = there.shape[-2:]
    # The same pixels, where they are the first ones of a canvas.
    alone = torch.zeros(1, 32, 16, 16)
    alone[..., :high, :wide] = pixels[..., rows, columns]
    begun = scaled(vae, alone)[..., :high, :wide]

    def clean(view: View, latents: torch.Tensor) -> torch.Tensor:
        noisy = (1 - s) * latents
        return noisy - s * model.predict(stage, at, patches_on(stage, view, noisy))

    canvas = scaled(vae, pixels).clone()
    canvas[..., rows, columns] = clean(view, there)
    other = torch.zeros(1, 32, 16, 16)
    other[..., :high, :wide] = clean(View(0, 0, high, wide), begun)
    found, expected = unscaled(vae, canvas)[..., rows, columns], unscaled(vae, other)[..., :high, :wide]
    assert apart(found, expected) <= 1e-4 * float(expected.abs().max())
