"""A picture is replayed bit for bit where it lies: files moved, renamed or replaced; models of a name; batch sizes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CHECKPOINTS, Run
from PIL import Image
from safetensors.numpy import load_file, save_file

from fusionkit.models.identity import identities, misfits
from fusionkit.pictures.image import read_metadata, save_image
from fusionkit.recipe.recipe import Recipe

TINY = CHECKPOINTS / "tiny-sd"
RECIPE = """model: {model}
prompt: a hill
size: 128x128
window: 64x64
steps: 1
loras:
  - {{path: inputs/lora.safetensors}}
plugins:
  - progressive-upscaling: {{from: inputs/start.png}}
output: out/a.png
"""


def noise(path: Path, seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def lora(path: Path, seed: int = 0) -> None:
    (weights,) = (TINY / "unet").glob("*.safetensors")
    layer = next(name for name in load_file(weights) if name.endswith("attn2.to_q.weight"))
    out, into = load_file(weights)[layer].shape
    draw = np.random.default_rng(seed).standard_normal
    name = f"unet.{layer.removesuffix('.weight')}"
    halves = {f"{name}.lora_A.weight": draw((2, into)), f"{name}.lora_B.weight": draw((out, 2))}
    save_file({key: value.astype(np.float32) for key, value in halves.items()}, path)


@pytest.fixture
def project(folder: Path, fusionkit: Run) -> Path:
    """A project's folder: a picture in `out`, what it was drawn from in `inputs`; and another folder to be in."""
    project = folder / "project"
    (project / "inputs").mkdir(parents=True)
    os.chdir(project)
    noise(Path("inputs/start.png"))
    lora(Path("inputs/lora.safetensors"))
    Path("r.yaml").write_text(RECIPE.format(model=TINY))
    assert fusionkit("run", "r.yaml", "-q") == (0, "out/a.png\n", "")
    (folder / "elsewhere").mkdir()
    os.chdir(folder / "elsewhere")
    return project


def replayed(fusionkit: Run, path: Path, code: int = 0) -> tuple[str, list[str]]:
    ran = fusionkit("replay", str(path), "-q", "-o", "again.png")
    assert ran.code == code, ran
    return (ran.out.splitlines() or [""])[-1], ran.err.splitlines()


def test_a_project_that_was_moved_as_a_whole(project: Path, folder: Path, fusionkit: Run) -> None:
    moved = folder / "moved"
    project.rename(moved)
    last, err = replayed(fusionkit, moved / "out" / "a.png")
    assert last.startswith("equal: ")
    assert sorted(err) == [
        f"note: 'inputs/{name}' is read from '{moved / 'inputs' / name}'" for name in ("lora.safetensors", "start.png")
    ]
    # The new picture says where they are now.
    assert set(read_metadata(Path("again.png"))["files"]) == {
        str(TINY),
        *(str(moved / "inputs" / name) for name in ("lora.safetensors", "start.png")),
    }


def test_absolute_paths_of_another_machine(project: Path, folder: Path, fusionkit: Run) -> None:
    os.chdir(project)
    changes = (
        f"plugins.progressive-upscaling.from={project / 'inputs/start.png'}",
        f"loras=[{{path: {project / 'inputs/lora.safetensors'}}}]",
    )
    assert fusionkit("run", "r.yaml", "-q", *(word for each in changes for word in ("--set", each))).code == 0
    moved = folder / "another" / "home"
    moved.parent.mkdir()
    project.rename(moved)
    os.chdir(folder)
    last, err = replayed(fusionkit, moved / "out" / "a-2.png")
    assert last.startswith("equal: ")
    assert len(err) == 2


def test_inputs_that_were_renamed_are_known_by_what_is_in_them(project: Path, fusionkit: Run) -> None:
    for old, new in (("start.png", "a-photo-of-mine.png"), ("lora.safetensors", "style-v2.safetensors")):
        (project / "inputs" / old).rename(project / "out" / new)
    noise(project / "out" / "another.png", 1)
    last, err = replayed(fusionkit, project / "out" / "a.png")
    assert last.startswith("equal: ")
    assert f"note: 'inputs/start.png' is read from '{project / 'out' / 'a-photo-of-mine.png'}'" in err
    assert f"note: 'inputs/lora.safetensors' is read from '{project / 'out' / 'style-v2.safetensors'}'" in err


def test_what_is_missing_and_what_differs_is_told_at_once(project: Path, fusionkit: Run) -> None:
    os.chdir(project)
    (project / "inputs" / "start.png").unlink()
    lora(project / "inputs" / "lora.safetensors", 1)
    _, err = replayed(fusionkit, Path("out/a.png"), code=2)
    assert err == [
        "out/a.png: 'inputs/start.png', which its recipe reads, is missing; put it beside the picture, or into the "
        "working folder",
        "out/a.png: 'inputs/lora.safetensors' is not the file that the picture was drawn with",
    ]


