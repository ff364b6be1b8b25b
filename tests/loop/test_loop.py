"""The loop: order of plugins, what it asks, what it refuses, and whom it names."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fusionkit import (
    Cancelled,
    CanvasError,
    Fused,
    Patches,
    Plugin,
    PluginError,
    Prompt,
    RecipeError,
    RunMemory,
    Stage,
    StagePlan,
    Step,
    View,
    hookimpl,
)
from fusionkit.loop.manager import Manager
from fusionkit.testing import execute_tiny, tiny_plan, tiny_run
from fusionkit_multidiffusion import MultiDiffusion


class Add(Plugin):
    amount: float

    @hookimpl(wrapper=True)
    def init_noise(self) -> Generator[None, Tensor, Tensor]:
        return (yield) + self.amount


class Double(Plugin):
    @hookimpl(wrapper=True)
    def init_noise(self) -> Generator[None, Tensor, Tensor]:
        return (yield) * 2


class Zero(Plugin):
    @hookimpl
    def init_noise(self, stage: Stage) -> Tensor:
        return torch.zeros(stage.shape)


def first_noise(*plugins: Plugin) -> float:
    plan = tiny_plan(plugins)
    return float(plan.hooks.ask("init_noise", stage=plan.stages[0]).mean())


def test_the_first_wrapper_in_the_recipe_applies_first() -> None:
    assert first_noise(Zero(), Add(amount=3), Double()) == 6
    assert first_noise(Zero(), Double(), Add(amount=3)) == 3
    assert first_noise(Add(amount=3), Double(), Zero()) == 6  # what replaces is inside, wherever it stands
    assert first_noise(Zero(), Add(amount=1), Double(), Add(amount=1)) == 3  # one method twice, with two settings


class AnotherZero(Zero):
    pass


def test_two_plugins_that_replace_one_hook_are_named() -> None:
    with pytest.raises(PluginError, match="plugins 'zero' and 'another-zero' both replace the hook 'init_noise'"):
        tiny_plan([Zero(), AnotherZero()])


class Misspelt(Plugin):
    @hookimpl
    def init_nois(self, stage: Stage) -> Tensor:
        return torch.zeros(stage.shape)


class WrongArgument(Plugin):
    @hookimpl
    def init_noise(self, stages: Stage) -> Tensor:
        return torch.zeros(stages.shape)


def test_a_misspelt_hook_or_argument_is_named_with_what_is_near() -> None:
    with pytest.raises(PluginError, match=r"plugin 'misspelt' .* unknown hook 'init_nois'; did you mean 'init_noise'"):
        tiny_plan([Misspelt()])
    with pytest.raises(PluginError, match=r"plugin 'wrong-argument' takes 'stages' .*did you mean 'stage'"):
        tiny_plan([WrongArgument()])


def answering(hook: str, make: Any) -> Plugin:
    """A plugin that replaces one hook; `make` is called with the stage and the group or the groups."""

    def init_noise(self: Any, stage: Stage) -> Any:
        return make(stage)

    def noise_prediction(self: Any, stage: Stage, patches: Patches) -> Any:
        return make(patches)

    def prompt_per_patch(self: Any, patches: Patches) -> Any:
        return make(patches)

    def fuse(self: Any, stage: Stage, groups: Any) -> Any:
        return make(stage)

    def step(self: Any, stage: Stage) -> Any:
        return make(stage)

    def views(self: Any, stage: Stage) -> Any:
        return make(stage)

    function = locals()[hook]
    return type("Odd", (Plugin,), {hook: hookimpl(function)}, name="odd")()


@pytest.mark.parametrize(
    ("hook", "make", "line"),
    [
        ("init_noise", lambda stage: torch.zeros(1, 4, 2, 2), r"'init_noise' answered \(1, 4, 2, 2\) torch.float32"),
        ("init_noise", lambda stage: torch.zeros(stage.shape).half(), "'init_noise' answered .* torch.float16 on cpu"),
        ("init_noise", lambda stage: [1], "'init_noise' answered list"),
        ("noise_prediction", lambda patches: patches.latents[:-1], r"'noise_prediction' answered \(5, 4, 8, 8\)"),
        ("noise_prediction", lambda patches: patches.latents.double(), "'noise_prediction' answered .* torch.float64"),
        ("fuse", lambda stage: torch.zeros(stage.shape), "'fuse' answered Tensor; expected a Fused"),
        ("fuse", lambda stage: Fused(torch.zeros(3)), r"'fuse' answered \(3,\)"),
        ("fuse", lambda stage: Fused(torch.zeros(stage.shape), torch.zeros(2)), r"'fuse' answered \(2,\)"),
        ("step", lambda stage: torch.zeros(1, 4, 1, 1), r"'step' answered \(1, 4, 1, 1\)"),
        ("prompt_per_patch", lambda patches: "a hill", "'prompt_per_patch' answered 'a hill'; expected 6 strings"),
        ("prompt_per_patch", lambda patches: ["a"] * 5, "expected 6 strings or Prompts, one a view"),
        ("prompt_per_patch", lambda patches: [1] * 6, "expected 6 strings or Prompts"),
    ],
)
def test_an_answer_that_does_not_fit_names_hook_shapes_and_plugin(hook: str, make: Any, line: str) -> None:
    with pytest.raises(PluginError, match=line) as error:
        tiny_run([answering(hook, make)])
    assert "(asked: odd)" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


class Fails(Plugin):
    @hookimpl(wrapper=True)
    def fuse(self) -> Generator[None, Fused, Fused]:
        yield
        raise KeyError("lost\nand found")


class Innocent(Plugin):
    @hookimpl(wrapper=True)
    def fuse(self) -> Generator[None, Fused, Fused]:
        return (yield)


@pytest.mark.parametrize("plugins", [[Fails(), Innocent()], [Innocent(), Fails()]])
def test_an_exception_names_the_plugin_and_the_hook_in_one_line(plugins: list[Plugin]) -> None:
    with pytest.raises(PluginError, match=r"^plugin 'fails' failed in hook 'fuse': KeyError: ") as error:
        tiny_run(plugins)
    assert len(str(error.value).splitlines()) == 1
    assert isinstance(error.value.__cause__, KeyError)


class Stops(Plugin):
    error: Any

    @hookimpl
    def step_done(self, at: Step) -> None:
        if at.index == 1:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Cancelled("enough")])
def test_an_interruption_is_not_blamed_on_a_plugin(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        tiny_run([Stops(error=error)])
    assert caught.value is error


class Log(Plugin):
    """Writes down what is asked."""

    lines: Any

    @hookimpl(wrapper=True)
    def init_noise(self) -> Generator[None, Tensor, Tensor]:
        self.lines.append("init_noise")
        return (yield)

    @hookimpl(wrapper=True)
    def init_latents(self) -> Generator[None, Tensor, Tensor]:
        self.lines.append("init_latents")
        return (yield)

    @hookimpl(wrapper=True)
    def views(self, at: Step) -> Generator[None, Any, Any]:
        self.lines.append(f"views {at.index}")
        return (yield)

    @hookimpl(wrapper=True)
    def prompt_per_patch(self, at: Step, patches: Patches) -> Generator[None, Any, Any]:
        self.lines.append(f"prompt_per_patch {at.index} {patches.kind}")
        return (yield)

    @hookimpl(wrapper=True)
    def noise_prediction(self, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        self.lines.append(f"noise_prediction {at.index} {patches.kind}")
        return (yield)

    @hookimpl(wrapper=True)
    def fuse(self, at: Step) -> Generator[None, Fused, Fused]:
        self.lines.append(f"fuse {at.index}")
        return (yield)

    @hookimpl(wrapper=True)
    def step(self, at: Step) -> Generator[None, Tensor, Tensor]:
        self.lines.append(f"step {at.index}")
        return (yield)

    @hookimpl
    def step_done(self, at: Step, latents: Tensor) -> None:
        self.lines.append(f"step_done {at.index}")

    @hookimpl
    def stage_done(self, stage: Stage, latents: Tensor) -> None:
        self.lines.append(f"stage_done {stage.index} {tuple(latents.shape)}")


class TwoGroups(Plugin):
    @hookimpl(wrapper=True)
    def views(self) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        groups = yield
        return [*groups, replace(groups[0], kind="again")]


def test_the_hooks_are_asked_in_the_order_of_the_table() -> None:
    lines: list[str] = []
    plan = tiny_plan([TwoGroups(), Log(lines=lines)], steps=2)
    planned, lines[:] = list(lines), []
    execute_tiny(plan)
    each = [
        "views", "prompt_per_patch {} window", "noise_prediction {} window", "prompt_per_patch {} again",
        "noise_prediction {} again", "fuse", "step", "step_done",
    ]  # fmt: skip
    steps = [line.format(i) if "{}" in line else f"{line} {i}" for i in range(2) for line in each]
    assert planned == ["views 0", "views 1"]
    assert lines == ["init_noise", "init_latents", *steps, "stage_done 0 (1, 4, 10, 20)"]


def test_a_step_has_one_call_of_the_scheduler_and_the_views_are_counted() -> None:
    plan = tiny_plan([MultiDiffusion(stride=32)], steps=5)
    assert (plan.steps, list(plan.views), plan.forward_passes) == (5, [40], 80)
    assert [(step.index, step.total, step.is_last) for step in plan.stages[0].steps][-1] == (4, 5, True)


class Keeps(Plugin):
    """Answers the same groups at every step and keeps those that it sees, as a plugin with a cache does."""

    groups: Any
    seen: Any

    @hookimpl
    def views(self) -> Sequence[Patches]:
        return self.groups

    @hookimpl
    def step_done(self) -> None:
        self.seen.append([patches.prediction for patches in self.groups])


def test_groups_that_a_plugin_caches_stay_as_they_were() -> None:
    groups = list(tiny_plan().hooks.ask("views", stage=tiny_plan().stages[0], at=tiny_plan().stages[0].steps[0]))
    seen: list[Any] = []
    before = replace(groups[0])
    latents = tiny_run([Keeps(groups=groups, seen=seen)])
    assert seen == [[None], [None], [None]]
    assert groups == [before]
    assert latents.equal(tiny_run())


class Holds(Plugin):
    """Remembers the first step's prediction without keeping it alive."""

    kept: Any

    @hookimpl(wrapper=True)
    def fuse(self, at: Step, groups: Sequence[Patches]) -> Generator[None, Fused, Fused]:
        fused = yield
        if at.index == 0:
            self.kept.append(weakref.ref(groups[0].prediction))
        else:
            gc.collect()
            assert self.kept[0]() is None, "the loop keeps the groups of earlier steps"
        return fused


