"""Drawings of tiny models, as the tests of the bench need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusionkit import Plugin
from fusionkit.bench.drawing import Drawing
from fusionkit.recipe.made import make_recipe
from fusionkit.testing.tiny import Kind, tiny_model

STEPS = 3


def drawing(*plugins: Plugin, kind: Kind = "sd", models: Sequence[str] = ("model",), **fields: Any) -> Drawing:
    """A recipe of 160x80 pixels on tiny models of 64x64, three steps with guidance."""
    given = {"prompt": "a hill", "size": (160, 80), "scheduler": "ddpm", "steps": STEPS, "guidance_scale": 4.0}
    recipe = make_recipe(**{**given, **fields, "plugins": list(plugins)})
    loaded = {name: tiny_model(kind, seed) for seed, name in enumerate(models)}
    return Drawing(recipe, {name: model.info for name, model in loaded.items()}, loaded)
