"""The recipes that come with fusionkit, and its presets; `fusionkit run NAME` finds them."""

from pathlib import Path

PRESETS = {path.stem: path for path in sorted((Path(__file__).parent / "presets").glob("*.yaml"))}
"""The files of the presets, by name."""
