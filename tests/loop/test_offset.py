"""Windows on a shifted grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
import torch

from fusionkit import Patches, Plugin, Stage, Step, View, covering, gather, hookimpl, scatter, windows
from fusionkit.loop.views import Wrap, count, starts
from fusionkit.testing import tiny_run

SIZES = ((8, 8), (8, 20), (9, 17), (23, 31))


def test_starts_are_shifted_and_what_lies_before_them_is_covered() -> None:
    assert starts(40, 16, 16, offset=0) == starts(40, 16, 16) == [0, 16, 24]
    assert starts(40, 16, 16, offset=5) == [0, 5, 21, 24]
    assert starts(40, 16, 16, offset=-11) == starts(40, 16, 16, offset=21) == [0, 5, 21, 24]
    assert starts(40, 16, 16, offset=8) == [0, 8, 24]
    assert starts(16, 16, 5, offset=3) == [0]
    assert starts(40, 16, 16, ring=True, offset=5) == [5, 21, 37]
    assert starts(40, 16, 16, ring=True, offset=-5) == [35, 11, 27]


@pytest.mark.parametrize("wrap", ["", "x", "y", "xy"])
def test_every_offset_covers_the_canvas_with_as_many_windows_as_are_counted(wrap: Wrap) -> None:
    for canvas, offset in product(SIZES, ((0, 0), (1, 2), (-3, 5), (7, -7), (100, 101))):
        for views in (windows(canvas, (8, 8), (6, 5), wrap, offset), covering(canvas, (8, 8), wrap, offset)):
            ones = torch.ones(len(views), 1, views[0].height, views[0].width)
            assert float(scatter(ones, views, torch.zeros(1, 1, *canvas)).min()) >= 1
            assert len(set(views)) == len(views)
        assert len(windows(canvas, (8, 8), (6, 5), wrap, offset)) == count(canvas, (8, 8), (6, 5), wrap, offset)


def test_the_neutral_offset_is_none() -> None:
    for canvas in SIZES:
        assert windows(canvas, (8, 8), (6, 5), offset=(0, 0)) == windows(canvas, (8, 8), (6, 5))
        assert windows(canvas, (8, 8), (6, 5), offset=(6, -5)) == windows(canvas, (8, 8), (6, 5))
        assert covering(canvas, (8, 8), offset=(0, 0)) == covering(canvas, (8, 8))


def test_a_turned_ring_sees_what_the_ring_that_is_not_turned_sees_of_a_turned_canvas() -> None:
    canvas = torch.arange(8 * 20.0).reshape(1, 1, 8, 20)
    turned = gather(canvas, windows((8, 20), (8, 8), (8, 5), "x", (0, 3)))
    assert turned.equal(gather(canvas.roll(-3, -1), windows((8, 20), (8, 8), (8, 5), "x")))


class Shifts(Plugin):
    """Shifts the grid at every step."""

    by: int

    @hookimpl
    def views(self, stage: Stage, at: Step) -> Sequence[Patches]:
        return [Patches(covering(stage.canvas, stage.window, stage.wrap, (0, self.by * at.index)))]


def test_a_run_on_shifted_grids() -> None:
    plain = tiny_run()
    assert tiny_run([Shifts(by=0)]).equal(plain)
    assert tiny_run([Shifts(by=6)]).equal(plain)  # one stride
    assert not tiny_run([Shifts(by=2)]).equal(plain)
    assert covering((10, 20), (8, 8), offset=(0, 2))[:3] == (View(0, 0, 8, 8), View(0, 2, 8, 8), View(0, 8, 8, 8))
