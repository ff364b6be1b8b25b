"""The end of a run: its last canvas decoded, and what the result tells."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from fusionkit.errors import OutOfMemory, UnfinishedError
from fusionkit.models.identity import identities
from fusionkit.pictures.result import Result
from fusionkit.runs.plan import RunPlan
from fusionkit.runs.run import ask_maps, decoded, told_of_shortage
from fusionkit.runs.shortage import free_memory

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.model import Model


def finished(
    plan: RunPlan,
    models: Mapping[str, Model],
    latents: Tensor,
    spent: Mapping[str, Any],
    *,
    maps: bool = False,
    tiled: bool = False,
) -> Result:
    """The result of a run whose steps are done.

    Args:
        plan: The run.
        models: Its models by name; the main one, which is the first, decodes.
        latents: Clean latents, (1, C, H, W).
        spent: What the result tells of the denoising.
        maps: Whether the result has maps.
        tiled: Decode in tiles, whatever the recipe says, and say so in the result's recipe.

    Raises:
        UnfinishedError: The picture can't be decoded; holds the latents.
    """
    began = time.perf_counter()
    model = next(iter(models.values()))
    kept = plan.stages[-1].room.copy(latents.float().cpu())  # a plain tensor, no longer one of inference mode
    recipe = plan.recipe.model_copy(update={"vae_tiling": True}) if tiled else plan.recipe
    before, model.vae_tiling = model.vae_tiling, model.vae_tiling or tiled
    try:
        with told_of_shortage(replace(plan, recipe=recipe), model, lambda: "decoding", decoding=True):
            whole = decoded(plan, model, latents)
            image = plan.stages[-1].cut(whole)
            if notes := plan.hooks.ask("xmp", stage=plan.stages[-1], image=image):
                image.info["xmp"] = notes.encode()
            if exif := plan.hooks.ask("exif", stage=plan.stages[-1], image=image):
                image.info["exif"] = exif
    except UnfinishedError as error:
        error.latents = kept
        if isinstance(error, OutOfMemory) and not model.vae_tiling:
            free_memory()
            error.decode_in_tiles = partial(finished, plan, models, latents, spent, maps=maps, tiled=True)
        raise
    finally:
        model.vae_tiling = before
    return Result(
        image=image,
        latents=kept,
        recipe=recipe,
        seconds=spent["denoising_seconds"] + time.perf_counter() - began,
        draw_maps=partial(ask_maps, plan, whole) if maps else dict,
        identify=partial(identities, recipe),
        **spent,
    )
