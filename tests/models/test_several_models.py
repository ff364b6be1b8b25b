"""A recipe with several models: what is loaded, what is shared, and what the loop and the plugins get."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import CHECKPOINTS, plain
from torch import Tensor

from fusionkit import Fusion, Patches, Plugin, Prompt, RecipeError, Stage, Step, hookimpl, windows
from fusionkit.cli.plan import describe
from fusionkit.loop.stage import StagePlan
from fusionkit.models.attention import capture
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_models
from fusionkit.models.memory import estimate_memory, models_beside
from fusionkit.pictures.image import metadata_of, output_path
from fusionkit.recipe import Recipe

TINY = str(CHECKPOINTS / "tiny-sd")
FIELDS: dict[str, Any] = {"prompt": "a cat", "size": (128, 128), "steps": 2, "device": "cpu"}


class Asked(Plugin):
    """The prediction of one model, by name, for a prompt of its own."""

    name: str
    prompt: str = "a cat"

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        asked = replace(patches, prompts=[Prompt(self.prompt)] * len(patches.views))
        return stage.models[self.name].predict(stage, at, asked)


class Averaged(Plugin):
    """The mean of all models' predictions."""

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        return torch.stack([model.predict(stage, at, patches) for model in stage.models.values()]).mean(0)

    @hookimpl(wrapper=True)
    def forward_passes(self, stage: Stage) -> Generator[None, int, int]:
        return (yield) * len(stage.infos)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder like tiny-sd with another denoiser, that of tiny-sd-b."""
    from diffusers import UNet2DConditionModel

    pipe = plain("sd")
    pipe.unet = UNet2DConditionModel.from_pretrained(CHECKPOINTS / "tiny-sd-b" / "unet")
    folder = tmp_path_factory.mktemp("models") / "other"
    pipe.save_pretrained(folder)
    return str(folder)


def loaded(**models: Any) -> dict[str, Any]:
    recipe = Recipe(models=models, device="cpu")
    return load_models(recipe, {name: inspect_model(spec.model) for name, spec in recipe.specs.items()})


def test_each_name_draws_what_its_model_draws_alone(other: str) -> None:
    models = {"scene": TINY, "expert": other}
    alone = [Fusion.from_pretrained(source, **FIELDS)(progress=False).latents for source in models.values()]
    assert (alone[0] - alone[1]).abs().max() > 0.1
    for name, expected in zip(models, alone, strict=True):
        latents = Fusion.from_pretrained(models, plugins=[Asked(name=name)], **FIELDS)(progress=False).latents
        assert latents.equal(expected), name


def test_what_is_equal_is_in_memory_once(other: str) -> None:
    models = loaded(scene=TINY, expert=other, again=TINY)
    scene, expert, again = (model.pipe for model in models.values())
    assert scene is again
    assert models["scene"] is not models["again"]
    assert scene.unet is not expert.unet
    assert scene.vae is expert.vae
    assert scene.text_encoder is expert.text_encoder
    assert len(weights_of(scene, expert)) == len(weights_of(scene)) + len(list(expert.unet.parameters()))


def weights_of(*pipes: Any) -> set[int]:
    parts = [part for pipe in pipes for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    return {weights.data_ptr() for part in parts for weights in part.parameters()}


def test_one_model_under_two_names_draws_two_prompts() -> None:
    models = {"scene": TINY, "subject": TINY}
    fusion = Fusion.from_pretrained(models, plugins=[Asked(name="subject", prompt="a dog")], **FIELDS)
    expected = Fusion.from_pretrained(TINY, **{**FIELDS, "prompt": "a dog"})(progress=False).latents
    assert fusion(progress=False).latents.equal(expected)


def test_attention_is_read_of_the_model_that_is_asked_for_alone() -> None:
    models = loaded(scene=TINY, subject=TINY)
    scene, subject = models.values()
    (stage,) = Fusion.from_pretrained(TINY, **FIELDS).plan().stages
    stage.model, stage.models = scene, models
    patches = Patches(windows(stage.canvas, stage.window, stage.window), prompts=["a cat"])
    patches.latents = stage.noise("init")
    with capture(scene, 1, patches.size, [1]) as seen:
        scene.predict(stage, stage.steps[0], patches)
    expected = seen.mean(1)
    with capture(scene, 1, patches.size, [1]) as seen:
        scene.predict(stage, stage.steps[0], patches)
        subject.predict(stage, stage.steps[0], replace(patches, prompts=["a dog"]))
    assert seen.mean(1).equal(expected)


def test_pipelines_that_the_caller_has() -> None:
    pipe, plugins = plain("sd"), [Averaged()]
    fields = {name: value for name, value in FIELDS.items() if name != "device"}
    both, one = Fusion.from_pipes({"a": pipe, "b": pipe}, plugins=plugins, **fields), Fusion.from_pipe(pipe, **fields)
    assert both(progress=False).latents.equal(one(progress=False).latents)
    with pytest.raises(RecipeError, match="from_pipes needs a pipeline"):
        Fusion.from_pipes({})
    with pytest.raises(RecipeError, match="models is decided by the pipeline"):
        Fusion.from_pipes({"a": pipe}, models={"a": TINY})


def test_forward_passes_are_planned_counted_and_told(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    fusion = Fusion.from_pretrained({"scene": TINY, "expert": other}, plugins=[Averaged()], **FIELDS)
    plan = fusion.plan()
    assert plan.views == (2,)
    assert plan.forward_passes == 8
    result = fusion()
    assert result.forward_passes == 8
    assert 0 < result.forward_share < 1
    assert "8/8" in capsys.readouterr().err
    described = describe(plan, [plan.recipe])
    assert f"scene: {TINY} (sd, " in described
    assert f"expert: {other} (sd, " in described
    assert "8 of the denoisers for 2 views" in described


def test_memory_counts_each_denoiser_once(other: str) -> None:
    info, more = inspect_model(TINY), inspect_model(other)
    recipe = Recipe(models={"scene": TINY, "expert": other, "again": TINY}, device="cpu")
    beside = models_beside({"scene": info, "expert": more, "again": info}, recipe)
    assert beside == [more]
    stages = [StagePlan((128, 128))]
    one, two = (estimate_memory(info, recipe, stages, each).weights for each in ((), beside))
    assert two - one == 4 * more.denoiser_parameters > 0
    offloaded = recipe.model_copy(update={"offload": "model"})
    assert estimate_memory(info, offloaded, stages, beside).weights == int(0.8 * one)


def test_a_lora_is_on_the_model_that_names_it_alone(tmp_path: Path) -> None:
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipe = plain("sd")
    torch.manual_seed(0)
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
    pipe.save_lora_weights(tmp_path, unet_lora_layers=get_peft_model_state_dict(pipe.unet))
    file = str(tmp_path / "pytorch_lora_weights.safetensors")
    models = {"scene": TINY, "expert": {"model": TINY, "loras": [{"path": file}]}}
    bare = Fusion.from_pretrained(TINY, **FIELDS)(progress=False).latents
    with_lora = Fusion.from_pretrained(TINY, loras=[{"path": file}], **FIELDS)(progress=False).latents
    assert (bare - with_lora).abs().max() > 1e-3
    for name, expected in (("scene", bare), ("expert", with_lora)):
        fusion = Fusion.from_pretrained(models, plugins=[Asked(name=name)], **FIELDS)
        assert fusion(progress=False).latents.equal(expected), name
    both = loaded(**models)
    assert both["scene"].pipe.text_encoder is both["expert"].pipe.text_encoder


def test_models_that_nothing_asks_are_a_mistake(other: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Fusion.from_pretrained({"scene": TINY, "expert": other}, **FIELDS).plan()
    assert caught.value.problems == [
        "models 'expert': no plugin of this recipe asks any model but 'scene'; add one that does, such as "
        "saliency-noise-blending, or name one 'model'"
    ]


def test_a_picture_says_which_models_drew_it(other: str) -> None:
    fusion = Fusion.from_pretrained({"scene": TINY, "expert": other}, plugins=[Averaged()], **FIELDS)
    result = fusion(progress=False)
    assert metadata_of(result)["model"] == f"{TINY}, {other}"
    named = output_path(result.recipe.model_copy(update={"output": Path("{model}.png")}))
    assert named == Path("tiny-sd+other.png")
    with pytest.raises(RecipeError, match="models can't change"):
        fusion(progress=False, models={"scene": other, "expert": TINY})
