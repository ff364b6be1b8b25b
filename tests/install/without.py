"""Runs Python as if some packages were not installed: neither their modules nor their metadata can be found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_without(names: tuple[str, ...], folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process that sees all that is installed here but what begins with one of these names.

    Args:
        names: Beginnings of what lies in site-packages, such as `sklearn` and `scikit_learn`.
        folder: Where the other site-packages are made, of links.
        code: What is run.
    """
    site = folder / "site-packages"
    site.mkdir()
    for place in dict.fromkeys(path for path in sys.path if path.endswith(("site-packages", "dist-packages"))):
        for entry in Path(place).iterdir():
            if not entry.name.startswith(names) and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
    # `site` reads the .pth files, which an editable install needs; those that lead to where all is undo the links.
    for path in site.glob("*.pth"):
        if any(line.endswith("-packages") for line in path.read_text().splitlines()):
            path.unlink()
    begin = f"import site; site.addsitedir({str(site)!r})\n"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-s", "-S", "-c", begin + code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
