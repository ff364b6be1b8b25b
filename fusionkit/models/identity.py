"""What tells a model from others that bear its name: models inside packages, and on the hub. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.errors import FusionError
from fusionkit.models.embedded import EmbeddedControlNet, EmbeddedModel, embedded_controlnets, embedded_models
from fusionkit.models.files.hub import cached_commit, cached_file
from fusionkit.models.lora.place import find_lora
from fusionkit.pictures.inputs import fingerprint, named_by_plugins
from fusionkit.trust import named_by_a_picture

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Lora, Recipe


_COMMIT, _OF_PLUGINS = "commit:", "config.json"


def identities(recipe: Recipe) -> dict[str, str]:
    """What tells the models of a recipe that are no paths from others of their names, as the recipe writes them.

    Of a model inside a package, and of a LoRA of the hub, that is a hash of what is in them; of a model of the hub, its
    commit in the cache. What is not on this machine is left out, and nobody is asked.
    """
    with named_by_a_picture(downloads=""):
        return {text: found for text, found in _each(recipe) if found}


def misfits(known: Mapping[str, str], recipe: Recipe) -> dict[str, str]:
    """One line for each model of a recipe that is another than it was, by its name there.

    Args:
        known: What told them apart then.
        recipe: The recipe.
    """
    now = identities(recipe)
    changed = {text: now[text] for text, was in known.items() if now.get(text, was) != was}
    return {
        text: f"'{text}' is not the model that the picture was drawn with{_commits(known[text], found)}"
        for text, found in changed.items()
    }


def _commits(was: str, now: str) -> str:
    if not (was.startswith(_COMMIT) and now.startswith(_COMMIT)):
        return ""
    old, new = (each.removeprefix(_COMMIT)[:12] for each in (was, now))
    return f": that was commit {old}, and {new} is here; --set revision={old} asks for the old one"


def _each(recipe: Recipe) -> Iterator[tuple[str, str]]:
    models, controlnets = embedded_models(), embedded_controlnets()
    for spec in recipe.specs.values():
        for source in spec.sources:
            if not Path(source).expanduser().exists():
                yield source, _identity(source, models.get(source), "model_index.json", spec.revision)
        for lora in spec.loras:
            if not Path(lora.path).expanduser().exists():
                yield lora.path, _of_lora(lora)
    for text in named_by_plugins(recipe):
        if not Path(text).expanduser().exists():
            yield text, _identity(text, controlnets.get(text), _OF_PLUGINS, None)


def _identity(text: str, embedded: EmbeddedModel | EmbeddedControlNet | None, name: str, revision: str | None) -> str:
    if embedded is not None:
        lora = getattr(embedded, "lora", None)
        return "+".join(fingerprint(each) for each in (embedded.folder, lora) if each is not None)
    try:
        cached = cached_file(text, name, revision)
    except ValueError:  # no id of the hub, in its client's words
        return ""
    if cached is not None:
        # The cache keeps a model's files in a folder of its commit's name.
        return f"{_COMMIT}{cached.parent.name}"
    # Of what plugins name, not all has a configuration in its uppermost folder.
    commit = cached_commit(text) if name == _OF_PLUGINS else ""
    return f"{_COMMIT}{commit}" if commit else ""


def _of_lora(lora: Lora) -> str:
    try:
        found = find_lora(lora, download=False)
    except FusionError:
        return ""
    return "" if found is None else fingerprint(found)
