"""Runs that end early on the command line, and go on: with `--resume`, or, where the steps are done, with `decode`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import RECIPE, Install, Run

from fusionkit.models.adapters import pictures
from fusionkit.pictures.image import read_metadata

FAILS = """
from pathlib import Path
from fusionkit import Plugin, hookimpl
class Broken(Plugin, name="fails-where-told"):
    \"\"\"Fails at the second step of the prompt that a file holds.\"\"\"
    @hookimpl
    def step_done(self, stage, at):
        told = Path("fails.txt")
        if told.exists() and told.read_text() == stage.recipe.prompt and at.index == 1:
            raise ArithmeticError("no luck")
"""
KEPT = "out/a-lake.checkpoint.safetensors"


@pytest.fixture
def ended(fusionkit: Run, install: Install) -> str:
    """Two pictures, of which the second was being drawn when the run ended; what was said."""
    install("fails-where-told", FAILS)
    recipe = RECIPE.replace("  - guided-fusion\n", "  - guided-fusion\n  - fails-where-told\n")
    prompts = "".join(f"  - {each}\n" for each in ("a hill", "a lake", "a wood"))
    lines = [line for line in recipe.splitlines() if not line.startswith(("prompt", "output"))]
    Path("r.yaml").write_text("\n".join([*lines, 'output: "out/{prompt}.png"', "prompt:", prompts]))
    Path("fails.txt").write_text("a lake")
    ran = fusionkit("run", "r.yaml", "-q")
    assert (ran.code, ran.out) == (1, "out/a-hill.png\n"), ran.err
    assert sorted(os.listdir("out")) == ["a-hill.png", "a-lake.checkpoint.safetensors"]
    Path("fails.txt").unlink()
    return ran.err


def test_the_pictures_that_are_there_stay_the_one_at_work_goes_on_and_the_rest_follow(
    fusionkit: Run, ended: str
) -> None:
    assert ended == (
        "plugin 'fails-where-told' failed in hook 'step_done': ArithmeticError: no luck; "
        f"kept: '{KEPT}' (step 1 of 3; --resume goes on from there)\n"
    )
    first = Path("out/a-hill.png").stat().st_mtime_ns
    ran = fusionkit("run", "r.yaml", "-q", "--resume")
    assert ran == (0, "out/a-hill.png\nout/a-lake.png\nout/a-wood.png\n", "")
    assert Path("out/a-hill.png").stat().st_mtime_ns == first
    assert sorted(os.listdir("out")) == ["a-hill.png", "a-lake.png", "a-wood.png"]
    fusionkit("run", "r.yaml", "-q", "--set", "output=whole/{prompt}.png")
    for name in os.listdir("out"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


def test_a_changed_recipe_does_not_go_on_and_one_that_begins_anew_says_so(fusionkit: Run, ended: str) -> None:
    ran = fusionkit("run", "r.yaml", "-q", "--resume", "--set", "steps=4", "--set", "prompt=a lake")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"checkpoint '{KEPT}' is of another run: steps was 3 and is 4; leave that as it was, or begin anew without "
        f"--resume\n"
    )
    anew = fusionkit("run", "r.yaml", "-q", "--set", "prompt=a lake")
    assert anew == (
        0,
        "out/a-lake.png\n",
        f"note: '{KEPT}' holds this picture (step 1 of 3); --resume goes on from it\n",
    )
    assert sorted(os.listdir("out")) == ["a-hill.png", "a-lake.png"]


def test_what_has_steps_left_is_not_decoded(fusionkit: Run, ended: str) -> None:
    assert fusionkit("decode", KEPT) == (
        2,
        "",
        f"checkpoint '{KEPT}' is at step 1 of 3, so that there is no picture yet; go on with the recipe that it is of: "
        f"fusionkit run RECIPE --resume\n",
    )
    assert fusionkit("decode", "out/a-hill.png").code == 2


def exhausted(*args: Any, **kwargs: Any) -> Any:
    raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")


def test_what_is_only_to_be_decoded_is(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import AutoencoderKL

    fusionkit("run", "r.yaml", "-q", "-o", "whole.png", "--set", "vae-tiling=true")
    with monkeypatch.context() as patched:
        patched.setattr(AutoencoderKL, "decode", exhausted)
        patched.setattr(pictures, "decode_tile", exhausted)
        assert fusionkit("run", "r.yaml", "-q").code == 1
    assert os.listdir("out") == ["r-0.checkpoint.safetensors"]
    ran = fusionkit("decode", "out/r-0.checkpoint.safetensors", "-q", "--set", "vae-tiling=true")
    assert ran == (0, "out/r-0.png\n", "")
    assert os.listdir("out") == ["r-0.png"]
    assert read_metadata(Path("out/r-0.png")) == read_metadata(Path("whole.png"))
    assert Path("out/r-0.png").read_bytes() == Path("whole.png").read_bytes()


def test_nothing_is_kept_where_nobody_wants_it(fusionkit: Run, install: Install, ended: str) -> None:
    Path(KEPT).unlink()
    Path("fails.txt").write_text("a lake")
    ran = fusionkit("run", "r.yaml", "-q", "--set", "prompt=a lake", "--checkpoint-every", "off")
    assert ran.err == "plugin 'fails-where-told' failed in hook 'step_done': ArithmeticError: no luck\n"
    assert os.listdir("out") == ["a-hill.png"]
    assert fusionkit("run", "r.yaml", "--checkpoint-every", "-1").code == 2
