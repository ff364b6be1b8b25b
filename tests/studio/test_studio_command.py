"""The command: what it needs, and what it leaves alone until it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fusionkit.cli import main


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_one_line_says_what_to_install(
    missing: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    ran = CliRunner().invoke(main, ["studio", "--no-browser"])
    assert (ran.exit_code, ran.stdout) == (2, "")
    line = f"the studio needs the package '{missing}', which is not installed; install it: "
    assert ran.stderr == f"{line}pip install 'fusionkit[studio]'\n"


def test_what_stands_behind_the_page_imports_no_web_server_and_no_torch() -> None:
    heavy = "{'torch', 'starlette', 'uvicorn'}"
    code = f"import sys, fusionkit.studio.answers, fusionkit.studio.worker; print(*{heavy} & {{*sys.modules}})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "\n"
