"""Large canvases in a process whose memory has a limit; run by `test_bounded_memory.py`, by name, one a process.

The limit is of a process' own data (`RLIMIT_DATA`): files that are mapped into memory do not count, since the system
can take their pages back at any time. Each prints what it did, or `too much`, where the memory did not last.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fusionkit import Fusion, Recipe
from fusionkit.loop.canvas import gather
from fusionkit.loop.defaults import Defaults
from fusionkit.loop.noise import keyed_noise
from fusionkit.loop.room import IN_MEMORY, Room
from fusionkit.loop.stage import Patches, Stage
from fusionkit.models.adapters.moments import unscaled
from fusionkit.models.adapters.pictures import PictureModel
from fusionkit.models.load import wrap_pipeline
from fusionkit.pictures.image import save_image
from fusionkit.runs.run import prepare
from fusionkit.testing.tiny import tiny_model, tiny_pipeline

MIB = 2**20


def own_data() -> int:
    """Bytes of this process' own data, as the limit counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmData")).split()[1]) * 1024


def within(bound: int, work: Callable[[], Any]) -> None:
    """Do some work with so many more bytes than there are by now."""
    resource.setrlimit(resource.RLIMIT_DATA, (own_data() + bound, resource.RLIM_INFINITY))
    try:
        print(work())
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, MemoryError) or "alloc" in str(error)
        print("too much" if short else f"{type(error).__name__}: {error}")


def decoding(how: str) -> None:
    """A picture of 16,384 x 256 pixels, by diffusers' tiles or by ours, and written: 48 MiB in floats."""
    pipe = tiny_pipeline()
    model, latents = wrap_pipeline(pipe, vae_tiling=True), keyed_noise(0, "a", shape=(1, 4, 32, 2048))
    save_image(model.decode(latents[..., :24, :24]), Path("small.tif"), {"recipe": "x"})

    @torch.inference_mode()
    def theirs() -> Any:
        pipe.vae.enable_tiling()
        return model.postprocess(pipe.vae.decode(unscaled(pipe.vae, latents), return_dict=False)[0])

    def ours() -> Any:
        picture = model.decode(latents, "", Room(Path.cwd()))
        return save_image(picture, Path("a.tif"), {"recipe": "x"}).name, picture.size

    within(64 * MIB, theirs if how == "theirs" else ours)


def stepping(how: str) -> None:
    """Fusing and stepping a canvas of 64 MiB, 16,384 x 16,384 pixels, whose predictions are given."""
    model = tiny_model()
    recipe = Recipe(size=(16384, 16384), window=(512, 512), steps=3, scheduler="dpm++-2m", vae_tiling=True, canvas=how)  # type: ignore[arg-type]
    plan = prepare(recipe.model_copy(update={"output": Path.cwd() / "a.tif"}), model.info, to_look_at=True)
    stage = plan.stages[0]
    assert stage.room == (Room(Path.cwd()) if how == "disk" else IN_MEMORY)

    def steps() -> Any:
        defaults = Defaults()
        latents = defaults.init_latents(stage, defaults.init_noise(stage))
        for at in stage.steps:
            latents = defaults.step(stage, at, latents, defaults.fuse(stage, groups_of(stage, latents)))
        return float(latents[0, 0, 0, 0])

    with torch.inference_mode():
        within(192 * MIB, steps)


def groups_of(stage: Stage, latents: Any) -> list[Patches]:
    """The canvas' groups of views, whose predictions are their latents."""
    groups = list(Defaults().views(stage))
    for patches in groups:
        patches.prediction = gather(latents, patches.views, stage.room)
    return groups


def picture(how: str) -> None:
    """A picture that is 32,768 pixels wide, by the embedded model: the whole way, after a small one.

    `old` decodes as before: diffusers' own tiles, all of them in memory.
    """
    if how == "old":
        PictureModel.cut = lambda *_: None  # type: ignore[method-assign,assignment]
    options: dict[str, Any] = {"steps": 2, "guidance_scale": 1, "scheduler": "dpm++-2m", "vae_tiling": True}
    fusion = Fusion.from_recipe(
        Recipe(model="vista/scenes", prompt="a rocky coast at dawn", plugins=["shifted-windows"], **options)
    )
    for name, size, canvas in (("small", (1280, 64), "disk"), ("wide", (32768, 64), "disk")):

        def draw(name: str = name, size: tuple[int, int] = size, canvas: str = canvas) -> Any:
            result = fusion(size=size, canvas=canvas, output=f"{name}.tif", progress=False)  # type: ignore[arg-type]
            return result.save(f"{name}.tif").name, result.latents_hash, result.forward_passes

        within(MIB * (2**20 if name == "small" else 64), draw)


if __name__ == "__main__":
    os.chdir(sys.argv[3])
    {"decoding": decoding, "stepping": stepping, "picture": picture}[sys.argv[1]](sys.argv[2])
