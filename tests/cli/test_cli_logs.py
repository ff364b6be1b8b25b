"""What commands tell of their progress where standard error is a file: whole lines, and few."""

from __future__ import annotations

import pytest
from command_line import Run

from fusionkit.runs import bars


@pytest.mark.parametrize("seldom", [0.0, 10.0])
def test_a_bar_in_a_log_is_lines(
    seldom: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bars, "_SELDOM", seldom)
    for leave in (True, False):
        with bars.progress_bar(total=3, unit="run", leave=leave) as bar:
            for number in range(3):
                bar.set_description_str(f"round {number}: ")
                bar.update()
        lines = capsys.readouterr().err.splitlines()
        # A bar that is not left says nothing before it has run for a while; a description alone is no line.
        assert len(lines) == (5 if not seldom else 2 if leave else 0), lines
        assert not lines or lines[-1].startswith("round 2: 100% 3/3")


@pytest.mark.parametrize("seldom", [0.0, 10.0])
def test_no_command_moves_a_cursor_in_a_log(seldom: float, monkeypatch: pytest.MonkeyPatch, fusionkit: Run) -> None:
    monkeypatch.setattr(bars, "_SELDOM", seldom)
    assert fusionkit("run", "r.yaml", "--set", "output=a/1.png", "-q").code == 0
    for told in (
        fusionkit("bench", "r.yaml", "--runs", "1"),
        fusionkit("evaluate", "a", "--metrics", "variance"),
        fusionkit("compare", "r.yaml", "--set", "steps=1", "--seeds", "0-1", "--metrics", "variance"),
    ):
        assert told.code == 0, told.err
        assert "\r" not in told.err + told.out
        assert "\x1b" not in told.err + told.out
        assert seldom or told.err.count("/") > 2, told.err
