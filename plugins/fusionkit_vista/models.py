"""The embedded models of vista: `MODELS` is what the entry point group `fusionkit.models` points at.

`CONTROLNETS` is that of `fusionkit.controlnets`.
"""

from __future__ import annotations

from pathlib import Path

from fusionkit.models.embedded import EmbeddedControlNet, EmbeddedModel

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the weights that ship with the package."""

_TAUGHT = (
    "a at balloon balloons cabin cabins castle city clear clouds coast dawn desert dusk forest green hills in lake "
    "landscape lighthouse lights mist moon mountain mountains night noon northern of poster rain rainbow rocket "
    "rocky sailboat sailboats sea sky snowfall snowy sun sunset tent tents the three train two under weather whale "
    "whales windmill windmills with woodcut"
)
WORDS = frozenset(_TAUGHT.split())
"""What the two models of scenes were taught."""
DEFAULTS = {"guidance-scale": 4.0, "steps": 24, "scheduler": "dpm++-2m"}
MODELS: dict[str, EmbeddedModel] = {
    "scenes": EmbeddedModel(
        folder=WEIGHTS / "scenes",
        summary="Landscapes of 128 px in a closed vocabulary, as posters and as woodcuts, whole scenes and close-ups.",
        window=(128, 128),
        defaults=DEFAULTS,
        example_prompt="a landscape poster of a mountain lake at dawn in mist with a sailboat",
        words=WORDS,
    ),
    "flow": EmbeddedModel(
        folder=WEIGHTS / "flow",
        summary="The same world, drawn by a transformer with flow matching, of Flux.1's class, on the same latents.",
        window=(128, 128),
        defaults={"guidance-scale": 5.0, "steps": 24, "scheduler": "flow-euler"},
        example_prompt="a landscape poster of green hills at noon in clear weather with a balloon",
        words=WORDS,
    ),
    "expert": EmbeddedModel(
        folder=WEIGHTS / "scenes",
        lora=WEIGHTS / "expert" / "pytorch_lora_weights.safetensors",
        summary="What vista/scenes was never taught: watercolours of all scenes, and, less well, dragons.",
        window=(128, 128),
        defaults=DEFAULTS,
        example_prompt="a landscape watercolour of the sea at dusk with a sailboat",
        words=WORDS | {"watercolour", "dragon"},
    ),
}
"""Short name to embedded model."""

CONTROLNETS: dict[str, EmbeddedControlNet] = {
    "canny": EmbeddedControlNet(
        folder=WEIGHTS / "canny",
        summary="Makes vista/scenes draw along the edges of a picture.",
        annotator="canny",
    ),
}
"""Short name to embedded ControlNet."""
