"""Decoding tile by tile, against diffusers' own tiled decoding of the same latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_flux2 import autoencoder
from tiny_models import plain
from tiny_parts import qwen_autoencoder
from tiny_sana import deep_compression

from fusionkit.loop.ring import MARGIN, closed, continued
from fusionkit.loop.room import IN_MEMORY, Room
from fusionkit.loop.views import Wrap
from fusionkit.models.adapters.moments import unscaled
from fusionkit.models.adapters.tiles import Tiling, blended, decode_tile, tiling_of
from fusionkit.models.load import wrap_pipeline
from fusionkit.pictures.on_disk import PictureOnDisk


def latents_of(channels: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("size", "wrap"), [((13, 40), ""), ((13, 18), "y"), ((26, 13), "x"), ((17, 16), "xy")])
def test_a_picture_is_that_of_diffusers_own_tiles_bit_for_bit(
    size: tuple[int, int], wrap: Wrap, tmp_path: Path
) -> None:
    pipe = plain("sd")
    model, latents = wrap_pipeline(pipe, vae_tiling=True), latents_of(4, *size)
    with torch.inference_mode():
        beyond = continued(unscaled(pipe.vae, latents), wrap, MARGIN)
        pipe.vae.enable_tiling()
        image = closed(pipe.vae.decode(beyond, return_dict=False)[0], wrap, MARGIN * 8)
        pipe.vae.disable_tiling()
        theirs = np.asarray(model.postprocess(image))
    for room in (IN_MEMORY, Room(tmp_path)):
        assert (np.asarray(model.decode(latents, wrap, room)) == theirs).all()
    assert not pipe.vae.use_tiling
    assert pipe.vae.tile_overlap_factor == 0.25


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("make", [deep_compression, qwen_autoencoder, autoencoder])
@torch.inference_mode()
def test_each_kind_of_autoencoder_is_cut_as_it_cuts_itself(make: Callable[[], Any], dtype: torch.dtype) -> None:
    vae = make().to(dtype=dtype)
    sides = {"tile_sample_min_height": 64, "tile_sample_min_width": 48}
    strides = {"tile_sample_stride_height": 48, "tile_sample_stride_width": 24}
    vae.enable_tiling(**(sides | strides if hasattr(vae, "tile_sample_min_height") else {}))
    tiling = tiling_of(vae, 8)
    latents = latents_of(vae.config.get("latent_channels") or vae.config.z_dim, 13, 17).to(dtype)
    latents = latents[:, :, None] if make is qwen_autoencoder else latents
    theirs = vae.decode(latents, return_dict=False)[0]
    theirs = theirs[:, :, 0] if theirs.ndim == 5 else theirs

    assert tiling is not None
    ours, asked = torch.full_like(theirs, torch.nan), 0

    def decode(tiles: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        nonlocal asked
        asked += len(tiles)
        # As a pool may: in any order, and each by itself.
        decoded = {number: decode_tile(vae, tile.clone()) for number, tile in reversed(list(enumerate(tiles)))}
        yield from (decoded[number] for number in range(len(tiles)))

    for top, left, piece in blended(type(vae), tiling, latents, decode):
        ours[..., top : top + piece.shape[-2], left : left + piece.shape[-1]] = piece
    assert ours.equal(theirs)
    assert asked == tiling.count(13, 17) > 4


def test_what_can_not_be_cut_is_decoded_as_a_whole(tmp_path: Path) -> None:
    pipe = plain("sd")
    assert tiling_of(pipe.vae, 8) == Tiling((16, 16), (12, 12), (32, 32), (96, 96))
    assert tiling_of(pipe.vae, 4) is None
    assert tiling_of(pipe.unet, 8) is None
    model = wrap_pipeline(pipe, vae_tiling=True)
    assert not isinstance(model.decode(latents_of(4, 8, 16), "", Room(tmp_path)), PictureOnDisk)
    assert isinstance(model.decode(latents_of(4, 8, 17), "", Room(tmp_path)), PictureOnDisk)
    # A ring that is shorter than what it is continued by.
    assert not isinstance(model.decode(latents_of(4, 40, 8), "x", Room(tmp_path)), PictureOnDisk)
    assert list(tmp_path.iterdir()) == []
