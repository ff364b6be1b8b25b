"""What a recipe reads is never written over, by whatever name it is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import RECIPE, Run
from PIL import Image

READS = "  - image-to-image: {from: c.png}\n  - colour-match: {to: colours.png}\n"


@pytest.fixture(autouse=True)
def pictures(folder: Path) -> None:
    """A recipe that reads two pictures, one of which has other names."""
    for name in ("c", "colours"):
        Image.new("RGB", (256, 128), (90, 120, 150)).save(f"{name}.png")
    Path("sub").mkdir()
    Path("link.png").symlink_to("c.png")
    Path("hard.png").hardlink_to("c.png")
    recipe = RECIPE.partition("output:")[0]
    Path("r.yaml").write_text(f"{recipe}{READS}output: c.png\noverwrite: true\n")


@pytest.mark.parametrize("name", ["c.png", "sub/../c.png", "link.png", "hard.png", "colours.png", "{recipe}.png"])
def test_an_output_that_the_recipe_reads_is_refused(fusionkit: Run, name: str) -> None:
    if "{" in name:
        Path("r.png").symlink_to("c.png")
    kept = Path("c.png").read_bytes()
    ran = fusionkit("run", "r.yaml", "-o", name)
    filled = name.replace("{recipe}", "r")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"--output: output '{filled}' is a file that the recipe reads, which is not replaced; give another name: "
        f"-o PATH\n"
    )
    assert Path("c.png").read_bytes() == kept


def test_the_recipe_s_own_output_is_told_at_its_place(fusionkit: Run) -> None:
    line = "output 'c.png' is a file that the recipe reads, which is not replaced; give another name: -o PATH\n"
    for command in ("validate", "plan", "run"):
        assert fusionkit(command, "r.yaml").err == f"r.yaml:15:9: {line}"
    # Without leave to replace anything, the new one gets a number.
    assert fusionkit("validate", "r.yaml", "--set", "overwrite=false").code == 0


def test_nor_are_previews_and_maps_written_over_it(fusionkit: Run) -> None:
    names = ("new-step001.png", "new-regions.png")
    Path("c.png").rename(names[0])
    Path("colours.png").rename(names[1])
    kept = [Path(name).read_bytes() for name in names]
    sets = (
        f"plugins.image-to-image={{from: {names[0]}, strength: 1}}",
        f"plugins.colour-match.to={names[1]}",
        "plugins.regions={boxes: {sky: {box: [0, 0, 1, 0.5], prompt: sky}}}",
        *(f"plugins.{name}=false" for name in ("style-alignment", "guided-fusion", "variance-corrected-fusion")),
        "preview-every=1",
    )
    changes = [part for each in sets for part in ("--set", each)]
    ran = fusionkit("run", "r.yaml", *changes, "--steps", "2", "-o", "new.png", "--save-maps")
    assert ran.code == 0, ran.err
    assert [Path(name).read_bytes() for name in names] == kept
    assert [path.name for path in sorted(Path().glob("new*-2.png"))] == ["new-regions-2.png", "new-step001-2.png"]
