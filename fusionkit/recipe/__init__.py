"""Recipes: texts that become recipes, the values that they may hold, and what is wrong with them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Cache, Lora, ModelSpec, Part, Recipe, SchedulerSpec, parse_plugin
    from fusionkit.recipe.values import Count, Number, PromptText, Side, Size, finite, parse_size, refuse_bool

# Loaded when they are first asked for: whoever needs a limit or a text of this room must not wait for pydantic.
_LAZY = {
    **dict.fromkeys(("Cache", "Lora", "ModelSpec", "Part", "Recipe", "SchedulerSpec", "parse_plugin"), "recipe"),
    **dict.fromkeys(("Count", "Number", "PromptText", "Side", "Size", "finite", "parse_size", "refuse_bool"), "values"),
}

__all__ = [
    "Cache",
    "Count",
    "Lora",
    "ModelSpec",
    "Number",
    "Part",
    "PromptText",
    "Recipe",
    "SchedulerSpec",
    "Side",
    "Size",
    "finite",
    "parse_plugin",
    "parse_size",
    "refuse_bool",
]


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return getattr(import_module(f"fusionkit.recipe.{_LAZY[name]}"), name)
        raise AttributeError(f"module 'fusionkit.recipe' has no attribute '{name}'")
