"""What is installed is what is in the repository."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_is_in_the_distribution() -> None:
    listed = re.search(r"^packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert listed is not None
    core = {".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("fusionkit/**/__init__.py")}
    plugins = {
        ".".join(path.parent.relative_to(ROOT / "plugins").parts) for path in ROOT.glob("plugins/**/__init__.py")
    }
    assert set(re.findall(r'"([\w.]+)"', listed[1])) == core | plugins | {
        "fusionkit.recipes",
        "fusionkit.recipes.papers",
        "fusionkit.recipes.presets",
    }