def test_a_step_keeps_nothing_of_the_step_before() -> None:
    kept: list[Any] = []
    tiny_run([Holds(kept=kept)])
    assert len(kept) == 1


def corner(stage: Stage) -> list[Patches]:
    height, width = stage.canvas
    return [Patches((View(0, 0, height, width - 1), View(1, 1, height, width - 1)))]


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda s: [Patches((View(0, 0, 10, 12),)), Patches((View(0, 13, 10, 7),))], "10 of 200 .* row 0, column 12"),
        (
            lambda s: [Patches((View(0, 0, 10, 20),), weights=torch.ones(10, 20).index_fill(0, torch.tensor(3), 0))],
            "20 of 200 latent pixels have no view, or no weight; the first is row 3, column 0",
        ),
        (lambda s: [Patches(())], "a group of kind 'window' has no views"),
        (lambda s: [Patches((View(0, 0, 10, 20), View(0, 0, 9, 20)), kind="odd")], r"'odd' mixes views of \(10, 20\)"),
        (lambda s: [Patches((View(0, 1, 10, 20),))], "10 of 200 .* row 0, column 0"),
        (lambda s: [Patches((View(-1, 0, 10, 20),))], "20 of 200 .* row 9, column 0"),
        (lambda s: [Patches((View(0, 20, 10, 20),))], "lies outside the canvas of 20x10 latent pixels"),
        (lambda s: [Patches((View(-10, 0, 10, 20),))], "lies outside the canvas"),
        (lambda s: [Patches((View(-5, 0, 5, 10, 1), View(0, 0, 5, 10, 3)))], "lies outside the canvas"),
    ],
)
def test_a_canvas_with_a_hole_is_refused_before_the_first_step(make: Any, line: str) -> None:
    with pytest.raises((RecipeError, CanvasError), match=line):
        tiny_plan([answering("views", make)])


