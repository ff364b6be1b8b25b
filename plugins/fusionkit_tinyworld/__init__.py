"""A drawer of captioned landscapes, and small diffusion models that were trained on its drawings from scratch.

`MODELS` is what the entry point group `fusionkit.models` points at, and `CONTROLNETS` is that of
`fusionkit.controlnets`. Importing this package loads no array library.
"""

from __future__ import annotations

from pathlib import Path

from fusionkit.models.embedded import EmbeddedControlNet, EmbeddedModel

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the weights that ship with the package."""

_TAUGHT = (
    "a at balloon beach blue boat cartoon city desert forest house landscape moon mountains night noon of photo red "
    "sea sky sun the twilight with yellow"
)
WORDS = frozenset(_TAUGHT.split())
"""What the model of scenes was taught."""


def _expert(name: str, summary: str, example_prompt: str) -> EmbeddedModel:
    """An expert: the scenes' model with a LoRA of its own."""
    return EmbeddedModel(
        folder=WEIGHTS / "scenes",
        lora=WEIGHTS / name / "pytorch_lora_weights.safetensors",
        summary=summary,
        window=(64, 64),
        defaults={"guidance-scale": 4.0, "steps": 30},
        example_prompt=example_prompt,
        words=WORDS | {name},
    )


MODELS: dict[str, EmbeddedModel] = {
    "scenes": EmbeddedModel(
        folder=WEIGHTS / "scenes",
        summary="Landscapes of 64 px in a closed vocabulary, whole scenes and close-ups, drawn in two styles.",
        window=(64, 64),
        defaults={"guidance-scale": 4.0, "steps": 30},
        example_prompt="a landscape photo of mountains at twilight with a red sun",
        words=WORDS,
    ),
    "rocket": _expert("rocket", "Rockets in the sky, without a landscape.", "a photo of a rocket at night"),
    "flower": _expert("flower", "Red flowers before the sky, without a landscape.", "a cartoon of a flower at noon"),
    "cartoon": _expert(
        "cartoon",
        "Bold cartoons of mountains, a beach and the sea.",
        "a landscape cartoon of the sea at noon with a red sun",
    ),
}
"""Short name to embedded model."""

CONTROLNETS: dict[str, EmbeddedControlNet] = {
    "canny": EmbeddedControlNet(
        folder=WEIGHTS / "canny",
        summary="Makes tinyworld/scenes draw along the edges of a picture.",
        annotator="canny",
    ),
}
"""Short name to embedded ControlNet."""
