"""Estimates of memory, against what is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import CHECKPOINTS, info_of, plain, stage_on
from torch.profiler import ProfilerActivity, profile

from fusionkit import Fusion, Plugin
from fusionkit.errors import PluginError, RecipeError
from fusionkit.loop.stage import Patches, StagePlan
from fusionkit.loop.views import View
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_pipeline, wrap_pipeline
from fusionkit.models.memory import GIB, estimate_memory, machine_memory, memory_problems, views_per_pass
from fusionkit.recipe import Recipe
from fusionkit.recipe.made import make_recipe
from fusionkit.runs.run import prepare
from fusionkit.testing import tiny_controlnet, tiny_pipeline
from fusionkit.testing.tiny_adapter import save_tiny_adapter


def peak(work: Callable[[], Any]) -> int:
    """The most bytes of tensors that were alive at one time, beyond those that were before."""
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        work()
    events = [event for event in measured.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def models() -> dict[str, Any]:
    scenes = load_pipeline("tinyworld/scenes", "sd", dtype=torch.float32)
    return {"sd": plain("sd"), "sdxl": plain("sdxl"), "scenes": scenes}


@pytest.mark.parametrize("name", ["sd", "sdxl", "scenes"])
def test_estimates_are_near_the_measured_peak(name: str) -> None:
    model = wrap_pipeline(models()[name])
    width, height = model.info.window
    stage = stage_on(model, size=(width * 3, height), batch_size=4, device="cpu")
    views = tuple(View(0, left, *stage.window) for left in range(4))
    latents = torch.zeros(4, 4, *stage.window)
    patches = Patches(views, latents=latents, prompts=["a"] * 4)
    model.predict(stage, stage.steps[0], patches)

    estimate = estimate_memory(model.info, stage.recipe, [stage.plan])
    forward = peak(lambda: model.predict(stage, stage.steps[0], patches))
    decode = peak(lambda: model.decode(torch.zeros(stage.shape)))

    assert 0.8 <= estimate.forward / forward <= 1.6
    assert 0.8 <= estimate.decode / decode <= 1.6


def test_parts() -> None:
    info = info_of("sd")
    recipe = Recipe(model=str(CHECKPOINTS / "tiny-sd"), device="cpu", batch_size=2, size=(512, 128))
    stages = [StagePlan((512, 128)), StagePlan((1024, 256))]

    estimate = estimate_memory(info, recipe, stages)
    smaller = estimate_memory(info, recipe, stages[:1])
    tiled = estimate_memory(info, recipe.model_copy(update={"vae_tiling": True}), stages)
    unguided = estimate_memory(info, recipe.model_copy(update={"guidance_scale": 1.0}), stages)
    half = estimate_memory(info, recipe.model_copy(update={"dtype": "float16"}), stages)

    assert estimate.weights == 4 * info.parameters == 2 * half.weights
    assert estimate.total == estimate.weights + estimate.canvas + max(estimate.forward, estimate.decode)
    assert smaller.decode * 4 == estimate.decode
    assert tiled.decode < estimate.decode / 4
    assert unguided.forward * 2 == estimate.forward
    assert half.forward * 2 == estimate.forward


class Broken(Plugin):
    """Somebody's plugin that can't say what it loads."""

    @property
    def networks(self) -> dict[str, int]:
        raise ZeroDivisionError("no number")


def test_networks_of_plugins_are_counted_once_each(tmp_path: Path) -> None:
    info = info_of("sd")
    tiny_controlnet().save_pretrained(tmp_path / "net")
    adapter = save_tiny_adapter(tmp_path / "adapter", tiny_pipeline("sd").unet)
    steered = {"controlnet": {"model": str(tmp_path / "net"), "from": "hint.png"}}
    shown = {"ip-adapter": {"adapter": str(adapter), "picture": "a.png"}}

    def weights(*plugins: Any) -> int:
        recipe = make_recipe(model=str(CHECKPOINTS / "tiny-sd"), device="cpu", size=(64, 64), plugins=list(plugins))
        return estimate_memory(info, recipe, [StagePlan((64, 64))]).weights // 4 - info.parameters

    assert weights(steered) == weights(steered, steered) == tiny_controlnet().num_parameters()
    held = sum(tensor.numel() for tensor in load_file(adapter).values())
    assert weights(shown, steered, shown) == weights(steered) + held
    missing = {"controlnet": {"model": str(tmp_path / "none"), "from": "hint.png"}}
    assert weights(missing, {"controlnet": {**steered["controlnet"], "scale": 0}}) == 0
    with pytest.raises(PluginError, match="plugin 'broken' failed in 'networks': ZeroDivisionError: no number"):
        weights(Broken())


def test_a_batch_holds_no_more_views_than_there_are() -> None:
    info = info_of("sd")
    recipe = Recipe(model=str(CHECKPOINTS / "tiny-sd"), device="cpu", batch_size=10_000, size=(512, 128))
    stages = [StagePlan((512, 128))]
    one, five = (estimate_memory(info, recipe, stages, most=most).forward for most in (1, 5))
    assert five == 5 * one
    plan = prepare(recipe, info)
    assert plan.largest_group == 5
    assert prepare(recipe.model_copy(update={"window": (512, 128)}), info).largest_group == 1


def test_pixels_differ_by_at_most_one_grey_level_between_batch_sizes() -> None:
    fusion = Fusion.from_recipe("panorama-tinyworld", steps=3, size=(256, 64))
    one, whole = (fusion(progress=False, batch_size=size) for size in (1, 64))
    assert (one.batch_size, whole.batch_size) == (1, 7)
    pixels = [np.asarray(result.image).astype(int) for result in (one, whole)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1


def test_unknown_numbers_of_weights_are_the_familys() -> None:
    from dataclasses import replace

    info = replace(inspect_model(str(CHECKPOINTS / "tiny-sdxl")), parameters=0)
    recipe = Recipe(model="tiny", device="cpu", dtype="float16")
    assert 6 * GIB < estimate_memory(info, recipe, [StagePlan((1024, 1024))]).weights < 7 * GIB


def test_automatic_batches() -> None:
    from dataclasses import replace

    sd15 = replace(info_of("sd"), unet_channels=320)
    assert views_per_pass(sd15, (64, 64), 4, None) == 6
    assert views_per_pass(sd15, (16, 16), 4, None) == 8
    assert views_per_pass(sd15, (64, 64), 2, 20 * GIB) == 32
    assert views_per_pass(sd15, (64, 64), 2, 2 * GIB) == 6
    assert views_per_pass(sd15, (256, 256), 2, GIB) == 1


def test_a_canvas_larger_than_the_memory_is_refused_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine_memory(torch.device("cpu")) == psutil.virtual_memory().total
    # A machine so small that a canvas within all other limits is too large for it.
    room = 64 * 2**20
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=room, available=room))
    width = room // 1024 // 4 * 4
    for to_look_at in (False, True):
        with pytest.raises(RecipeError, match=f"^size {width}x64 needs about .* of memory, and there") as e:
            prepare(Recipe(prompt="", size=(width, 64)), inspect_model("tinyworld/scenes"), to_look_at=to_look_at)
        assert len(e.value.problems) == 1


def test_a_decoding_larger_than_the_memory_is_refused_but_can_be_looked_at() -> None:
    # So large that the whole picture can't be decoded at once, while its canvas is small.
    info = inspect_model("tinyworld/scenes")
    side = int((2 * machine_memory(torch.device("cpu")) / 4 / 16 / 8) ** 0.5) // 64 * 64
    recipe = Recipe(prompt="", size=(side, side), batch_size=1)
    assert memory_problems(info, recipe, [StagePlan(recipe.size)], canvas_only=True) == []
    (line,) = memory_problems(info, recipe, [StagePlan(recipe.size)], canvas_only=False)
    assert "use 'vae-tiling: true', a smaller size" in line
    tiled = recipe.model_copy(update={"vae_tiling": True})
    assert memory_problems(info, tiled, [StagePlan(recipe.size)], canvas_only=False) == []
