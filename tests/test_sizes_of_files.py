"""The repository stays small enough to clone, and to travel to another machine."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MB = 1_000_000


@pytest.mark.parametrize(("folder", "limit"), [("tests/golden", 13 * MB), ("docs/images", 6 * MB)])
def test_a_folder_stays_below_its_limit(folder: str, limit: int) -> None:
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    sizes = {path: path.stat().st_size for path in files}
    assert limit / 4 < sum(sizes.values()) < limit, sorted(sizes, key=lambda path: -sizes[path])[:5]
