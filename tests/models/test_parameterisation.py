"""Noise, velocity and clean latents, each turned into the others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rounding import rounding
from tiny_models import info_of, plain
from torch import Tensor

from fusionkit.errors import ModelError
from fusionkit.models.parameterisation import alpha_sigma, converted
from fusionkit.models.schedulers.by_name import SHORT_NAMES
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.models.schedulers.wrapper import DiffusersScheduler
from fusionkit.recipe import SchedulerSpec

KINDS = ("epsilon", "v_prediction", "sample")
NAMES = [name for name in SHORT_NAMES if not name.startswith("edm")]
# What their `step` takes is fewer, in this version of diffusers.
NO_SAMPLE = {"euler-a", "kdpm2", "kdpm2-karras", "kdpm2-a", "kdpm2-a-karras", "pndm"}


def scheduler(name: str, prediction_type: str = "epsilon", steps: int = 6, **options: Any) -> DiffusersScheduler:
    options |= {"prediction-type": prediction_type}
    made = make_scheduler(info_of("sd"), SchedulerSpec(name=name, options=options), steps, "cpu")
    assert isinstance(made, DiffusersScheduler)
    return made


def drawn(seed: int) -> Tensor:
    return torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(seed))


def answers(alpha: float, sigma: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Noisy latents, and what a perfect model of each kind says of them."""
    clean, noise = drawn(0), drawn(1)
    noisy = alpha * clean + sigma * noise
    return noisy, {"epsilon": noise, "v_prediction": alpha * noise - sigma * clean, "sample": clean}


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("angle", [0.02, 0.8, 1.5])
def test_a_perfect_model_stays_one(source: str, target: str, angle: float) -> None:
    alpha, sigma = float(torch.cos(torch.tensor(angle))), float(torch.sin(torch.tensor(angle)))
    noisy, said = answers(alpha, sigma)
    answer = converted(said[source], noisy, alpha, sigma, source, target)
    torch.testing.assert_close(answer, said[target], rtol=0, atol=2e-5)


def test_half_precision_is_computed_in_float32() -> None:
    noisy, said = answers(0.6, 0.8)
    halves = said["v_prediction"].half(), noisy.half()
    answer = converted(*halves, 0.6, 0.8, "v_prediction", "epsilon")
    assert answer.dtype == torch.float32
    assert answer.equal(0.6 * halves[0].float() + 0.8 * halves[1].float())
    assert converted(halves[0], noisy, 0.6, 0.8, "epsilon", "epsilon").equal(halves[0].float())


def test_a_guided_prediction_is_converted_as_its_halves_are() -> None:
    noisy, said = answers(0.6, 0.8)
    cond, uncond = said["epsilon"], said["epsilon"] + drawn(2)

    def turned(prediction: Tensor) -> Tensor:
        return converted(prediction, noisy, 0.6, 0.8, "epsilon", "v_prediction")

    guided = turned(uncond + 7.5 * (cond - uncond))
    torch.testing.assert_close(
        guided, turned(uncond) + 7.5 * (turned(cond) - turned(uncond)), rtol=0, atol=rounding(guided)
    )


def test_pure_noise_and_clean_latents() -> None:
    noisy, said = answers(0.0, 1.0)
    # Velocity is then minus the clean latents, and the noise is what is seen.
    assert converted(said["v_prediction"], noisy, 0, 1, "v_prediction", "sample").equal(said["sample"])
    assert converted(said["v_prediction"], noisy, 0, 1, "v_prediction", "epsilon").equal(said["epsilon"])
    assert converted(said["sample"], noisy, 0, 1, "sample", "v_prediction").equal(said["v_prediction"])
    for target in ("v_prediction", "sample"):
        with pytest.raises(ModelError, match=f"epsilon can't be turned into {target} at pure noise: it tells nothing"):
            converted(said["epsilon"], noisy, 0, 1, "epsilon", target)
    with pytest.raises(ModelError, match=r"sample can't be turned into epsilon at clean latents$"):
        converted(said["sample"], noisy, 1, 0, "sample", "epsilon")
    with pytest.raises(ModelError, match=r"trigflow can't be turned into epsilon$"):
        converted(said["epsilon"], noisy, 0.6, 0.8, "epsilon", "trigflow")


