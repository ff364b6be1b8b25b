"""Groups of views: whose each is, what a map of the canvas says of them, and who is named where they leave holes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import PrivateAttr
from torch import Tensor

from fusionkit import CanvasError, Patches, Plugin, RecipeError, Stage, View, Wrapper, gather, hookimpl, view_weights
from fusionkit.loop.defaults import Defaults
from fusionkit.testing import tiny_plan
from fusionkit.testing.tiny import execute_tiny

ANSWERED = (Patches((View(0, 0, 8, 8),), kind="extra"),)


class Adds(Plugin):
    """Adds a group, the same object each time, and looks which are its own."""

    _seen: list[Any] = PrivateAttr(default_factory=list)

    @hookimpl(wrapper=True)
    def views(self) -> Wrapper[Sequence[Patches]]:
        return [*(yield), *ANSWERED]

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Wrapper[Tensor]:
        self._seen.append(patches.origin is self)
        return (yield)

    @hookimpl(wrapper=True)
    def fuse(self, groups: Sequence[Patches]) -> Generator[None, Any, Any]:
        self._seen.append([number for number, group in enumerate(groups) if group.origin is self])
        return (yield)


class Rewrites(Plugin):
    """Copies every group, as wrappers do."""

    @hookimpl(wrapper=True)
    def views(self) -> Wrapper[Sequence[Patches]]:
        groups = yield
        return [replace(group.weighted(torch.ones(1, 1, 1, 1)), share=2.0 * group.share) for group in groups]


class Replaces(Plugin):
    """One group in place of the loop's."""

    @hookimpl
    def views(self, stage: Stage) -> Sequence[Patches]:
        return [Patches((View(0, 0, *stage.canvas),))]


def test_each_plugin_finds_its_own_groups_whoever_wraps_them() -> None:
    first, second, rewrites = Adds(), Adds(), Rewrites()
    plan = tiny_plan([first, rewrites, second, Rewrites()], steps=1)
    groups = plan.hooks.ask("views", stage=plan.stages[0], at=plan.stages[0].steps[0])
    assert isinstance(groups[0].origin, Defaults)
    assert [group.origin for group in groups[1:]] == [first, second]
    assert [group.share for group in groups] == [4.0, 4.0, 2.0]
    execute_tiny(plan)
    assert first._seen == [False, True, False, [1]]
    assert second._seen == [False, False, True, [2]]
    assert all(group.origin is None for group in ANSWERED)


def test_a_group_in_place_of_the_loops_is_the_plugins() -> None:
    replaces = Replaces()
    plan = tiny_plan([replaces])
    (group,) = plan.hooks.ask("views", stage=plan.stages[0], at=plan.stages[0].steps[0])
    assert group.origin is replaces


def test_a_map_of_the_canvas_is_cut_into_views() -> None:
    stage = tiny_plan(size=(160, 80)).stages[0]
    values = torch.arange(200.0).reshape(10, 20)
    views = (View(2, 3, 4, 5), View(0, 0, 4, 5, 2), View(8, 17, 4, 5))
    weights = view_weights(stage, values, views)
    assert weights.shape == (3, 1, 4, 5)
    assert weights[0, 0].equal(values[2:6, 3:8])
    assert weights[1, 0].equal(values[0:8:2, 0:10:2])
    assert weights[2, 0, :2, :3].equal(values[8:, 17:])
    assert float(weights[2, 0, 2:].abs().sum() + weights[2, 0, :, 3:].abs().sum()) == 0
    assert view_weights(stage, values[None, None].double(), views).equal(gather(values[None, None], views))
    for wrong in (values.T, values[None], torch.ones(80, 160)):
        with pytest.raises(ValueError, match=r"is none of the canvas; expected \(10, 20\) or \(1, 1"):
            view_weights(stage, wrong, views)


class LeavesAHole(Plugin):
    """Leaves out the last of the views."""

    @hookimpl(wrapper=True)
    def views(self) -> Wrapper[Sequence[Patches]]:
        (group,) = yield
        return [replace(group, views=group.views[:-1])]


def test_whoever_leaves_a_hole_is_named() -> None:
    with pytest.raises((RecipeError, CanvasError)) as error:
        tiny_plan([Rewrites(), LeavesAHole()])
    assert str(error.value) == (
        "12 of 200 latent pixels have no view, or no weight; the first is row 8, column 14 "
        "(asked: rewrites, leaves-ahole); change their options, or leave one out"
    )
