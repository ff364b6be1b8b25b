"""One window is exactly what the plain diffusers pipeline computes."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from rounding import rounding
from tiny_models import drawn, plain, run, stage_on

from fusionkit import Plugin, hookimpl
from fusionkit.loop.stage import Fused
from fusionkit.models.adapters.moments import scaled, unscaled
from fusionkit.models.load import wrap_pipeline
from fusionkit.models.silence import quiet_diffusers

SCHEDULERS = {
    "ddim": diffusers.DDIMScheduler,
    "ddpm": diffusers.DDPMScheduler,
    "euler-a": diffusers.EulerAncestralDiscreteScheduler,
    "dpm++-2m-sde": diffusers.DPMSolverMultistepScheduler,
    "heun": diffusers.HeunDiscreteScheduler,
}


class DrawnInTurn(Plugin):
    """The noise that a diffusers pipeline draws from a generator, step by step."""

    generator: torch.Generator

    @hookimpl(wrapper=True)
    def fuse(self) -> Generator[None, Fused, Fused]:
        fused = yield
        fused.noise = torch.randn(fused.prediction.shape, generator=self.generator)
        return fused


def set_scheduler(pipe: Any, name: str, prediction_type: str) -> None:
    """The scheduler, as a user of diffusers would set it."""
    options = {"prediction_type": prediction_type}
    if name == "dpm++-2m-sde":
        options["algorithm_type"] = "sde-dpmsolver++"
    if name in ("ddim", "ddpm"):
        options["clip_sample"] = False
    with quiet_diffusers():
        pipe.scheduler = SCHEDULERS[name].from_config(pipe.scheduler.config, **options)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_one_window_is_the_plain_pipeline(pipe: Any, name: str, prediction_type: str) -> None:
    set_scheduler(pipe, name, prediction_type)
    model = wrap_pipeline(pipe)
    stage = stage_on(model, guidance_scale=5.0, negative_prompt="dog")

    ours = run(stage, DrawnInTurn(generator=torch.Generator().manual_seed(11)))
    theirs = drawn(pipe, stage, negative_prompt="dog", guidance_scale=5.0, generator=torch.Generator().manual_seed(11))

    assert model.info.prediction_type == prediction_type
    assert theirs.std() > 0.1
    assert (ours - theirs).abs().max() <= 1e-4


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 7.5])
def test_defaults_and_no_guidance(pipe: Any, guidance_scale: float) -> None:
    stage = stage_on(wrap_pipeline(pipe), guidance_scale=guidance_scale)

    ours = run(stage)
    theirs = drawn(pipe, stage, guidance_scale=guidance_scale)

    assert (ours - theirs).abs().max() <= 1e-4
    assert stage.model.forward_passes == (8 if guidance_scale > 1 else 4)
    assert stage.model.forward_seconds > 0


def test_wide_and_not_square(pipe: Any) -> None:
    width, height = 160, 96
    stage = stage_on(wrap_pipeline(pipe), size=(width, height), window=(width, height))

    theirs = drawn(pipe, stage, height=height, width=width)

    assert (run(stage) - theirs).abs().max() <= 1e-4


def test_clip_skip() -> None:
    pipe = plain("sdxl")
    stage = stage_on(wrap_pipeline(pipe, clip_skip=1), negative_prompt="dog")

    theirs = drawn(pipe, stage, negative_prompt="dog", clip_skip=1)

    assert (run(stage) - theirs).abs().max() <= 1e-4
    assert (run(stage_on(wrap_pipeline(pipe), negative_prompt="dog")) - theirs).abs().max() > 1e-3


def test_clip_skip_where_diffusers_does_not_find_the_norm() -> None:
    pipe = plain("sd")
    tokens = pipe.tokenizer("a cat", padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.inference_mode():
        encoder = pipe.text_encoder
        last, before = encoder(tokens, output_hidden_states=True).hidden_states[-1:-3:-1]
        norm = getattr(encoder, "text_model", encoder).final_layer_norm

        assert torch.allclose(wrap_pipeline(pipe).embed("a cat")[0], norm(last), atol=rounding(norm(last)))
        assert torch.allclose(
            wrap_pipeline(pipe, clip_skip=1).embed("a cat")[0], norm(before), atol=rounding(norm(before))
        )
        assert torch.allclose(
            wrap_pipeline(pipe, clip_skip=1).embed_negative("a cat")[0], norm(last), atol=rounding(norm(last))
        )


def test_decode_is_the_pipelines(pipe: Any) -> None:
    model = wrap_pipeline(pipe)
    stage = stage_on(model)

    theirs = drawn(pipe, stage, output_type="pil")[0]

    assert np.abs(np.asarray(model.decode(run(stage)), int) - np.asarray(theirs, int)).max() <= 1


def test_a_safety_checker_is_asked() -> None:
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessorPil

    pipe = plain("sd")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    config = CLIPConfig(vision_config={**sizes, "image_size": 32, "patch_size": 16}, projection_dim=8)
    pipe.safety_checker = StableDiffusionSafetyChecker(config).eval()
    pipe.feature_extractor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    stage = stage_on(wrap_pipeline(pipe), steps=1)
    for objects in (False, True):
        pipe.safety_checker.concept_embeds_weights.data.fill_(-10.0 if objects else 10.0)
        theirs = drawn(pipe, stage, output_type="pil")[0]
        ours = stage.model.decode(run(stage_on(stage.model, steps=1)))
        assert bool(np.asarray(theirs).max() == 0) is objects
        assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


def test_decode_with_latents_mean_and_std() -> None:
    pipe = plain("sdxl")
    pipe.vae.register_to_config(latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[1.0, 2.0, 0.5, 1.5])
    model = wrap_pipeline(pipe)
    stage = stage_on(model)

    theirs = drawn(pipe, stage, output_type="pil")[0]
    latents = run(stage)

    assert np.abs(np.asarray(model.decode(latents), int) - np.asarray(theirs, int)).max() <= 1
    assert torch.allclose(scaled(pipe.vae, unscaled(pipe.vae, latents)), latents, atol=1e-4)


def test_encode_is_the_posterior_mean(pipe: Any) -> None:
    picture = Image.effect_mandelbrot((64, 96), (-2, -1, 1, 1), 20).convert("RGB")
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1

    latents = wrap_pipeline(pipe).encode(picture)

    with torch.inference_mode():
        expected = pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor
    assert latents.shape == (1, 4, 12, 8)
    # What is rounded is as large as the latents before they are scaled.
    assert torch.allclose(latents, expected, atol=rounding(expected / pipe.vae.config.scaling_factor))


def test_wrapping_leaves_the_pipeline_as_it_was(pipe: Any) -> None:
    scheduler, config = pipe.scheduler, dict(pipe.scheduler.config)
    timesteps = pipe.scheduler.timesteps.clone()
    modules = {
        name: (type(module), module.dtype) for name, module in pipe.components.items() if hasattr(module, "dtype")
    }
    weights = {name: value.clone() for name, value in pipe.unet.state_dict().items()}
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in pipe.unet.modules()]

    model = wrap_pipeline(pipe, vae_tiling=True)
    model.decode(run(stage_on(model, "euler-a")))

    assert pipe.scheduler is scheduler
    assert dict(pipe.scheduler.config) == config
    assert pipe.scheduler.timesteps.equal(timesteps)
    assert {
        name: (type(module), module.dtype) for name, module in pipe.components.items() if hasattr(module, "dtype")
    } == (modules)
    assert all(value.equal(weights[name]) for name, value in pipe.unet.state_dict().items())
    assert [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in pipe.unet.modules()] == hooks
    assert pipe.vae.use_tiling is False
