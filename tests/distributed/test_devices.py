"""One picture on several devices: the bits are those of one, whatever plugins do with the model."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fusionkit import Fusion, LayerPatch, Patches, Plugin, Stage, Wrapper, hookimpl
from fusionkit.distributed.distribute import distribute
from fusionkit.distributed.pool import Threads
from fusionkit.distributed.values import Answer, Shared
from fusionkit.errors import NumericalError, PluginError, RecipeError
from fusionkit.layers import ViewMemory
from fusionkit.runs.run import execute
from fusionkit.testing import tiny_pipeline, tiny_plan, tiny_run
from fusionkit.testing.devices import CopyingWorker
from fusionkit.testing.tiny import _on_devices
from fusionkit_accdiffusion import PatchContentPrompts, ProgressiveUpscaling
from fusionkit_fouriscale import FouriScale, FouriScaleGuidance
from fusionkit_gvcf import GuidedFusion, StyleAlignment
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_regions import Regions
from fusionkit_scalecrafter import ReDilation
from fusionkit_syncdiffusion import SyncDiffusion

TWO = {"devices": ["cpu", "cpu"]}
LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1"
ROLES: Any = {"one": {}, "two": {"prompt": "the sea"}}
PANORAMA: dict[str, Any] = {"size": (448, 64), "batch_size": 3}


class Puts(Plugin):
    """Puts on a layer what a function makes."""

    make: Callable[[], Any]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage) -> Wrapper[Tensor]:
        with stage.model.patched({LAYER: LayerPatch(around=self.make())}, self.plugin_name):
            return (yield)


def scaled() -> Any:
    factor = torch.tensor(0.5)

    def halved(forward: Any, *args: Any, **kwargs: Any) -> Any:
        return factor * forward(*args, **kwargs)

    return halved


def counted() -> Any:
    calls: list[int] = []

    def fading(forward: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return forward(*args, **kwargs) / len(calls)

    return fading


def summed() -> Any:
    total = torch.zeros(())

    def adding(forward: Any, *args: Any, **kwargs: Any) -> Any:
        total.add_(1)
        return forward(*args, **kwargs) / total

    return adding


def equal(plugins: list[Plugin], kind: Any = "sd", models: tuple[str, ...] = ("model",), **fields: Any) -> None:
    one, two, four = (
        tiny_run(plugins, kind, models, **{**PANORAMA, **fields}, **more)
        for more in ({}, TWO, {"devices": ["cpu"] * 4})
    )
    assert two.equal(one)
    assert four.equal(one)


def test_a_ring_of_regions_with_guidance_of_their_own_has_the_same_bits() -> None:
    boxes: Any = {
        "left": {"box": (0, 0, 0.4, 1), "adds": "with a moon", "guidance_scale": 1.0},
        "right": {"box": (0.5, 0, 0.5, 1), "prompt": "a boat, " * 40},
    }
    plugins = [Ring(axes="x"), MultiDiffusion(stride=40), GuidedFusion(), StyleAlignment(), Regions(boxes=boxes)]
    equal(plugins, size=(256, 64), guidance_interval=[0, 0.6], negative_prompt="rain", steps=2)


def test_two_models_that_blend_have_the_same_bits() -> None:
    equal([MultiDiffusion(stride=40), SaliencyNoiseBlending(models=ROLES)], models=("one", "two"), scheduler="dpm++-2m")


def test_what_is_heard_of_the_attention_has_the_same_bits() -> None:
    plugins = [ProgressiveUpscaling(), PatchContentPrompts(levels=(1,), tokens="all")]
    equal(plugins, size=(128, 128), steps=2, prompt="a hill and a boat")


def test_a_closure_on_a_layer_goes_to_the_devices_with_its_tensors() -> None:
    equal([Puts(make=scaled)])
    assert not tiny_run([Puts(make=scaled)], **PANORAMA, **TWO).equal(tiny_run([], **PANORAMA))


@pytest.mark.parametrize("make", [counted, summed])
def test_what_a_closure_keeps_is_not_lost_in_silence(make: Any) -> None:
    with pytest.raises(PluginError, match=r"puts: what it put on the model keeps something .* fusionkit\.layers"):
        tiny_run([Puts(make=make)], **PANORAMA, **TWO)


def test_what_is_kept_of_each_view_is_given_back_on_any_device() -> None:
    class Echo(Plugin):
        """Answers what a layer said of the same view at the step before, where there was one."""

        memories: list[ViewMemory] = []

        @hookimpl(wrapper=True)
        def noise_prediction(self, stage: Stage, patches: Patches) -> Wrapper[Tensor]:
            memory = ViewMemory()
            with stage.model.patched({LAYER: LayerPatch(around=partial(_keep, memory))}, self.plugin_name):
                stage.model.predict_with(stage, stage.steps[0], patches)
            with stage.model.patched({LAYER: LayerPatch(around=partial(_give, memory))}, self.plugin_name):
                yield
            self.memories.append(memory)
            return stage.model.predict_with(stage, stage.steps[0], patches)

    seen: list[ViewMemory] = []
    equal([Echo(memories=seen)], guidance_scale=1.0)
    assert [memory.of(range(100)) for memory in seen] == [{}] * len(seen)


def _keep(memory: ViewMemory, forward: Any, *args: Any, **kwargs: Any) -> Any:
    answer = forward(*args, **kwargs)
    memory.keep(LAYER, answer)
    return answer


def _give(memory: ViewMemory, *_: Any, **__: Any) -> Any:
    return memory.take(LAYER)


class Apart(Threads):
    """Threads whose tasks, answers and shared values are pickled, as those of other processes are."""

    def share(self, value: Any) -> Shared:
        return replace(super().share(value), ref=pickle.dumps(value))

    def run(self, tasks: Iterable[Any], done: Any = None) -> list[Answer]:
        sent: list[Any] = [pickle.loads(pickle.dumps(each)) for each in tasks]
        return [pickle.loads(pickle.dumps(answer)) for answer in super().run(sent, done)]


class Squares(SyncDiffusion, name="sync-diffusion"):
    """With the mean squared difference."""

    def unlikeness(self, stage: Stage, picture: Tensor, anchor: Tensor) -> Tensor:
        return 100 * (picture - anchor).square().mean()


@pytest.mark.parametrize(
    ("plugins", "names"),
    [
        ([MultiDiffusion(stride=16), Squares(), ReDilation(factor=1.5)], ("model",)),
        (
            [MultiDiffusion(stride=16), SaliencyNoiseBlending(models=ROLES), Puts(make=scaled)],
            ("one", "two"),
        ),
        ([ProgressiveUpscaling(), PatchContentPrompts(levels=(1,)), FouriScale(), FouriScaleGuidance()], ("model",)),
    ],
)
def test_everything_that_travels_can_be_pickled(plugins: list[Plugin], names: tuple[str, ...]) -> None:
    fields: Any = {"size": (128, 64), "steps": 2, "batch_size": 2, "prompt": "a hill"}
    plan = tiny_plan(plugins, models=names, **fields)
    pipes = {name: tiny_pipeline("sd", seed) for seed, name in enumerate(names)}
    pool = Apart(["cpu", "cpu"], partial(CopyingWorker, pipes, get=pickle.loads))
    models = distribute(pool, plan.recipe, plan.infos)
    assert execute(plan, models[names[0]], models).equal(tiny_run(plugins, models=names, **fields))
    pool.close()


def test_an_error_on_a_device_is_the_one_of_one_device() -> None:
    class Spoils(Plugin):
        """Predicts latents that are not finite."""

        @hookimpl(wrapper=True)
        def noise_prediction(self, patches: Patches) -> Wrapper[Tensor]:
            patches.latents = patches.latents * float("inf")
            return (yield)

    told = []
    for more in ({}, TWO):
        with pytest.raises(NumericalError) as raised:
            tiny_run([Spoils()], **PANORAMA, **more)
        told.append(str(raised.value))
    assert told[0].startswith("stage 1, step 1 of 3: the prediction of the model has values that are not finite")
    assert told[1] == told[0]


def test_batches_are_small_enough_for_all_devices_and_are_told() -> None:
    models: Any = _on_devices("sd", ("model",), ("cpu",) * 3)
    model = models["model"]
    for most, views, size in ((0, 7, 1), (40, 7, 3), (1000, 7, 8)):
        model.most_views, model.batches = most, {}
        tiny_run(size=(448, 64), devices=["cpu"] * 3, steps=1)
        assert model.batches == {(8, 8): size}, (most, views)
    model.most_views, model.batches = 0, {}


def test_one_embedded_model_on_two_devices_draws_the_picture_of_one(tmp_path: Path) -> None:
    fields: Any = {"size": (512, 64), "steps": 2, "seed": 3, "progress": False}
    many = Fusion.from_recipe("multidiffusion-tinyworld", devices="cpu, cpu")
    drawn = many(**fields)
    assert drawn.recipe.devices == ("cpu", "cpu")
    assert drawn.batches == {"model": {(16, 16): 3}}
    one = Fusion.from_recipe("multidiffusion-tinyworld", device="cpu")
    one.batches = drawn.batches
    alone = one(**fields)
    assert (alone.latents_hash, alone.image.tobytes()) == (drawn.latents_hash, drawn.image.tobytes())
    assert drawn.forward_passes == alone.forward_passes
    assert 0 < drawn.forward_share <= 1

    def stop(_: Any, step: Any, __: Any) -> bool:
        return step.index < 1

    kept = tmp_path / "kept"
    with pytest.raises(Exception, match="cancelled after step 2"):
        many(**fields, callback=stop, checkpoint=kept)
    assert one.resume(kept, one, device="cpu", progress=False).latents_hash == drawn.latents_hash


def test_a_device_and_devices_take_each_others_place() -> None:
    from fusionkit.recipe.recipe_file import load_recipes

    fusion = Fusion.from_recipe("multidiffusion-tinyworld", devices=["cpu", "cpu"])
    assert Fusion.from_recipe(fusion.recipe, device="cpu").recipe.devices is None
    (recipe,) = load_recipes("multidiffusion-tinyworld", ["device=cpu", "devices=[cpu, cuda:1]"])
    assert (recipe.device, recipe.devices) == ("auto", ("cpu", "cuda:1"))
    assert recipe.dump()["devices"] == ["cpu", "cuda:1"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"devices": ["cpu"], "device": "cpu"}, "has both 'device' and 'devices'"),
        ({"devices": []}, r"must be a list of devices, such as \[cuda:0, cuda:1\], not \[\]"),
        ({"devices": ["cpu", "gpu"]}, "must be auto, cpu, .* not 'gpu'"),
        ({"devices": ["cpu"] * 257}, "at most 256 devices, not 257"),
    ],
)
def test_devices_that_make_no_sense_are_refused(fields: Any, says: str) -> None:
    from fusionkit.recipe.made import make_recipe

    with pytest.raises(RecipeError, match=says):
        make_recipe(model="tinyworld/day", **fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"devices": ["cpu", "cuda:77"]}, "device 'cuda:77' is not there"),
        ({"devices": ["cpu", "cpu"], "compile": True}, "compile: its switches are of a process"),
        ({"devices": ["cpu", "cpu"], "offload": "model"}, "offload 'model' moves weights to a GPU"),
    ],
)
def test_what_devices_can_not_do_is_told_before_the_models_load(fields: Any, says: str) -> None:
    fusion = Fusion.from_recipe("multidiffusion-tinyworld", **fields)
    with pytest.raises(RecipeError, match=says):
        fusion(progress=False)
    assert not fusion._models


def test_a_pipeline_can_not_be_sent_to_other_devices() -> None:
    options: Any = {"pool": Threads(["cpu"])}
    for given in (options, {"devices": ["cpu", "cpu"]}):
        with pytest.raises(RecipeError, match="a pipeline is on one device and can't be sent to others"):
            Fusion.from_pipe(tiny_pipeline(), **given)


def test_bench_measures_one_device() -> None:
    from fusionkit.bench.bench import bench

    fusion = Fusion.from_recipe("multidiffusion-tinyworld", devices=["cpu", "cpu"])
    with pytest.raises(RecipeError, match="devices: bench takes the time of one device apart"):
        bench(fusion.recipe, fusion.infos)
