"""A drawer of captioned landscapes, and small diffusion models that were trained on its drawings from scratch.

`MODELS` is what the entry point group `fusionkit.models` points at. Importing this package loads no array library.
"""

from __future__ import annotations

from pathlib import Path

from fusionkit.models.embedded import EmbeddedModel

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the weights that ship with the package."""

MODELS: dict[str, EmbeddedModel] = {
    "scenes": EmbeddedModel(
        folder=WEIGHTS / "scenes",
        summary="Landscapes of 64 px in a closed vocabulary, whole scenes and close-ups, drawn in two styles.",
        window=(64, 64),
        defaults={"guidance-scale": 4.0, "steps": 30},
        example_prompt="a landscape photo of mountains at twilight with a red sun",
    ),
}
"""Short name to embedded model."""
