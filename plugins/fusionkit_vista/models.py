"""The embedded models of vista: `MODELS` is what the entry point group `fusionkit.models` points at."""

from __future__ import annotations

from pathlib import Path

from fusionkit.models.embedded import EmbeddedModel

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the weights that ship with the package."""

MODELS: dict[str, EmbeddedModel] = {
    "scenes": EmbeddedModel(
        folder=WEIGHTS / "scenes",
        summary="Landscapes of 128 px in a closed vocabulary, as posters and as woodcuts, whole scenes and close-ups.",
        window=(128, 128),
        defaults={"guidance-scale": 4.0, "steps": 24, "scheduler": "dpm++-2m"},
        example_prompt="a landscape poster of a mountain lake at dawn in mist with a sailboat",
    ),
}
"""Short name to embedded model."""
