"""Models of different noising in one picture: frames, bridges, and one denoiser behind two faces."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import diffusers
import pytest
import torch
from tiny_models import info_of
from torch import Tensor
from two_faces import Face, flow_info, noise_info

from fusionkit import Patches, Plugin, Recipe, Stage, Step, hookimpl
from fusionkit.loop.denoise import denoise
from fusionkit.models.noising import Bridge, Frame, nearest
from fusionkit.models.parameterisation import alpha_sigma, converted
from fusionkit.models.silence import quiet_diffusers
from fusionkit.runs.run import prepare
from fusionkit_gvcf import GuidedFusion, VarianceCorrectedFusion
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_multidiffusion import MultiDiffusion

KINDS = ("epsilon", "v_prediction", "sample", "flow_prediction")
NOISE = ["ddim", "ddpm", "euler", "euler-a", "dpm++-2m", "heun", "unipc"]
FLOWS: list[Any] = [
    "flow-euler",
    {"flow-euler": {"stochastic-sampling": True}},
    "flow-euler-a",
    "flow-heun",
    "unipc",
    "dpm++-2m",
    "dpm++-2m-sde",
]


def drawn(seed: int) -> Tensor:
    return torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(seed))


def perfect(frame: Frame, clean: Tensor, noise: Tensor) -> Tensor:
    """What a perfect model answers to a frame's latents."""
    match frame.kind:
        case "epsilon":
            return noise
        case "sample":
            return clean
        case "v_prediction":
            return frame.a * noise - frame.s * clean
    return noise - clean


def test_a_flow_has_every_level() -> None:
    flow = flow_info()
    assert nearest(flow, inf) == (0.0, 1.0, 1000.0)
    assert nearest(flow, 0.0) == (1.0, 0.0, 0.0)
    assert nearest(flow, 1.0) == (0.5, 0.5, 500.0)
    assert nearest(flow_info(num_train_timesteps=500), 3.0) == (0.25, 0.75, 375.0)


def test_levels_of_other_models_are_those_of_their_training_timesteps() -> None:
    with quiet_diffusers():
        kept = diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod
    info = info_of("sd")
    for timestep in (0, 1, 400, 998, 999):
        a, s, found = nearest(info, float(((1 - kept[timestep]) / kept[timestep]) ** 0.5))
        assert found == pytest.approx(timestep, abs=1e-3)
        assert a == pytest.approx(float(kept[timestep] ** 0.5), rel=1e-5)
        assert a**2 + s**2 == pytest.approx(1)
    # Beyond the ends there is nothing; the timesteps are in the order of the noise between.
    assert nearest(info, inf)[2] == 999
    assert nearest(info, 0.0)[2] == 0
    assert nearest(info, inf)[1] / nearest(info, inf)[0] == pytest.approx(14.6146, abs=1e-4)
    times = [nearest(info, ratio)[2] for ratio in (0.05, 0.1, 0.5, 1.0, 2.0, 10.0)]
    assert times == sorted(times)


def test_a_model_of_zero_terminal_snr_has_pure_noise() -> None:
    info = replace(info_of("sd"), scheduler_config={**info_of("sd").scheduler_config, "rescale_betas_zero_snr": True})
    assert nearest(info, inf) == (0.0, 1.0, 999.0)
    assert nearest(info, 1e6)[2] == 998


@pytest.mark.parametrize("main", KINDS)
@pytest.mark.parametrize("own", KINDS)
def test_a_perfect_model_is_perfect_in_another_frame(main: str, own: str) -> None:
    clean, noise = drawn(0), drawn(1)
    for ratio in (0.1, 1.0, 5.0):
        frames = []
        for kind in (main, own):
            info = flow_info() if kind == "flow_prediction" else noise_info(kind)
            a, s, _ = nearest(info, ratio)
            frames.append(Frame(a, s, kind))
        bridge = Bridge(*frames, torch.tensor(0.0))
        noisy = bridge.main.a * clean + bridge.main.s * noise
        torch.testing.assert_close(bridge.into(noisy), bridge.own.a * clean + bridge.own.s * noise, rtol=0, atol=1e-5)
        answer = bridge.back(perfect(bridge.own, clean, noise), noisy)
        torch.testing.assert_close(answer, perfect(bridge.main, clean, noise), rtol=0, atol=5e-5)