def test_dilated_views_cover_and_predict() -> None:
    def dilated(stage: Stage) -> list[Patches]:
        return [Patches(tuple(View(y, x, 5, 10, 2) for y in range(2) for x in range(2)), kind="dilated")]

    assert bool(tiny_run([answering("views", dilated)]).isfinite().all())


class Prompts(Plugin):
    texts: Any

    @hookimpl
    def prompt_per_patch(self, patches: Patches) -> Sequence[str | Prompt]:
        return [self.texts[i % len(self.texts)] for i in range(len(patches.views))]


def test_prompts_are_strings_or_prompts_and_each_view_has_its_own() -> None:
    plain = tiny_run()
    assert tiny_run([Prompts(texts=["a hill"])]).equal(plain)
    assert tiny_run([Prompts(texts=[Prompt("a hill")])]).equal(plain)
    assert not tiny_run([Prompts(texts=["a hill", "the sea"])]).equal(plain)
    negative = tiny_run([Prompts(texts=[Prompt("a hill", negative="rain")])])
    assert not negative.equal(plain)
    assert negative.equal(tiny_run(negative_prompt="rain"))


class TwoStages(Plugin):
    seen = RunMemory(list[int])

    @hookimpl
    def plan_stages(self, recipe: Any) -> list[StagePlan]:
        return [StagePlan((80, 40), steps=2, name="small"), StagePlan(recipe.size, name="large")]

    @hookimpl(wrapper=True)
    def init_latents(self, stage: Stage) -> Generator[None, Tensor, Tensor]:
        latents = yield
        if stage.previous is None:
            assert stage.index == 0
            return latents
        self.seen.set(stage, list(stage.previous.shape))
        return latents + torch.nn.functional.interpolate(stage.previous, stage.canvas)


