"""What vista's trainings share, and each of them for a few steps of toy size."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline, StableDiffusionPipeline
from safetensors.torch import load_file
from torch import nn

from fusionkit_vista.draw import draw_shard, load
from fusionkit_vista.drawer import parse
from fusionkit_vista.judge import load_judge
from fusionkit_vista.tokenizer import token_ids
from fusionkit_vista.train.__main__ import main
from fusionkit_vista.train.clock import Clock, average_decay, rate_at
from fusionkit_vista.train.denoiser import build_scheduler, words_alone
from fusionkit_vista.train.device import plain_attention
from fusionkit_vista.train.driver import Driver, Part
from fusionkit_vista.train.expert_pictures import FOLDER
from fusionkit_vista.train.flow import pack, unpack
from fusionkit_vista.train.latents import FILE
from fusionkit_vista.train.loop import Chance, Figures, Stage, Training
from fusionkit_vista.train.optimizer import Muon
from fusionkit_vista.train.pictures import Some, to_bytes
from fusionkit_vista.train.prompts import SHEET
from fusionkit_vista.train.sampling import denoiser_sampler
from fusionkit_vista.train.specials import LORA
from fusionkit_vista.train.text import Captions, tokenizer_of
from fusionkit_vista.train.vae import build_vae, cut_windows
from fusionkit_vista.train.whitening import whiten


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    assert [rate_at(p, s, warmup=10) for p, s in ((0.0, 0), (0.1, 4), (0.3, 50), (0.7, 99), (1.0, 200))] == (
        pytest.approx([0.1, 0.5, 1.0, 0.5, 0.0])
    )


def test_averages_span_a_twentieth_of_the_steps() -> None:
    assert average_decay(0) == 0
    assert 1 / (1 - average_decay(10_000)) == pytest.approx(10_000 / 17, rel=0.01)


def test_muon_makes_steps_of_one_length_in_every_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [nn.Parameter(torch.zeros(16, 4, 3, 3)), nn.Parameter(torch.zeros(16, 36))]
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=generator) * 100
    Muon(weights).step(0.1)
    for weight in weights:
        values = torch.linalg.svdvals(weight.detach().reshape(16, 36)) / (0.1 * 0.2 * 6)
        assert float(values.min()) > 0.6
        assert float(values.max()) < 1.25
        assert (weight * weight.grad).sum() < 0


class Line(nn.Module):
    """Two layers that learn y = 2 x."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.tanh(self.a(x)))


def line_stage(fail_at: float = 2.0) -> tuple[Stage, list[int]]:
    torch.manual_seed(0)
    line, exports = Line(), []

    def loss(chance: Chance, progress: float) -> tuple[torch.Tensor, Figures]:
        x = chance.normal(32, 8)
        error = (line(x) - 2 * x).square().mean()
        return error / (0 if progress >= fail_at else 1), {"error": error}

    stage = Stage("line", {"line": line}, loss, lambda means: exports.append(len(means)), 2e-2, 1e-2, warmup=3)
    return stage, exports


def test_a_resumed_training_gives_the_weights_of_one_that_was_not_stopped(tmp_path: Path) -> None:
    whole, _ = line_stage()
    Training(whole, tmp_path / "whole", Clock(steps=30)).run()
    for stopped in (True, False):
        parted, exports = line_stage()
        clock = Clock(steps=30)
        training = Training(parted, tmp_path / "parted", clock, resume=True)
        while training.step < 15:
            training._one_step()
        clock.stopped = stopped
        training.run()
        assert exports == [1]
    for a, b in zip(whole.means["line"].parameters(), parted.means["line"].parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="was trained with seed 0, not 1"):
        Training(line_stage()[0], tmp_path / "parted", Clock(steps=30), seed=1, resume=True)


def test_a_loss_that_is_no_number_leads_back_to_the_last_state_at_half_the_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, _ = line_stage(fail_at=0.5)
    training = Training(stage, tmp_path, Clock(steps=20), log_every=0.0)
    while training.step < 10:
        training._one_step()
    training.save()
    training._one_step()
    training._log(1.0)
    assert (training.step, training.share) == (10, 0.5)
    assert all(torch.isfinite(weight).all() for weight in training.weights)
    assert "line: the loss is no number; back to step 10, at 0.5 of the rate" in capsys.readouterr().out


def test_a_clock_ends_at_its_moment_and_counts_what_was_spent_before() -> None:
    clock = Clock(until=time.time() + 30)
    clock.start(spent=30)
    assert clock.progress(0) == pytest.approx(0.5, abs=0.02)
    assert not clock.is_over(0)
    late = Clock(until=time.time() - 1)
    late.start()
    time.sleep(0.11)
    assert late.is_over(0)


