"""CLIP score and CLIP-IQA with a tiny random CLIP: the numbers by hand, and models that are not there, or are none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from measured import noise, picture_of, tools
from safetensors.torch import load_file, save_file

from fusionkit.errors import ModelError
from fusionkit.evaluation import Picture, evaluate, make_metrics
from fusionkit_metrics import CLIPIQA, CLIPScore
from fusionkit_metrics.clip import clip as loaded
from fusionkit_metrics.clip_iqa import Known, likelier, squares
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


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
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


PAIR = ("the sea at noon", "the forest at night")


def by_hand(folder: Path, images: np.ndarray, pair: tuple[str, str]) -> np.ndarray:
    """exp(a) / (exp(a) + exp(b)) of each image, of the cosines that the model itself tells."""
    better, worse = (cosines(folder, images.astype(np.float32), text) for text in pair)
    found: np.ndarray = 1 / (1 + np.exp(worse - better))
    return found


def photo(folder: Path, height: int, width: int, seed: int = 0) -> Picture:
    return picture_of(noise(height, width, seed), folder / f"{width}x{height}.png")


def test_a_picture_is_covered_by_as_few_squares_as_do() -> None:
    pixels = np.arange(5 * 12 * 3).reshape(5, 12, 3).astype(np.uint8)
    found = squares(pixels)
    expected = np.stack([pixels[:, left : left + 5] for left in (0, 4, 7)])
    assert found.tolist() == expected.tolist()
    assert squares(pixels[:, :5]).tolist() == [pixels[:, :5].tolist()]
    small = squares(pixels, 4)
    assert small.shape == (6, 4, 4, 3)
    assert small[5].tolist() == pixels[1:5, 8:12].tolist()


def test_it_is_how_sure_clip_is_of_the_first_text(clip: Path, tmp_path: Path) -> None:
    picture = photo(tmp_path, 40, 90)
    metric, look = CLIPIQA(prompts=PAIR), tools(weights={"clip": clip})
    assert metric.problems([picture], [], look) == []
    expected = by_hand(clip, squares(picture.pixels()), PAIR)
    assert len(expected) == 3
    assert expected.std() > 1e-4
    found = metric.describe(picture, look)
    assert found == pytest.approx(float(expected.mean()), abs=1e-5)
    other = CLIPIQA(prompts=PAIR[::-1]).describe(picture, look)
    assert found + other == pytest.approx(1, abs=1e-5)
    assert abs(found - other) > 0.01
    small = CLIPIQA(prompts=PAIR, side=16).describe(picture, look)
    assert small == pytest.approx(float(by_hand(clip, squares(picture.pixels(), 16), PAIR).mean()), abs=1e-5)


def test_it_is_the_librarys_own_number(clip: Path) -> None:
    from torchmetrics.functional.multimodal import clip_image_quality_assessment

    image = noise(48, 48)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    own = clip_image_quality_assessment(pixels, lambda: loaded(str(clip)), prompts=("sharpness",))
    assert likelier(image[None], "sharpness", str(clip)) == pytest.approx(float(own), abs=1e-6)


def test_the_names_are_the_librarys() -> None:
    from torchmetrics.functional.multimodal import clip_iqa

    assert set(get_args(Known)) == set(clip_iqa._PROMPTS)


def test_photos_of_several_sizes_have_a_value_each_and_an_interval(clip: Path, tmp_path: Path) -> None:
    photos = [photo(tmp_path, *size, seed) for seed, size in enumerate([(40, 90), (64, 48), (33, 33)])]
    (metric,) = make_metrics(["clip-iqa"], [f"clip-iqa.prompts={json.dumps(PAIR)}"])
    found = evaluate(photos, [metric], tools(weights={"clip": clip}))
    each, score = found.each["clip-iqa"], found.scores["clip-iqa"]
    assert score.value == pytest.approx(np.mean(each))
    assert score.low < score.value < score.high
    assert all(0 < value < 1 for value in each)


def test_what_clip_cant_look_at_or_read_is_one_line(clip: Path, tmp_path: Path) -> None:
    picture, look = photo(tmp_path, 20, 90), tools(weights={"clip": clip})
    assert CLIPIQA(side=32).problems([picture], [], look) == [
        "needs pictures of at least 32x32 pixels; too small: 90x20.png"
    ]
    assert CLIPIQA(prompts=("the sea " * 9, "sea")).problems([picture], [], look) == [
        "prompts: 'the sea the sea the sea the sea the sea ...' has 20 tokens; this CLIP takes 12"
    ]


def test_what_is_no_clip_is_refused(clip: Path, tmp_path: Path) -> None:
    other, pickled, torn = (shutil.copytree(clip, tmp_path / name) for name in ("other", "pickled", "torn"))
    config = json.loads((clip / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "siglip"}))
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    weights = load_file(torn / "model.safetensors")
    save_file({name: each for name, each in weights.items() if "projection" not in name}, torn / "model.safetensors")
    said = {
        other: f"'{other}' is no CLIP: its config.json says model_type 'siglip'",
        pickled: f"CLIP model '{pickled}' has no model.safetensors; weights of other formats are not opened",
        torn: f"CLIP model '{torn}' lacks 2 of its weights, 'text_projection.weight' first",
    }
    for folder, line in said.items():
        with pytest.raises(ModelError) as refused:
            loaded(str(folder))
        assert str(refused.value) == line
