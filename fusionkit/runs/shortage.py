"""When memory runs out: told from other errors, with what would need less."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fusionkit.errors import OutOfMemory

if TYPE_CHECKING:
    from fusionkit.pictures.result import Result
    from fusionkit.recipe.recipe import Recipe


def shortage(recipe: Recipe, where: str, device: str, batch: int, *, decoding: bool) -> OutOfMemory:
    """The error for memory that ran out.

    Args:
        recipe: The recipe, which tells what is set already.
        where: What was computed.
        device: Whose memory it was.
        batch: How many views went through the denoiser together.
        decoding: Whether a picture was decoded or encoded: then the VAE is what needs less.
    """
    advice = []
    if decoding and not recipe.vae_tiling:
        advice.append("vae-tiling: true")
    if not decoding and batch > 1:
        advice.append(f"a batch-size below {batch}")
    if recipe.offload == "none" and not device.startswith("cpu"):
        advice.append("offload: model")
    if not decoding and recipe.dtype == "float32" and not device.startswith("cpu"):
        advice.append("dtype: float16")
    advice.append("a smaller size")
    choices = advice[0] if len(advice) == 1 else f"{', '.join(advice[:-1])} or {advice[-1]}"
    return OutOfMemory(f"{where}: the memory of '{device}' ran out; use {choices}")


def in_tiles_if_need_be(draw: Callable[[], Result]) -> Result:
    """What a run makes; where its picture does not fit into memory at once, it is decoded in tiles.

    Raises:
        OutOfMemory: Tiles are no help.
    """
    try:
        return draw()
    except OutOfMemory as error:
        if error.decode_in_tiles is None:
            raise
        decoded: Result = error.decode_in_tiles()
        return decoded


def free_memory() -> None:
    """Give back what an attempt that failed has left behind."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
