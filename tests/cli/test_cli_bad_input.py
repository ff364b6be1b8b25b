"""Bad input is one clear line and a non-zero exit, before any model loads, from `validate` and from `run` alike."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from command_line import CHECKPOINTS, RECIPE, Run
from PIL import Image
from warm import answered

TINY = CHECKPOINTS / "tiny-sd"

# The change to the recipe, and the line.
BAD = {
    "misspelt key": ("steps: 3", "step: 3", "r.yaml:7:1: a recipe has no option 'step'; did you mean 'steps'?"),
    "misspelt plugin": (
        "  - guided-fusion",
        "  - guidedfusion",
        "r.yaml:11:5: no plugin 'guidedfusion'; did you mean 'guided-fusion'?",
    ),
    "wrong type": ("steps: 3", "steps: three", "r.yaml:7:8: 'steps' must be a whole number, not 'three'"),
    "size not divisible": (
        "size: 256x128",
        "size: 250x128",
        f"r.yaml:4:7: size 250x128 is not divisible by 8, as {TINY} needs; try 248x128",
    ),
    "window not divisible": (
        "window: 128x128",
        "window: 128x123",
        f"r.yaml:5:9: window 128x123 is not divisible by 8, as {TINY} needs; try 128x120",
    ),
    "stride larger than the window": (
        "stride: 64",
        "stride: 136",
        "r.yaml:10:5: multidiffusion: stride 136 is larger than the window, 128x128: pixels between two windows would "
        "stay empty; use at most 128x128",
    ),
    "nothing to correct": (
        "scheduler: ddpm",
        "scheduler: ddim",
        "r.yaml:12:5: variance-corrected-fusion: DDIMScheduler draws no noise, so there is no variance to correct; "
        "use a scheduler that does, such as ddpm, euler-a or ddim: {eta: 1.0}, or leave the plugin out",
    ),
    "two plugins that replace one hook": (
        "  - guided-fusion",
        "  - multidiffusion",
        "r.yaml:11:5: plugins 'multidiffusion' and 'multidiffusion' both replace the hook 'views'; use one of them",
    ),
    "unknown scheduler": (
        "scheduler: ddpm",
        "scheduler: dppm",
        "r.yaml:6:12: no scheduler 'dppm'; did you mean 'ddpm'?",
    ),
    "missing model folder": (
        f"model: {TINY}",
        "model: models/none/here",
        "r.yaml:2:8: model 'models/none/here': no such folder, and no hub id such as 'owner/name'",
    ),
    "misspelt embedded model": (
        f"model: {TINY}",
        "model: tinyworld/scene",
        "r.yaml:2:8: no embedded model 'tinyworld/scene'; did you mean 'tinyworld/scenes'?",
    ),
    "no model": (
        f"model: {TINY}\n",
        "",
        "r.yaml: a recipe needs a model: a hub id, a folder, a .safetensors file, or an embedded one "
        "(see 'fusionkit models')",
    ),
    "missing LoRA": (
        "steps: 3",
        "loras: [{path: loras/none.safetensors}]",
        "r.yaml:7:8: LoRA 'loras/none.safetensors': no such file or folder",
    ),
    "empty prompt list": (
        "prompt: a hill",
        "prompt: []",
        "r.yaml:3:9: 'prompt' is an empty list; give at least one prompt",
    ),
    "a ControlNet of another family": (
        "  - guided-fusion",
        f"  - progressive-upscaling\n  - controlnet: {{model: {CHECKPOINTS / 'tiny-controlnet'}}}",
        f"r.yaml:12:5: controlnet: controlnet '{CHECKPOINTS / 'tiny-controlnet'}' does not fit model '{TINY}': it is "
        "made for Stable Diffusion XL, and the model is a Stable Diffusion 1 or 2",
    ),
    "a size smaller than the window": (
        "size: 256x128\nwindow: 128x128\nscheduler: ddpm\nsteps: 3\nplugins:",
        "size: 96x64\nwindow: 128x128\nscheduler: ddpm\nsteps: 3\nplugins:\n  - progressive-upscaling",
        "r.yaml:9:5: progressive-upscaling: size 96x64 is smaller than the model's window, 128x128: there is nothing "
        "to upscale; use a larger size",
    ),
    "a picture to enlarge that is missing": (
        "  - guided-fusion",
        "  - progressive-upscaling: {from: none.png}",
        "r.yaml:11:5: progressive-upscaling: picture of 'from' 'none.png' does not exist",
    ),
    "a picture to enlarge that is none": (
        "  - guided-fusion",
        "  - progressive-upscaling: {from: r.yaml}",
        "r.yaml:11:5: progressive-upscaling: picture of 'from' 'r.yaml' is no picture of a known format",
    ),
    "a picture to enlarge that is a folder": (
        "  - guided-fusion",
        "  - progressive-upscaling: {from: .}",
        "r.yaml:11:5: progressive-upscaling: picture of 'from' '.' is a folder, not a picture",
    ),
    "a tiny picture to enlarge": (
        "  - guided-fusion",
        "  - progressive-upscaling: {from: tiny.png}",
        "r.yaml:11:5: progressive-upscaling: picture of 'from' 'tiny.png' has 63x40 pixels; it takes at least 64x32",
    ),
    "a stage that is none": (
        "  - guided-fusion",
        "  - progressive-upscaling: {stages: [1.5, big]}",
        "r.yaml:11:43: 'stages.2' of progressive-upscaling: a stage is a multiple of the first one, such as 2, or a "
        "size such as 1024x1024, not 'big'",
    ),
    "a skip residual that is none": (
        "  - guided-fusion",
        "  - progressive-upscaling: {skip-residual: -1}",
        "r.yaml:11:44: 'skip-residual' of progressive-upscaling must be a number above 0, or 'off', not -1",
    ),
    "a threshold outside 0..1": (
        "  - guided-fusion",
        "  - patch-content-prompts: {threshold: 1.5}",
        "r.yaml:11:40: 'threshold' of patch-content-prompts must be at most 1, not 1.5",
    ),
    "an unknown annotator": (
        "  - guided-fusion",
        "  - controlnet: {model: a/net, annotator: cany}",
        "r.yaml:11:43: 'annotator' of controlnet must be one of none, canny, depth, hed, lineart, lineart-anime, "
        "lineart-standard, mlsd, normal, openpose, scribble, softedge, not 'cany'; did you mean 'canny'?",
    ),
    "output folder that is a file": (
        "output: out/",
        "output: r.yaml/",
        "r.yaml:13:9: output folder 'r.yaml' is a file",
    ),
}


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize(("old", "new", "line"), BAD.values(), ids=BAD)
def test_bad_input(fusionkit: Run, command: str, old: str, new: str, line: str) -> None:
    assert old in RECIPE
    Path("r.yaml").write_text(RECIPE.replace(old, new))
    Image.new("RGB", (63, 40)).save("tiny.png")
    assert fusionkit(command, "r.yaml") == (2, "", f"{line}\n")
    assert not Path("out").exists()


def test_syntax_and_encoding(fusionkit: Run) -> None:
    Path("r.yaml").write_text("steps: [3\nseed: 1\n")
    line = "r.yaml:2:5: not YAML: while parsing a flow sequence, expected ',' or ']', but got ':'\n"
    assert fusionkit("run", "r.yaml") == (2, "", line)
    Path("r.yaml").write_bytes("prompt: café".encode("latin-1"))
    assert fusionkit("run", "r.yaml") == (2, "", "r.yaml:1:12: not UTF-8: byte 0xe9; save it as UTF-8\n")
    assert fusionkit("run", "panorama-tinywrld") == (
        2,
        "",
        "no recipe 'panorama-tinywrld'; did you mean 'panorama-tinyworld'?\n",
    )


def test_all_problems_of_all_recipes_at_once(fusionkit: Run) -> None:
    Path("a.yaml").write_text(RECIPE.replace("size: 256x128", "size: 250x128").replace("ddpm", "dppm"))
    Path("b.yaml").write_text("prompt: []")
    ran = fusionkit("validate", "a.yaml", "r.yaml", "b.yaml", "c.yaml")
    assert (ran.code, ran.out) == (2, "r.yaml: valid (1 picture, 256x128, 4 plugins)\n")
    assert ran.err.splitlines() == [
        "a.yaml:6:12: no scheduler 'dppm'; did you mean 'ddpm'?",
        f"a.yaml:4:7: size 250x128 is not divisible by 8, as {TINY} needs; try 248x128",
        "b.yaml:1:9: 'prompt' is an empty list; give at least one prompt",
        "no recipe 'c.yaml'; did you mean 'r.yaml'?",
    ]


def test_pickled_weights(fusionkit: Run) -> None:
    shutil.copytree(TINY, "model")
    Path("model/unet/diffusion_pytorch_model.safetensors").rename("model/unet/diffusion_pytorch_model.bin")
    Path("r.yaml").write_text(RECIPE.replace(str(TINY), "model"))
    ran = fusionkit("validate", "r.yaml")
    assert ran.code == 2
    assert ran.err.startswith(
        "r.yaml:2:8: model 'model' has pickle-only weights, which can run any code and are refused;"
    )
    assert ran.err.count("\n") == 1


def test_the_hub_can_not_be_reached(fusionkit: Run) -> None:
    Path("r.yaml").write_text(RECIPE.replace(str(TINY), "nobody/nothing"))
    assert fusionkit("run", "r.yaml") == (
        2,
        "",
        "r.yaml:2:8: model 'nobody/nothing' is not in the local cache and the hub can't be reached; "
        "there is no such folder either\n",
    )


def test_no_room_for_the_picture(fusionkit: Run) -> None:
    ran = fusionkit("run", "r.yaml", "--set", "size=8000000x8000000")
    assert ran.code == 2
    assert ran.err.startswith("r.yaml:13:9: output folder '.' has ")
    assert ran.err.endswith(" free, and the pictures may need 192.0 TB\n")
    assert ran.err.count("\n") == 1


def test_more_pixels_than_a_format_holds(fusionkit: Run) -> None:
    ran = fusionkit("run", "r.yaml", "--set", "size=16384x128", "-o", "out/a.webp")
    assert (ran.code, ran.err) == (
        2,
        "--output: output 'out/a.webp': WEBP holds at most 16383 pixels a side, not 16384; use .tif or .dzi\n",
    )


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody, not even root, can write to")
def test_a_folder_that_is_not_writable(fusionkit: Run) -> None:
    ran = fusionkit("run", "r.yaml", "-o", "/proc/a.png")
    assert ran.code == 2
    assert ran.err.startswith("--output: output folder '/proc' is not writable: ")


def test_bad_changes_of_the_command_line(fusionkit: Run) -> None:
    ran = fusionkit("run", "r.yaml", "--set", "plugins.style-alignment.alhpa=1", "--seed", "-1", "--device", "cudda")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "--set plugins.style-alignment.alhpa: style-alignment has no option 'alhpa'; did you mean 'alpha'?",
        "--seed: 'seed' must be at least 0, not -1",
        "--device: 'device' must be auto, cpu, cuda, mps, xpu, or one of several such as cuda:1, not 'cudda'; "
        "did you mean 'cuda'?",
    ]


def test_an_unexpected_error_is_one_line_and_debug_shows_more() -> None:
    """What only loading finds: here a model that lacks one of its denoiser's weights."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(TINY, "model")
    weights = Path("model/unet/diffusion_pytorch_model.safetensors")
    held = load_file(weights)
    del held["conv_out.bias"]
    save_file(held, weights)
    Path("r.yaml").write_text(RECIPE.replace(str(TINY), "model"))
    plain = answered("run", "r.yaml", "-q")
    assert plain.returncode == 1
    assert plain.stderr.startswith(
        "model 'model': unet does not fit its configuration; missing from its files: 1 weight"
    )
    assert plain.stderr.count("\n") == 1
    debug = answered("--debug", "run", "r.yaml", "-q")
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that is in use stays there")
@pytest.mark.parametrize("command", ["run", "validate", "plan", "compare"])
def test_a_working_folder_that_was_deleted(command: str, fusionkit: Run, folder: Path) -> None:
    (folder / "gone").mkdir()
    os.chdir(folder / "gone")
    (folder / "gone").rmdir()
    ran = fusionkit(command, str(folder / "r.yaml"))
    os.chdir(folder)
    assert (ran.code, ran.out, ran.err) == (1, "", "the working folder was deleted; change to one that is there\n")
