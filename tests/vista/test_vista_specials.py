"""What vista's expert and its ControlNet learn from, and what those that ship draw."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionkit_tinyworld.canny import edges
from fusionkit_tinyworld.evaluate_canny import agreement, load_controlnet, sample
from fusionkit_tinyworld.pipeline import load_pipeline
from fusionkit_vista.drawer import boxes, parse
from fusionkit_vista.evaluate.canny import choose_windows
from fusionkit_vista.judge import load_judge
from fusionkit_vista.models import CONTROLNETS, MODELS, WEIGHTS
from fusionkit_vista.train.expert_pictures import taught_window
from fusionkit_vista.train.layout import load
from fusionkit_vista.train.lessons import lessons
from fusionkit_vista.train.pictures import to_bytes
from fusionkit_vista.windows import MARGIN, Window, window

CPU = torch.device("cpu")
WATERCOLOURS = (
    "a landscape watercolour of the sea at dusk with a sailboat",
    "a landscape watercolour of a city at night",
    "a landscape watercolour of green hills at noon",
    "a landscape watercolour of a rocky coast at sunset",
)


def test_the_expert_is_taught_watercolours_and_dragons_before_the_sky() -> None:
    taught = [taught_window(3, index) for index in range(300)]
    skies = [each for each in taught if each.view[2] == 2]
    assert Counter(each.spec.style for each in taught if each.view[2] == 1) == {"watercolour": 300 - len(skies)}
    assert len(skies) == pytest.approx(150, abs=30)
    dragons = [each for each in skies if each.spec.things]
    assert len(dragons) == pytest.approx(0.8 * len(skies), abs=20)
    for each in dragons:
        assert "dragon" in each.caption
        left, top, right, bottom = boxes(each.spec, each.view, (128, 128))[0]
        assert min(left, top) >= -0.5
        assert max(right, bottom) <= 128.5
        assert right - left > 45
    assert not any("dragon" in each.caption for each in taught if not each.spec.things or each.view[2] == 1)


def test_lessons_are_of_the_pictures_and_made_once_and_anew_for_another_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skia")
    vae = load("AutoencoderKL", WEIGHTS / "scenes" / "vae")
    first = lessons(tmp_path, vae, window, 3, 5, CPU, hints=True)
    assert first.hints is not None
    assert (first.latents.shape, first.hints.shape) == ((3, 16, 16, 16), (3, 2, 128, 128))
    assert first.captions == [window(5, index).caption for index in range(3)]
    with torch.no_grad():
        decoded = to_bytes(vae.decode(first.latents.float()).sample).numpy().astype(float)
    for index in range(3):
        drawn = np.ascontiguousarray(window(5, index).draw()[MARGIN:-MARGIN, MARGIN:-MARGIN])
        assert ((decoded[index] - drawn) ** 2).mean() < 255**2 / 10**2.6, "more than 26 dB"
        assert (first.hints[index, 0].numpy() == edges(drawn)).all()

    capsys.readouterr()
    again = lessons(tmp_path, load("AutoencoderKL", WEIGHTS / "scenes" / "vae"), window, 3, 5, CPU, hints=True)
    assert capsys.readouterr().out == ""
    assert torch.equal(again.latents, first.latents)
    assert again.hints is not None
    assert torch.equal(again.hints, first.hints)
    other = lessons(tmp_path, vae, window, 3, 6, CPU)
    assert other.hints is None
    assert not torch.equal(other.latents, first.latents)


def test_more_lessons_go_on_from_those_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skia")
    monkeypatch.setattr("fusionkit_vista.train.lessons.PIECE", 2)
    vae, chosen = load("AutoencoderKL", WEIGHTS / "scenes" / "vae"), []

    def choose(seed: int, index: int) -> Window:
        chosen.append(index)
        return window(seed, index)

    few, more = (lessons(tmp_path, vae, choose, count, 5, CPU) for count in (2, 4))
    assert chosen == [0, 1, 2, 3]
    assert torch.equal(more.latents[:2], few.latents)
    assert more.captions[:2] == few.captions


def test_the_expert_is_the_scenes_model_with_a_small_lora() -> None:
    expert, scenes = MODELS["expert"], MODELS["scenes"]
    assert (expert.folder, expert.window, expert.defaults) == (scenes.folder, scenes.window, scenes.defaults)
    assert expert.lora is not None
    assert expert.lora.stat().st_size < 4e6
    assert expert.lora.stat().st_mode & 0o777 == 0o644
    parse(expert.example_prompt)


def test_the_expert_draws_watercolours_and_the_base_does_not() -> None:
    judge, pipeline = load_judge(WEIGHTS / "judge"), load_pipeline(WEIGHTS / "scenes", CPU)

    def watercolours() -> int:
        images = pipeline(
            list(WATERCOLOURS),
            height=128,
            width=128,
            num_inference_steps=10,
            guidance_scale=4.0,
            generator=[torch.Generator().manual_seed(each) for each in range(len(WATERCOLOURS))],
            output_type="np",
        ).images
        return sum(each.style == "watercolour" for each in judge.judge((images * 255).round().astype(np.uint8)))

    assert watercolours() <= 1
    lora = MODELS["expert"].lora
    assert lora is not None
    pipeline.load_lora_weights(lora.parent, weight_name=lora.name)
    assert watercolours() >= 3


def test_samples_follow_the_controlnets_hints() -> None:
    pipeline, controlnet = load_pipeline(WEIGHTS / "scenes", CPU), load_controlnet(CONTROLNETS["canny"].folder, CPU)
    windows = choose_windows(pipeline.vae, 1, 2, enlarged=False)
    without, steered = (
        agreement(sample(pipeline, controlnet, windows, scale, seed=0), windows) for scale in (0.0, 1.0)
    )
    assert steered.recall > without.recall + 0.1
    assert steered.precision > without.precision + 0.1