def test_whitening_leaves_what_is_decoded_and_evens_the_channels() -> None:
    torch.manual_seed(0)
    vae = build_vae(4, (8, 8, 8, 8)).eval()
    pictures = torch.randn(6, 3, 64, 64)
    with torch.no_grad():
        before = vae.encode(pictures).latent_dist.mean
        decoded = vae.decode(before).sample
        whiten(vae, before)
        after = vae.encode(pictures).latent_dist.mean
        assert torch.allclose(vae.decode(after).sample, decoded, atol=1e-4)
    assert float(after.mean((0, 2, 3)).abs().max()) < 1e-4
    assert float(after.var((0, 2, 3)).mean()) == pytest.approx(1, abs=0.01)
    spread = [torch.linalg.eigvalsh(torch.cov(z.transpose(0, 1).flatten(1))) for z in (before, after)]
    assert float(spread[1][-1] / spread[1][0]) == pytest.approx(float(spread[0][-1] / spread[0][0]) ** 0.5, rel=0.01)


def test_the_sampler_finds_the_only_picture_that_there_is() -> None:
    """A denoiser of one picture, which it knows exactly: v = (signal x - clean) / spread."""
    alphas = build_scheduler().alphas_cumprod
    clean = torch.full((2, 3, 16, 16), 0.7)

    class Known:
        config = Namespace(in_channels=3)

        def __call__(self, x: torch.Tensor, t: int, context: torch.Tensor) -> Namespace:
            alpha = float(alphas[t])
            return Namespace(sample=(alpha**0.5 * x - torch.cat([clean, clean])) / (1 - alpha) ** 0.5)

    tokenizer = lambda texts, **_: {"input_ids": [[0] * 20] * len(texts)}  # noqa: E731
    encoder = lambda ids: Namespace(last_hidden_state=ids)  # noqa: E731
    sample = denoiser_sampler(Known(), encoder, tokenizer, torch.device("cpu"), 5)
    assert torch.allclose(sample(["a", "b"], 0), clean, atol=1e-4)


