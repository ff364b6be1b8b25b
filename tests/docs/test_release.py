"""What is released: links that hold without the repository, one version everywhere, sources for each comparison."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest
from docs_pages import ROOT, script
from ruamel.yaml import YAML

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it
    import tomli as tomllib

ADDRESS = "https://example.org/somebody/fusionkit"


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def release() -> ModuleType:
    return script("for_release")


def test_the_readme_of_a_release_has_whole_links_to_files_that_are_there(release: ModuleType) -> None:
    whole = release.readme(text("README.md"), ADDRESS, "v1.2.3")
    assert "<!--" not in whole
    linked = re.findall(r'(?:\]\(|src=")([^)"\s]+)', whole)
    ours = [target for target in linked if not target.startswith("#")]
    assert all(target.startswith("https://") for target in ours)
    places = [re.fullmatch(rf"{ADDRESS}/(raw|blob|tree)/v1\.2\.3/([^#]+)(#.*)?", each) for each in ours]
    found = [place for place in places if place is not None]
    assert len(found) > 60
    for place in found:
        assert (ROOT / place[2]).exists()
        assert (place[1] == "raw") == place[2].endswith((".webp", ".jpg"))
    # Code is as it was.
    assert re.findall(r"^```.*?^```$", whole, re.DOTALL | re.MULTILINE) == re.findall(
        r"^```.*?^```$", text("README.md"), re.DOTALL | re.MULTILINE
    )


def test_a_release_says_its_addresses_from_the_one_that_it_is_given(release: ModuleType) -> None:
    assert ADDRESS not in text("pyproject.toml")
    project = tomllib.loads(release.pyproject(text("pyproject.toml"), ADDRESS, "v1.2.3"))["project"]
    assert project["urls"]["Source"] == ADDRESS
    assert project["urls"]["Changelog"] == f"{ADDRESS}/blob/v1.2.3/CHANGELOG.md"
    assert release.checked("https://example.org/a/b.git") == "https://example.org/a/b"
    for wrong in ("http://example.org/a/b", "example.org/a/b", "https://example.org/a", ""):
        with pytest.raises(SystemExit, match="is no address of a repository"):
            release.checked(wrong)


def test_one_version_and_one_licence_stand_everywhere(release: ModuleType) -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    cited = YAML(typ="safe").load(text("CITATION.cff"))
    assert cited["version"] == project["version"] == release.version()
    assert cited["license"] == project["license"]
    assert cited["cff-version"] == "1.2.0"
    assert {"title", "message", "authors", "abstract"} <= cited.keys()
    assert re.search(rf"\b{re.escape(project['version'])}\b", text("CHANGELOG.md"))


def test_each_cell_that_compares_names_its_source() -> None:
    section = text("README.md").split("\n## What it does better than what you use now\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| [")]
    assert len(rows) == 5
    for you_use, here, there in rows:
        assert "](https://" in you_use
        assert "](docs/" in here
        assert "](https://" in there


def test_more_than_twenty_families_are_there() -> None:
    from fusionkit.models.families import FAMILIES

    assert len({family.title for family in FAMILIES.values()}) > 20
