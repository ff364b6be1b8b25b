"""`replay`: its user alone says where files go, what they replace, what is changed and what is fetched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import CHECKPOINTS, RECIPE, Run
from PIL import Image

from fusionkit.pictures.image import read_metadata, save_image

TINY = CHECKPOINTS / "tiny-sd"


@pytest.fixture
def told(fusionkit: Run) -> dict[str, Any]:
    """What `out/r-0.png`, a drawn picture, says."""
    assert fusionkit("run", "r.yaml", "-q", "--set", "steps=1").code == 0
    return read_metadata(Path("out/r-0.png"))


def carried(name: str, told: dict[str, Any], **changes: Any) -> None:
    """A picture with other metadata than it was drawn with."""
    with Image.open("out/r-0.png") as image:
        save_image(image, Path(name), {**told, **changes}, overwrite=True)


def test_only_the_users_own_flag_replaces_a_file(fusionkit: Run, told: dict[str, Any]) -> None:
    Path("keep.png").write_text("mine")
    greedy = f"{told['recipe']}output: keep.png\noverwrite: true\npreview-every: 1\n"
    carried("greedy.png", told, recipe=greedy)
    before = Path("greedy.png").read_bytes()
    assert fusionkit("replay", "greedy.png", "-q").out.splitlines()[0] == "greedy-2.png"
    assert fusionkit("replay", "greedy.png", "-q", "-o", "keep.png").out.splitlines()[0] == "keep-2.png"
    assert Path("greedy.png").read_bytes() == before
    assert Path("keep.png").read_text() == "mine"
    assert not list(Path().glob("*step*")), "nor does it write previews"
    assert fusionkit("replay", "greedy.png", "-q", "-o", "keep.png", "--overwrite").out.splitlines()[0] == "keep.png"
    assert read_metadata(Path("keep.png"))["latents"] == told["latents"]


def test_an_output_that_makes_no_sense_does_not_matter(fusionkit: Run, told: dict[str, Any]) -> None:
    carried("odd.png", told, recipe=f"{told['recipe']}output: '{{nonsense}}.exe'\noverwrite: [1]\npreview-every: -1\n")
    assert fusionkit("replay", "odd.png", "-q").code == 0


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"latents": "0" * 64, "versions": None}, "not equal: the latents' hash was 0000000000000000 and is "),
        ({"latents": "0" * 64, "versions": ["torch"]}, "not equal: the latents' hash was 0000000000000000 and is "),
        (
            {"latents": "0" * 64, "versions": {"torch": {"a": 1}}},
            "not equal: the latents' hash was 0000000000000000 an",
        ),
        ({"latents": "\ud800\x1b[2J"}, "not equal: the latents' hash was \\ud800\\x1b[2J and is "),
        ({"latents": None}, "not "),
        ({"latents": [1]}, "not "),
    ],
    ids=["no-versions", "list-of-versions", "odd-version", "no-text", "no-hash", "odd-hash"],
)
def test_what_is_not_equal_fails(fusionkit: Run, told: dict[str, Any], changes: dict[str, Any], line: str) -> None:
    carried("other.png", told, **changes)
    ran = fusionkit("replay", "other.png", "-q")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines()[-1].startswith(line)


def test_set_changes_the_recipe_and_compares_nothing(fusionkit: Run, told: dict[str, Any]) -> None:
    ran = fusionkit(
        "replay", "out/r-0.png", "-q", "--set", "seed=5", "--set", "size=128x128", "-o", "{seed}-{size}.png"
    )
    assert (ran.code, ran.err) == (0, "")
    path, line = ran.out.splitlines()
    assert path == "5-128x128.png"
    assert line.startswith("changed by --set, and so not compared: the latents' hash is ")
    assert fusionkit("replay", "out/r-0.png", "-q", "--set", "seed=0").out.splitlines()[1].startswith("equal: ")
    assert fusionkit("replay", "out/r-0.png", "--set", "sed=5") == (
        2,
        "",
        "--set sed: a recipe has no option 'sed'; did you mean 'seed'?\n",
    )


def test_what_is_opened_on_this_machine_is_told(fusionkit: Run, told: dict[str, Any]) -> None:
    ran = fusionkit("replay", "out/r-0.png")
    assert ran.err.splitlines()[0] == f"the recipe inside names, and this opens: {TINY}"


def test_a_model_in_the_hubs_cache_will_do_and_no_other(
    fusionkit: Run, told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache as the hub's client leaves it; that nobody is asked is seen where sockets are watched."""
    import huggingface_hub.constants as hub

    commit = "c" * 40
    model = tmp_path / "cache" / "models--an-owner--tiny"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    (model / "snapshots").mkdir()
    shutil.copytree(TINY, model / "snapshots" / commit)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    carried("cached.png", told, recipe=told["recipe"].replace(str(TINY), "an-owner/tiny"))
    carried("missing.png", told, recipe=told["recipe"].replace(str(TINY), "an-owner/other"))
    assert fusionkit("replay", "missing.png", "-q") == (
        2,
        "",
        "missing.png:2:8: model 'an-owner/other' is not on this machine, and what a picture names is not downloaded; "
        "--download fetches it\n",
    )
    assert not hub.HF_HUB_OFFLINE, "only while it lasts"
    assert fusionkit("replay", "cached.png", "-q").out.splitlines()[-1].startswith("equal: ")


def test_the_recipe_inside_is_printed(fusionkit: Run, told: dict[str, Any]) -> None:
    assert fusionkit("recipes", "out/r-0.png").out == told["recipe"]
    carried("red.png", told, recipe="prompt: \x1b[31mred\n")
    assert fusionkit("recipes", "red.png").out == "prompt: \\x1b[31mred\n"
    Image.new("RGB", (8, 8)).save("plain.png")
    line = "plain.png: carries no recipe; only pictures that fusionkit wrote do\n"
    assert fusionkit("recipes", "plain.png") == (2, "", line)
    Path("latin.yaml").write_bytes(b"prompt: \xe9\n")
    assert fusionkit("recipes", "latin.yaml") == (2, "", "latin.yaml:1:9: not UTF-8: byte 0xe9; save it as UTF-8\n")
    assert fusionkit("recipes", "r.yaml").out == RECIPE
