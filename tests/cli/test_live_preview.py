"""`run --preview FILE`: one file that follows the run, and what it may replace."""

from __future__ import annotations

from pathlib import Path

from command_line import Run
from PIL import Image

from fusionkit.pictures.image import read_metadata
from fusionkit.runs.live import is_preview

SMALL = ("--set", "size=128x128", "-q")


def test_it_follows_the_run_and_changes_nothing(fusionkit: Run) -> None:
    plain = fusionkit("run", "r.yaml", *SMALL, "-o", "plain.png")
    ran = fusionkit("run", "r.yaml", *SMALL, "-o", "with.png", "--preview", "live.png", "--preview-every", "2")
    assert (ran.code, ran.out, ran.err) == (0, "with.png\n", plain.err)
    with Image.open("live.png") as live:
        assert live.size == (128, 128)
    assert is_preview(Path("live.png"))
    assert sorted(each.name for each in Path().glob("*.png")) == ["live.png", "plain.png", "with.png"]
    told = {name: read_metadata(Path(f"{name}.png")) for name in ("plain", "with")}
    assert told["plain"]["latents"] == told["with"]["latents"]
    with Image.open("plain.png") as plain, Image.open("with.png") as watched:
        assert plain.tobytes() == watched.tobytes()
    # A picture that was drawn with one is not drawn with one again because its recipe says so.
    Path("live.png").unlink()
    assert fusionkit("replay", "with.png", "-q").code == 0
    assert not Path("live.png").exists()
    assert fusionkit("run", "r.yaml", *SMALL, "--seeds", "1-2", "--preview", "live.webp").code == 0


def test_what_it_must_not_replace_is_told_before_anything_loads(fusionkit: Run) -> None:
    fusionkit("run", "r.yaml", *SMALL, "--set", "steps=1", "-o", "liked.png")

    def told(*options: str) -> str:
        ran = fusionkit(*options)
        assert (ran.code, ran.out) == (2, "")
        return ran.err

    there = "--preview: 'liked.png' is there already, and is no preview; give another name, or allow that it is "
    assert told("run", "r.yaml", "--preview", "liked.png") == f"{there}overwritten\n"
    says = "--preview: 'liked.png' is the picture that the recipe comes from; give another name\n"
    assert told("run", "liked.png", "-o", "b.png", "--preview", "liked.png", "--overwrite") == says
    says = "--preview: 'out/r-0.png' is where the picture goes; give another name\n"
    assert told("run", "r.yaml", "--preview", "out/r-0.png") == says
    read = ("--set", "plugins.image-to-image={from: liked.png}", "--overwrite", "-o", "b.png")
    says = "--preview: 'liked.png' is a file that the recipe reads; give another name\n"
    assert told("run", "r.yaml", *read, "--preview", "liked.png") == says
    assert told("run", "r.yaml", "--preview", "live.gif").startswith("--preview: 'live.gif': a picture's name ends in")
    assert not is_preview(Path("liked.png"))
