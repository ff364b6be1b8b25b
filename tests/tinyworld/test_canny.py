"""The ControlNet of edges: its hints, its training, and the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionkit_tinyworld import CONTROLNETS, MODELS, WEIGHTS
from fusionkit_tinyworld.canny import (
    HintCache,
    build_controlnet,
    canny_stage,
    edges,
    encode_hints,
    enlarged,
    hint_tensor,
    save_controlnet,
)
from fusionkit_tinyworld.captions import all_landscapes, caption, vocabulary
from fusionkit_tinyworld.data import LatentCache
from fusionkit_tinyworld.evaluate_canny import agreement, choose_windows, load_controlnet, sample, ssim
from fusionkit_tinyworld.parts import Denoiser, diffusers
from fusionkit_tinyworld.pipeline import load_pipeline
from fusionkit_tinyworld.training import Schedule, Stage, StoppedError, TimeBox, run_stage
from fusionkit_tinyworld.unet import build_text_encoder, build_unet
from fusionkit_vista.tokenizer import build_tokenizer

CPU = torch.device("cpu")


def square(inside: int, outside: int) -> np.ndarray:
    """A picture (64, 64, 3) of a grey square of 32 px."""
    picture = np.full((64, 64, 3), outside, np.uint8)
    picture[16:48, 16:48] = inside
    return picture


def test_edges_lie_where_a_step_is_above_the_median_thresholds() -> None:
    hint = edges(square(inside=200, outside=100))
    assert set(np.unique(hint)) == {0, 255}
    rows, columns = np.nonzero(hint)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 47, 15, 47)
    assert hint[20:44, 20:44].max() == 0
    # A step of 10 makes a gradient of 40, far below 0.67 times the median of 100.
    assert edges(square(inside=110, outside=100)).max() == 0


def test_a_hint_is_enlarged_bicubically_and_clipped() -> None:
    hint = np.zeros((8, 8), np.uint8)
    hint[:, 4] = 255
    large = enlarged(hint, 16)
    assert large.shape == (16, 16)
    assert large.min() == 0
    assert large[0, 8] > 200
    assert large[0, 9] > 200
    assert large[0, 6] == 0  # the kernel's negative lobe
    tensor = hint_tensor(np.stack([large, 255 - large]))
    assert tensor.shape == (2, 3, 16, 16)
    torch.testing.assert_close(tensor[0] + tensor[1], torch.ones(3, 16, 16))


def test_every_window_has_a_hint_of_its_own_size_and_one_of_half_the_size(tmp_path: Path) -> None:
    vae = diffusers.AutoencoderKL.from_pretrained(WEIGHTS / "scenes" / "vae").float()
    cache = encode_hints(vae, seed=3, count=2, workers=0, device=CPU)
    assert np.bincount(cache.windows.zooms).tolist() == [0, 2, 6, 0, 6]
    assert cache.windows.latents.shape == (14, 4, 16, 16)
    assert cache.hints.shape == (14, 2, 64, 64)
    same, half = cache.hints[:, 0], cache.hints[:, 1]
    whole = cache.windows.zooms == 1
    np.testing.assert_array_equal(same[whole], half[whole])
    assert set(np.unique(same)) == {0, 255}
    assert len(np.unique(half[~whole])) > 2  # between black and white after enlarging
    cache.save(tmp_path / "hints.npz")
    loaded = HintCache.load(tmp_path / "hints.npz")
    np.testing.assert_array_equal(loaded.hints, cache.hints)
    np.testing.assert_array_equal(loaded.windows.latents, cache.windows.latents)
    assert loaded.windows.captions == cache.windows.captions


def stage_of(folder: Path, schedule: Schedule) -> tuple[Stage, Denoiser]:
    """A fresh stage on random windows, always the same, and its denoiser."""
    rng = np.random.default_rng(0)
    zooms = np.array([1, 2, 4] * 10, np.int8)
    captions = [caption(item) for item in all_landscapes()][:30]
    windows = LatentCache(rng.standard_normal((30, 4, 16, 16)).astype(np.float16), zooms, captions)
    cache = HintCache(windows, (rng.random((30, 2, 64, 64)) < 0.1).astype(np.uint8) * np.uint8(255))
    tokenizer = build_tokenizer(vocabulary(), folder)
    torch.manual_seed(0)
    unet, text_encoder = build_unet(), build_text_encoder(tokenizer)
    return canny_stage(build_controlnet(unet), unet, text_encoder, tokenizer, cache, schedule, 0, CPU), unet


def test_interrupted_and_resumed_training_equals_uninterrupted(tmp_path: Path) -> None:
    planned = Schedule(rate=1e-3, steps=2, warmup=1, decay=1)
    whole, unet = stage_of(tmp_path, planned)
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    start = {key: value.clone() for key, value in whole.models["controlnet"].state_dict().items()}
    run_stage(whole, tmp_path / "whole.pt", TimeBox())

    box = TimeBox()
    stopped, _ = stage_of(tmp_path, Schedule(rate=1e-3, steps=50, warmup=1, decay=1))

    def stop_after_one(step: int) -> None:
        box.interrupted = step >= 1

    with pytest.raises(StoppedError, match="stage canny: stopped and saved at step 1 of 50"):
        run_stage(stopped, tmp_path / "resumed.pt", box, every=0.0, on_checkpoint=stop_after_one)
    resumed, _ = stage_of(tmp_path, planned)
    run_stage(resumed, tmp_path / "resumed.pt", TimeBox(), resume=True)

    for group in ("models", "ema"):
        others = getattr(resumed, group)["controlnet"].state_dict()
        for key, value in getattr(whole, group)["controlnet"].state_dict().items():
            torch.testing.assert_close(others[key], value, rtol=0, atol=0)
    trained = whole.models["controlnet"].state_dict()
    assert (trained["controlnet_mid_block.weight"] - start["controlnet_mid_block.weight"]).abs().max() > 0
    for key, value in unet.state_dict().items():
        assert torch.equal(value, before[key]), f"the denoiser's {key} was trained too"


@torch.no_grad()
def test_an_untrained_controlnet_adds_nothing_and_saves_without_a_path(tmp_path: Path) -> None:
    torch.manual_seed(0)
    unet = build_unet()
    unet.register_to_config(_name_or_path="some/folder")
    controlnet = build_controlnet(unet)
    down, middle = controlnet(
        torch.randn(2, 4, 16, 16), 500, torch.randn(2, 20, 128), torch.rand(2, 3, 64, 64), return_dict=False
    )
    assert all(residual.abs().max() == 0 for residual in (*down, middle))
    save_controlnet(controlnet, tmp_path / "canny")
    config = json.loads((tmp_path / "canny" / "config.json").read_text(encoding="utf-8"))
    assert config["_name_or_path"] == ""
    assert config["conditioning_embedding_out_channels"] == [16, 32, 64]


def test_the_shipped_controlnet_fits_scenes_and_follows_its_hints() -> None:
    pipeline = load_pipeline(MODELS["scenes"].folder, CPU)
    controlnet = load_controlnet(CONTROLNETS["canny"].folder, CPU)
    assert CONTROLNETS["canny"].annotator == "canny"
    windows = choose_windows(pipeline, seed=0, each=4, enlarged=True)
    assert windows.hints.shape == (8, 64, 64)
    free, guided = (agreement(sample(pipeline, controlnet, windows, scale, seed=0), windows) for scale in (0.0, 1.0))
    assert guided.recall > free.recall + 0.15
    assert guided.precision > free.precision + 0.15
    assert guided.ssim > free.ssim + 0.05
    assert agreement(windows.pictures, windows).ssim == pytest.approx(1)


def test_a_conditioning_scale_of_zero_changes_nothing() -> None:
    pipeline = load_pipeline(MODELS["scenes"].folder, CPU)
    controlnet = load_controlnet(CONTROLNETS["canny"].folder, CPU)
    torch.manual_seed(0)
    latents, context = torch.randn(2, 4, 16, 16), torch.randn(2, 20, 128)
    with torch.no_grad():
        plain = pipeline.unet(latents, 400, context).sample

        def predicted(scale: float) -> torch.Tensor:
            down, middle = controlnet(
                latents, 400, context, torch.ones(2, 3, 64, 64), conditioning_scale=scale, return_dict=False
            )
            answer: torch.Tensor = pipeline.unet(
                latents,
                400,
                context,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            ).sample
            return answer

        torch.testing.assert_close(predicted(0.0), plain, rtol=0, atol=0)
        assert (predicted(1.0) - plain).abs().max() > 0.05


def test_ssim_is_one_for_equal_pictures_and_falls_with_change() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(picture, 255 - picture) < 0
    flat, lighter = (np.full((64, 64, 3), value, np.uint8) for value in (100, 150))
    assert ssim(flat, lighter) == pytest.approx((2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025), abs=1e-3)
