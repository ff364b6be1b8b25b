"""Models and ControlNets that come inside an installed package and need no download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from fusionkit.errors import PluginError
from fusionkit.foreign import entries_of, guarded
from fusionkit.registry import offered_twice, package_of

ENTRY_POINT_GROUP = "fusionkit.models"
CONTROLNET_GROUP = "fusionkit.controlnets"


@dataclass(frozen=True)
class EmbeddedModel:
    """A model in diffusers' folder layout that a package carries.

    A package offers its models through the entry point group `fusionkit.models`: the entry point's name is the first
    half of the model's name, its object a mapping from the second half to an `EmbeddedModel`.

    Args:
        folder: Where `model_index.json` is.
        summary: One sentence for `fusionkit models`.
        window: The size the model was trained at, (width, height) in pixels.
        example_prompt: A prompt that the model knows.
        defaults: Recipe options that suit the model, by their YAML names (`steps`, `guidance-scale`, ...).
        lora: A LoRA file that makes this model of the folder's; it is merged into the denoiser when that loads.
        licence: SPDX name of the weights' licence.
        words: All words that the model was taught, in small letters, where they are few: of a prompt's other words
            `validate`, `plan` and `run` say that the model does not know them. Empty of a model that knows any.
    """

    folder: Path
    summary: str
    window: tuple[int, int]
    example_prompt: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    lora: Path | None = None
    licence: str = "Apache-2.0"
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class EmbeddedControlNet:
    """A ControlNet in diffusers' folder layout that a package carries.

    A package offers its ControlNets through the entry point group `fusionkit.controlnets`, as it does its models.

    Args:
        folder: Where `config.json` is.
        summary: One sentence for `fusionkit models`.
        annotator: Name of the annotator that makes its hints, such as `canny`.
        licence: SPDX name of the weights' licence.
    """

    folder: Path
    summary: str
    annotator: str = ""
    licence: str = "Apache-2.0"


def embedded_models() -> dict[str, EmbeddedModel]:
    """All embedded models of the installed packages, by name such as `vista/scenes`; broken packages left out."""
    return _found(ENTRY_POINT_GROUP, EmbeddedModel)[0]


def embedded_controlnets() -> dict[str, EmbeddedControlNet]:
    """All embedded ControlNets, by name such as `tinyworld/canny`; broken packages left out."""
    return _found(CONTROLNET_GROUP, EmbeddedControlNet)[0]


def broken_packages() -> dict[str, str]:
    """What is wrong with each package whose models can't be listed, by the first half of their names."""
    return _found(CONTROLNET_GROUP, EmbeddedControlNet)[1] | _found(ENTRY_POINT_GROUP, EmbeddedModel)[1]


def why_missing(source: str) -> str:
    """Why a model or ControlNet of a broken package is not there, in one line; empty for any other name."""
    for prefix, reason in broken_packages().items():
        if source.startswith(f"{prefix}/"):
            return f"'{source}' is not there: '{prefix}/...' of {packages_of(prefix)}: {reason}"
    return ""


def packages_of(prefix: str) -> str:
    """Whose the models and ControlNets of a first half are: `package 'fusionkit'`."""
    entries = [each for group in (ENTRY_POINT_GROUP, CONTROLNET_GROUP) for each in entries_of(group)]
    packages = sorted({package_of(each) for each in entries if each.name == prefix})
    return f"package{'s' if len(packages) > 1 else ''} {' and '.join(map(repr, packages))}"


def _found(group: str, kind: type[Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the packages offer by full name, and what is wrong with a package by the first half of its names.

    Where several packages offer one first half, none of them counts: none may stand in for another unseen.
    """
    by_name: dict[str, list[EntryPoint]] = {}
    for entry in entries_of(group):
        by_name.setdefault(entry.name, []).append(entry)
    carried: dict[str, Any] = {}
    owners: dict[str, list[EntryPoint]] = {}
    broken: dict[str, str] = {}
    for name, entries in by_name.items():
        entry = entries[0]
        if reason := offered_twice(entries):
            broken[name] = reason
            continue
        try:
            with guarded(entry.value):
                offered = {f"{name}/{short}": each for short, each in dict(entry.load()).items()}
                if strange := [full for full, each in offered.items() if not isinstance(each, kind)]:
                    raise TypeError(f"'{strange[0]}' is no {kind.__name__}")
        except PluginError as error:
            broken[name] = str(error)
            continue
        for full, each in offered.items():
            carried[full] = each
            owners.setdefault(full, []).append(entry)
    # Two halves may meet in other places, too: 'a' with 'b/c', and 'a/b' with 'c'.
    for full, entries in owners.items():
        if len(entries) > 1:
            del carried[full]
            broken |= dict.fromkeys((each.name for each in entries), f"'{full}' {offered_twice(entries)}".strip())
    return dict(sorted(carried.items())), broken
