"""FouriScale against LeonHLJ/FouriScale text2image.py: every canvas after every step, fed the recorded noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from replay import Case, cases, checkpoint, largest, run

from fusionkit import Plugin, Step
from fusionkit.models.inspect import info_of_pipeline
from fusionkit_fouriscale import FouriScale, FouriScaleGuidance

TOLERANCE = 1e-3


def fouriscale(params: dict[str, Any], **changes: Any) -> Plugin:
    """The product's plugin at a case's settings, some of them changed."""
    base, steps = params["base_latent"], params["num_inference_steps"]
    height, width = base if isinstance(base, list) else (base, base)
    options = {
        "dilation": params["dilation"],
        "base": (width * 8, height * 8),
        "layers": params["layers"],
        "start": params["start_step"] / steps,
        "until": params["stop_step"] / steps,
        "progressive": params["progressive"],
    }
    return FouriScale(**{**options, **changes})


def difference(case: Case, plugins: list[Plugin]) -> float:
    height, width = (side * 8 for side in case.params["latent"])
    seen = run(case, plugins, (width, height), (width, height))
    assert len(seen.canvases) == case.params["num_inference_steps"]
    return largest(seen.canvases, case["canvas_after_step"])


@pytest.mark.parametrize("path", cases("fouriscale"), ids=lambda path: path.stem)
def test_every_canvas_after_every_step(path: Path) -> None:
    case = Case.read(path)
    found = difference(case, [fouriscale(case.params), FouriScaleGuidance()])
    print(f"largest difference: {found:.1e}")
    assert found < TOLERANCE


@pytest.mark.parametrize("path", cases("fouriscale"), ids=lambda path: path.stem)
def test_kernels_are_spread_as_far_as_recorded_and_filtered_where_recorded(path: Path) -> None:
    params = Case.read(path).params
    info = info_of_pipeline(checkpoint(params["checkpoint"]))
    plugin = fouriscale(params, dilation="auto")
    for index, layers in enumerate(params["dilation_active_filter_per_step"]):
        at = Step(index, params["num_inference_steps"], torch.tensor(0))
        assert {plugin.dilation_at(info, at, tuple(params["latent"]))} == {dilation for dilation, *_ in layers.values()}
        for layer, patch in plugin.put(info, at, tuple(params["latent"])).items():
            _, low_pass, _ = patch.convolution.args
            assert layers[layer][1:] == [True, low_pass is not None]
            assert low_pass is None or list(low_pass.base) == params["base_settings"][layer]


def test_what_is_wrong_is_told_apart() -> None:
    case = Case.read(Path(__file__).parent / "data/fouriscale/sd_2x_square.npz")
    assert difference(case, [fouriscale(case.params, floor=1.0), FouriScaleGuidance()]) > 0.05
    assert difference(case, [fouriscale(case.params)]) > 0.05
