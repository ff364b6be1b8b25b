"""A short run of the kills: no picture is empty or torn, none comes twice, and the next run goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no forks there")


def test_kills_at_any_moment_and_inside_saves(tmp_path: Path) -> None:
    script = Path(__file__).with_name("kills.py")
    few = ["--kills", "20", "--inside", "10", "--pictures", "1"]
    # A fork of a process that torch has given threads is what the warning is about; the children use none of them.
    command = [sys.executable, "-W", "ignore", str(script), *few, "--folder", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.stderr == ""
    assert ran.stdout.splitlines()[-1] == "0 wrong of 20 kills", ran.stdout
    assert ran.returncode == 0
    # Each kind of kill took place, and some left what the next run had to clear away.
    told = dict(line.split(": ") for line in ran.stdout.splitlines() if ": " in line)
    assert (told["at any moment"], told["inside a save"]) == ("10", "10")
    assert int(told["left a temporary file"]) > 0