@pytest.mark.parametrize(
    ("name", "steps"),
    [*((name, 6) for name in NAMES), *((name, 50) for name in NAMES if "karras" in name or name in ("ddim", "unipc"))],
)
def test_a_scheduler_steps_alike_whatever_it_is_told(name: str, steps: int) -> None:
    """Six, where schedules are coarse; 50, where Karras' sigmas are rounded to the same timestep twice."""
    for other in ("v_prediction",) if name in NO_SAMPLE else ("v_prediction", "sample"):
        if name == "pndm":
            continue  # its history is a mean of answers at several noise levels, in whatever parameterisation
        plain_one, told = scheduler(name, steps=steps), scheduler(name, other, steps=steps)
        latents = drawn(0) * plain_one.init_noise_sigma
        for number, timestep in enumerate(plain_one.timesteps):
            noise, said = drawn(2 * number + 1), drawn(2 * number + 2)
            alpha, sigma = alpha_sigma(told, timestep)
            assert alpha**2 + sigma**2 == pytest.approx(1, abs=1e-6)
            turned = converted(said, told.scale_model_input(latents, timestep), alpha, sigma, "epsilon", other)
            plain_one.scale_model_input(latents, timestep)  # some count on it
            expected, _ = plain_one.step(said, timestep, latents, noise)
            following, _ = told.step(turned, timestep, latents, noise)
            scale = float(expected.abs().max())
            torch.testing.assert_close(following, expected, rtol=0, atol=1e-5 * scale)
            latents = expected


@pytest.mark.parametrize("name", NAMES)
def test_shares_are_those_of_what_the_denoiser_gets(name: str) -> None:
    """Of the schedule itself: the cumulative alphas that the model was trained at."""
    made = scheduler(name, steps=8)
    trained = made._scheduler.alphas_cumprod
    latents = drawn(0)
    for timestep in made.timesteps:
        alpha, sigma = alpha_sigma(made, timestep)
        low, high = int(timestep.floor()), min(int(timestep.ceil()), 999)
        # Karras' sigmas and second-order steps lie between timesteps, and are rounded.
        slack = 0.03 if made.config.get("use_karras_sigmas") or name.startswith("kdpm2") else 1e-5
        assert trained[high] ** 0.5 - slack <= alpha <= trained[low] ** 0.5 + slack
        assert sigma == pytest.approx((1 - alpha**2) ** 0.5, abs=1e-6)
        made.scale_model_input(latents, timestep)
        made.step(latents, timestep, latents, latents)


@pytest.mark.parametrize("name", ["ddim", "ddpm", "euler", "euler-karras", "heun", "kdpm2", "dpm++-2m", "unipc", "lcm"])
def test_a_velocity_model_draws_what_the_noise_model_draws(name: str) -> None:
    """A real denoiser, and one that says the same as a velocity: each run in its own parameterisation."""
    unet, text = plain("sd").unet, torch.zeros(1, 7, 32)
    results = []
    for kind in ("epsilon", "v_prediction"):
        made = scheduler(name, kind, steps=5)
        latents = drawn(0)[:1] * made.init_noise_sigma
        latents = latents[:, :, :4, :4]
        for number, timestep in enumerate(made.timesteps):
            noisy = made.scale_model_input(latents, timestep)
            alpha, sigma = alpha_sigma(made, timestep)
            with torch.inference_mode():
                said = unet(noisy, timestep, text, return_dict=False)[0]
            turned = converted(said, noisy, alpha, sigma, "epsilon", kind)
            back = converted(turned, noisy, alpha, sigma, kind, "epsilon")
            assert (back - said).abs().max() <= rounding(torch.cat([said, noisy, turned]))
            latents, _ = made.step(turned, timestep, latents, drawn(number + 1)[:1, :, :4, :4])
        results.append(latents)
    assert (results[0] - results[1]).abs().max() <= 1e-4 * max(1.0, float(results[0].abs().max()))
    assert results[0].std() > 0.1
