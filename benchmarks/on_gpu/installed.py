"""What an installation would tell of fusionkit, where it only lies in a folder: which schedulers, plugins and models.

Packages are found by entry points, which only an installed package has. Importing this needs no torch.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import fusionkit

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEDULERS = "fusionkit.schedulers"
ROOT = Path(__file__).resolve().parents[2]


def as_installed(root: Path = ROOT) -> str | None:
    """Put a folder with fusionkit's metadata on the path, unless it is installed; its recipes can be found either way.

    Args:
        root: The folder of `pyproject.toml`.

    Returns:
        That folder, for `PYTHONPATH` of other processes; None where fusionkit is installed.
    """
    if find_spec("fusionkit.recipes") is None:
        # Beside the package in a checkout, and in it where it is installed.
        fusionkit.__path__.append(str(root))
    if entry_points(group=SCHEDULERS):
        return None
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = Path(tempfile.mkdtemp(prefix="fusionkit-"))
    told = folder / f"fusionkit-{project['version']}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fusionkit\nVersion: {project['version']}\n")
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in each.items()) for group, each in groups.items()
    ]
    (told / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    sys.path.append(str(folder))
    return str(folder)
