"""One window is what the family's own pipeline draws, and a view gets the same in any company."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from on_families import LONG, apart, drawn, model_of, run, stage_on
from tiny_parts import Case

from fusionkit import Prompt
from fusionkit.loop.canvas import gather
from fusionkit.loop.stage import Patches
from fusionkit.loop.views import View
from fusionkit_multidiffusion import MultiDiffusion

CLOSE = 1e-4


@pytest.mark.parametrize(("size", "scale"), [((128, 128), 1.0), ((192, 96), 4.0)], ids=str)
def test_one_window_is_the_plain_pipeline(case: Case, size: tuple[int, int], scale: float) -> None:
    model = model_of(case, size)
    stage = stage_on(model, steps=6, guidance_scale=scale)

    ours, theirs = run(stage), drawn(case, stage)

    assert theirs.std() > 0.3
    assert apart(ours, theirs) <= CLOSE
    assert model.forward_passes == 6 * model.info.passes(scale)


PROMPTS = ("a red boat", LONG, "two cats", "the old town by the sea under stars", "a")
NEGATIVES = ("", "rain", "the old town by the sea", "dog", "snow and stars")


def test_batches_of_any_size_agree(case: Case) -> None:
    """Five views, each with another prompt and another negative one."""
    model = model_of(case)
    height, width = stage_on(model).window
    views = tuple(View(0, number * width // 2, height, width) for number in range(5))
    different = [Prompt(*each) for each in zip(PROMPTS, NEGATIVES, strict=True)]

    def predicted(batch: int, prompts: Sequence[Prompt]) -> torch.Tensor:
        stage = stage_on(model, size=(384, 128), guidance_scale=2.0, batch_size=batch)
        patches = Patches(views, latents=gather(stage.noise("init"), views), prompts=prompts)
        return model.predict(stage, stage.steps[1], patches)

    alone = predicted(1, different)
    assert apart(alone, predicted(2, [Prompt(PROMPTS[0])] * 5)) > 100 * CLOSE, "the prompts count"
    for batch in (2, 3, 8):
        assert apart(alone, predicted(batch, different)) <= CLOSE


def test_a_view_does_not_hear_its_neighbours_prompt(case: Case) -> None:
    model = model_of(case)
    stage = stage_on(model, negative_prompt="dog", batch_size=4)
    at, view = stage.steps[1], View(0, 0, 16, 16)
    latents = stage.noise("x", (1, *stage.shape[1:]))

    alone = model.predict(stage, at, Patches((view,), latents=latents, prompts=["two cats"]))
    both = Patches((view, view), latents=torch.cat([latents, latents]), prompts=["two cats", LONG])
    among = model.predict(stage, at, both)

    assert apart(among[:1], among[1:]) > 100 * CLOSE, "the prompts count"
    assert apart(alone, among[:1]) <= CLOSE


@pytest.mark.parametrize("width", [16, 15], ids=str)
def test_a_pair_is_guided_plainly_as_the_model_guides(case: Case, width: int) -> None:
    model = model_of(case)
    stage = stage_on(model, negative_prompt="dog")
    patches: Any = Patches(
        (View(0, 0, width, 15),), latents=stage.noise("x", (1, stage.shape[1], 15, width)), prompts=["two cats"]
    )
    for scale in (4.0, 2.0):
        cond, uncond = model.predict_pair(stage, stage.steps[1], patches, scale)
        guided = model.predict(stage, stage.steps[1], patches, scale)
        assert apart(uncond + scale * (cond - uncond), guided) <= CLOSE


def test_a_step_cache_of_diffusers_keeps_batches_apart(case: Case) -> None:
    """With one that is on and no context, diffusers stops; at a threshold of nothing it changes nothing."""
    from diffusers import FirstBlockCacheConfig

    net = case.make().components.get("transformer")
    if not hasattr(net, "enable_cache"):
        pytest.skip("the denoiser knows no step caches")
    if type(net).__name__ == "Flux2Transformer2DModel":
        pytest.skip("with its blocks the first-block cache of diffusers 0.42 fails by itself")
    stage = {"size": (256, 128), "steps": 2, "batch_size": 1}
    plain = run(stage_on(model_of(case), **stage), MultiDiffusion(stride=128))
    try:
        net.enable_cache(FirstBlockCacheConfig(threshold=1e-9))
    except ValueError:
        pytest.skip("diffusers has no blocks of this denoiser in its table")
    try:
        assert apart(plain, run(stage_on(model_of(case), **stage), MultiDiffusion(stride=128))) <= CLOSE
    finally:
        net.disable_cache()
