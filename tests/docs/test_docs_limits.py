"""The limits that the pages tell are those of the code, and each module has its line on the architecture's page."""

from __future__ import annotations

import re

import pytest
from docs_pages import DOCS, ROOT

from fusionkit import limits
from fusionkit.comparison.ranges import MOST_VALUES
from fusionkit.models import configs, lora_file, prompt_tokens, reading, scheduler_options, weights


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
        **{name: value for name, value in vars(configs).items() if name in CONFIGS},
    }
    assert len(counted) == 3 + len(CONFIGS)
    for name, value in counted.items():
        assert f"{value:,}" in numbers(told), name
    for value in (reading.CONFIG_LIMIT, reading.TABLE_LIMIT, weights.HEADER_LIMIT, lora_file.HEADER_LIMIT):
        assert f"{value // 10**6} MB" in told, value


CONFIGS = ("SIDE_LIMIT", "LAYER_LIMIT", "BLOCK_LIMIT", "CHANNEL_LIMIT")


@pytest.mark.parametrize("folder", ["fusionkit", "fusionkit/models"])
def test_every_module_has_its_line(folder: str) -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    there = {path.name for path in (ROOT / folder).glob("[!_]*.py")}
    assert there - set(re.findall(r"[a-z_]+\.py", page)) == set()


def test_every_module_that_has_a_line_is_there() -> None:
    rooms = (DOCS / "architecture.md").read_text(encoding="utf-8").split("\n## The rooms\n")[1]
    there = {path.name for path in (ROOT / "fusionkit").rglob("*.py")}
    assert set(re.findall(r"[a-z_]+\.py", rooms)) - there == set()
