"""Models and ControlNets that come inside an installed package and need no download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

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
    """

    folder: Path
    summary: str
    window: tuple[int, int]
    example_prompt: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    lora: Path | None = None
    licence: str = "Apache-2.0"


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
    """All embedded models of the installed packages, by name such as `tinyworld/scenes`; broken packages left out."""
    return _found(ENTRY_POINT_GROUP)[0]


def embedded_controlnets() -> dict[str, EmbeddedControlNet]:
    """All embedded ControlNets, by name such as `tinyworld/canny`; broken packages left out."""
    return _found(CONTROLNET_GROUP)[0]


def broken_packages() -> dict[str, str]:
    """What is wrong with each package whose models can't be listed, by the first half of their names."""
    return _found(CONTROLNET_GROUP)[1] | _found(ENTRY_POINT_GROUP)[1]


def _found(group: str) -> tuple[dict[str, Any], dict[str, str]]:
    carried: dict[str, Any] = {}
    broken: dict[str, str] = {}
    for entry in entry_points(group=group):
        try:
            offered = dict(entry.load())
        except Exception as error:  # noqa: BLE001 - somebody else's package may raise anything, and must not hide the others
            broken[entry.name] = f"{entry.value}: {type(error).__name__}: {' '.join(str(error).split())}"
            continue
        carried.update({f"{entry.name}/{short}": each for short, each in offered.items()})
    return dict(sorted(carried.items())), broken
