"""Which wheels another machine lacks for the benchmark, and how to fetch them where there is a network.

What is needed is what `fusionkit/`, the plugins, `benchmarks/gpu.py` and the tests import, not all that the package
declares: no metric, no command line, no annotator. Their needs are followed through the metadata of what is installed
here, whose versions are taken.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NEEDED = (
    "accelerate",
    "diffusers",
    "numpy",
    "pillow",
    "pluggy",
    "psutil",
    "pydantic",
    "pytest",
    "ruamel.yaml",
    "safetensors",
    "tqdm",
    "transformers",
)
# torch, torchvision, transformers, peft and OpenCV, and what every version of theirs brings along. What some versions
# bring and others don't (pydantic, requests, ...) counts as lacking: a wheel too many costs less than one too few.
THERE = (
    "torch",
    "torchvision",
    "transformers",
    "peft",
    "opencv-python-headless",
    "accelerate",
    "filelock",
    "huggingface-hub",
    "numpy",
    "packaging",
    "pillow",
    "psutil",
    "pyyaml",
    "regex",
    "safetensors",
    "tokenizers",
    "tqdm",
)
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
LIMIT = 40_000_000


def closure(names: Iterable[str], there: Sequence[str] = (), python: str = PYTHON) -> set[str]:
    """Packages and all that they need, by their canonical names, on Linux and a version of Python.

    Args:
        names: Where it begins.
        there: What needs no look: it is there with all that it needs.
        python: That version.

    Raises:
        PackageNotFoundError: One is not installed here, so that what it needs is not known.
    """
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    environment |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
    known, found = {canonicalize_name(name) for name in there}, set[str]()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found | known:
            continue
        found.add(name)
        needs = [Requirement(line) for line in requires(name) or ()]
        waiting += [
            canonicalize_name(need.name) for need in needs if need.marker is None or need.marker.evaluate(environment)
        ]
    return found


def lacking(there: Sequence[str] = THERE) -> list[str]:
    """What the other machine lacks, as `NAME==VERSION`, in alphabetical order."""
    return [f"{name}=={version(name)}" for name in sorted(closure(NEEDED, there))]


def listed(text: str) -> list[str]:
    """The names in a list: separated by commas or spaces, or a file with what `pip list` or `pip freeze` prints."""
    path = Path(text)
    if not path.is_file():
        return [name for name in re.split(r"[,\s]+", text) if name]
    words = (line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return [re.split(r"[=@<>~!\[]", word)[0] for word in words if not word.startswith(("-", "#", "Package"))]


def command(folder: str, there: Sequence[str] = THERE) -> list[str]:
    """The command that fetches them."""
    platforms = [option for each in PLATFORMS for option in ("--platform", each)]
    exact = ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON, *platforms]
    return [sys.executable, "-m", "pip", "download", "-q", *exact, "-d", folder, *lacking(there)]


def fetch(folder: Path, there: Sequence[str] = THERE) -> int:
    """Fetch them into a folder, and answer their size in bytes."""
    subprocess.run(command(str(folder), there), check=True)
    return sum(path.stat().st_size for path in folder.glob("*.whl"))
