"""Shifted windows: where they lie at each step, when they overlap, and what is said of what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fusionkit import RecipeError, View
from fusionkit.loop.denoise import ask_views
from fusionkit.testing import tiny_plan, tiny_run
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_spotdiffusion import ShiftedWindows


def views_of(step: int = 0, fields: Any = None, **options: Any) -> tuple[View, ...]:
    plan = tiny_plan([ShiftedWindows(**options)], **{"size": (192, 64), "steps": 8, **(fields or {})})
    stage = plan.stages[0]
    (patches,) = ask_views(stage, stage.steps[step], plan.hooks)
    return patches.views


def test_windows_touch_and_lie_elsewhere_at_each_step_on_a_ring() -> None:
    steps = [views_of(step) for step in range(8)]
    assert [view[:4] for view in steps[0]] == [(0, 0, 8, 8), (0, 8, 8, 8), (0, 16, 8, 8)]
    begins = [sorted(view.left % 8 for view in views) for views in steps]
    assert all(len(views) == 3 and len(set(begin)) == 1 for views, begin in zip(steps, begins, strict=True))
    assert len({begin[0] for begin in begins}) > 3
    assert {view.wrap for views in steps for view in views} == {"x"}
    assert views_of(3, {"seed": 1}) != steps[3] == views_of(3)


def test_between_edges_one_more_column_covers_what_moved_away() -> None:
    views = views_of(1, ring="none", shifts=[24])
    assert [view.left for view in views] == [0, 3, 11, 16]
    assert {view.wrap for view in views} == {""}


def test_rows_move_too_and_only_along_the_axes_asked_for() -> None:
    fields = {"size": (128, 192)}
    assert {view.top for view in views_of(1, fields, shifts=[24])} == {0, 3, 11, 16}
    assert {view.left for view in views_of(1, fields, shifts=[24])} == {3, 11}
    assert {view.top for view in views_of(1, fields, shifts=[24], axes="x")} == {0, 8, 16}
    assert {view.left for view in views_of(1, fields, shifts=[24], axes="y")} == {0, 8}
    assert {view.top for view in views_of(1, fields, shifts=[24], ring="xy")} == {3, 11, 19}


def test_shifts_are_taken_in_turn_and_add_up() -> None:
    lefts = [views_of(step, shifts=[16, 40])[0].left for step in range(5)]
    assert lefts == [0, 2, 7, 9, 14]


@pytest.mark.parametrize(
    ("first", "last", "overlapping"),
    [
        (0, 0, []),
        (0.25, 0, [0, 1]),
        (0, 0.25, [6, 7]),
        (0.3, 0.1, [0, 1, 2]),
        (0.7, 0, [0, 1, 2, 3, 4, 5]),
        (1, 0, list(range(8))),
    ],
)
def test_windows_overlap_in_the_first_or_last_share_of_the_steps(
    first: float, last: float, overlapping: list[int]
) -> None:
    numbers = [len(views_of(step, overlap_first=first, overlap_last=last, overlap=16)) for step in range(8)]
    assert numbers == [4 if step in overlapping else 3 for step in range(8)]


@pytest.mark.parametrize("size", [(64, 64), (200, 64), (72, 152), (184, 152), (48, 200)])
@pytest.mark.parametrize("ring", ["none", "x", "xy"])
def test_any_size_is_covered(size: tuple[int, int], ring: str) -> None:
    # The plan itself checks every step's views.
    tiny_plan([ShiftedWindows(ring=ring, overlap_last=0.3)], size=size, steps=12)


def test_without_a_shift_it_is_plain_windows() -> None:
    fields = {"size": (192, 64), "steps": 3}
    still = tiny_run([ShiftedWindows(ring="none", shifts=[0])], **fields)
    assert still.equal(tiny_run([MultiDiffusion(stride=64)], **fields))
    always = tiny_run([ShiftedWindows(ring="none", shifts=[0], overlap_first=1)], **fields)
    assert always.equal(tiny_run([MultiDiffusion(stride=32)], **fields))


def test_results_do_not_depend_on_the_batch_size() -> None:
    runs = [tiny_run([ShiftedWindows()], "sdxl", size=(192, 128), steps=3, batch_size=size) for size in (1, 4)]
    assert torch.allclose(*runs, atol=1e-5)


def test_every_stage_is_a_ring() -> None:
    plan = tiny_plan([ProgressiveUpscaling(), ShiftedWindows()], size=(128, 128))
    assert [stage.wrap for stage in plan.stages] == ["x", "x"]


def test_what_does_not_fit_is_one_line_each() -> None:
    with pytest.raises(RecipeError) as error:
        tiny_plan([ShiftedWindows(shifts=[8, 12], overlap=20)])
    assert error.value.problems == [
        "shifted-windows: shift 12 is not a multiple of the model's latent factor, 8 pixels",
        "shifted-windows: overlap 20 is not a multiple of the model's latent factor, 8 pixels",
    ]
    with pytest.raises(RecipeError, match=r"^shifted-windows: overlap 64 is as large as the window, 64x64; use less$"):
        tiny_plan([ShiftedWindows(overlap=64)])
    for wrong in ({"shifts": [-8]}, {"shifts": [True]}, {"overlap_first": 1.5}, {"axes": "z"}, {"ring": ""}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            ShiftedWindows(**wrong)
