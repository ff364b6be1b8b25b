"""Whether a recipe's options suit its models, by their configurations alone. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from fusionkit.errors import did_you_mean
from fusionkit.loop.misfits import is_hookimpl
from fusionkit.models.families import FAMILIES
from fusionkit.models.offers import has_cache

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import Recipe

# Classes whose decoding can't be cut into tiles.
_WHOLE = ("AsymmetricAutoencoderKL",)


def unsuitable_options(recipe: Recipe, infos: Mapping[str, ModelInfo]) -> list[str]:
    """One line for each option that the recipe's models can't follow.

    Args:
        recipe: The completed recipe.
        infos: What is known of the models by the recipe's names, the main one first.
    """
    return list(dict.fromkeys(_problems(recipe, list(infos.values()))))


def _problems(recipe: Recipe, infos: list[ModelInfo]) -> Iterator[str]:
    for info in infos:
        if info.fills_masks and not any(is_hookimpl(type(plugin), "masked") for plugin in recipe.plugins):
            yield f"model '{info.name}' fills in masked parts of a picture, and nothing here says which; add inpaint"
        most = info.most_clip_skip
        if recipe.clip_skip is None or most is None or recipe.clip_skip <= most:
            pass
        elif most <= 0:
            yield f"clip-skip {recipe.clip_skip}: the text encoder of model '{info.name}' is none of CLIP; leave it out"
        else:
            yield (
                f"clip-skip {recipe.clip_skip}: the text encoder of model '{info.name}' has no so many layers to leave "
                f"out; {most} is the most"
            )
        if recipe.cache is not None and not has_cache(FAMILIES[info.kind]):
            title = FAMILIES[info.kind].title
            yield f"cache: diffusers has no step cache for {title}, as which model '{info.name}' draws; leave it out"
        window = recipe.window or infos[0].window
        view = min(window[0], recipe.size[0]), min(window[1], recipe.size[1])
        yield from (f"model '{info.name}' {line}" for line in FAMILIES[info.kind].view_problems(info, view))
    if recipe.devices:
        yield from pool_problems(recipe)
        if recipe.compile:
            yield "compile: its switches are of a process, and 'devices' are threads of one; leave out one of the two"
    if recipe.vae_tiling and infos and infos[0].vae in _WHOLE:
        yield f"vae-tiling: the {infos[0].vae} of model '{infos[0].name}' can't decode in tiles; leave it out"


def pool_problems(recipe: Recipe) -> list[str]:
    """One line for each option that can't be followed where several workers predict the views of a picture."""
    if recipe.cache is None:
        return []
    return [
        "cache: what it keeps of a view stays on the device that has predicted it, and the next step may be another "
        "device's; leave it out, or draw the picture on one device"
    ]


def no_such_model(name: str, known: Collection[str]) -> str:
    """`which is none of the recipe's models; ...`: what is wrong with a name that an option gives a model."""
    return f"which is none of the recipe's models{did_you_mean(name, known)}; there are: {', '.join(known)}"


def unused_models(recipe: Recipe, infos: Mapping[str, ModelInfo]) -> list[str]:
    """One line where a recipe has models that no plugin asks; the main one always is."""
    _, *others = infos
    asked: set[str] = set()
    for plugin in recipe.plugins:
        named = plugin.other_models
        if named is None and is_hookimpl(type(plugin), "noise_prediction"):
            return []
        if not infos.keys() >= set(named or ()):
            return []  # one that is misspelt is told by the plugin
        asked.update(named or ())
    unused = [name for name in others if name not in asked]
    if not unused:
        return []
    instead = "leave them out" if len(unused) < len(others) else "name one 'model'"
    return [
        f"models {', '.join(repr(name) for name in unused)}: no plugin of this recipe asks any model but "
        f"{', '.join(repr(name) for name in infos if name not in unused)}; add one that does, such as "
        f"saliency-noise-blending, or {instead}"
    ]
