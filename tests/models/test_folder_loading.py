"""Model folders from strangers: what loads, and what only loading, or work, finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from damaged import UNET, change
from tiny_models import drawn, plain, run, stage_on

from fusionkit.errors import ModelError
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_pipeline, wrap_pipeline


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("sd", "StableDiffusionPanoramaPipeline"),
        ("sd", "StableDiffusionControlNetPipeline"),
        ("sd", "StableDiffusionInpaintPipeline"),
        ("sdxl", "StableDiffusionXLImg2ImgPipeline"),
        ("sd", "TextToVideoZeroPipeline"),
    ],
)
def test_what_a_folder_was_saved_from_does_not_matter(copied: Callable[[str], Path], kind: str, name: str) -> None:
    folder = copied(kind)
    extra = {
        "controlnet": ["diffusers", "ControlNetModel"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    extra |= {"image_encoder": ["transformers", "CLIPVisionModelWithProjection"]}
    extra |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]} if kind == "sd" else {}
    change(folder / "model_index.json", _class_name=name, **extra)
    assert inspect_model(str(folder)).kind == kind
    stage = stage_on(wrap_pipeline(load_pipeline(str(folder), kind, dtype=torch.float32)))
    assert (run(stage) - drawn(plain(kind), stage)).abs().max() <= 1e-4


def test_weights_that_are_not_all_there(copied: Callable[[str], Path]) -> None:
    """Diffusers would draw numbers in their place, and say so in a line that nobody sees."""
    from safetensors.torch import load_file, save_file

    folder = copied("sd")
    weights = load_file(folder / UNET)
    name = "mid_block.resnets.0.conv1.weight"
    save_file({key: value for key, value in weights.items() if key != name}, folder / UNET)
    with pytest.raises(ModelError) as caught:
        load_pipeline(str(folder), "sd", dtype=torch.float32)
    assert str(caught.value) == (
        f"model '{folder}': unet does not fit its configuration; missing from its files: 1 weight, such as '{name}'"
    )
    save_file({**weights, "another.weight": torch.zeros(1)}, folder / UNET)
    with pytest.raises(ModelError, match=r"without a place in it: 1 weight, such as 'another.weight'$"):
        load_pipeline(str(folder), "sd", dtype=torch.float32)


@pytest.mark.parametrize(
    ("part", "key", "value", "said"),
    [
        ("unet", "time_embedding_type", "nothing", "unet can't be loaded as its config.json says: "),
        ("vae", "down_block_types", ["CrossAttnDownBlock2D"] * 4, "vae can't be loaded as its config.json says: "),
        ("text_encoder", "torch_dtype", "nothing", "text_encoder can't be loaded as its config.json says: "),
        ("tokenizer", "added_tokens_decoder", 3, "tokenizer can't be loaded: "),
    ],
)
def test_what_only_loading_finds_names_the_part_and_what_to_do(
    copied: Callable[[str], Path], part: str, key: str, value: Any, said: str
) -> None:
    folder = copied("sd")
    change(folder / part / ("tokenizer_config.json" if part == "tokenizer" else "config.json"), **{key: value})
    with pytest.raises(ModelError) as caught:
        load_pipeline(str(folder), "sd", dtype=torch.float32)
    line = str(caught.value)
    assert line.startswith(f"model '{folder}': "), line
    assert said in line
    assert line.endswith("; get the model's files again, or save it where it works with pipe.save_pretrained(folder)")
    assert "Error" not in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("part", "said"), [("text_encoder", "text encoder or tokenizer"), ("unet", "unet"), ("vae", "vae")]
)
def test_a_part_that_fails_while_it_works_is_named(copied: Callable[[str], Path], part: str, said: str) -> None:
    """Its weights fit, and yet the libraries can't compute with it."""
    folder = copied("sd")
    model = wrap_pipeline(load_pipeline(str(folder), "sd", dtype=torch.float32))
    stage = stage_on(model)
    module = model.pipe.vae.decoder if part == "vae" else getattr(model.pipe, part)
    norm = next(each for each in module.modules() if isinstance(each, (torch.nn.LayerNorm, torch.nn.GroupNorm)))
    norm.eps = None
    work: dict[str, Callable[[], Any]] = {
        "text_encoder": lambda: model.embed("a hill"),
        "unet": lambda: run(stage),
        "vae": lambda: model.decode(torch.zeros(1, 4, 8, 8)),
    }
    with pytest.raises(ModelError) as caught:
        work[part]()
    line = str(caught.value)
    assert line.startswith(f"model '{folder}': {said} fails at its work: ")
    assert line.endswith("; get the model's files again, or save it where it works with pipe.save_pretrained(folder)")
    assert isinstance(caught.value.__cause__, TypeError)


def test_what_a_compiler_can_not_do_is_told_as_that() -> None:
    from torch._dynamo.exc import TorchDynamoException

    from fusionkit.models.guard import at_work

    error = TorchDynamoException("ImportError: main.so: file too short\n\nSet TORCHDYNAMO_VERBOSE=1")
    with pytest.raises(ModelError) as caught, at_work("model 'm': unet"):
        raise error
    line = str(caught.value)
    assert line == "model 'm': unet can't be compiled here: main.so: file too short; leave out 'compile'"
    assert "\n" not in line
