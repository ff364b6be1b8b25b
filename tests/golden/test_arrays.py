"""What is kept of recorded arrays is read again to the bit, and comparisons see what is kept and nothing else."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import numpy as np
import pytest
import torch
from arrays import load, save
from replay import apart


def test_arrays_are_read_as_they_were_recorded(tmp_path: Path) -> None:
    draw = np.random.default_rng(1).standard_normal
    recorded = {
        "initial_noise": draw((1, 4, 16, 16), np.float32),
        "canvas_after_step": draw((5, 4, 16, 16), np.float32),
        "eps_patches": draw((5, 3, 4, 8, 8), np.float32),
        "masks": draw((3, 8, 8)) > 0,
        "pooled": draw((4, 4)),
        "params": np.array("{}"),
    }
    save(tmp_path / "case.npz", recorded)
    found = load(tmp_path / "case.npz")
    assert set(found) == set(recorded) - {"pooled"}
    for name in ("initial_noise", "masks", "params"):
        assert found[name].dtype == recorded[name].dtype
        assert np.array_equal(found[name], recorded[name])
    assert np.array_equal(found["eps_patches"], recorded["eps_patches"][:1])
    canvases = found["canvas_after_step"]
    assert np.array_equal(canvases[-1], recorded["canvas_after_step"][-1])
    assert np.array_equal(canvases[:-1, :, ::2, ::2], recorded["canvas_after_step"][:-1, :, ::2, ::2])
    assert np.isnan(canvases).sum() == 4 * 4 * 16 * 16 * 3 // 4


def test_a_difference_is_seen_where_something_is_kept() -> None:
    theirs = torch.tensor([[1.0, torch.nan], [3.0, torch.nan]])
    assert apart(torch.tensor([[1.0, 9.0], [3.5, torch.nan]]), theirs) == 0.5
    assert isnan(apart(torch.tensor([[torch.nan, 9.0], [3.0, 9.0]]), theirs))
    with pytest.raises(AssertionError):
        apart(torch.zeros(1, 2), torch.full((1, 2), torch.nan))
