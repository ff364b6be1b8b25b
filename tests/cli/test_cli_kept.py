"""A finished picture is not lost where it can't be written."""

from __future__ import annotations

from pathlib import Path

from command_line import Install, Run

from fusionkit.pictures.image import read_metadata

WHY = "can't be written: 'out' is a file, not a folder"
CODE = """
from pathlib import Path
from fusionkit import Plugin, hookimpl

class Broken(Plugin, name="takes-the-folder"):
    @hookimpl(wrapper=True)
    def init_noise(self, stage):
        noise = yield
        Path("out").write_text("a file")
        return noise
"""


def test_a_folder_that_becomes_a_file_while_the_run_draws(fusionkit: Run, install: Install) -> None:
    install("takes-the-folder", CODE)
    Path("r.yaml").write_text(Path("r.yaml").read_text().replace("  - guided-fusion", "  - takes-the-folder"))
    ran = fusionkit("run", "r.yaml", "-q")
    assert ran.code == 1
    assert ran.out == ""
    checkpoint, last = ran.err.splitlines()
    assert checkpoint == f"note: no checkpoint: 'out/r-0.checkpoint.safetensors' {WHY}"
    assert last == f"'out/r-0.png' {WHY}; the picture is kept as 'fusionkit-kept.png'"
    assert "takes-the-folder" in read_metadata(Path("fusionkit-kept.png"))["recipe"]
    assert Path("out").read_text() == "a file"


def test_a_preview_that_can_not_be_written_does_not_end_the_run(fusionkit: Run, install: Install) -> None:
    install("takes-the-folder", CODE)
    Path("r.yaml").write_text(Path("r.yaml").read_text().replace("  - guided-fusion", "  - takes-the-folder"))
    ran = fusionkit("run", "r.yaml", "-q", "--preview-every", "1")
    assert ran.code == 1
    *previews, checkpoint, last = ran.err.splitlines()
    assert checkpoint == f"note: no checkpoint: 'out/r-0.checkpoint.safetensors' {WHY}"
    assert previews == [f"note: no preview: 'out/r-0-step00{step}.png' {WHY}" for step in (1, 2)]
    assert last == f"'out/r-0.png' {WHY}; the picture is kept as 'fusionkit-kept.png'"
