"""Views that plugins leave out and fill in: they cost nothing, plugins combine, and what is forgotten is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from fusionkit import Patches, Plugin, Stage, StageState, Step, View, hookimpl
from fusionkit.errors import NumericalError, PluginError
from fusionkit.loop.partly import chosen, filled, spread
from fusionkit.testing import PluginContract, execute_tiny, tiny_model, tiny_plan, tiny_run
from fusionkit.testing.resuming import ended_runs, whole_run
from fusionkit_accdiffusion import DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_accdiffusion.samples import among as predicted_among
from fusionkit_magicfusion import SaliencyNoiseBlending


class HalfAtATime(Plugin):
    """Predicts half of the views at each step but the first; the others keep their last prediction. Told in `views`."""

    _last = StageState(Tensor)

    @hookimpl(wrapper=True)
    def views(self, at: Step) -> Any:
        groups = yield
        return [group.narrowed(self.due(at, group), by=self) for group in groups]

    def due(self, at: Step, group: Patches) -> list[bool]:
        return [at.index == 0 or (at.index + number) % 2 == 0 for number in range(len(group.views))]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Any:
        prediction = yield
        last = self._last.get(stage)
        return prediction if last is None else filled(prediction, self.due(at, patches), last)

    @hookimpl(wrapper=True)
    def fuse(self, stage: Stage, groups: Any) -> Any:
        self._last.set(stage, groups[0].prediction)
        return (yield)


class FirstForLast(Plugin):
    """Gives the last views of a group what the first that is predicted gets. Told in `noise_prediction` itself."""

    last: int = 1
    fill: bool = True
    restore: bool = True

    def mask(self, patches: Patches) -> list[bool]:
        return [number < max(1, len(patches.views) - self.last) for number in range(len(patches.views))]

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Any:
        mask = self.mask(patches)
        if not self.restore:
            patches.left_out = patches.narrowed(mask, self).left_out
            return (yield)
        with patches.only(mask, by=self):
            first = patches.asked[:1]
            prediction = yield
        return filled(prediction, mask, prediction[first]) if self.fill else prediction

    @hookimpl(wrapper=True)
    def forward_passes(self, patches: Patches) -> Any:
        with patches.only(self.mask(patches), by=self):
            return (yield)


class Kept(Plugin):
    """Keeps what is asked, what is answered, and the passes of each question."""

    seen: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, patches: Patches) -> Any:
        before = sum(model.forward_passes for model in stage.models.values())
        prediction = yield
        passes = sum(model.forward_passes for model in stage.models.values()) - before
        self.seen.append((patches.predict, prediction, passes))
        return prediction


FIELDS: Any = {"size": (208, 64), "scheduler": "ddim", "steps": 4}  # four windows


def kept(*plugins: Plugin, models: Any = ("model",), **fields: Any) -> tuple[list[Any], Any, Tensor]:
    seen: list[Any] = []
    plan = tiny_plan([*plugins, Kept(seen=seen)], models=models, **{**FIELDS, **fields})
    return seen, plan, execute_tiny(plan)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def group(count: int, *left: list[bool]) -> Patches:
    patches = Patches(
        tuple(View(0, place, 2, 2) for place in range(count)),
        weights=normal(count, 1, 2, 2),
        latents=normal(count, 4, 2, 2),
        prompts=list("abcdefgh"[:count]),
    )
    for each in left:
        patches = patches.narrowed(each, FirstForLast())
    return patches


def test_two_masks_combine_by_and() -> None:
    assert (group(3).predict, group(3).asked) == (None, [0, 1, 2])
    both = group(4, [True, True, False, True], [False, True, True, True])
    assert both.predict == (False, True, False, True)
    assert both.asked == [1, 3]
    some = chosen(both)
    assert (some.views, some.prompts, some.left_out) == ((View(0, 1, 2, 2), View(0, 3, 2, 2)), ["b", "d"], ())
    assert some.latents.equal(both.latents[[1, 3]])
    assert some.weights is not None
    assert both.weights is not None
    assert some.weights.equal(both.weights[[1, 3]])
    whole = spread(both, some.latents)
    assert whole[[1, 3]].equal(some.latents)
    assert bool(whole[[0, 2]].isnan().all())
    full = filled(whole, both.predict, torch.zeros(1, 4, 2, 2))
    assert bool(full.isfinite().all())
    assert chosen(group(2)).views == group(2).views
    with pytest.raises(ValueError, match="2 booleans for 3 views"):
        group(3).narrowed([True, False], FirstForLast())
    alone = group(3)
    with alone.only([True, False, True], FirstForLast()):
        assert alone.asked == [0, 2]
        with alone.only([False, True, True], FirstForLast()):
            assert alone.asked == [2]
    assert alone.predict is None


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_views_that_are_left_out_cost_nothing_and_the_others_are_as_before(kind: Any) -> None:
    plan = tiny_plan(kind=kind, **FIELDS)
    (stage,) = plan.stages
    stage.model = model = tiny_model(kind)
    stage.models = {"model": model}
    at = stage.steps[0]
    (patches,) = plan.hooks.ask("views", stage=stage, at=at)
    patches = replace(patches, latents=normal(4, 4, 8, 8), prompts=["a hill"] * 4)
    with torch.inference_mode():
        whole, pair = model.predict(stage, at, patches), model.predict_pair(stage, at, patches)
        before = model.forward_passes
        some = patches.narrowed([True, False, False, True], FirstForLast())
        partly, partly_pair = model.predict(stage, at, some), model.predict_pair(stage, at, some)
        assert model.forward_passes - before == 2 * 2 * 2
        for ours, theirs in zip((partly, *partly_pair), (whole, *pair), strict=True):
            assert float((ours - theirs)[[0, 3]].abs().max()) < 1e-4
            assert bool(ours[[1, 2]].isnan().all())
        none = patches.narrowed([False] * 4, FirstForLast())
        assert bool(model.predict(stage, at, none).isnan().all())
        assert model.forward_passes - before == 2 * 2 * 2


def test_a_mask_told_in_views_is_counted_and_filled() -> None:
    seen, plan, latents = kept(HalfAtATime())
    assert [passes for _, _, passes in seen] == [8, 4, 4, 4]
    assert plan.forward_passes == 20
    assert seen[1][0] == (False, True, False, True)
    (_, first, _), (_, second, _), (_, third, _), _ = seen
    assert second[[0, 2]].equal(first[[0, 2]])
    assert third[[1, 3]].equal(second[[1, 3]])
    assert not second[1].equal(first[1])
    assert bool(latents.isfinite().all())


def test_a_mask_told_in_the_prediction_is_counted_and_filled() -> None:
    seen, plan, _ = kept(FirstForLast(last=2))
    assert [passes for _, _, passes in seen] == [4] * 4
    assert plan.forward_passes == 16
    assert {predict for predict, _, _ in seen} == {None}, "it is taken back"
    assert all(prediction[2].equal(prediction[0]) and prediction[3].equal(prediction[0]) for _, prediction, _ in seen)
    whole, _, _ = kept()
    assert float((seen[0][1][:2] - whole[0][1][:2]).abs().max()) < 1e-4


@pytest.mark.parametrize("order", [1, -1])
def test_two_of_them_combine(order: int) -> None:
    """Passes are those of the views that neither leaves out; of a view that both do, the outer one has the word."""
    seen, plan, latents = kept(*[HalfAtATime(), FirstForLast()][::order])
    # Of four views the last is never predicted; of the others, after the first step, one or two.
    assert [passes for _, _, passes in seen] == [6, 2, 4, 2]
    assert plan.forward_passes == 14
    (_, first, _), (_, second, _), (_, third, _), _ = seen
    assert first[3].equal(first[0])
    assert second[[0, 2]].equal(first[[0, 2]])
    assert second[3].equal(second[1]), "the first that is predicted at this step"
    assert third[1].equal(second[1])
    # At the third step both leave the last view out.
    assert third[3].equal(third[0] if order == 1 else second[3])
    assert bool(latents.isfinite().all())


def test_two_of_one_kind_combine() -> None:
    seen, plan, _ = kept(FirstForLast(last=1), FirstForLast(last=3))
    assert plan.forward_passes == 4 * 2
    assert [passes for _, _, passes in seen] == [2] * 4
    assert all(bool((prediction == prediction[:1]).all()) for _, prediction, _ in seen)


def test_blending_asks_its_models_for_the_others_alone() -> None:
    blending: Any = SaliencyNoiseBlending(
        models={"scene": {}, "rocket": {"prompt": "a rocket"}},
        blend={"from": 1.0, "to": 0.4},  # type: ignore[arg-type]
    )
    names = ("scene", "rocket")
    seen, plan, latents = kept(blending, FirstForLast(last=1), models=names)
    whole, _, _ = kept(blending, models=names)
    assert plan.forward_passes == sum(passes for _, _, passes in seen)
    assert [passes for _, _, passes in seen] == [each[2] * 3 // 4 for each in whole]
    assert float((seen[0][1][:3] - whole[0][1][:3]).abs().max()) < 1e-3
    assert bool(latents.isfinite().all())
    seen, plan, latents = kept(blending, HalfAtATime(), models=names)
    assert plan.forward_passes == sum(passes for _, _, passes in seen)
    assert bool(latents.isfinite().all())


def test_dilated_samples_exchange_pixels_among_those_that_are_predicted() -> None:
    order = normal(6, 2, 3, 3).argsort(0)
    among = predicted_among(order, [0, 2, 5])
    for number in (1, 3, 4):
        assert bool((among[number] == number).all())
    assert among.sort(0).values.equal(torch.arange(6).reshape(-1, 1, 1, 1).expand_as(among))
    assert not among[[0, 2, 5]].equal(torch.tensor([0, 2, 5]).reshape(-1, 1, 1, 1).expand(3, 2, 3, 3))
    plugins = [ProgressiveUpscaling(stages=()), DilatedSampling(), FirstForLast()]
    for each in (plugins, [plugins[0], plugins[2], plugins[1]]):
        assert bool(tiny_run(each, size=(128, 128), scheduler="ddim", steps=2).isfinite().all())


def test_attention_is_read_of_those_that_are_predicted() -> None:
    prompts = PatchContentPrompts(levels=(1,))
    plan = tiny_plan([prompts, HalfAtATime()], **FIELDS)
    assert bool(execute_tiny(plan).isfinite().all())
    (stage,) = plan.stages
    assert prompts.memory(stage).attention.steps == 4
    plugins = [ProgressiveUpscaling(stages=()), PatchContentPrompts(levels=(1,), threshold=0.1), FirstForLast()]
    assert bool(tiny_run(plugins, size=(128, 128), scheduler="ddim", steps=2).isfinite().all())


# What is forgotten


class Leaves(Plugin):
    """Leaves views out in `views`, and never fills them."""

    @hookimpl(wrapper=True)
    def views(self) -> Any:
        groups = yield
        return [each.narrowed([True] * (len(each.views) - 1) + [False], self) for each in groups]


class Widens(Plugin):
    """Asks for what others left out."""

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Any:
        before, patches.left_out = patches.left_out, ()
        prediction = yield
        patches.left_out = before
        return prediction


class Nan(Plugin):
    """Answers NaN where it was asked."""

    @hookimpl(wrapper=True)
    def noise_prediction(self) -> Any:
        return (yield) * float("nan")


@pytest.mark.parametrize(
    ("plugins", "line"),
    [
        (
            [FirstForLast(last=2, fill=False), HalfAtATime()],
            r"stage 1, step 1 of 4: plugin 'first-for-last' left out 2 of 4 views of kind 'window', the first number "
            r"2, and did not fill them with finite numbers; do so around 'noise_prediction'",
        ),
        (
            [HalfAtATime(), Leaves()],
            r"step 1 of 4: plugin 'leaves' left out 1 of 4 views of kind 'window', .* number 3",
        ),
        (
            [FirstForLast(restore=False)],
            "'first-for-last' in hook 'noise_prediction' did not take back what it left out",
        ),
        ([Widens(), FirstForLast()], "'widens' in hook 'noise_prediction' asks for views that another plugin left out"),
    ],
)
def test_what_is_left_unfilled_is_told_with_its_plugin(plugins: list[Plugin], line: str) -> None:
    with pytest.raises(PluginError, match=line):
        tiny_run(plugins, **FIELDS)


def test_numbers_that_are_lost_among_them_are_told_as_ever() -> None:
    with pytest.raises(NumericalError, match=r"the answer of plugin 'nan' in hook 'noise_prediction' has values"):
        tiny_run([Nan(), FirstForLast()], **FIELDS)


def test_a_mask_of_another_length_is_refused() -> None:
    class Short(Plugin):
        @hookimpl(wrapper=True)
        def views(self) -> Any:
            (each,) = yield
            return [replace(each, views=each.views[:2], left_out=each.narrowed([True] * 4, self).left_out)]

    with pytest.raises(PluginError, match=r"group 0 with left_out .*expected what 'patches\.narrowed' makes"):
        tiny_run([Short()], **FIELDS)


def test_a_plugin_that_leaves_nothing_out_changes_nothing() -> None:
    assert tiny_run([FirstForLast(last=0)], **FIELDS).equal(tiny_run([], **FIELDS))


class TestFirstForLast(PluginContract):
    """A plugin that leaves views out keeps the contract as any other."""

    plugin = FirstForLast
    options: ClassVar = {"last": 2}
    neutral: ClassVar = {"last": 0}
    imports_lightly = False
    test_options_are_described = None


class Twice(Plugin):
    """A ring, and over it once more from the middle of the schedule."""

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Any:
        (plan,) = yield
        return [replace(plan, wrap="x"), replace(plan, wrap="x", strength=0.6)]


@pytest.mark.parametrize("scheduler", ["dpm++-2m", "heun", "lms", "pndm", "unipc"])
def test_a_run_of_all_of_it_goes_on_from_any_step(scheduler: str) -> None:
    """What is left out, a beginning in the middle, a ring and an interval are of the plan: nothing is hidden."""

    def plan() -> Any:
        options = {scheduler: {"skip-prk-steps": True} if scheduler == "pndm" else {}}
        fields = {**FIELDS, "scheduler": options, "steps": 5, "guidance_interval": [0.2, 0.7]}
        return tiny_plan([Twice(), HalfAtATime(), FirstForLast()], **fields)

    whole, ended = whole_run(plan()), ended_runs(plan)
    assert [(each.stage, each.done) for each in ended] == [(each.stage, each.done) for each in whole]
    assert all(one.latents.equal(other.latents) for one, other in zip(whole, ended, strict=True))
