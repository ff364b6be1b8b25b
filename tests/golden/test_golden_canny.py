"""Canny with automatic thresholds gives exactly the pixels of AccDiffusion v2's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionkit_accdiffusion.annotators import annotate, canny, thresholds

FILES = sorted((Path(__file__).parent / "data" / "accdiffusion_v2").glob("auto_canny*.npz"))


def recorded() -> list[Any]:
    found = []
    for path in FILES:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files if name != "params"}
            for case in json.loads(str(file["params"]))["cases"]:
                name = f"{case['image']}_sigma{case['sigma']}"
                found.append(pytest.param(case, arrays[case["image"]], arrays[name], id=f"{path.stem}-{name}"))
    return found


@pytest.mark.parametrize(("case", "pixels", "edges"), recorded())
def test_edges_are_those_of_the_reference(case: dict[str, Any], pixels: Any, edges: Any) -> None:
    picture = Image.fromarray(pixels)
    assert thresholds(pixels, case["sigma"]) == (case["lower"], case["upper"])
    assert np.array_equal(canny(picture, case["sigma"]), edges)
    assert int((edges > 0).sum()) == case["edge_pixels"]
    seen = np.array(annotate("canny", picture, sigma=case["sigma"]))
    assert np.array_equal(seen, np.stack([edges] * 3, -1))


def test_there_are_cases() -> None:
    assert len(recorded()) >= 18
