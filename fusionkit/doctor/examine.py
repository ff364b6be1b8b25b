"""One examination of an installation: each part by itself, so that what is broken hides nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fusionkit.doctor import machine
from fusionkit.doctor.probe import OFFERS, TORCH, VISION, probe

IMPORTED = {
    "torch": TORCH,
    "torchvision": VISION,
    "cv2": "import cv2; cv2.cvtColor",
    "transformers": "from transformers import CLIPTextModel",
    "peft": "import peft",
    "diffusers": "from diffusers import StableDiffusionPipeline",
}
"""What is tried of each library; all but OpenCV are built on those before them, and fail where those do."""


@dataclass
class Examination:
    """What was found; all of it is JSON.

    Attributes:
        fusionkit: Its version and where it lies.
        python: The interpreter.
        system: The operating system, its processors and its memory.
        packages: The versions of what fusionkit needs itself, by name; None where it is not installed.
        extras: Likewise of what each of its extras adds.
        devices: What torch can compute on.
        caches: Where downloads are kept, how large they are, and how much room there is.
        models: Embedded ones, and those in the hub's cache.
        offers: What the installed packages offer, by kind.
        problems: What does not fit or does not work, one line each.
        notes: What a reader may want to know, one line each.
    """

    fusionkit: dict[str, Any] = field(default_factory=dict)
    python: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)
    packages: dict[str, str | None] = field(default_factory=dict)
    extras: dict[str, dict[str, str | None]] = field(default_factory=dict)
    devices: list[dict[str, Any]] = field(default_factory=list)
    caches: list[dict[str, Any]] = field(default_factory=list)
    models: dict[str, list[str]] = field(default_factory=dict)
    offers: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def examine() -> Examination:
    """Look at everything; takes some seconds, since the libraries are tried, in a process of their own."""
    found = Examination()
    for what, part in PARTS.items():
        try:
            part(found)
        except Exception as error:  # noqa: BLE001 - whatever is broken, the rest is still wanted
            text = " ".join(str(error).split()) or "no message"
            found.problems.append(f"the {what} can't be examined: {type(error).__name__}: {text}")
    return found


def _machine(found: Examination) -> None:
    found.fusionkit, found.python, found.system = machine.ourselves(), machine.python(), machine.system()


def _packages(found: Examination) -> None:
    from fusionkit.doctor.packages import Installed, direct, extras, unfit

    installed = Installed()

    def versions(names: list[str]) -> dict[str, str | None]:
        return {name: installed[name].version if name in installed else None for name in names}

    found.problems += [each.text for each in unfit(installed)]
    found.packages = versions(direct(installed))
    found.extras = {extra: versions(direct(installed, extra)) for extra in extras(installed)}


def _libraries(found: Examination) -> None:
    tried = probe(IMPORTED)
    torch = tried["torch"]
    found.devices = machine.devices(torch.told)
    if note := "" if torch.failure else machine.unused_gpu(torch.told):
        found.notes.append(note)
    told = " ".join(found.problems)
    lines = {module: each.failure for module, each in tried.items() if each.failure and not _known(each.failure, told)}
    if (line := lines.pop("cv2", None)) is not None:
        found.problems.append(f"cv2 can't be imported: {line}")
    if lines:
        first, *others = lines
        also = f"; nor can {', '.join(others)}, perhaps because of it" if others else ""
        found.problems.append(f"{first} can't be imported: {lines[first]}{also}")


def _known(failure: str, told: str) -> bool:
    """Whether all that is wrong is a module whose package is told to be missing already."""
    missing = re.search(r"No module named '(\w+)", failure)
    return missing is not None and re.search(rf"\b{missing[1]}(?![\w-])\S*, which is not installed", told) is not None


def _caches(found: Examination) -> None:
    found.caches = machine.caches()
    found.models["cached"] = machine.cached_models()


def _offers(found: Examination) -> None:
    tried = probe({"offers": OFFERS})["offers"]
    if tried.failure:
        found.problems.append(f"what the installed packages offer can't be listed: {tried.failure}")
        return
    found.offers = tried.told["found"]
    found.models["embedded"] = [*found.offers.pop("models"), *found.offers.pop("controlnets")]
    for name, (package, reason) in tried.told["broken"].items():
        found.problems.append(f"{name} of package '{package}' can't be imported: {reason}")


PARTS: dict[str, Callable[[Examination], None]] = {
    "machine": _machine,
    "packages": _packages,
    "libraries": _libraries,
    "caches": _caches,
    "plugins": _offers,
}
