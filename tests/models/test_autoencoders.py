"""Autoencoders of other classes than SD's own: no attribute of one class is assumed of all."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fusionkit import Fusion
from fusionkit.errors import ModelError, RecipeError
from fusionkit.models.compatibility import misfits
from fusionkit.models.inspect import info_of_pipeline, inspect_model
from fusionkit.models.load import load_pipeline, wrap_pipeline
from fusionkit.testing.tiny import tiny_pipeline


def tiny_vae() -> Any:
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    widths = (4, 4, 4, 4)
    return AutoencoderTiny(
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    ).eval()


def asymmetric_vae() -> Any:
    from diffusers import AsymmetricAutoencoderKL

    torch.manual_seed(0)
    return AsymmetricAutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        down_block_out_channels=(4, 4, 8, 8),
        layers_per_down_block=1,
        up_block_types=("UpDecoderBlock2D",) * 4,
        up_block_out_channels=(4, 4, 8, 8),
        layers_per_up_block=1,
        norm_num_groups=2,
    ).eval()


MAKERS = {"AutoencoderTiny": tiny_vae, "AsymmetricAutoencoderKL": asymmetric_vae}


@lru_cache
def pipe_with(kind: str) -> Any:
    from diffusers import StableDiffusionPipeline

    parts = {**tiny_pipeline("sd").components, "vae": MAKERS[kind]()}
    pipe = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("kind", MAKERS)
def test_a_picture_is_encoded_and_decoded_as_the_autoencoder_does(kind: str) -> None:
    pipe = pipe_with(kind)
    model: Any = wrap_pipeline(pipe)
    assert (model.info.vae, model.info.factor) == (kind, 8)
    picture = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    latents = model.encode(picture)
    assert latents.shape == (1, 4, 6, 8)
    encoded = pipe.vae.encode(pipe.image_processor.preprocess(picture))
    mean = encoded.latents if kind == "AutoencoderTiny" else encoded.latent_dist.mode()
    assert (latents - mean * pipe.vae.config.scaling_factor).abs().max() <= 1e-6
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    expected = pipe.image_processor.postprocess(decoded.detach(), output_type="pil")[0]
    assert model.decode(latents).tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", MAKERS)
def test_a_picture_is_enlarged_from_a_folder(kind: str, tmp_path: Path) -> None:
    from fusionkit_accdiffusion import ProgressiveUpscaling

    pipe_with(kind).save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "vae" / "config.json"
    # As the published ones are, which do not tell the channels under the usual name.
    told = json.loads(config.read_text())
    told.pop("block_out_channels", None)
    config.write_text(json.dumps(told))
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / "photo.png")

    upscaling = ProgressiveUpscaling.model_validate({"from": tmp_path / "photo.png"})
    fusion = Fusion.from_pretrained(tmp_path / "model", plugins=[upscaling], device="cpu")
    result = fusion("a", size=(128, 128), steps=2, scheduler="ddim", seed=1, progress=False)

    assert result.image.size == (128, 128)
    assert result.latents.isfinite().all()
    assert result.latents.std() > 0.02


def test_a_tiny_autoencoder_fits_beside_the_model_that_it_was_made_for() -> None:
    """Its latents come scaled: that its own factor is 1 means no other latents."""
    infos = {"one": info_of_pipeline(tiny_pipeline("sd")), "other": info_of_pipeline(pipe_with("AutoencoderTiny"))}
    assert misfits(infos) == []
    assert info_of_pipeline(pipe_with("AutoencoderTiny")).scaling_factor == 0


def test_tiles_where_the_autoencoder_has_none() -> None:
    fusion = Fusion.from_pipe(pipe_with("AsymmetricAutoencoderKL"), vae_tiling=True)
    with pytest.raises(RecipeError, match=r"^vae-tiling: the Asymmetric\w* of model '.*' can't decode in tiles"):
        fusion("a", progress=False)


def test_autoencoders_that_can_not_be_used(tmp_path: Path) -> None:
    tiny_pipeline("sd").save_pretrained(tmp_path)
    index = tmp_path / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "vae": ["diffusers", "ConsistencyDecoderVAE"]}))
    said = f"model '{tmp_path}' has a ConsistencyDecoderVAE for its vae; fusionkit takes AutoencoderKL, "
    for ask in (inspect_model, lambda source: load_pipeline(source, "sd", dtype=torch.float32)):
        with pytest.raises(ModelError) as caught:
            ask(str(tmp_path))
        assert str(caught.value).startswith(said)
