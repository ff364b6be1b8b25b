"""CLIP score with a tiny random CLIP: the cosine by hand, the mean over crops, and models that are not there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from measured import noise, picture_of, tools

from fusionkit_metrics import CLIPScore
from fusionkit_metrics.clip_score import agreement

WORDS = ["a", "photo", "of", "the", "sea", "forest", "at", "noon", "night"]
PROMPT = "a photo of the sea at noon"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a CLIP with random weights that knows a few words and looks at 32 px."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    vocabulary = {f"{word}</w>": number for number, word in enumerate(WORDS)}
    vocabulary |= {"<|startoftext|>": len(WORDS), "<|endoftext|>": len(WORDS) + 1}
    letters = sorted({letter for word in WORDS for letter in word})
    for letter in [*letters, *(f"{letter}</w>" for letter in letters)]:
        vocabulary.setdefault(letter, len(vocabulary))
    merges = ["#version: 0.2"]
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            vocabulary.setdefault("".join(parts[:2]), len(vocabulary))
            parts = ["".join(parts[:2]), *parts[2:]]
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(dict.fromkeys(merges)) + "\n")
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": len(WORDS), "eos_token_id": len(WORDS) + 1}
    text = {**layers, **ends, "vocab_size": len(vocabulary), "max_position_embeddings": 12}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config={**layers, "image_size": 32, "patch_size": 8}, projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    looks = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(looks, CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))).save_pretrained(folder)
    return folder


def cosines(folder: Path, crops: np.ndarray, prompt: str) -> np.ndarray:
    """100 times the cosine of each crop and the prompt, from the model's own projections."""
    from transformers import CLIPModel, CLIPProcessor

    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    given = processor(text=[prompt], images=list(crops), return_tensors="pt", padding=True)
    with torch.inference_mode():
        out = model(**given)
    found: np.ndarray = 100 * (out.image_embeds @ out.text_embeds.T)[:, 0].numpy()
    return found


def positive(folder: Path, crops: np.ndarray) -> str:
    """A prompt that a random CLIP happens to like, since scores below 0 count as 0."""
    return next(
        prompt for prompt in (PROMPT, "forest", "night", "the sea") if cosines(folder, crops, prompt).mean() > 1
    )


def test_it_is_the_mean_cosine_of_the_crops(clip: Path, tmp_path: Path) -> None:
    picture = picture_of(noise(32, 96), tmp_path / "a.png", crop=(32, 32))
    prompt = positive(clip, picture.crops())
    picture = picture_of(noise(32, 96), tmp_path / "a.png", crop=(32, 32), prompt=prompt)
    look = tools(weights={"clip": clip})
    assert CLIPScore().problems([picture], [], look) == []
    expected = cosines(clip, picture.crops(), prompt)
    assert expected.std() > 0.01
    assert CLIPScore().describe(picture, look) == pytest.approx(float(expected.mean()), abs=1e-3)


def test_each_picture_counts_with_its_own_prompt(clip: Path) -> None:
    crops = noise(32, 32)[None]
    scores = {prompt: agreement(crops, prompt, str(clip)) for prompt in ("forest", "night", "the sea", PROMPT)}
    assert scores == pytest.approx(
        {prompt: max(0.0, float(cosines(clip, crops, prompt)[0])) for prompt in scores}, abs=1e-3
    )
    assert len(set(scores.values())) > 1


def test_a_prompt_that_is_too_long_is_cut(clip: Path) -> None:
    crops = noise(32, 32)[None]
    assert agreement(crops, "the sea " * 40, str(clip)) >= 0


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = picture_of(noise(32, 32), tmp_path / "a.png", crop=(32, 32), prompt=PROMPT)
    (line,) = CLIPScore().problems([picture], [], tools())
    for part in ("openai/clip-vit-base-patch16", "600 MB", "https://huggingface.co/", "--weights clip=FOLDER"):
        assert part in line
    (line,) = CLIPScore().problems([picture], [], tools(download=False))
    assert "is not on this machine; name the metric to have it downloaded from https://huggingface.co/" in line
    (tmp_path / "empty").mkdir()
    (line,) = CLIPScore().problems([picture], [], tools(weights={"clip": tmp_path / "empty"}))
    assert line.startswith(f"CLIP model '{tmp_path / 'empty'}' can't be loaded: ")


def test_pictures_without_a_prompt_are_named(tmp_path: Path) -> None:
    (line,) = CLIPScore().problems([picture_of(noise(8, 8), tmp_path / "mute.png", crop=(8, 8))], [], tools())
    assert "prompt" in line
    assert "mute.png" in line