def test_the_decoder_also_learns_from_latents_that_saw_no_border() -> None:
    torch.manual_seed(0)
    vae, some = build_vae(4, (8, 8, 8, 8)).eval(), Some(2, torch.device("cpu"))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), np.uint8)
    some.add(pictures, [{}, {}])
    inner = {tuple(picture[16:-16, 16:-16].flatten()[:9]) for picture in pictures}
    for step in range(8):
        z, x = cut_windows(vae, some, Chance(0, step, torch.device("cpu")), 1)
        assert z.shape[2:] == (x.shape[2] // 8, x.shape[3] // 8)
        if x.shape[2] == 128 and Chance(0, step, torch.device("cpu")).host.random(4)[3] >= 0.5:
            assert tuple(to_bytes(x)[0].flatten()[:9].tolist()) in inner
            with torch.no_grad():
                alone = vae.encode(x).latent_dist.mean
            rim = (alone - z).abs().mean((0, 1))
            assert float(rim[0, 4:12].mean()) > 5 * float(rim[4:12, 4:12].mean())
            return
    raise AssertionError("no whole window among them")


def test_tokens_are_the_latents_in_patches_and_back() -> None:
    latents = torch.arange(2 * 3 * 4 * 6).float().reshape(2, 3, 4, 6)
    assert pack(latents)[0, 1].tolist() == latents[0, :, :2, 2:4].flatten().tolist()
    assert torch.equal(unpack(pack(latents), 4, 6), latents)


def test_dropped_captions_are_empty_and_the_others_their_own(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, ("a", "poster", "woodcut"))
    captions = Captions(tokenizer, ["a woodcut", "a poster", "a woodcut"], torch.device("cpu"))
    tokens = captions.of(torch.tensor([2, 1, 0]), torch.tensor([False, False, True]))
    assert tokens.tolist() == token_ids(tokenizer, ["a woodcut", "a poster", ""])
    assert (tokens[0, 1:3] != tokens[1, 1:3]).tolist() == [False, True]


@pytest.mark.parametrize("causal", [False, True])
def test_plain_attention_is_attention(causal: bool) -> None:
    q, k, v = torch.randn(3, 2, 4, 5, 8, generator=torch.Generator().manual_seed(0))
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    assert torch.allclose(plain_attention(q, k, v, is_causal=causal), wanted, atol=1e-6)


def test_every_part_trains_and_the_pipelines_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skia")
    pictures, work = tmp_path / "pictures", tmp_path / "work"
    pictures.mkdir()
    draw_shard(pictures, 0, 1, 52, 3, None, True)
    (pictures / "done").touch()
    assert main(["draw-expert", "--work", str(work), "--processes", "1", "--seconds", "1.5"]) == 0
    facts = [each for _, shown in load(work / FOLDER) for each in shown]
    assert {each["style"] for each in facts} <= {"watercolour", "poster"}
    common = ["--work", str(work), "--pictures", str(pictures), "--device", "cpu", "--tiny", "--steps", "2"]
    for command in ("vae", "decoder", "denoiser", "flow", "judge", "finder"):
        assert main([command, *common, "--batch", "2"]) == 0
        assert (work / f"{command}.done").exists()
    assert np.load(work / "vae" / FILE).shape == (2 * 50, 16, 16, 16)
    for command in ("expert", "controlnet"):
        assert main([command, *common, "--batch", "2"]) == 0
    assert any("lora" in name for name in load_file(work / "expert" / "lora" / LORA))
    hints = json.loads((work / "controlnet" / "controlnet" / "config.json").read_text())
    assert hints["conditioning_embedding_out_channels"] == [16, 24, 32, 48]
    assert main(["sheets", *common]) == 0
    assert (work / "sheets" / "denoiser-0.png").stat().st_size > 10_000
    assert (work / "sheets" / "flow-0.png").stat().st_size > 10_000
    assert main(["export", *common, "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "scenes" / "model_index.json").read_text())["requires_safety_checker"] is False
    judge = load_judge(work / "judge" / "judge")
    seen = judge.judge(np.zeros((1, 128, 128, 3), np.uint8))[0]
    assert seen.style in ("poster", "woodcut")
    assert "held-out windows decoded" in capsys.readouterr().out
    for kind, options in ((StableDiffusionPipeline, {}), (FluxPipeline, {"max_sequence_length": 20})):
        folder = tmp_path / ("flow" if kind is FluxPipeline else "scenes")
        pipeline = kind.from_pretrained(folder, local_files_only=True).to(torch.float32)
        pipeline.set_progress_bar_config(disable=True)
        image = pipeline("a poster", height=128, width=128, num_inference_steps=1, **options).images[0]
        assert image.size == (128, 128)


def test_the_captions_of_the_sheets_are_captions() -> None:
    asked = [parse(caption) for caption in SHEET if "the sky" not in caption]
    assert len({each["scene"] for each in asked if "scene" in each}) == 9
    assert max(each["number"] or 0 for each in asked) == 3


def options_of(out: Path, **more: object) -> Namespace:
    given = {"out": out, "work": out / "work", "tiny": True, "pictures": out, "seconds": 30.0, "threads": 1}
    return Namespace(**{**given, "device": "cpu", "seed": 0, "channels": 16, "processes": 1, **more})


def test_a_part_that_fails_is_started_again_and_then_given_up(tmp_path: Path) -> None:
    code = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text() + 'x'); sys.exit(7)"
    counter = tmp_path / "count"
    counter.write_text("")
    part = Part("fails", [sys.executable, "-c", code, str(counter)], time.time() + 60, pause=0.05)
    part.start(tmp_path)
    while part.code is None:
        part.look(tmp_path, time.time())
        time.sleep(0.02)
    assert (part.code, counter.read_text()) == (7, "xxxx")


def test_a_part_that_is_late_is_ended(tmp_path: Path) -> None:
    part = Part("sleeps", [sys.executable, "-c", "import time; time.sleep(60)"], time.time() - 9)
    part.start(tmp_path)
    begun = time.time()
    while part.code is None and time.time() - begun < 10:
        part.look(tmp_path, time.time())
        time.sleep(0.02)
    assert part.code == -15


def test_what_is_there_is_packed_and_the_rest_left_out(tmp_path: Path) -> None:
    driver = Driver(options_of(tmp_path))
    (driver.work / "judge" / "judge").mkdir(parents=True)
    (driver.work / "judge" / "judge" / "config.json").write_text(json.dumps({}))
    driver.pack()
    assert sorted(path.name for path in tmp_path.glob("*.tar.gz")) == ["judge.tar.gz", "logs.tar.gz"]


def test_behind_the_words_of_a_caption_stands_what_stands_there_of_the_empty_one() -> None:
    empty, tokens = torch.tensor([0, 9, 9, 9]), torch.tensor([[0, 3, 9, 9], [0, 4, 5, 9]])
    context = torch.arange(3 * 4 * 2, dtype=torch.float32).reshape(3, 4, 2)

    alone, rest = words_alone(context, tokens, empty)

    assert torch.equal(alone[0, :2], context[0, :2])
    assert torch.equal(alone[1, :3], context[1, :3])
    assert torch.equal(alone[0, 2:], context[2, 2:])
    assert torch.equal(alone[1, 3:], context[2, 3:])
    assert rest == (2 * 16**2 + 8**2) / 3  # vectors of the two captions are 16 and 8 away from those of the empty one
