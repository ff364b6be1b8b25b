"""The experts: what they are taught, how their LoRAs are trained and saved, and what the shipped ones draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fusionkit_tinyworld import MODELS, WEIGHTS
from fusionkit_tinyworld.canvas import SIDE
from fusionkit_tinyworld.captions import SCENE_PHRASES, Landscape, vocabulary
from fusionkit_tinyworld.data import LatentCache
from fusionkit_tinyworld.drawing import draw
from fusionkit_tinyworld.expert_drawings import BOLD_SCENES, EXPERT_THINGS, bold, draw_bold, draw_object, object_caption
from fusionkit_tinyworld.experts import (
    EXPERTS,
    FILE,
    ExpertDrawings,
    add_lora,
    encode_expert,
    expert_stage,
    save_expert,
)
from fusionkit_tinyworld.judge import load_judge
from fusionkit_tinyworld.mixtures import BOLD
from fusionkit_tinyworld.parts import Denoiser, diffusers, transformers
from fusionkit_tinyworld.pipeline import load_pipeline, sample
from fusionkit_tinyworld.things import PALETTE
from fusionkit_tinyworld.training import Schedule, TimeBox, run_stage
from fusionkit_vista.tokenizer import build_tokenizer

CPU = torch.device("cpu")
INK = (24, 10, 34)


def near(picture: np.ndarray, colour: np.ndarray | tuple[int, ...], distance: float = 40) -> float:
    """The share of pixels within a distance of a colour in every channel."""
    return float((np.abs(picture.astype(float) - np.asarray(colour)).max(-1) < distance).mean())


def test_captions_of_objects_name_them_or_the_sky() -> None:
    assert object_caption("photo", "night", "rocket") == "a photo of a rocket at night"
    assert object_caption("cartoon", "noon", None) == "a cartoon of the sky at noon"


@pytest.mark.parametrize("thing", list(EXPERT_THINGS))
def test_the_object_is_there_where_the_caption_names_it(thing: str) -> None:
    named = []
    for seed in range(40):
        picture, text = draw_object(thing, np.random.default_rng(seed))
        assert picture.shape == (SIDE, SIDE, 3)
        named.append(thing in text)
        # Its red paint at any time of day; a sky at twilight is further away.
        assert (near(picture, PALETTE["red"]) > 0.004) == named[-1], text
        assert "landscape" not in text
        assert not any(phrase in text for phrase in SCENE_PHRASES.values())
    assert 0.5 < np.mean(named) < 0.9


def test_bold_cartoons_are_of_their_own_scenes_and_have_more_ink() -> None:
    texts = [draw_bold(np.random.default_rng(seed))[1] for seed in range(24)]
    assert all(text.startswith("a landscape cartoon of ") for text in texts)
    for scene, phrase in SCENE_PHRASES.items():
        assert any(f" of {phrase} at " in text for text in texts) == (scene in BOLD_SCENES)
    for scene in SCENE_PHRASES:
        content = Landscape("cartoon", scene, "noon")
        thick = bold(content, np.random.default_rng(0))
        thin = draw(content, np.random.default_rng(0)).image
        assert near(thick, INK, 12) > max(0.02, 4 * near(thin, INK, 12))


def test_an_index_decides_an_experts_drawing() -> None:
    for expert in EXPERTS:
        drawings = ExpertDrawings(expert, 0, 0, 3)
        (picture, text), (again, same) = drawings[1], drawings[1]
        np.testing.assert_array_equal(picture, again)
        assert text == same
        assert picture.shape == (64, 64, 3)
        assert (picture != drawings[2][0]).any()


def test_pictures_are_encoded_whole_with_their_captions() -> None:
    vae = diffusers.AutoencoderKL.from_pretrained(WEIGHTS / "scenes" / "vae").float()
    cache = encode_expert(vae, "cartoon", seed=1, count=3, workers=0, device=CPU)
    assert cache.latents.shape == (3, 4, 16, 16)
    assert cache.zooms.tolist() == [1, 1, 1]
    assert cache.captions == [ExpertDrawings("cartoon", 1, 0, 3)[index][1] for index in range(3)]


def scenes_unet() -> Denoiser:
    """The denoiser of scenes in single precision."""
    return diffusers.UNet2DConditionModel.from_pretrained(WEIGHTS / "scenes" / "unet").float()


def test_training_changes_the_lora_alone_and_what_is_saved_is_what_was_trained(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    captions = ["a photo of a rocket at night"] * 16
    cache = LatentCache(rng.standard_normal((16, 4, 16, 16)).astype(np.float16), np.ones(16, np.int8), captions)
    tokenizer = build_tokenizer(vocabulary(), tmp_path)
    text_encoder = transformers.CLIPTextModel.from_pretrained(WEIGHTS / "scenes" / "text_encoder").float()
    unet, untouched = scenes_unet(), scenes_unet()
    add_lora(unet)
    schedule = Schedule(rate=1e-2, steps=2, warmup=1, decay=1)
    stage = expert_stage("rocket", unet, text_encoder, tokenizer, cache, schedule, 0, CPU)
    run_stage(stage, tmp_path / "rocket.pt", TimeBox())

    trained = {name.replace(".base_layer", ""): value for name, value in unet.state_dict().items()}
    for name, value in untouched.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=0, atol=0)
    assert max(value.abs().max() for name, value in trained.items() if ".lora_B." in name) > 1e-3

    save_expert(stage.ema["unet"], tmp_path)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o644
    saved = load_file(tmp_path / FILE)
    assert {str(value.dtype) for value in saved.values()} == {"torch.float16"}
    pipeline = load_pipeline(WEIGHTS / "scenes", CPU)
    pipeline.load_lora_weights(tmp_path)
    latents, context = torch.randn(1, 4, 16, 16), torch.randn(1, 20, 128)
    with torch.no_grad():
        expected = stage.ema["unet"](latents, 500, context).sample
        torch.testing.assert_close(pipeline.unet(latents, 500, context).sample, expected, rtol=0, atol=2e-2)
        assert (untouched(latents, 500, context).sample - expected).abs().max() > 5e-2


@pytest.mark.parametrize("name", list(EXPERTS))
def test_an_expert_is_the_scenes_model_with_a_small_lora(name: str) -> None:
    model = MODELS[name]
    assert model.folder == MODELS["scenes"].folder
    assert model.window == (64, 64)
    assert model.defaults == MODELS["scenes"].defaults
    assert model.lora is not None
    assert 1e6 < model.lora.stat().st_size < 2e6


@pytest.mark.parametrize("name", list(EXPERTS))
def test_an_expert_draws_what_it_was_taught_and_the_generalist_does_not(name: str) -> None:
    judge = load_judge()
    prompts = {
        "cartoon": ["a landscape cartoon of mountains at noon", "a landscape cartoon of a beach at twilight"],
    }.get(name, [f"a photo of a {name} at noon", f"a cartoon of a {name} at night"])
    pipeline = load_pipeline(MODELS["scenes"].folder, CPU)

    def shown() -> list[bool]:
        seen = judge(sample(pipeline, prompts, seed=0, steps=15))
        return [each.style == BOLD if name == "cartoon" else getattr(each, name) for each in seen]

    assert shown() == [False, False]
    lora = MODELS[name].lora
    assert lora is not None
    pipeline.load_lora_weights(lora.parent, weight_name=lora.name)
    assert shown() == [True, True]
