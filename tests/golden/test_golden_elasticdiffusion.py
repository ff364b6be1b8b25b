"""Elastic diffusion against MoayedHajiAli/ElasticDiffusion-official: canvases, fed its samples and padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from replay import Case, Seen, apart, cases, run
from torch import Tensor

from fusionkit import Stage, Step, hookimpl
from fusionkit.models.adapters.stable_diffusion_xl import StableDiffusionXL
from fusionkit_elasticdiffusion import ElasticDiffusion
from fusionkit_elasticdiffusion.windows import candidates, local_windows

TOLERANCE = 1e-3


class Fed(ElasticDiffusion):
    """With the recorded samples, backgrounds and noise."""

    case: Any

    def choices(self, stage: Stage, at: Step, size: tuple[int, int]) -> list[Tensor]:
        return list(self.case[f"s{at.index}_p{at.round}_sample_index"].long())

    def background(self, stage: Stage, at: Step, dim: str, side: int, size: tuple[int, int]) -> Tensor:
        number = {"columns": 3, "rows": 2}[dim]
        return self.case[f"bg_{number}_{side}_{size[0]}x{size[1]}_t{int(at.timestep)}"]

    @hookimpl
    def noised_back(self, at: Step, latents: Tensor) -> Tensor:
        # The published fault: the betas of one timestep earlier each.
        undo = next(each for each in self.case.params["undo"] if each["step"] == at.index)
        return undo["keep"] * latents + undo["noise"] * self.case[f"s{at.index}_undo_noise"]


@pytest.fixture(autouse=True)
def told_four_times_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """SDXL is told of a picture of four times the size, and of no crop, as the reference does it."""
    conditions = StableDiffusionXL.conditions

    def told(self: Any, stage: Stage, *others: Any) -> dict[str, Any]:
        found = conditions(self, stage, *others)
        width, height = (4 * side for side in stage.recipe.size)
        ids = found["added_cond_kwargs"]["time_ids"]
        ids[:] = torch.tensor([height, width, 0, 0, height, width])
        return found

    monkeypatch.setattr(StableDiffusionXL, "conditions", told)


def replayed(case: Case, **changes: Any) -> Seen:
    params = case.params
    options = {
        "resampling": params["resampling_steps"],
        "repaint": params["repaint_sampling"],
        "reduced_weight": params["rrg_init_weight"],
        "reduced_exponent": params["cosine_scale"],
        "reduced_stop": params["rrg_stop_t"],
        "fill": "enlarged",
    }
    native = params["native_pixels"]
    plugins = [Fed(case=case, **{**options, **changes})]
    steps = len(case["canvas_after_step"])
    return run(case, plugins, (params["width"], params["height"]), (native, native), steps)


def apart_by(case: Case, seen: Seen) -> float:
    return apart(torch.stack(seen.canvases), case["canvas_after_step"])


@pytest.mark.parametrize("path", cases("elasticdiffusion"), ids=lambda path: path.stem)
def test_every_canvas_after_every_step(path: Path) -> None:
    case = Case.read(path)
    difference = apart_by(case, replayed(case))
    print(f"largest difference: {difference:.1e}")
    assert difference < TOLERANCE


@pytest.mark.parametrize("path", cases("elasticdiffusion"), ids=lambda path: path.stem)
def test_windows_and_candidates(path: Path) -> None:
    case = Case.read(path)
    height, width = case.params["latent"]
    low = case.params["downsample_size"]
    assert candidates(height, low[0]) == [tuple(each) for each in case["row_candidates"].tolist()]
    assert candidates(width, low[1]) == [tuple(each) for each in case["col_candidates"].tolist()]
    side = case.params["native_pixels"] // 8
    views, weights = local_windows((height, width), (side, side), "")
    assert len(views) == len(case["views"])
    assert weights.sum() == height * width


@pytest.mark.parametrize("change", [{"fill": "own"}, {"repaint_guidance": 1.0}, {"reduced_weight": 0.0}])
def test_a_wrong_recipe_is_told_apart(change: dict[str, Any]) -> None:
    name = "xl_1.5x_wide" if "fill" in change else "sd_2x_wide"
    case = Case.read(next(path for path in cases("elasticdiffusion") if path.stem == name))
    assert apart_by(case, replayed(case, **change)) > 0.1
