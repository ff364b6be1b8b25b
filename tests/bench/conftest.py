"""A folder to be in, with a recipe of a tiny model, and a way to run commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fusionkit.cli import main

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"

# 256x128 in windows of 128x128, 64 pixels apart: 3 windows a step.
RECIPE = f"""model: {CHECKPOINTS / "tiny-sd"}
prompt: a hill
size: 256x128
window: 128x128
scheduler: ddim
steps: 3
guidance-scale: 4
plugins:
  - multidiffusion: {{stride: 64}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a test is in, with a recipe of a tiny model as `r.yaml`."""
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def fusionkit() -> Callable[..., Result]:
    """Runs one command in this process."""
    return lambda *args: CliRunner().invoke(main, list(args), prog_name="fusionkit")
