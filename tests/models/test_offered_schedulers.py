"""Schedulers that another package offers: by name, with options, with a class of its own, and when it is broken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from flow_plans import flow_plan

from fusionkit import Fusion, registry
from fusionkit.errors import PluginError, RecipeError
from fusionkit.models.schedulers.by_name import OFFERED, known_schedulers, resolve
from fusionkit.recipe.recipe import SchedulerSpec
from fusionkit.recipe.recipe_file import parse_recipe
from fusionkit.recipe.schema import recipe_schema
from fusionkit.runs.checks import check_file

Install = Callable[[str, str], None]
HALF = """
from diffusers import DDIMScheduler


class HalfStep(DDIMScheduler):
    def step(self, model_output, timestep, sample, share: float = 0.5):
        stepped = super().step(model_output, timestep, sample)
        stepped.prev_sample = sample + share * (stepped.prev_sample - sample)
        return stepped


class Nothing:
    pass
"""
FLOW = """
from diffusers import FlowMatchEulerDiscreteScheduler


class HalfFlow(FlowMatchEulerDiscreteScheduler):
    def step(self, model_output, timestep, sample, share: float = 0.5):
        stepped = super().step(model_output, timestep, sample)
        stepped.prev_sample = sample + share * (stepped.prev_sample - sample)
        return stepped
"""
NAMES = """
SCHEDULERS = {
    "ddim-trailing": ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    "half-step": ("theirs_half:HalfStep", {}),
    "whole-step": ("theirs_half:HalfStep", {"share": 1.0}),
    "half-flow": ("theirs_flow:HalfFlow", {}),
    "nothing": ("theirs_half:Nothing", {}),
    "missing": ("theirs_half:Missing", {}),
    "odd": "DDIMScheduler",
}
"""
RECIPE = {"model": "tinyworld/scenes", "prompt": "a landscape photo of the sea at noon", "size": (64, 64), "steps": 3}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    def install(name: str, code: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[fusionkit.schedulers]\n{name} = {name}_names:SCHEDULERS\n")
        (tmp_path / f"{name}_names.py").write_text(code)
        registry.forget()

    (tmp_path / "theirs_half.py").write_text(HALF)
    (tmp_path / "theirs_flow.py").write_text(FLOW)
    monkeypatch.syspath_prepend(tmp_path)
    yield install
    for module in ("theirs_half", "theirs_flow", "theirs_names", "broken_names"):
        sys.modules.pop(module, None)
    registry.forget()


def drawn(scheduler: Any) -> torch.Tensor:
    return Fusion.from_pretrained(**RECIPE, scheduler=scheduler)(progress=False).latents


def test_a_name_of_another_package_stands_for_a_class_with_options(install: Install) -> None:
    install("theirs", NAMES)
    assert known_schedulers()[: len(OFFERED)] == list(OFFERED)
    assert known_schedulers()[-6:] == ["ddim-trailing", "half-step", "whole-step", "half-flow", "nothing", "missing"]
    names = recipe_schema()["properties"]["scheduler"]["anyOf"][0]["enum"]
    assert names == known_schedulers()
    assert torch.equal(drawn("ddim-trailing"), drawn({"ddim": {"timestep-spacing": "trailing"}}))


def test_a_class_of_another_package_steps_the_canvas(install: Install) -> None:
    install("theirs", NAMES)
    assert torch.equal(drawn("whole-step"), drawn({"half-step": {"share": 1.0}}))
    assert torch.allclose(drawn("whole-step"), drawn("ddim"), atol=1e-5)
    assert float((drawn("half-step") - drawn("ddim")).abs().max()) > 0.1


def test_a_class_of_another_package_may_be_one_of_flows(install: Install) -> None:
    install("theirs", NAMES)
    (whole,), (half,), (plain,) = (
        [flow_plan(scheduler=scheduler, size=(64, 64), steps=3).stages[0].scheduler]
        for scheduler in ({"half-flow": {"share": 1.0}}, "half-flow", "flow-euler")
    )
    assert whole.timesteps.equal(plain.timesteps)
    assert (whole.prediction_type, whole.stochastic) == ("flow_prediction", False)
    x, u, at = torch.ones(1, 4, 8, 8), torch.full((1, 4, 8, 8), 0.5), plain.timesteps[0]
    steps = [each.step(u, at, x, x)[0] for each in (whole, half, plain)]
    assert steps[0].equal(steps[2])
    assert torch.allclose(steps[1], (x + steps[2]) / 2)
    with pytest.raises(RecipeError, match=r"'half-flow' \(theirs_flow:HalfFlow\) is for flow-matching models, and"):
        Fusion.from_pretrained(**RECIPE, scheduler="half-flow").plan()
    with pytest.raises(RecipeError, match=r"'half-step' \(theirs_half:HalfStep\) is for models that predict noise"):
        flow_plan(scheduler="half-step")


def test_what_is_wrong_with_one_is_told_before_a_model_loads(install: Install) -> None:
    install("theirs", NAMES)
    with pytest.raises(RecipeError, match=r"scheduler 'half-step' has no option 'shares'; did you mean 'share'\?"):
        check_file(parse_recipe("model: tinyworld/scenes\nscheduler:\n  half-step: {shares: 1}\n", "r.yaml"))
    with pytest.raises(PluginError, match=r"'nothing' \(theirs_half:Nothing\) is no subclass of diffusers' Scheduler"):
        Fusion.from_pretrained(**RECIPE, scheduler="nothing").plan()
    with pytest.raises(PluginError, match=r"'missing' can't be imported \(theirs_half:Missing\): AttributeError"):
        Fusion.from_pretrained(**RECIPE, scheduler="missing").plan()
    with pytest.raises(RecipeError, match="scheduler 'odd' must be a class' name and its options, not 'DDIMScheduler'"):
        resolve(SchedulerSpec(name="odd"))


def test_a_broken_package_hides_no_other_and_is_named_with_a_name_that_is_not_there(install: Install) -> None:
    install("broken", "import no_such_module\n")
    assert resolve(SchedulerSpec(name="ddim")) == "DDIMScheduler"
    with pytest.raises(RecipeError) as caught:
        resolve(SchedulerSpec(name="quick"))
    assert str(caught.value).endswith(
        "; 'broken' of package 'broken' can't be imported (broken_names:SCHEDULERS): "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )


def test_two_packages_with_one_name_are_both_named(install: Install) -> None:
    install("theirs", 'SCHEDULERS = {"ddim": ("DDPMScheduler", {})}\n')
    with pytest.raises(RecipeError) as caught:
        resolve(SchedulerSpec(name="ddim"))
    assert str(caught.value) == (
        "scheduler 'ddim' is offered by the packages 'fusionkit' and 'theirs'; uninstall all but one of them"
    )
    assert resolve(SchedulerSpec(name="ddpm")) == "DDPMScheduler"
