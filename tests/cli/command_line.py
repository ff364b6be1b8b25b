"""What the tests of the command line share: a recipe of a tiny model, and the shape of what a command answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"

RECIPE = f"""# Run it:  fusionkit run r.yaml
model: {CHECKPOINTS / "tiny-sd"}
prompt: a hill
size: 256x128
window: 128x128
scheduler: ddpm
steps: 3
plugins:
  - style-alignment: {{alpha: 0.4}}
  - multidiffusion: {{stride: 64}}
  - guided-fusion
  - variance-corrected-fusion
output: out/{{recipe}}-{{seed}}.png
"""


class Ran(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]
Install = Callable[[str, str], None]
