"""Synchronised windows against KAIST-Visual-AI-Group/SyncDiffusion: gradients, and the canvas.

The reference was run with a stand-in for LPIPS, whose weights can't be shipped.
"""

from __future__ import annotations

from typing import Any

import pytest
from replay import Case, Seen, apart, cases, largest, run
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fusionkit import Patches, Stage, Step
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_syncdiffusion import SyncDiffusion

TOLERANCE = 1e-3


class StandIn(SyncDiffusion):
    """With the loss of the recording, and the gradients kept."""

    kept: Any
    known: Any = None  # gradients that an earlier run has computed

    def unlikeness(self, stage: Stage, picture: Tensor, anchor: Tensor) -> Tensor:
        return 2000 * (avg_pool2d(picture, 8) - avg_pool2d(anchor, 8)).square().mean()

    def moves(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        if self.known is not None:
            return self.known * -(self.weight * self.decay**at.index)
        moves = super().moves(stage, at, patches)
        self.kept.append(moves / -(self.weight * self.decay**at.index))
        return moves


def replayed(case: Case, **changes: Any) -> tuple[Seen, list[Tensor]]:
    params, gradients = case.params, []  # type: ignore[var-annotated]
    options = {
        "weight": params["sync_weight"],
        "decay": params.get("sync_decay_rate", 0.95),
        "frequency": params["sync_freq"],
        "threshold": params["sync_thres"],
    }
    window = params["window"] * 8
    plugins = [MultiDiffusion(stride=params["stride"] * 8), StandIn(kept=gradients, **{**options, **changes})]
    # A gradient of 512 pixels takes seconds.
    return run(case, plugins, (params["width"], params["height"]), (window, window), steps=1), gradients


@pytest.fixture(scope="module")
def case() -> Case:
    return Case.read(cases("syncdiffusion")[0])


@pytest.fixture(scope="module")
def right(case: Case) -> tuple[Seen, list[Tensor]]:
    return replayed(case)


def test_the_gradients_and_the_canvas_after_a_step(case: Case, right: tuple[Seen, list[Tensor]]) -> None:
    seen, gradients = right
    assert seen.timesteps == case["timesteps"][:1].tolist()
    assert all(views == case["views"].tolist() for views in seen.views)
    assert largest(seen.canvases, case["canvas_after_step"][:1]) < TOLERANCE
    theirs = case["gradients_step_x_view"][0]
    # The anchor's own is none.
    assert gradients[0][case.params["anchor_view_index"]].abs().max() == 0
    assert apart(gradients[0], theirs) < 1e-4 < 0.1 < float(theirs[~theirs.isnan()].abs().max())


def test_another_weight_is_told_apart(case: Case, right: tuple[Seen, list[Tensor]]) -> None:
    seen, _ = replayed(case, weight=19, known=right[1][0])
    assert largest(seen.canvases, case["canvas_after_step"][:1]) > 10 * TOLERANCE
