"""The metric of somebody else's package, as the documentation tells it: installed, found, listed and right."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluating import noisy
from PIL import Image

from fusionkit.evaluation import Tools, evaluate, make_metrics, read_pictures
from fusionkit.evaluation.registry import METRICS

EXAMPLE = Path(__file__).parents[2] / "docs" / "example_metric"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The example, installed by pip from a copy of its folder."""
    work = tmp_path_factory.mktemp("example")
    ignore = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    source = shutil.copytree(EXAMPLE, work / "source", ignore=ignore)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(work / "installed"), str(source)], check=True)
    return work / "installed"


@pytest.fixture(autouse=True)
def installed(site, monkeypatch):
    """The example as a package of this process."""
    monkeypatch.syspath_prepend(str(site))
    METRICS.forget()
    yield
    METRICS.forget()
    sys.modules.pop("fusionkit_colourfulness", None)


def test_a_package_of_30_lines_adds_a_metric(tmp_path):
    assert len((EXAMPLE / "fusionkit_colourfulness" / "__init__.py").read_text().splitlines()) <= 30
    noisy(tmp_path, [100])
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:, :2, 0] = pixels[:, 2:, 2] = 200
    Image.fromarray(pixels).resize((32, 16), Image.Resampling.NEAREST).save(tmp_path / "b.png")
    (metric,) = make_metrics(["colourfulness"], ["colourfulness.mean-weight=0.5"])
    found = evaluate(read_pictures(tmp_path), [metric], Tools(device="cpu"))
    # Half red, half blue: red - green is 200 or 0, (red + green) / 2 - blue is 100 or -200.
    expected = np.hypot(100, 150) + 0.5 * np.hypot(100, -50)
    assert found.each["colourfulness"] == pytest.approx([0, expected])


def test_the_command_line_lists_it_with_its_option(fusionkit):
    ran = fusionkit("evaluate", "--list")
    assert "colourfulness  How colourful a picture is: 0 for a grey one" in ran.out
    assert "  mean-weight  What the distance from grey counts beside the spread. Default: 0.3." in ran.out
