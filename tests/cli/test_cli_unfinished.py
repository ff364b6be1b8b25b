"""Runs that can't go on: numbers that are not finite, memory that runs out, plugins that end the process or print."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import RECIPE, Install, Run
from PIL import Image

from fusionkit.models.adapters import pictures
from fusionkit.pictures.image import read_metadata

HEAD = """
from fusionkit import Plugin, hookimpl
class Broken(Plugin, name="a-broken-one"):
    \"\"\"Breaks.\"\"\"
"""
SPOILS = (
    HEAD
    + """
    @hookimpl(wrapper=True)
    def step(self, at):
        latents = yield
        return latents / 0 if at.index == 2 else latents
"""
)


def with_plugin(recipe: str = RECIPE) -> None:
    Path("r.yaml").write_text(recipe.replace("  - guided-fusion\n", "  - guided-fusion\n  - a-broken-one\n"))


def test_nothing_is_saved_of_a_run_that_became_nan(fusionkit: Run, install: Install) -> None:
    install("a-broken-one", SPOILS)
    with_plugin()
    line = (
        "stage 1, step 3 of 3: the answer of plugin 'a-broken-one' in hook 'step' has values that are not finite "
        "(NaN or infinity, in float32); change the options of 'a-broken-one', or leave it out; "
    )
    assert fusionkit("run", "r.yaml", "-q") == (1, "", f"{line}nothing was written\n")
    assert not Path("out").exists()
    ran = fusionkit("run", "r.yaml", "-q", "--preview-every", "1")
    assert ran == (1, "", f"{line}kept: out/r-0-step001.png, out/r-0-step002.png\n")
    assert sorted(os.listdir("out")) == ["r-0-step001.png", "r-0-step002.png"]


@pytest.mark.parametrize("code", [0, 1, "'bye'"])
def test_a_hook_that_ends_the_process_is_no_success(fusionkit: Run, install: Install, code: Any) -> None:
    install("a-broken-one", HEAD + f"    @hookimpl\n    def step_done(self):\n        raise SystemExit({code})\n")
    with_plugin()
    said = str(code).strip("'")
    assert fusionkit("run", "r.yaml", "-q") == (
        1,
        "",
        f"plugin 'a-broken-one' failed in hook 'step_done': SystemExit: {said}\n",
    )
    assert not Path("out").exists()


def test_what_a_plugin_prints_is_not_among_the_paths(fusionkit: Run, install: Install) -> None:
    code = """
    @hookimpl
    def check(self):
        print("checking")
    @hookimpl(wrapper=True)
    def views(self):
        print("asked")
        return (yield)
    @hookimpl
    def maps(self):
        print("drawing")
"""
    install("a-broken-one", "print('imported')\n" + HEAD + code)
    with_plugin()
    ran = fusionkit("run", "r.yaml", "-q", "--save-maps")
    assert (ran.code, ran.out) == (0, "out/r-0.png\n")
    assert {"imported", "checking", "asked", "drawing"} <= set(ran.err.split("\n"))
    assert "checking" not in fusionkit("validate", "r.yaml").out
    assert "asked" not in fusionkit("plan", "r.yaml").out


def exhausted(*args: Any, **kwargs: Any) -> Any:
    raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize(
    "error",
    [
        "torch.OutOfMemoryError('Tried to allocate')",
        "MemoryError()",
        "RuntimeError('not enough memory')",
        "RuntimeError('could not create a primitive')",
    ],
)
def test_memory_that_runs_out_in_a_step(fusionkit: Run, install: Install, error: str) -> None:
    code = f"""
    @hookimpl(wrapper=True)
    def noise_prediction(self, at):
        import torch
        prediction = yield
        if at.index == 1:
            raise {error}
        return prediction
"""
    install("a-broken-one", HEAD + code)
    with_plugin()
    assert fusionkit("run", "r.yaml", "-q") == (
        1,
        "",
        "stage 1, step 2 of 3: the memory of 'cpu' ran out; use a batch-size below 3 or a smaller size; "
        "kept: 'out/r-0.checkpoint.safetensors' (step 1 of 3; --resume goes on from there, also with a smaller "
        "batch-size, or offload)\n",
    )


def test_a_picture_too_large_to_decode_is_decoded_in_tiles(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import AutoencoderKL

    decode = AutoencoderKL.decode

    def small_memory(self: Any, latents: Any, **options: Any) -> Any:
        return decode(self, latents, **options) if self.use_tiling else exhausted()

    fusionkit("run", "r.yaml", "-q", "-o", "tiled.png", "--set", "vae-tiling=true")
    monkeypatch.setattr(AutoencoderKL, "decode", small_memory)
    ran = fusionkit("run", "r.yaml", "-q")
    assert ran == (
        0,
        "out/r-0.png\n",
        "decoding: the memory of 'cpu' ran out; use vae-tiling: true or a smaller size; all steps are done, so it is "
        "decoded again with vae-tiling: true\n",
    )
    assert read_metadata(Path("out/r-0.png")) == read_metadata(Path("tiled.png"))
    assert "vae-tiling: true" in read_metadata(Path("out/r-0.png"))["recipe"]
    with Image.open("out/r-0.png") as one, Image.open("tiled.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))

    monkeypatch.setattr(AutoencoderKL, "decode", exhausted)
    monkeypatch.setattr(pictures, "decode_tile", exhausted)
    ran = fusionkit("run", "r.yaml", "-q", "-o", "none.png")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.splitlines()[-1] == (
        "decoding: the memory of 'cpu' ran out; use a smaller size; kept: 'none.checkpoint.safetensors' "
        "(all steps done; fusionkit decode makes the picture of it)"
    )


def test_a_picture_says_how_many_views_were_predicted_together(fusionkit: Run) -> None:
    fusionkit("run", "r.yaml", "-q", "-o", "three.png")
    fusionkit("run", "r.yaml", "-q", "-o", "two.png", "--set", "batch-size=2")
    fusionkit("run", "r.yaml", "-q", "-o", "many.png", "--set", "batch-size=1000")
    sizes = [read_metadata(Path(f"{name}.png"))["batch-size"] for name in ("three", "two", "many")]
    assert sizes == [3, 2, 3]


def test_replay_predicts_as_many_views_together(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionkit.models.adapters.diffusers_model import DiffusersModel

    monkeypatch.setattr(DiffusersModel, "_automatic_batch", lambda *_: 2)
    fusionkit("run", "r.yaml", "-q")
    monkeypatch.setattr(DiffusersModel, "_automatic_batch", lambda *_: 3)
    assert fusionkit("replay", "out/r-0.png", "-q").out.splitlines()[1].startswith("equal: ")
    assert read_metadata(Path("out/r-0-2.png")) == read_metadata(Path("out/r-0.png"))
    assert read_metadata(Path("out/r-0-2.png"))["batch-size"] == 2


def test_a_log_has_a_few_lines_of_progress(fusionkit: Run) -> None:
    err = fusionkit("run", "r.yaml", "--set", "steps=30").err
    assert "\r" not in err
    assert len(err) < 500
    assert re.search(r"step 30/30: 100%\S* 180/180 ", err)


def test_float16_on_a_cpu_is_no_news(fusionkit: Run) -> None:
    ran = fusionkit("run", "r.yaml", "-q", "--set", "dtype=float16", "--set", "steps=1")
    assert ran == (0, "out/r-0.png\n", "")
