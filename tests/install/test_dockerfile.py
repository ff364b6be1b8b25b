"""The Dockerfile copies what is there, and a linter has nothing to say of it; .ci/run can build no image."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
FOLDERS = re.search(r"^package-dir = \{(.+)\}$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_what_is_copied_is_there_and_not_ignored() -> None:
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+)$", TEXT, re.MULTILINE) for word in line.split()[:-1]}
    ignored, *rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)
    assert FOLDERS is not None
    built = re.findall(r'= "(\w+)[^"]*"', FOLDERS[1])
    assert {"fusionkit", *built} <= copied


def test_nobody_is_root_and_models_are_kept_outside() -> None:
    last = TEXT.rpartition("\nFROM ")[2]
    assert [line for line in last.splitlines() if line.startswith(("USER", "VOLUME", "ENTRYPOINT"))] == [
        "USER 1000",
        'VOLUME ["/models"]',
        'ENTRYPOINT ["fusionkit"]',
    ]
    assert "HF_HOME=/models" in last


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint, which lints Dockerfiles, is not installed")
def test_the_linter_is_content() -> None:
    found = subprocess.run(["hadolint", "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")
