"""The tested set of versions: complete and free of contradictions wherever fusionkit is installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it there
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXT = (ROOT / "constraints.txt").read_text()
PINS = [Requirement(line) for line in TEXT.splitlines() if line and not line.startswith("#")]
PYTHONS = [f"3.{minor}" for minor in range(10, 15)]
PLATFORMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}


@pytest.fixture(params=[(python, platform) for python in PYTHONS for platform in PLATFORMS], ids="-".join)
def machine(request: pytest.FixtureRequest) -> dict[str, str]:
    python, platform = request.param
    return {"python_version": python, "python_full_version": f"{python}.1", **PLATFORMS[platform]}


def applying(requirements: list[Requirement], machine: dict[str, str]) -> Iterator[Requirement]:
    for each in requirements:
        if each.marker is None or each.marker.evaluate(machine):
            yield each


def pinned(machine: dict[str, str]) -> dict[str, Version]:
    found: dict[str, Version] = {}
    for pin in applying(PINS, machine):
        (exact,) = pin.specifier
        assert exact.operator == "==", pin
        assert canonicalize_name(pin.name) not in found, f"{pin.name} has two versions"
        found[canonicalize_name(pin.name)] = Version(exact.version)
    return found


def test_every_machine_gets_one_version_of_each_dependency_and_it_is_in_its_range(machine: dict[str, str]) -> None:
    versions = pinned(machine)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        for each in applying([Requirement(line) for line in lines], machine):
            name = canonicalize_name(each.name)
            if name != "fusionkit":
                assert versions[name] in each.specifier, f"{each} and {name} {versions[name]}"


def test_the_file_says_how_it_was_made_and_the_guide_says_the_same() -> None:
    made = re.search(r"^#    (uv pip compile .*)$", TEXT, re.MULTILINE)
    assert made is not None
    assert f"\n{made[1]}\n" in (ROOT / "CONTRIBUTING.md").read_text()
    assert "://" not in TEXT, "it names no place of packages, nor anyone's own one"


def test_torch_is_none_that_runs_code_from_weights() -> None:
    torch = next(each for each in map(Requirement, PROJECT["dependencies"]) if each.name == "torch")
    assert not torch.specifier.contains("2.5.1")
    assert torch.specifier.contains("2.6.0")
