"""The trainer: schedule, whitening, resumption, and a tiny run of every stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fusionkit_tinyworld.captions import all_landscapes, caption, vocabulary
from fusionkit_tinyworld.data import LatentCache, to_tensor
from fusionkit_tinyworld.drawing import draw_seed, shrink
from fusionkit_tinyworld.judge import load_judge
from fusionkit_tinyworld.pipeline import load_pipeline, sample
from fusionkit_tinyworld.train import main
from fusionkit_tinyworld.training import Schedule, Stage, StoppedError, TimeBox, run_stage
from fusionkit_tinyworld.unet import build_text_encoder, build_unet, stratified_timesteps, unet_stage
from fusionkit_tinyworld.vae import build_vae
from fusionkit_vista.tokenizer import build_tokenizer
from fusionkit_vista.train.whitening import whiten

CPU = torch.device("cpu")


def test_the_rate_warms_up_stays_and_decays() -> None:
    schedule = Schedule(rate=1.0, steps=10, warmup=2, decay=4)
    assert [schedule(step) for step in range(10)] == [0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    longer = Schedule(rate=1.0, steps=20, warmup=2, decay=4)
    assert [longer(step) for step in range(7)] == [schedule(step) for step in range(7)]


def test_timesteps_come_one_from_each_stratum() -> None:
    steps = stratified_timesteps(8, 1000, torch.Generator().manual_seed(0))
    assert sorted((steps // 125).tolist()) == list(range(8))


def unet_stage_of(folder: Path, schedule: Schedule) -> Stage:
    """A fresh UNet stage on random latents, always the same."""
    rng = np.random.default_rng(0)
    captions = [caption(item) for item in all_landscapes()][:30]
    zooms = np.array([1, 2, 4] * 10, np.int8)
    cache = LatentCache(rng.standard_normal((30, 4, 16, 16)).astype(np.float16), zooms, captions)
    tokenizer = build_tokenizer(vocabulary(), folder)
    torch.manual_seed(0)
    unet, text_encoder = build_unet(), build_text_encoder(tokenizer)
    return unet_stage(unet, text_encoder, tokenizer, cache, schedule, 0, CPU, compiled=False)


def test_interrupted_and_resumed_training_equals_uninterrupted(tmp_path: Path) -> None:
    planned = Schedule(rate=1e-3, steps=2, warmup=1, decay=1)
    whole = unet_stage_of(tmp_path, planned)
    run_stage(whole, tmp_path / "whole.pt", TimeBox())

    box = TimeBox()
    stopped = unet_stage_of(tmp_path, Schedule(rate=1e-3, steps=50, warmup=1, decay=1))

    def stop_after_one(step: int) -> None:
        box.interrupted = step >= 1

    with pytest.raises(StoppedError, match="step 1 of 50"):
        run_stage(stopped, tmp_path / "resumed.pt", box, every=0.0, on_checkpoint=stop_after_one)
    resumed = unet_stage_of(tmp_path, planned)
    run_stage(resumed, tmp_path / "resumed.pt", TimeBox(), resume=True)

    for group in ("models", "ema"):
        for name, model in getattr(whole, group).items():
            others = getattr(resumed, group)[name].state_dict()
            for key, value in model.state_dict().items():
                torch.testing.assert_close(others[key], value, rtol=0, atol=0)
    first = next(iter(whole.models["unet"].parameters()))
    assert (first - next(iter(whole.ema["unet"].parameters()))).abs().max() > 0


def test_a_checkpoint_of_another_seed_is_refused(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)

    def loss(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        return model(torch.ones(1, 2)).square().sum(), {}

    schedule = Schedule(rate=0.1, steps=1, warmup=1, decay=1)
    run_stage(Stage("toy", {"model": model}, loss, schedule, seed=0), tmp_path / "toy.pt", TimeBox())
    with pytest.raises(ValueError, match="seed 0, not 1"):
        run_stage(Stage("toy", {"model": model}, loss, schedule, seed=1), tmp_path / "toy.pt", TimeBox(), resume=True)


def covariance(latents: torch.Tensor) -> torch.Tensor:
    """The channels' covariance (4, 4) of latents (n, 4, h, w)."""
    return torch.cov(latents.permute(1, 0, 2, 3).flatten(1))


def test_whitening_makes_latents_white_and_leaves_decoding_as_it_was() -> None:
    torch.manual_seed(0)
    vae = build_vae().eval()
    pictures = to_tensor(np.stack([shrink(draw_seed((1, 0, index))[0].image, 64) for index in range(12)]))
    with torch.no_grad():
        before = vae.encode(pictures).latent_dist.mean
        decoded = vae.decode(before).sample
        whiten(vae, before, power=0.5)
        after = vae.encode(pictures).latent_dist.mean
        assert (covariance(before) - torch.eye(4)).abs().max() > 0.1
        torch.testing.assert_close(covariance(after), torch.eye(4), rtol=0, atol=1e-3)
        torch.testing.assert_close(after.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-3)
        torch.testing.assert_close(vae.decode(after).sample, decoded, rtol=0, atol=1e-4)


def test_a_tiny_run_goes_through_every_stage_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ["--vae-drawings", "4", "--drawings", "5", "--canny-drawings", "2", "--classifier-drawings", "8"]
    tiny += ["--expert-drawings", "2", "--judge-drawings", "8"]
    command = ["--out", str(tmp_path), *tiny, "--steps", "1", "--workers", "0", "--sheet-every", "0", "--device", "cpu"]
    assert main([*command, "--time-limit", "0"]) == 3
    assert "repeat the command with --resume" in capsys.readouterr().out
    assert main([*command, "--resume"]) == 0
    said = capsys.readouterr().out
    assert "accuracy on 8 held-out drawings: style" in said
    assert "accuracy on 8 held-out drawings, encoded and decoded: all" in said
    cache = LatentCache.load(tmp_path / "latents.npz")
    assert np.bincount(cache.zooms).tolist() == [0, 5, 8, 0, 8]
    assert (tmp_path / "canny" / "config.json").is_file()
    assert sorted(path.name for path in (tmp_path / "experts").iterdir()) == ["cartoon", "flower", "rocket"]
    assert len(load_judge(tmp_path / "judge")(np.zeros((3, 64, 64, 3), np.uint8))) == 3
    pipeline = load_pipeline(tmp_path / "scenes", CPU)
    captions = ["a landscape photo of the sea at noon", "a cartoon of a city at night"]
    pictures = sample(pipeline, captions, steps=2)
    assert pictures.shape == (2, 64, 64, 3)
    np.testing.assert_array_less(np.abs(sample(pipeline, captions[:1], steps=2)[0].astype(int) - pictures[0]), 3)