def ideal(noisy: Tensor, a: float, s: float) -> Tensor:
    """What the clean latents are on average, of data N(0.5, 1)."""
    return 0.5 + a / (a**2 + s**2) * (noisy - a * 0.5)


@pytest.mark.parametrize("s", [1.0, 0.999, 0.98, 0.95, 0.9, 0.02, 0.005])
def test_beyond_its_ends_a_model_is_asked_at_the_nearest_one(s: float) -> None:
    """Of latents as large as it knows them; how far its answer is off is told on `Bridge`."""
    a, x = 1 - s, torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0)) * (s**2 + (1 - s) ** 2) ** 0.5
    x += 0.5 * a
    own_a, own_s, time = nearest(info_of("sd"), s / a if a > 0 else inf)
    bridge = Bridge(Frame(a, s, "flow_prediction"), Frame(own_a, own_s, "epsilon"), torch.tensor(time))
    seen = bridge.into(x)
    assert float(seen.std()) == pytest.approx(1.0, abs=0.03)
    clean = ideal(seen, own_a, own_s)
    answer = bridge.back((seen - own_a * clean) / own_s, x)
    difference = s * (answer - (x - ideal(x, a, s)) / s)
    assert float(difference.std()) < (0.07 if s > 0.936 else 0.03)
    assert float(difference.abs().max()) < 0.3


class Watch(Plugin):
    """Keeps how far the clean latents are apart that each model alone would say, in shares of their deviation."""

    found: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Any:
        answer = yield
        a, s = alpha_sigma(stage.scheduler, at.timestep)
        noisy = stage.scheduler.scale_model_input(patches.latents, at.timestep)
        one, two = (
            converted(model.said, noisy, a, s, stage.scheduler.prediction_type, "sample")  # type: ignore[attr-defined]
            for model in stage.models.values()
        )
        self.found.append(float((one - two).abs().max() / max(1.0, float(one.std()))))
        return answer


def blended(main: Face, other: Face | None, scheduler: Any) -> tuple[Tensor, list[float]]:
    """A panorama of two windows by both models, or by the main one alone, and how far they are apart."""
    models: dict[str, Face] = {"main": main} if other is None else {"main": main, "other": other}
    found: list[float] = []
    plugins: list[Plugin] = [MultiDiffusion(stride=32), GuidedFusion()]
    if other is not None:
        roles: Any = {"main": {}, "other": {"prompt": "a red boat", "k": 2.0}}
        plugins += [SaliencyNoiseBlending(models=roles), Watch(found=found)]
    name = scheduler if isinstance(scheduler, str) else "resamples"
    if name in ("ddpm", "euler-a", "flow-euler-a", "dpm++-2m-sde"):
        plugins.append(VarianceCorrectedFusion())
    fields: dict[str, Any] = {"prompt": "a red boat", "size": (96, 64), "steps": 6, "guidance_scale": 3.0}
    recipe = Recipe.model_validate({**fields, "scheduler": scheduler, "plugins": plugins, "seed": 3})
    plan = prepare(recipe, main.info, infos={name: model.info for name, model in models.items()}, device="cpu")
    (stage,) = plan.stages
    stage.models, stage.model = dict(models), main  # type: ignore[arg-type]
    return denoise(stage, plan.hooks), found


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("scheduler", NOISE)
def test_a_flow_beside_a_model_of_noise(scheduler: str, kind: str) -> None:
    """The same denoiser behind the face of a flow: the clean latents agree at every step, and so does the picture."""
    main = Face(noise_info(kind), kind)
    both, found = blended(main, Face(flow_info(), kind), scheduler)
    assert len(found) >= 6
    assert max(found) <= 1e-4
    alone, _ = blended(main, None, scheduler)
    assert float((both - alone).abs().max()) <= 3e-4 * max(1.0, float(alone.std()))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("scheduler", FLOWS, ids=str)
def test_a_model_of_noise_beside_a_flow(scheduler: Any, kind: str) -> None:
    main = Face(flow_info(), kind)
    both, found = blended(main, Face(noise_info(kind), kind), scheduler)
    assert len(found) >= 6
    assert max(found) <= 1e-4
    alone, _ = blended(main, None, scheduler)
    assert float((both - alone).abs().max()) <= 3e-4 * max(1.0, float(alone.std()))