def test_a_lora_that_was_replaced(project: Path, fusionkit: Run) -> None:
    os.chdir(project)
    lora(project / "inputs" / "lora.safetensors", 1)
    last, err = replayed(fusionkit, Path("out/a.png"), code=1)
    assert last.startswith("not equal: ")
    assert last.endswith("; different files: inputs/lora.safetensors")
    assert err == ["note: 'inputs/lora.safetensors' is not the file that the picture was drawn with"]


def carried(path: Path, **changes: Any) -> Path:
    """A picture with other metadata than it was drawn with."""
    with Image.open(path) as image:
        return save_image(image, path.with_name("other.png"), {**read_metadata(path), **changes}, overwrite=True)


def test_a_model_of_a_package_that_was_drawn_anew(fusionkit: Run) -> None:
    Path("r.yaml").write_text("model: tinyworld/scenes\nprompt: a photo\nsteps: 1\nsize: 64x64\noutput: a.png\n")
    assert fusionkit("run", "r.yaml", "-q").code == 0
    told = read_metadata(Path("a.png"))
    assert told["models"] == identities(Recipe(model="tinyworld/scenes"))
    assert told["models"]["tinyworld/scenes"].startswith("sha256-of-files:")
    assert replayed(fusionkit, Path("a.png")) == (f"equal: the latents' hash is {told['latents'][:16]} again", [])
    other = carried(
        Path("a.png"), models={"tinyworld/scenes": "sha256-of-files:0", "never/asked": "x"}, latents="0" * 64
    )
    last, err = replayed(fusionkit, other, code=1)
    assert err == ["note: 'tinyworld/scenes' is not the model that the picture was drawn with"]
    assert last.endswith("; different files: tinyworld/scenes")


def test_a_model_of_the_hub_of_another_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as hub

    commit = "c" * 40
    model = tmp_path / "cache" / "models--an-owner--tiny"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    (model / "snapshots" / commit).mkdir(parents=True)
    (model / "snapshots" / commit / "model_index.json").write_text("{}")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    recipe = Recipe(model="an-owner/tiny")
    assert identities(recipe) == {"an-owner/tiny": f"commit:{commit}"}
    assert misfits(identities(recipe), recipe) == {}
    assert misfits({"an-owner/tiny": f"commit:{'d' * 40}"}, recipe) == {
        "an-owner/tiny": "'an-owner/tiny' is not the model that the picture was drawn with: that was commit "
        "dddddddddddd, and cccccccccccc is here; --set revision=dddddddddddd asks for the old one"
    }
    # What is not here can't be told apart, and nobody is asked.
    assert identities(Recipe(model="an-owner/other")) == {}


def test_batch_sizes_are_those_of_then_for_each_model_and_size_of_views(
    fusionkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("r.yaml").write_text(
        f"models: {{one: {TINY}, two: {TINY}}}\nprompt: a hill\nsize: 192x64\nwindow: 64x64\nsteps: 1\noutput: a.png\n"
        "plugins:\n  - multidiffusion: {stride: 32}\n"
        "  - saliency-noise-blending: {models: {one: {}, two: {prompt: a lake}}}\n"
    )
    chosen = iter((2, 3))
    with monkeypatch.context() as then:
        then.setattr("fusionkit.models.adapters.diffusers_model.views_per_pass", lambda *_: next(chosen))
        assert fusionkit("run", "r.yaml", "-q").code == 0
    told = read_metadata(Path("a.png"))
    assert {name: list(sizes.values()) for name, sizes in told["batch-sizes"].items()} == {"one": [2], "two": [3]}
    assert told["batch-size"] == 3
    assert replayed(fusionkit, Path("a.png"))[0].startswith("equal: ")
    assert read_metadata(Path("again.png"))["batch-sizes"] == told["batch-sizes"]
    # A picture that tells one number for all.
    older = {key: value for key, value in told.items() if key != "batch-sizes"}
    with Image.open("a.png") as image:
        save_image(image, Path("older.png"), {**older, "batch-size": 2})
    assert fusionkit("replay", "older.png", "-q", "-o", "again.png").code in (0, 1)
    assert read_metadata(Path("again-2.png"))["batch-size"] == 2


@pytest.mark.parametrize("odd", [[1], {"one": 3}, {"one": {"x": 1}}, {"one": {"8x8": 0}}, {"one": {"8x8": 10**9}}, "a"])
def test_batch_sizes_that_make_no_sense_do_not_count(odd: Any) -> None:
    from fusionkit.cli.from_picture import batches

    assert batches({"batch-sizes": odd}) == {}


def test_a_picture_of_a_comparison(fusionkit: Run, folder: Path) -> None:
    Path("r.yaml").write_text(f"model: {TINY}\nprompt: a hill\nsize: 64x64\nsteps: 1\n")
    assert fusionkit("compare", "r.yaml", "--seeds", "0-1", "--metrics", "variance", "-q", "--out", "c").code == 0
    drawn = Path("c/pictures/r/p000-s1.png")
    assert replayed(fusionkit, drawn)[0].startswith("equal: ")
    shutil.copy(drawn, "mine.png")
    assert replayed(fusionkit, Path("mine.png"))[0].startswith("equal: ")
    assert sorted(path.name for path in drawn.parent.iterdir()) == ["p000-s0.png", "p000-s1.png"]
