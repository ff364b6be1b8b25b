"""What the installed packages offer is read once, and again when a folder of packages has changed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from fusionkit.foreign import entries_of, version_of


def add(site: Path, name: str, version: str) -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[fusionkit.odds]\n{name} = {name}:Thing\n")


def offered() -> list[str]:
    return sorted(entry.name for entry in entries_of("fusionkit.odds"))


def test_a_package_that_comes_or_goes_is_seen_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered() == []
    monkeypatch.syspath_prepend(str(tmp_path))
    add(tmp_path, "first", "1.0")
    assert (offered(), version_of("first")) == (["first"], "1.0")
    add(tmp_path, "second", "2.0")
    assert (offered(), version_of("second")) == (["first", "second"], "2.0")
    (tmp_path / "second-2.0.dist-info").rename(tmp_path / "away")
    assert offered() == ["first"]
    with pytest.raises(PackageNotFoundError):
        version_of("second")
    monkeypatch.undo()
    assert offered() == []


def test_nothing_is_read_again_while_nothing_changes() -> None:
    first, again = (list(entries_of("fusionkit.plugins")) for _ in range(2))
    assert len(first) > 10
    assert all(one is other for one, other in zip(first, again, strict=True))
