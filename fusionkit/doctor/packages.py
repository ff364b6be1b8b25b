"""The installed packages: their versions, and which of them do not fit each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from itertools import combinations
from pathlib import Path

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from fusionkit.doctor.declared import declared

US = "fusionkit"
TESTS = "test"
"""The extra that only tests need, and that brings all others."""
SAFE_TORCH = "2.6"
"""Before it, `torch.load(weights_only=True)` could be made to run code (CVE-2025-32434)."""
ONE_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
"""Packages that all install the module `cv2`."""
LOWER = (">=", ">", "!=")
SLOPPY = ("tests", "test", "docs", "examples", "benchmarks", "scripts")
"""Folders that packages install by mistake; nobody imports them."""
_MODULE = re.compile(r"^([^/,\"]+)/__init__\.py(?=,|$)", re.MULTILINE)
"""The line of a module in a list of installed files."""


@dataclass(frozen=True)
class Unfit:
    """One thing that does not fit.

    Args:
        text: It, in one line.
        names: The packages that it is about, as the index spells them.
    """

    text: str
    names: frozenset[str]


class Installed(Mapping[str, Distribution]):
    """The installed packages by name, as imports would find them."""

    def __init__(self) -> None:
        self._found: dict[str, Distribution] = {}
        self.twice: dict[str, list[str]] = {}
        """Versions of packages that are installed more than once in one folder."""
        for each in distributions():
            name = name_of(each)
            if not name:
                continue
            first = self._found.setdefault(name, each)
            if first is not each and _place(first) == _place(each) and first.version != each.version:
                self.twice.setdefault(name, [first.version]).append(each.version)

    def __getitem__(self, name: str) -> Distribution:
        return self._found[canonicalize_name(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def name_of(package: Distribution) -> str:
    """A package's name as the index spells it; empty where its metadata is damaged."""
    try:
        return canonicalize_name(package.metadata["Name"] or "")
    except Exception:  # noqa: BLE001 - a damaged folder raises what it likes, by the version of Python
        return ""


def requirements(package: Distribution, extras: frozenset[str] = frozenset()) -> list[Requirement]:
    """What a package needs on this machine, with some of its extras."""
    found = []
    for line in package.requires or []:
        try:
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                found.append(need)
        except (InvalidRequirement, UndefinedEnvironmentName):
            continue
    return found


def direct(installed: Installed, extra: str = "") -> list[str]:
    """The packages that fusionkit itself asks for, or that one of its extras adds."""
    if US not in installed:
        return []

    def names(*extras: str) -> set[str]:
        return {canonicalize_name(need.name) for need in requirements(installed[US], frozenset(extras))}

    return sorted(names(extra) - names() if extra else names())


def extras(installed: Installed) -> list[str]:
    """The extras of fusionkit that some of its work needs, by name; not what its tests do."""
    offered = installed[US].metadata.get_all("Provides-Extra") if US in installed else None
    return sorted(set(offered or ()) - {TESTS})


def unfit(installed: Installed | None = None) -> list[Unfit]:
    """All that does not fit among the packages that fusionkit works with.

    Args:
        installed: The packages; None looks for them.
    """
    installed = installed or Installed()
    if US not in installed:
        return [Unfit("fusionkit has no metadata: it is not installed, only found", frozenset({US}))]
    found = [*_torch(installed), *_needs(installed), *_own_tables(installed), *_overlaps(installed)]
    for name, versions in installed.twice.items():
        text = f"{name} is installed twice in one place, as {' and '.join(versions)}: uninstall it until it is gone"
        found.append(Unfit(text, frozenset({name})))
    return list(dict.fromkeys(found))


def _torch(installed: Installed) -> Iterator[Unfit]:
    version = _version(installed, "torch")
    if version is not None and version < Version(SAFE_TORCH):
        yield Unfit(f"torch {version} is not safe: before {SAFE_TORCH}, weights could run code", frozenset({"torch"}))


def _needs(installed: Installed) -> Iterator[Unfit]:
    """What packages told the installer that they need: of fusionkit, and of all that it brings."""
    for name, extras in _closure(installed):
        for need in requirements(installed[name], extras):
            yield from _checked(installed, name, need)
    # Of what only some installs have, all that is there must be what was asked for.
    for extra in installed[US].metadata.get_all("Provides-Extra") or []:
        for need in requirements(installed[US], frozenset({extra})):
            if need.name in installed:
                yield from _checked(installed, US, need)


def _own_tables(installed: Installed) -> Iterator[Unfit]:
    """What libraries want of each other and only say in their own code; transformers' peft is such a case.

    Lower bounds alone: such tables also hold the versions that a library is developed with, pinned and capped.
    """
    ours = direct(installed)
    for name in (name for name in ours if name in installed):
        for line in declared(name.replace("-", "_")):
            try:
                need = Requirement(line.replace("_", "-"))
            except InvalidRequirement:
                continue
            need.specifier = SpecifierSet(",".join(str(each) for each in need.specifier if each.operator in LOWER))
            if canonicalize_name(need.name) in ours and need.name in installed:
                yield from _checked(installed, name, need)


def _checked(installed: Installed, name: str, need: Requirement) -> Iterator[Unfit]:
    other = canonicalize_name(need.name)
    names = frozenset({name, other})
    wanted = f"{name} {installed[name].version} wants {other}{need.specifier}"
    if other not in installed:
        yield Unfit(f"{wanted}, which is not installed", names)
        return
    version = _version(installed, other)
    if version is not None and not need.specifier.contains(version, prereleases=True):
        yield Unfit(f"{wanted}, and {version} is installed", names)


def _overlaps(installed: Installed) -> Iterator[Unfit]:
    """Packages that install one module, so that it is whichever came last."""
    claims: dict[str, list[str]] = {"cv2": [name for name in ONE_OPENCV if name in installed]}
    ours = {name for name, _ in _closure(installed)}
    for name, package in installed.items():
        for module in _modules(package):
            claims.setdefault(module, []).append(name)
    for module, names in claims.items():
        for one, other in combinations(sorted(set(names)), 2):
            if ours & {one, other}:
                text = f"{one} and {other} both install the module '{module}': uninstall both, and reinstall one"
                yield Unfit(text, frozenset({one, other}))


def _modules(package: Distribution) -> set[str]:
    """The packages, in Python's sense, that one installs.

    Of the list as it is written: libraries have tens of thousands of files, and an object for each takes a second.
    """
    listed = package.read_text("RECORD") or "\n".join(file.as_posix() for file in package.files or [])
    return {name for name in _MODULE.findall(listed) if name not in SLOPPY}


def _closure(installed: Installed) -> list[tuple[str, frozenset[str]]]:
    """All packages that fusionkit brings, itself included, with the extras that are asked for."""
    todo, seen = [(US, frozenset[str]())], dict[tuple[str, frozenset[str]], None]()
    while todo:
        at = todo.pop(0)
        if at in seen or at[0] not in installed:
            continue
        seen[at] = None
        needs = requirements(installed[at[0]], at[1])
        todo += [(canonicalize_name(need.name), frozenset(need.extras)) for need in needs]
    return list(seen)


def _version(installed: Installed, name: str) -> Version | None:
    try:
        return Version(installed[name].version)
    except (KeyError, InvalidVersion, TypeError):
        return None


def _place(package: Distribution) -> Path:
    return Path(str(package.locate_file("")))
