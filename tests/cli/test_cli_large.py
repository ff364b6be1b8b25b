"""Pictures of any size on the command line: planned, refused where there is no room, drawn, gone on with, replayed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from command_line import Run

from fusionkit.models.adapters import pictures
from fusionkit.pictures.image import read_metadata
from fusionkit.pictures.picture import open_picture

LARGE = ("--set", "size=320x64", "--set", "window=64x64", "--set", "vae-tiling=true", "--set", "canvas=disk")
HUGE = (
    "--set",
    "size=30000x30000",
    "--set",
    "window=2048x2048",
    "--set",
    "vae-tiling=true",
    *("--set", "plugins.multidiffusion.stride=1536"),
)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def exhausted(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize("suffix", [".tif", ".dzi"])
def test_a_picture_is_drawn_and_made_again(fusionkit: Run, suffix: str) -> None:
    name = f"out/a{suffix}"
    assert fusionkit("run", "r.yaml", "-q", *LARGE, "-o", "out/a.png", "--set", "canvas=memory").code == 0
    assert fusionkit("run", "r.yaml", "-q", *LARGE, "-o", name) == (0, f"{name}\n", "")
    told, plain = read_metadata(Path(name)), read_metadata(Path("out/a.png"))
    assert told["latents"] == plain["latents"]
    if suffix == ".tif":
        assert open_picture(Path(name)).tobytes() == open_picture(Path("out/a.png")).tobytes()
    again = fusionkit("replay", name, "-o", f"out/b{suffix}")
    assert again.code == 0
    assert read_metadata(Path(f"out/b{suffix}"))["latents"] == told["latents"]
    kept = fusionkit("run", "r.yaml", *LARGE, "-o", name, "--skip-existing")
    assert "was there, whole" in kept.out
    assert sorted(each for each in os.listdir("out") if not each.endswith("_files")) == sorted(
        ["a.png", f"a{suffix}", f"b{suffix}"]
    )


def test_decoding_alone_is_done_again(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(pictures, "decode_tile", exhausted)
        assert fusionkit("run", "r.yaml", "-q", *LARGE, "-o", "out/a.tif").code == 1
    assert os.listdir("out") == ["a.checkpoint.safetensors"]
    assert fusionkit("decode", "out/a.checkpoint.safetensors", "-q") == (0, "out/a.tif\n", "")
    assert os.listdir("out") == ["a.tif"]
    assert np.asarray(open_picture(Path("out/a.tif"))).shape == (64, 320, 3)


def test_a_plan_says_what_memory_and_disk_it_takes(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**13, 0, 10**13))
    told = json.loads(fusionkit("plan", "r.yaml", *LARGE, "--set", "output=a.tif", "--json", "--time").out)
    assert told["disk"] == {"picture": 61_440, "meanwhile": 61_440 + 122_880, "total": 245_760}
    assert told["seconds"] > 0
    ran = fusionkit("plan", "r.yaml", *HUGE, "--set", "canvas=disk", "--set", "output=a.tif")
    lines = ran.out
    assert "disk      up to 2.7 GB for the picture, and " in lines
    in_files = json.loads(
        fusionkit("plan", "r.yaml", *HUGE, "--set", "canvas=disk", "--set", "output=a.tif", "--json").out
    )
    in_memory = json.loads(
        fusionkit("plan", "r.yaml", *HUGE, "--set", "canvas=memory", "--set", "output=a.tif", "--json").out
    )
    assert in_files["memory"]["canvas"] < 300e6
    assert in_memory["memory"]["canvas"] > 5e9
    assert in_files["memory"]["decoding"] < in_memory["memory"]["decoding"] - 6e9
    assert in_memory["disk"]["meanwhile"] == 0


def test_a_full_disk_is_told_before_the_model_loads(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionkit.models.load.load_models", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**9, 10**9 - 1_200_000, 1_200_000))
    ran = fusionkit("run", "r.yaml", "-q", "--set", "size=640x640", *LARGE[4:], "-o", "out/a.tif")
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert "free, and the pictures may need 2.3 MB" in ran.err


def test_formats_that_hold_no_more_are_told_before(fusionkit: Run) -> None:
    ran = fusionkit("validate", "r.yaml", "--set", "size=65600x64", "--set", "output=a.jpg")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith(": output 'a.jpg': JPEG holds at most 65500 pixels a side, not 65600; use .tif or .dzi\n")