def test_stages_follow_each_other() -> None:
    lines: list[str] = []
    plugin = TwoStages()
    plan = tiny_plan([plugin, Log(lines=lines)])
    latents = execute_tiny(plan)
    assert [len(stage.steps) for stage in plan.stages] == [2, 3]
    assert latents.shape == (1, 4, 10, 20)
    assert plan.stages[0].memory is plan.stages[1].memory
    assert [plugin.seen.get(stage) for stage in plan.stages] == [[1, 4, 5, 10]] * 2
    assert TwoStages().seen.get(plan.stages[1]) is None
    assert [line for line in lines if line.startswith("stage_done")] == [
        "stage_done 0 (1, 4, 5, 10)",
        "stage_done 1 (1, 4, 10, 20)",
    ]


def test_a_plugin_object_serves_many_runs() -> None:
    plugin = Double()
    assert Manager([plugin]).plugins == Manager([plugin]).plugins
    assert tiny_run([plugin]).equal(tiny_run([plugin]))


class Around(Plugin):
    """Wraps a hook and does nothing else."""

    @hookimpl(wrapper=True)
    def init_noise(self) -> Generator[None, Tensor, Tensor]:
        return (yield)


def test_a_plugin_is_not_blamed_for_what_fails_inside_the_loops_own_answer() -> None:
    """The wrapper's frame is on the traceback, too, since the error passes through it."""
    with pytest.raises(AttributeError, match="'object' object has no attribute 'noise'"):
        Manager([Around()]).ask("init_noise", stage=object())
