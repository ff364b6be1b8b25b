"""What a recipe or a comparison may cost before anything is drawn: more than this is refused in one line.

The limits are far above what people write, and keep what a stranger's file can cost to a moment.
"""

from __future__ import annotations

FILE_BYTES = 2**20
"""Bytes of a recipe, a comparison or a file of prompts; what aliases stand for counts at each place, too."""

VALUES = 50_000
"""Keys, items and values in one file; what aliases stand for counts at each place."""

DEPTH = 30
"""Mappings and lists inside each other."""

NUMBER_LETTERS = 100
"""Letters of one number."""

NAME_BYTES = 255
"""Bytes of a file's or a folder's name, as file systems have it."""

PATH_BYTES = 4096
"""Bytes of a whole path."""

EXTENDED = 20
"""Recipes that one recipe extends, one through the other."""

PROMPTS = 10_000
"""Prompts of one recipe or comparison."""

PLUGINS = 100
"""Plugins of one recipe."""

MODELS = 20
"""Models of one recipe."""

LORAS = 100
"""LoRAs of one model."""

SIDE = 10_000_000
"""Pixels along one side of a picture or a window."""

PIXELS = 1_000_000_000
"""Pixels of one picture."""

STEPS = 100_000
"""Sampling steps of a stage."""

STAGES = 100
"""Stages of a run."""

VIEWS = 10_000
"""Views of one step."""

ALL_VIEWS = 200_000
"""Views of all steps of all stages together."""

DEVICES = 256
"""Devices that draw one picture together."""

BATCH = 10_000
"""Views of one forward pass."""

SEEDS = 100_000
"""Seeds of a comparison."""

SETTINGS = 200
"""Settings of a comparison, all combinations of what is varied."""

PICTURES = 100_000
"""Pictures of a comparison."""
