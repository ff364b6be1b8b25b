"""Large canvases in a process whose memory has a limit; run by `test_bounded_memory.py`, by name, each in its process.

The limit is of a process' own data (`RLIMIT_DATA`): files that are mapped into memory do not count, since the system
can take their pages back at any time. Each prints what it did, or `too much`, where the memory did not last. What needs
little comes first, since what it leaves free in the process can be had by the next.
"""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionkit import Fusion, Recipe
from fusionkit.loop.canvas import gather
from fusionkit.loop.defaults import Defaults
from fusionkit.loop.noise import keyed_noise
from fusionkit.loop.room import IN_MEMORY, Room
from fusionkit.loop.stage import Patches, Stage
from fusionkit.models.adapters.moments import unscaled
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


def decoding() -> None:
    """A picture of 8,192 x 128 pixels, by our tiles and written, and by diffusers': 12 MiB in floats."""
    pipe = tiny_pipeline()
    model, latents = wrap_pipeline(pipe, vae_tiling=True), keyed_noise(0, "a", shape=(1, 4, 16, 1024))

    def ours(name: str = "a.tif", latents: Tensor = latents) -> Any:
        picture = model.decode(latents, "", Room(Path.cwd(), least=0))
        return save_image(picture, Path(name), {"recipe": "x"}).name, picture.size

    ours("small.tif", latents[..., :64])

    @torch.inference_mode()
    def theirs() -> Any:
        pipe.vae.enable_tiling()
        return model.postprocess(pipe.vae.decode(unscaled(pipe.vae, latents), return_dict=False)[0])

    for draw in (ours, theirs):
        within(40 * MIB, draw)


def stepping() -> None:
    """Fusing and stepping a canvas of 16 MiB, 8,192 x 8,192 pixels, whose predictions are given."""
    model = tiny_model()
    for how in ("disk", "memory"):
        recipe = Recipe(
            size=(8192, 8192), window=(512, 512), steps=3, scheduler="dpm++-2m", vae_tiling=True, canvas=how
        )  # type: ignore[arg-type]
        plan = prepare(recipe.model_copy(update={"output": Path.cwd() / "a.tif"}), model.info, to_look_at=True)
        stage = plan.stages[0]
        assert stage.room == (Room(Path.cwd()) if how == "disk" else IN_MEMORY)
        with torch.inference_mode():
            within(96 * MIB, partial(steps, stage))


def steps(stage: Stage) -> float:
    """All steps of a stage; a number of its canvas."""
    defaults = Defaults()
    latents = defaults.init_latents(stage, defaults.init_noise(stage))
    for at in stage.steps:
        latents = defaults.step(stage, at, latents, defaults.fuse(stage, groups_of(stage, latents)))
    return float(latents[0, 0, 0, 0])


def groups_of(stage: Stage, latents: Any) -> list[Patches]:
    """The canvas' groups of views, whose predictions are their latents."""
    groups = list(Defaults().views(stage))
    for patches in groups:
        patches.prediction = gather(latents, patches.views, stage.room)
    return groups


def picture() -> None:
    """A picture that is 32,768 pixels wide, by the embedded model: the whole way, after a small one."""
    options: dict[str, Any] = {"steps": 2, "guidance_scale": 1, "scheduler": "dpm++-2m", "vae_tiling": True}
    fusion = Fusion.from_recipe(
        Recipe(model="vista/scenes", prompt="a rocky coast at dawn", plugins=["shifted-windows"], **options)
    )

    def draw(name: str, width: int) -> Any:
        result = fusion(size=(width, 32), canvas="disk", output=f"{name}.tif", progress=False)
        return result.save(f"{name}.tif").name, result.latents_hash, result.forward_passes

    within(2**20 * MIB, partial(draw, "small", 1280))
    within(40 * MIB, partial(draw, "wide", 32768))


def begin(arguments: list[str]) -> None:
    """One of the functions above, by name."""
    # One heap: threads' own ones are 64 MiB each, as the limit counts them.
    ctypes.CDLL(None).mallopt(ctypes.c_int(-8), ctypes.c_int(1))
    {"decoding": decoding, "stepping": stepping, "picture": picture}[arguments[0]]()
