"""The limits that the pages tell are those of the code, and each module has its line on the architecture's page."""

from __future__ import annotations

import re

import pytest
from docs_pages import DOCS, ROOT

from fusionkit.comparison.ranges import MOST_VALUES
from fusionkit.models import enlarging, networks
from fusionkit.models.files import config_values, reading, weights
from fusionkit.models.lora import file as lora_file
from fusionkit.models.prompts import tokens as prompt_tokens
from fusionkit.models.schedulers import options as scheduler_options
from fusionkit.recipe import limits


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:,\d{3})*", text))


def test_limits_of_recipes_and_comparisons_are_told() -> None:
    section = (DOCS / "recipes.md").read_text(encoding="utf-8").split("\n## Limits\n")[1].split("\n## ")[0]
    ours = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert ours.pop("FILE_BYTES") == 2**20
    assert "1 MiB" in section
    for name, value in {**ours, "MOST_VALUES": MOST_VALUES, "MOST_CHUNKS": prompt_tokens.MOST_CHUNKS}.items():
        assert f"{value:,}" in numbers(section), name


def test_limits_of_models_are_told() -> None:
    page = (DOCS / "getting-started.md").read_text(encoding="utf-8")
    told = next(part for part in page.split("\n\n") if part.startswith("What a stranger's model may cost"))
    counted = {
        "STEP_LIMIT": scheduler_options.STEP_LIMIT,
        "SHARD_LIMIT": weights.SHARD_LIMIT,
        "NUMBER_LIMIT": reading.NUMBER_LIMIT,
        **{name: value for name, value in vars(config_values).items() if name in CONFIGS},
    }
    assert len(counted) == 3 + len(CONFIGS)
    for name, value in counted.items():
        assert f"{value:,}" in numbers(told), name
    for value in (reading.CONFIG_LIMIT, reading.TABLE_LIMIT, weights.HEADER_LIMIT, lora_file.HEADER_LIMIT):
        assert f"{value // 10**6} MB" in told, value


def test_limits_of_networks_are_told() -> None:
    page = (DOCS / "models.md").read_text(encoding="utf-8").split("\n## Super-resolution networks\n")[1]
    told = page.split("\n## ")[0]
    assert f"{networks.NETWORK_LIMIT // 2**30} GiB" in told
    assert {f"{networks.LAYER_LIMIT:,}", str(enlarging.OVERLAP)} <= numbers(told)
    assert f"{enlarging.TILE}x{enlarging.TILE}" in told


CONFIGS = ("SIDE_LIMIT", "LAYER_LIMIT", "BLOCK_LIMIT", "CHANNEL_LIMIT")


ROOMS = ("recipe", "pictures", "loop", "models", "runs")
FOLDERS = [
    "fusionkit",
    *(
        path.parent.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in sorted((ROOT / "fusionkit" / room).rglob("__init__.py"))
    ),
]


def rooms() -> dict[str, set[str]]:
    """The modules that the architecture's page names, by their folder."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8").split("\n## The rooms\n")[1]
    found: dict[str, set[str]] = {}
    for part in page.split("\n### ")[1:]:
        if part.startswith("`fusionkit/"):
            found[part.split("`")[1].rstrip("/")] = set(re.findall(r"[a-z0-9_]+\.py", part))
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_module_has_its_line(folder: str) -> None:
    there = {path.name for path in (ROOT / folder).glob("[!_]*.py")}
    assert rooms()[folder] == there
