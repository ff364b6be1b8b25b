"""ScaleCrafter against YingqingHe/ScaleCrafter text2image.py, and attention scaling against its ScaledAttnProcessor.

Every canvas after every step, fed the recorded noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from replay import Case, cases, largest, run

from fusionkit import Plugin
from fusionkit_scalecrafter import AttentionScaling, NoiseDampedGuidance, ReDilation

TOLERANCE = 1e-3


def plugins_of(params: dict[str, Any], **changes: Any) -> list[Plugin]:
    """The product's plugins at a case's settings, with some of re-dilation's changed."""
    steps, progressive = params["num_inference_steps"], params["progressive"]
    options = {"layers": params["dilate_settings"], "until": params["dilate_tau"] / steps, "progressive": progressive}
    plugins: list[Plugin] = [ReDilation(**{**options, **changes})]
    if params["ndcfg_tau"]:
        until = params["ndcfg_tau"] / steps
        layers = params["ndcfg_dilate_settings"]
        plugins.append(NoiseDampedGuidance(layers=layers, until=until, progressive=progressive))
    return plugins


def difference(case: Case, plugins: list[Plugin], steps: int | None = None) -> float:
    height, width = (side * 8 for side in case.params["latent"])
    seen = run(case, plugins, (width, height), (width, height), steps)
    return largest(seen.canvases, case["canvas_after_step"][:steps])


@pytest.mark.parametrize("path", cases("scalecrafter"), ids=lambda path: path.stem)
def test_every_canvas_after_every_step(path: Path) -> None:
    case = Case.read(path)
    found = difference(case, plugins_of(case.params))
    print(f"largest difference: {found:.1e}")
    assert found < TOLERANCE


@pytest.mark.parametrize("path", cases("attn_sf"), ids=lambda path: path.stem)
def test_scaled_attention_after_every_step(path: Path) -> None:
    case = Case.read(path)
    found = difference(case, [AttentionScaling()])
    print(f"largest difference: {found:.1e}")
    assert found < TOLERANCE


@pytest.mark.parametrize(
    ("name", "wrong", "step"),
    [
        ("sd_2.5x_square", {"factor": 3, "layers": None}, 1),
        ("sd_2.5x_square", {"until": 0.4}, 3),
        ("sd_2.5x_square", {"until": 0}, 1),
    ],
)
def test_what_is_wrong_is_told_apart_in_the_first_step_that_it_changes(
    name: str, wrong: dict[str, Any], step: int
) -> None:
    case = Case.read(Path(__file__).parent / f"data/scalecrafter/{name}.npz")
    assert difference(case, plugins_of(case.params, **wrong), step) > 0.1


def test_plain_guidance_and_plain_attention_are_told_apart() -> None:
    damped = Case.read(Path(__file__).parent / "data/scalecrafter/sd_4x_progressive_ndcfg.npz")
    assert difference(damped, plugins_of(damped.params)[:1], steps=1) > 0.1
    scaled = Case.read(cases("attn_sf")[0])
    assert difference(scaled, [], steps=1) > 0.1
