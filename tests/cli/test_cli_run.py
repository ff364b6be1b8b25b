"""`run`, `plan` and `replay` with a tiny model: what they print, what they write, and that they write over nothing."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import CHECKPOINTS, RECIPE, Install, Run
from PIL import Image
from warm import Warm, command

from fusionkit.cli.signals import interrupts_later, signals_interrupt
from fusionkit.pictures.image import read_metadata


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_run_says_where_the_picture_is_and_what_it_took(fusionkit: Run) -> None:
    ran = fusionkit("run", "r.yaml", "--seed", "5")
    assert ran.code == 0
    assert re.fullmatch(
        r"out/r-5\.png\n  256x128 pixels, seed 5, \d+\.\d s; \d+% of the denoising in the model's 18 forward passes\n",
        ran.out,
    )
    assert f"{CHECKPOINTS / 'tiny-sd'}: a hill" in ran.err
    assert "3/3" in ran.err
    assert pixels("out/r-5.png").shape == (128, 256, 3)


def test_a_picture_carries_what_made_it(fusionkit: Run) -> None:
    from importlib.metadata import version

    assert fusionkit("run", "r.yaml", "-q") == (0, "out/r-0.png\n", "")
    told = read_metadata(Path("out/r-0.png"))
    assert (told["seed"], told["model"]) == (0, str(CHECKPOINTS / "tiny-sd"))
    assert re.fullmatch("[0-9a-f]{64}", told["latents"])
    assert {name: told["versions"][name] for name in ("fusionkit", "torch", "diffusers")} == {
        name: version(name) for name in ("fusionkit", "torch", "diffusers")
    }
    assert "style-alignment:" in told["recipe"]
    assert "out/" not in told["recipe"]


def test_nothing_is_overwritten_unless_asked(fusionkit: Run) -> None:
    Path("out").mkdir()
    Path("out/r-0.png").write_text("mine")
    args = ("run", "r.yaml", "-q", "--set", "steps=1")
    assert fusionkit(*args).out == "out/r-0-2.png\n"
    assert fusionkit(*args).out == "out/r-0-3.png\n"
    assert Path("out/r-0.png").read_text() == "mine"
    assert fusionkit(*args, "--overwrite").out == "out/r-0.png\n"
    assert pixels("out/r-0.png").shape == (128, 256, 3)
    assert sorted(os.listdir("out")) == ["r-0-2.png", "r-0-3.png", "r-0.png"]


def test_output_may_be_a_folder_or_a_template(fusionkit: Run) -> None:
    args = ("run", "r.yaml", "-q", "--set", "steps=1")
    assert fusionkit(*args, "-o", "pics/").out == "pics/r-0.png\n"
    assert fusionkit(*args, "-o", "pics").out == "pics/r-0-2.png\n"
    assert (
        fusionkit(*args, "-o", "pics/{model}-{size}-{prompt}-{index:03}.webp").out
        == "pics/tiny-sd-256x128-a-hill-001.webp\n"
    )
    assert read_metadata(Path("pics/tiny-sd-256x128-a-hill-001.webp"))["seed"] == 0


def test_one_picture_a_prompt(fusionkit: Run) -> None:
    args = ("run", "r.yaml", "-q", "--set", "steps=1", "--set", "prompt=[a hill, a lake]", "-o", "{index}-{prompt}.png")
    assert fusionkit(*args).out == "1-a-hill.png\n2-a-lake.png\n"
    assert not np.array_equal(pixels("1-a-hill.png"), pixels("2-a-lake.png"))


def test_previews_are_written_beside_the_picture(fusionkit: Run) -> None:
    assert fusionkit("run", "r.yaml", "-q", "--set", "steps=4", "--preview-every", "2").code == 0
    assert sorted(os.listdir("out")) == ["r-0-step002.png", "r-0.png"]
    assert pixels("out/r-0-step002.png").shape == (128, 256, 3)
    assert fusionkit("run", "r.yaml", "-q", "--set", "steps=4", "--preview-every", "2").out == "out/r-0-2.png\n"
    assert "r-0-2-step002.png" in os.listdir("out")


def test_previews_change_nothing(fusionkit: Run) -> None:
    fusionkit("run", "r.yaml", "-q", "-o", "with.png", "--preview-every", "1")
    fusionkit("run", "r.yaml", "-q", "-o", "without.png")
    assert read_metadata(Path("with.png")) == read_metadata(Path("without.png"))


def test_replay_makes_an_equal_picture_beside_the_old_one(fusionkit: Run) -> None:
    fusionkit("run", "r.yaml", "-q")
    Path("r.yaml").unlink()
    told = read_metadata(Path("out/r-0.png"))
    ran = fusionkit("replay", "out/r-0.png", "-q")
    assert ran == (0, f"out/r-0-2.png\nequal: the latents' hash is {told['latents'][:16]} again\n", "")
    assert np.array_equal(pixels("out/r-0.png"), pixels("out/r-0-2.png"))
    assert read_metadata(Path("out/r-0-2.png")) == told


def test_replay_writes_into_a_folder(fusionkit: Run) -> None:
    fusionkit("run", "r.yaml", "-q", "-o", "{{a}}.png", "--set", "steps=1")
    Path("there").mkdir()
    for to in ("there", "new/"):
        ran = fusionkit("replay", "{a}.png", "-q", "-o", to)
        assert (ran.code, ran.out.splitlines()[0]) == (0, str(Path(to) / "{a}.png"))


def test_replay_says_what_differs(fusionkit: Run) -> None:
    from fusionkit.pictures.image import save_image

    fusionkit("run", "r.yaml", "-q")
    told = read_metadata(Path("out/r-0.png"))
    then = {**told, "latents": "0" * 64, "versions": {**told["versions"], "torch": "1.0"}}
    with Image.open("out/r-0.png") as image:
        save_image(image, Path("old.png"), then)
        save_image(image, Path("same.png"), {**then, "versions": told["versions"]})
    line = f"not equal: the latents' hash was {'0' * 16} and is {told['latents'][:16]} now; "
    torch = told["versions"]["torch"]
    assert (
        fusionkit("replay", "old.png", "-q").out.splitlines()[-1] == line + f"different versions: torch 1.0 -> {torch}"
    )
    assert fusionkit("replay", "same.png", "-q").out.splitlines()[-1] == (
        line + "all versions are the same, so is it the device, or its threads?"
    )


def test_replay_of_what_is_no_picture_of_ours(fusionkit: Run) -> None:
    Image.new("RGB", (8, 8)).save("plain.png")
    assert fusionkit("replay", "plain.png") == (
        2,
        "",
        "plain.png: carries no recipe; only pictures that fusionkit wrote do\n",
    )
    assert fusionkit("replay", "none.png") == (2, "", "none.png: no such file\n")
    ran = fusionkit("replay", "r.yaml")
    assert ran == (2, "", "r.yaml: is no picture of a known format\n")


def test_plan_tells_what_a_run_would_do(fusionkit: Run) -> None:
    ran = fusionkit("plan", "r.yaml")
    assert ran.code == 0
    lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert lines["plugins"] == "style-alignment, multidiffusion, guided-fusion, variance-corrected-fusion"
    assert lines["stage"] == "256x128 pixels, 3 steps of DDPMScheduler with 3 views each"
    assert lines["coverage"] == "complete; each pixel is in 1 to 2 views"
    assert lines["passes"] == "18 of the denoiser, with and without the prompt for each of 9 views"
    assert re.match(r"about [\d.]+ MB \(weights 2\.\d MB, ", lines["memory"])
    assert lines["output"] == "out/r-0.png"
    assert not Path("out").exists()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_run_that_is_ended_says_what_was_kept(name: str, code: int) -> None:
    Path("r.yaml").write_text(RECIPE.replace("steps: 3", "steps: 500\npreview-every: 2"))
    with Warm(command, ["run", "r.yaml"]) as process:
        deadline = time.monotonic() + 120
        while not Path("out/r-0-step004.png").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=60)
    last = err.splitlines()[-1]
    assert (process.returncode, out) == (code, "")
    assert re.match(r"interrupted after step \d+ of 500; kept: out/r-0-step002\.png, out/r-0-step004\.png", last)
    assert "Traceback" not in err
    *kept, checkpoint = last.partition("kept: ")[2].split(", ")
    assert re.fullmatch(
        r"'out/r-0\.checkpoint\.safetensors' \(step \d+ of 500; --resume goes on from there\)", checkpoint
    )
    assert sorted([*kept, checkpoint.split("'")[1]]) == sorted(f"out/{name}" for name in os.listdir("out"))
    assert pixels(kept[0]).shape == (128, 256, 3)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("error", ["ImportError('half imported')", "fusionkit.ModelError('half imported')"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_fails_because_of_a_signal_is_not_told_in_its_place(
    number: signal.Signals, error: str, fusionkit: Run, install: Install
) -> None:
    """A library may lose the interruption while it is imported, and then not work."""
    code = (
        "import os, signal, fusionkit\nfrom fusionkit import Plugin, hookimpl\n"
        "class Broken(Plugin, name='a-broken-one'):\n    @hookimpl\n    def check(self):\n"
        f"        try:\n            signal.raise_signal({int(number)})\n"
        f"        except KeyboardInterrupt:\n            raise {error}\n"
    )
    install("a-broken-one", code)
    Path("r.yaml").write_text(RECIPE.replace("  - guided-fusion", "  - a-broken-one"))
    assert fusionkit("run", "r.yaml", "-q") == (128 + number, "", "interrupted\n")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_a_file_is_written_and_noted(number: signal.Signals) -> None:
    noted = []
    with signals_interrupt():
        with pytest.raises(KeyboardInterrupt), interrupts_later():  # noqa: PT012 - the block must go on after the signal
            os.kill(os.getpid(), number)
            noted.append("written")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert noted == ["written"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
