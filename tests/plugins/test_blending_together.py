"""Saliency-noise-blending inside what other plugins make: panoramas, upscaling, prompts of views, ControlNets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blending import TWO, blending, normal, plan_of, run
from PIL import Image

from fusionkit import Patches, Plugin, Prompt, Recipe, RecipeError, Stage, Step, View, hookimpl
from fusionkit.loop.canvas import gather
from fusionkit.loop.stage import Control
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipeline
from fusionkit.runs.run import prepare
from fusionkit.testing import Kind, tiny_controlnet, tiny_pipeline
from fusionkit.testing.tiny import KINDS
from fusionkit_accdiffusion import ControlNet, DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_multidiffusion import MultiDiffusion


def test_each_view_of_a_panorama_is_blended_by_itself() -> None:
    seen: list[Any] = []
    fields: Any = {"size": (160, 80), "steps": 2}
    run([MultiDiffusion(stride=32), Seen(seen=seen), blending()], **fields)
    plan = plan_of([MultiDiffusion(stride=32), blending()], **fields)
    (stage,) = plan.stages
    stage.models = {name: wrap_pipeline(tiny_pipeline("sd", seed)) for name, seed in TWO.items()}
    stage.model = stage.models["scene"]
    assert [len(patches.views) for _, patches, _ in seen] == [8, 8]
    for at, patches, answer in seen:
        for number, view in enumerate(patches.views):
            one = Patches(
                (view,), latents=patches.latents[number : number + 1], prompts=patches.prompts[number : number + 1]
            )
            alone = plan.hooks.ask("noise_prediction", stage=stage, at=at, patches=one)
            assert float((alone - answer[number : number + 1]).abs().max()) < 1e-4


class Seen(Plugin):
    """Keeps every group and what is predicted for it."""

    seen: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, at: Step, patches: Patches) -> Any:
        answer = yield
        self.seen.append((at, replace(patches), answer))
        return answer


@pytest.mark.parametrize("kind", KINDS)
def test_it_works_in_an_upscaling_with_dilated_samples(kind: Kind) -> None:
    seen: list[Any] = []
    plugins = [
        ProgressiveUpscaling(),
        MultiDiffusion(stride=32),
        blending(),
        Seen(seen=seen),
        DilatedSampling(),
    ]
    fields: Any = {"size": (128, 128), "steps": 2}
    latents = run(plugins, TWO, kind, **fields)
    assert latents.shape == (1, 4, 16, 16)
    assert {patches.kind for _, patches, _ in seen} == {"window", "dilated"}
    same = {"prompt": "a hill"}
    twice = [*plugins[:2], blending({"scene": same, "rocket": same}), DilatedSampling()]
    assert run(twice, {"scene": 0, "rocket": 0}, kind, **fields).equal(
        run([*plugins[:2], DilatedSampling()], {"model": 0}, kind, **fields)
    )


def test_a_view_is_blended_over_its_own_dilated_pixels() -> None:
    view, other = View(0, 0, 8, 8, 2), View(1, 1, 8, 8, 2)
    canvas = normal(1, 4, 16, 16)
    assert gather(canvas, [view, other]).shape == (2, 4, 8, 8)
    plan = plan_of([blending()], size=(128, 128))
    (stage,) = plan.stages
    stage.models = {name: wrap_pipeline(tiny_pipeline("sd", seed)) for name, seed in TWO.items()}
    stage.model = stage.models["scene"]
    patches = Patches((view, other), "dilated", latents=gather(canvas, [view, other]), prompts=[Prompt("a hill")] * 2)
    plan.hooks.ask("noise_prediction", stage=stage, at=stage.steps[0], patches=patches)
    # Half of the rows, and half of the columns, belong to each of the two.
    counts = plan.recipe.plugins[0]._winners(stage)._counts[0].sum(0)
    assert float(counts.sum()) == 2 * 64
    assert bool((counts[::2, ::2] == 1).all())
    assert bool((counts[1::2, 1::2] == 1).all())


def test_attention_of_the_main_model_is_read_undisturbed() -> None:
    fields: Any = {"size": (128, 128), "steps": 2, "prompt": "a red hill"}
    plugins = [ProgressiveUpscaling(), MultiDiffusion(stride=32), PatchContentPrompts(levels=(1,))]
    for span in ({}, {"to": 0.4, "otherwise": "rocket"}, {"from": 0.4, "otherwise": "rocket"}):
        assert bool(run([*plugins, blending(blend=span)], **fields).isfinite().all())
    same = {"prompt": "a red hill"}
    # The prompts of the views are those of the main model; the expert's stays whole.
    assert not run([*plugins, blending({"scene": {}, "rocket": same})], {"scene": 0, "rocket": 0}, **fields).equal(
        run([*plugins[:2], blending({"scene": {}, "rocket": same})], {"scene": 0, "rocket": 0}, **fields)
    )


class Steered(Plugin):
    """A ControlNet with a hint of noise, on all predictions."""

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, patches: Patches) -> Any:
        height, width = (side * stage.factor for side in stage.canvas)
        hint = stage.noise("hint", (1, 3, height, width)).sigmoid()
        patches.controls = (Control(tiny_controlnet("sd"), hint, 1.0),)
        try:
            return (yield)
        finally:
            patches.controls = ()


def test_all_models_are_steered() -> None:
    steered = run([blending(), Steered()])
    assert float((steered - run([blending()])).abs().max()) > 1e-3
    same = {name: {"prompt": "a hill"} for name in TWO}
    assert run([blending(same), Steered()], {"scene": 0, "rocket": 0}).equal(run([Steered()], {"model": 0}))


def test_a_controlnet_must_fit_all_models(tmp_path: Path) -> None:
    tiny_controlnet("sd").save_pretrained(tmp_path / "net")
    info = info_of_pipeline(tiny_pipeline("sd"))
    infos = {"scene": info, "rocket": replace(info, name="another", cross_attention_dim=24)}
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    plugins = [blending(), ControlNet(model=str(tmp_path / "net"), annotator="none", from_=tmp_path / "a.png")]
    with pytest.raises(RecipeError) as raised:
        prepare(Recipe(prompt="a hill", size=(64, 64), plugins=plugins), info, infos=infos)
    (line,) = raised.value.problems
    assert "does not fit model 'another': its cross_attention_dim is 16, not 24" in line


# Bad input
