"""A finished picture is not lost where it can't be written."""

from __future__ import annotations

from pathlib import Path

from command_line import Install, Run

from fusionkit.image import read_metadata

CODE = """
from pathlib import Path
from fusionkit import Plugin, hookimpl

class Broken(Plugin, name="takes-the-folder"):
    @hookimpl
    def stage_done(self, stage):
        Path("out").write_text("a file")
"""


def test_a_folder_that_becomes_a_file_while_the_run_draws(fusionkit: Run, install: Install) -> None:
    install("takes-the-folder", CODE)
    Path("r.yaml").write_text(Path("r.yaml").read_text().replace("  - guided-fusion", "  - takes-the-folder"))
    ran = fusionkit("run", "r.yaml", "-q")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err == "'out/r-0.png' can't be written: File exists; the picture is kept as 'fusionkit-kept.png'\n"
    assert "takes-the-folder" in read_metadata(Path("fusionkit-kept.png"))["recipe"]
    assert Path("out").read_text() == "a file"
