"""Which run a checkpoint is of: recipe, files, weights, versions; and whether another run is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from fusionkit.pictures.inputs import fingerprints
from fusionkit.pictures.metadata import versions

if TYPE_CHECKING:
    from fusionkit.loop.model import Model
    from fusionkit.plugin import Plugin
    from fusionkit.recipe.recipe import Recipe

FREE = ("name", "device", "devices", "offload", "canvas", "vae-tiling", "batch-size", "compile", "channels-last")
"""Keys of `Recipe.dump` that change how a picture is computed, and not which one."""

FREE_TO_DECODE = (*FREE, "dtype")
"""The same, where only decoding is left."""

# What was half done with one version of these can't be gone on with by another.
_CODE = ("torch", "transformers", "python", "machine")
_MOST = 3


@dataclass(frozen=True)
class Identity:
    """Which run it is.

    Args:
        recipe: `Recipe.dump`, of the recipe with all defaults.
        files: What tells the files that it reads from others.
        values: What tells values that only Python can hold, such as tensors, by plugin and option.
        versions: Of what draws it.
        code: What tells the code of its plugins, by their place and name.
        weights: What tells the models' weights, by name.
        device: Where the canvas is.
        dtypes: Types of the models' weights, by name.
    """

    recipe: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    dtypes: Mapping[str, str] = field(default_factory=dict)

    @property
    def picture(self) -> str:
        """A hash of what decides which picture it is, but for the weights' own numbers."""
        return picture_hash(self.recipe, self.files, self.values)

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def identity_of(recipe: Recipe, models: Mapping[str, Model]) -> Identity:
    """Which run this is, with its models loaded."""
    return Identity(
        recipe=recipe.dump(),
        files=fingerprints(recipe),
        values=dict(_values(recipe.plugins)),
        versions=versions(recipe.plugins),
        code={f"{number} {each.plugin_name}": _source(type(each)) for number, each in enumerate(recipe.plugins, 1)},
        weights={name: model.fingerprint for name, model in models.items()},
        device=str(next(iter(models.values())).device),
        dtypes={name: str(getattr(model, "dtype", "")).removeprefix("torch.") for name, model in models.items()},
    )


def picture_of(recipe: Recipe) -> str:
    """`Identity.picture` of a recipe with all defaults, before any model loads."""
    return picture_hash(recipe.dump(), fingerprints(recipe), dict(_values(recipe.plugins)))


def picture_hash(recipe: Mapping[str, Any], files: Mapping[str, str], values: Mapping[str, str]) -> str:
    """A hash of what decides which picture it is."""
    told = [{name: value for name, value in recipe.items() if name not in FREE}, dict(files), dict(values)]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def changes(then: Identity, now: Identity, decoding: bool = False) -> Iterator[str]:
    """Why a run can't go on as another one: what has changed, in a few words each.

    Args:
        then: Of the checkpoint.
        now: Of the run that is to go on.
        decoding: All steps are done, and only the picture is to be decoded.
    """
    yield from recipe_changes(then.recipe, now.recipe, decoding)
    yield from (f"'{name}' is another file" for name in _differing(then.files, now.files))
    yield from (f"{name} has another value" for name in _differing(then.values, now.values))
    for name in _differing(then.weights, now.weights):
        # Under sequential offload they can't be told, and in another type their numbers are others.
        known = then.weights.get(name) and now.weights.get(name)
        if known and then.dtypes.get(name) == now.dtypes.get(name):
            yield f"model '{name}' has other weights"
    if not decoding:
        yield from (
            f"{name} was {then.versions.get(name)} and is {now.versions.get(name)}"
            for name in _differing(then.versions, now.versions)
            if name not in _CODE
        )


def recipe_changes(then: Mapping[str, Any], now: Mapping[str, Any], decoding: bool = False) -> list[str]:
    """The keys of a recipe that were others, with their values then and now."""
    free = FREE_TO_DECODE if decoding else FREE
    names = [name for name in {**then, **now} if name not in free and then.get(name) != now.get(name)]
    shown = [f"{name} was {_shown(then.get(name))} and is {_shown(now.get(name))}" for name in names[:_MOST]]
    return shown + ([f"{len(names) - _MOST} more"] if len(names) > _MOST else [])


def notes(then: Identity, now: Identity) -> Iterator[str]:
    """What has changed of what may change the last bits of a picture, in a few words each."""
    if then.device != now.device:
        yield f"it was begun on '{then.device}' and goes on on '{now.device}'"
    for name in _differing(then.dtypes, now.dtypes):
        yield f"the weights of '{name}' were {then.dtypes.get(name)} and are {now.dtypes.get(name)}"
    for name in ("batch-size", "compile", "channels-last"):
        if then.recipe.get(name) != now.recipe.get(name):
            yield f"{name} was {_shown(then.recipe.get(name))} and is {_shown(now.recipe.get(name))}"
    for name in _differing(then.versions, now.versions):
        yield f"{name} was {then.versions.get(name)} and is {now.versions.get(name)}"
    for name in _differing(then.code, now.code):
        yield f"the code of plugin '{name.partition(' ')[2]}' has changed"


def _differing(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in {**then, **now} if then.get(name) != now.get(name)]


def _shown(value: Any) -> str:
    text = "not given" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _source(kind: type[Plugin]) -> str:
    """A hash of the file that a class is written in; empty where there is none."""
    import inspect

    try:
        source = inspect.getsource(inspect.getmodule(kind) or kind)
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _values(plugins: list[Plugin]) -> Iterator[tuple[str, str]]:
    for number, plugin in enumerate(plugins, 1):
        yield from _tensors(plugin, f"{number} {plugin.plugin_name}")


def _tensors(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """What tells the tensors and arrays within a plugin's options from others."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        array = value.detach().float().cpu().contiguous().numpy() if hasattr(value, "detach") else value
        yield where, hashlib.sha256(f"{value.shape} {value.dtype}".encode() + array.tobytes()).hexdigest()
    elif isinstance(value, BaseModel):
        for name, each in value:
            yield from _tensors(each, f"{where}.{name}")
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _tensors(each, f"{where}.{name}")
    elif isinstance(value, (list, tuple)):
        for place, each in enumerate(value):
            yield from _tensors(each, f"{where}[{place}]")
