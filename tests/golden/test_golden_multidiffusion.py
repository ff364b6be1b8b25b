"""MultiDiffusion against omerbt/MultiDiffusion panorama.py: every canvas after every step, fed its initial noise."""

from __future__ import annotations

from pathlib import Path

import pytest
from replay import Case, cases, largest, pipeline_of, run

from fusionkit_multidiffusion import MultiDiffusion

TOLERANCE = 1e-3


@pytest.mark.parametrize("path", cases("multidiffusion"), ids=lambda path: path.stem)
def test_every_canvas_after_every_step(path: Path) -> None:
    case = Case.read(path)
    params, factor = case.params, pipeline_of(case).vae_scale_factor
    window = params["window"] * factor
    plugins = [MultiDiffusion(stride=params["stride"] * factor)]
    # Of windows of 512 pixels, a second each, two steps; of the others all that were run.
    steps = 2 if window == 512 else params["num_inference_steps"]
    seen = run(case, plugins, (params["width"], params["height"]), (window, window), steps)

    theirs = case["canvas_after_step"][:steps]
    difference = largest(seen.canvases, theirs)
    print(f"largest difference: {difference:.1e}")
    assert seen.timesteps == case["timesteps"].tolist()[:steps]
    assert len(seen.canvases) == len(theirs)
    assert all(views == case["views"].tolist() for views in seen.views)
    assert difference < TOLERANCE
    # Of the first step, with an axis for it or without.
    predictions = case["eps_first_step"]
    assert largest(seen.predictions, predictions if predictions.ndim == 5 else predictions[None]) < TOLERANCE


def test_a_wrong_guidance_scale_is_told_apart() -> None:
    case = Case.read(cases("multidiffusion")[0])
    case.params["guidance_scale"] += 0.01
    size, window = (case.params["width"], case.params["height"]), case.params["window"] * 8
    seen = run(case, [MultiDiffusion(stride=case.params["stride"] * 8)], size, (window, window))
    assert largest(seen.canvases, case["canvas_after_step"]) > 2e-3
