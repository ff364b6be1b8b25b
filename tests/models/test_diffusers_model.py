"""What the adapter does beside the plain pipeline: batches, prompts, crop coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from rounding import rounding
from tiny_models import drawn, plain, run, stage_on

from fusionkit import ModelError, Plugin, hookimpl
from fusionkit.loop.canvas import gather
from fusionkit.loop.stage import Patches, Prompt, Stage
from fusionkit.loop.views import View, windows
from fusionkit.models.load import wrap_pipeline


def patches_on(stage: Stage, views: Sequence[View], prompts: Sequence[str | Prompt]) -> Patches:
    return Patches(tuple(views), latents=gather(stage.noise("init"), views), prompts=prompts)


class TwoPrompts(Plugin):
    """Every other view shows something else."""

    @hookimpl
    def prompt_per_patch(self, patches: Patches) -> Sequence[str | Prompt]:
        return ["a cat" if number % 2 else Prompt("a dog", negative="wet") for number in range(len(patches.views))]


@pytest.fixture
def model(pipe: Any) -> Any:
    return wrap_pipeline(pipe)


def wide(model: Any, **recipe: Any) -> Stage:
    width, height = model.info.window
    return stage_on(model, size=(width * 2 + 24, height), **recipe)


def test_batch_size_changes_nothing(model: Any) -> None:
    results = [run(wide(model, batch_size=size, steps=2, guidance_scale=2.0), TwoPrompts()) for size in (1, 2, 3, None)]

    # Convolutions of another batch size round differently.
    allowed = rounding(results[0], passes=2, guidance=2)
    assert allowed < 1e-3
    assert all((result - results[0]).abs().max() <= allowed for result in results[1:])


def test_batch_size_of_the_wrapper_counts_unless_the_recipe_says(pipe: Any) -> None:
    sizes: list[int] = []
    pipe.unet.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))

    run(wide(wrap_pipeline(pipe, batch_size=2), steps=1))
    run(wide(wrap_pipeline(pipe, batch_size=2), steps=1, batch_size=3))

    assert sizes == [4, 2, 6]


def test_each_prompt_is_encoded_once(pipe: Any) -> None:
    asked: list[int] = []
    pipe.text_encoder.register_forward_hook(lambda module, args, output: asked.append(1))
    model = wrap_pipeline(pipe)

    run(wide(model, batch_size=1, negative_prompt="ugly", steps=2), TwoPrompts())
    run(wide(model, negative_prompt="ugly", steps=2), TwoPrompts())

    # A cat, a dog, wet, ugly: the same in the second run.
    assert len(asked) == 4


def test_pair_is_what_guidance_mixes(model: Any) -> None:
    stage = wide(model, guidance_scale=3.0)
    views = windows(stage.canvas, stage.window, (8, 8))
    patches = patches_on(stage, views, ["a cat"] * len(views))

    cond, uncond = model.predict_pair(stage, stage.steps[0], patches)
    guided = model.predict(stage, stage.steps[0], patches)

    assert cond.shape == uncond.shape == patches.latents.shape
    assert guided.dtype == torch.float32
    assert (cond - uncond).abs().max() > 1e-4
    assert torch.allclose(guided, uncond + 3.0 * (cond - uncond), atol=rounding(guided, guidance=3))


def test_a_negative_of_a_prompt_replaces_the_recipes(model: Any) -> None:
    stage = stage_on(model, negative_prompt="ugly")
    view = [View(0, 0, *stage.window)]

    def uncond(prompt: str | Prompt) -> torch.Tensor:
        return model.predict_pair(stage, stage.steps[0], patches_on(stage, view, [prompt]))[1]

    assert uncond("a cat").equal(uncond(Prompt("a cat", negative="ugly")))
    assert not torch.allclose(uncond("a cat"), uncond(Prompt("a cat", negative="")), atol=1e-4)


def test_latents_are_not_changed(model: Any) -> None:
    stage = stage_on(model, "euler")
    patches = patches_on(stage, [View(0, 0, *stage.window)], ["a cat"])
    before = patches.latents.clone()

    model.predict(stage, stage.steps[0], patches)

    assert patches.latents.equal(before)


def test_sdxl_is_told_where_a_view_lies() -> None:
    pipe = plain("sdxl")
    seen: list[dict[str, Any]] = []
    pipe.unet.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True)
    model = wrap_pipeline(pipe)
    stage = stage_on(model, size=(512, 384))
    # A view over the border begins at it; a dilated one shows the whole picture.
    views = [View(3, 5, 16, 16), View(-2, 5, 16, 16), View(3, 5, 16, 16, dilation=2), View(3, 5, 16, 16, across=2)]

    model.predict(stage, stage.steps[0], patches_on(stage, views, ["a cat"] * 4))

    ids = [[384, 512, top, left, 384, 512] for top, left in ((24, 40), (0, 40), (0, 0), (0, 0))]
    conditions = seen[0]["added_cond_kwargs"]
    assert conditions["time_ids"].tolist() == [*ids, *ids]
    # The unconditional half of an empty negative prompt is zeros, as in the pipeline.
    assert conditions["text_embeds"][:4].abs().max() > 0
    assert conditions["text_embeds"][4:].abs().max() == 0
    assert seen[0]["encoder_hidden_states"][4:].abs().max() == 0


def test_sdxl_without_forced_zeros_encodes_the_empty_prompt() -> None:
    pipe = plain("sdxl")
    pipe.register_to_config(force_zeros_for_empty_prompt=False)
    model = wrap_pipeline(pipe)
    stage = stage_on(model)

    theirs = drawn(pipe, stage)

    assert (run(stage) - theirs).abs().max() <= 1e-4


def test_distilled_models_take_the_guidance_scale_as_an_input() -> None:
    from diffusers import UNet2DConditionModel

    pipe = plain("sd")
    torch.manual_seed(0)
    pipe.unet = UNet2DConditionModel.from_config(pipe.unet.config, time_cond_proj_dim=8).eval()
    model = wrap_pipeline(pipe)
    stage = stage_on(model, guidance_scale=5.0)

    theirs = drawn(pipe, stage, guidance_scale=5.0)

    assert (run(stage) - theirs).abs().max() <= 1e-4
    assert model.forward_passes == 4


def test_tiled_decoding_is_near_the_whole(pipe: Any) -> None:
    stage = wide(wrap_pipeline(pipe))
    latents = stage.noise("init")
    whole = wrap_pipeline(pipe).decode(latents)
    tiled = wrap_pipeline(pipe, vae_tiling=True).decode(latents)

    assert whole.size == tiled.size == stage.recipe.size
    assert tiled.tobytes() != whole.tobytes()


def test_a_picture_that_does_not_fit_is_refused(model: Any) -> None:
    with pytest.raises(ModelError, match=r"^a picture of 65x64 can't be encoded: its sides must be divisible by 8$"):
        model.encode(Image.new("RGB", (65, 64)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(kind: str, dtype: torch.dtype, checkpoint: Callable[[str], str]) -> None:
    from fusionkit.models.load import load_pipeline

    full = run(stage_on(wrap_pipeline(plain(kind)), steps=2, guidance_scale=2.0))
    model = wrap_pipeline(load_pipeline(checkpoint(kind), kind, dtype=dtype))
    latents = run(stage_on(model, steps=2, guidance_scale=2.0))

    assert latents.dtype == torch.float32
    assert (latents - full).abs().max() <= (0.02 if dtype == torch.float16 else 0.2)
    assert model.decode(latents).size == model.info.window


def test_a_vae_that_overflows_in_float16_is_decoded_in_float32() -> None:
    pipe = plain("sd")
    expected = wrap_pipeline(pipe).decode(torch.zeros(1, 4, 8, 8))
    pipe.vae.register_to_config(force_upcast=True)
    pipe.vae.half()
    types: list[torch.dtype] = []
    pipe.vae.decoder.register_forward_pre_hook(lambda module, args: types.append(args[0].dtype))

    picture = wrap_pipeline(pipe).decode(torch.zeros(1, 4, 8, 8))

    assert types == [torch.float32]
    assert pipe.vae.dtype == torch.float16
    assert picture.size == expected.size
