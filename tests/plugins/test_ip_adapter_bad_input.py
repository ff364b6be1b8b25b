"""What of pictures as prompts can't be used: one line each, before anything loads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from from_pictures import drawing
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from fusionkit import ModelInfo, RecipeError
from fusionkit.recipe.problems import problems_of
from fusionkit.testing import tiny_pipeline, tiny_plan
from fusionkit.testing.tiny_adapter import save_tiny_adapter
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_elasticdiffusion import ElasticDiffusion
from fusionkit_ipadapter import IPAdapter
from fusionkit_ipadapter.checks import problems
from fusionkit_regions import Regions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with adapters and pictures that fit, and others that do not."""
    folder = tmp_path_factory.mktemp("adapters")
    save_tiny_adapter(folder, tiny_pipeline("sd").unet)
    save_tiny_adapter(folder / "xl", tiny_pipeline("sdxl").unet)
    drawing(folder / "picture.png", (48, 40))
    Image.new("L", (160, 80), 0).save(folder / "black.png")
    Image.new("L", (100, 80), 255).save(folder / "square.png")
    (folder / "words.png").write_text("no picture")
    (folder / "old.bin").write_bytes(b"PK")
    (folder / "short.safetensors").write_bytes((folder / "ip-adapter.safetensors").read_bytes()[:-100])
    whole = load_file(folder / "ip-adapter.safetensors")
    save_file({"lora_down.weight": torch.ones(2, 2)}, folder / "lora.safetensors")
    save_file({**whole, "ip_adapter.0.to_q_lora.down.weight": torch.ones(2, 2)}, folder / "face.safetensors")
    some = {key: each for key, each in whole.items() if ".1." not in key}
    save_file(some, folder / "half.safetensors")
    shallow = {key: each for key, each in whole.items() if not key.startswith("ip_adapter.7.")}
    save_file(shallow, folder / "shallow.safetensors")
    for name, changes in {"other": {"projection_dim": 32}, "siglip": {"model_type": "siglip_vision_model"}}.items():
        (folder / name).mkdir()
        config = json.loads((folder / "image_encoder" / "config.json").read_text())
        (folder / name / "config.json").write_text(json.dumps({**config, **changes}))
        (folder / name / "model.safetensors").write_bytes((folder / "image_encoder" / "model.safetensors").read_bytes())
    return folder


SAID: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "a missing picture": (lambda at: {"picture": at / "none.png"}, "picture '{at}/none.png' does not exist"),
    "no picture": (lambda at: {"picture": at / "words.png"}, "picture '{at}/words.png' is no picture"),
    "one of two": (
        lambda at: {"picture": (at / "picture.png", at / "none.png")},
        "picture '{at}/none.png' does not exist",
    ),
    "another family's": (
        lambda at: {"adapter": str(at / "xl")},
        "IP-Adapter '{at}/xl' is for another kind of model than '{model}': its layers look at tokens of 32 numbers, "
        "not of 16",
    ),
    "too few layers": (
        lambda at: {"adapter": str(at / "shallow.safetensors")},
        "IP-Adapter '{at}/shallow.safetensors' is for another kind of model than '{model}': it has 3 layers (3 of 8), "
        "and the model 4 layers (3 of 8, 1 of 16)",
    ),
    "no such adapter": (lambda at: {"adapter": str(at / "none")}, "IP-Adapter '{at}/none': no such file or folder"),
    "a pickle": (
        lambda at: {"adapter": str(at / "old.bin")},
        "IP-Adapter '{at}/old.bin' is pickled, which can run any code and is refused; convert it to .safetensors",
    ),
    "a pickle in a folder": (
        lambda at: {"adapter": str(at), "weight_name": "old.bin"},
        "IP-Adapter '{at}/old.bin' is pickled, which can run any code and is refused; convert it to .safetensors",
    ),
    "cut short": (
        lambda at: {"adapter": str(at / "short.safetensors")},
        "IP-Adapter '{at}/short.safetensors': short.safetensors is 100 bytes too short: it was not downloaded or "
        "copied whole; get it again",
    ),
    "no adapter": (
        lambda at: {"adapter": str(at / "lora.safetensors")},
        "IP-Adapter '{at}/lora.safetensors' is no IP-Adapter of a UNet, which has tensors 'image_proj...' and "
        "'ip_adapter...': it holds lora_down.weight",
    ),
    "of faces": (
        lambda at: {"adapter": str(at / "face.safetensors")},
        "IP-Adapter '{at}/face.safetensors' is a FaceID adapter, which looks at faces through insightface; use one "
        "without",
    ),
    "not whole": (
        lambda at: {"adapter": str(at / "half.safetensors")},
        "IP-Adapter '{at}/half.safetensors' is not whole: of its layers there are the numbers 3, 5, 7",
    ),
    "another encoder": (
        lambda at: {"encoder": "other"},
        "image encoder '{at}/other' is not the adapter's: it sees 32 numbers, and 'ip-adapter.safetensors' looks at "
        "20; name the adapter's own, such as models/image_encoder of h94/IP-Adapter, by 'encoder'",
    ),
    "no CLIP": (
        lambda at: {"encoder": "siglip"},
        "image encoder '{at}/siglip' is a siglip_vision_model; IP-Adapters of UNets look through CLIP's",
    ),
    "no encoder": (
        lambda at: {"encoder": "none"},
        "image encoder '{at}/none' is not there; name the folder of the adapter's own encoder by 'encoder'",
    ),
    "a black mask": (
        lambda at: {"mask": at / "black.png"},
        "mask '{at}/black.png' of 'picture.png' covers nothing: it is black; paint white where the region is",
    ),
    "a mask of another form": (
        lambda at: {"mask": at / "square.png"},
        "mask '{at}/square.png' of 'picture.png' has 100x80 pixels, and the picture 160x80: their aspect ratios "
        "differ; make the mask 160x80",
    ),
    "a box beyond": (
        lambda at: {"box": (100, 0, 100, 40)},
        "box [100, 0, 100, 40] of 'picture.png' reaches beyond the picture of 160x80; move it, or leave it out",
    ),
    "no such block": (
        lambda at: {"scale": {"up": {"block_0": 1}}},
        "scale: no up block 'block_0' looks at prompts; there are block_1",
    ),
    "other transformers": (
        lambda at: {"scale": {"up": {"block_1": [1, 0, 1]}}},
        "scale: up.block_1 has 2 transformers, and 3 numbers are given",
    ),
    "no regions": (
        lambda at: {"region": "left"},
        "region 'left' is none: the recipe has no regions; use 'box' or 'mask'",
    ),
    "no step": (
        lambda at: {"start": 0.4, "end": 0.6},
        "no step lies between start 0.4 and end 0.6 of 3 steps; move them apart",
    ),
    "ends first": (lambda at: {"start": 0.6, "end": 0.6}, "start 0.6 is not before end 0.6"),
}


def lines_of(*plugins: Any) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        tiny_plan(list(plugins))
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", SAID)
def test_what_is_wrong_is_said_in_one_line(folder: Path, name: str) -> None:
    given, expected = SAID[name]
    adapter = str(folder / "ip-adapter.safetensors")
    lines = lines_of(IPAdapter(**{"adapter": adapter, "picture": folder / "picture.png", **given(folder)}))
    model = tiny_plan().infos["model"].name
    (line,) = lines
    assert line.removeprefix("ip-adapter: ").startswith(expected.format(at=folder, model=model)), line
    assert line.startswith("ip-adapter: ")


def test_all_problems_come_at_once(folder: Path) -> None:
    lines = lines_of(
        IPAdapter(adapter=str(folder / "xl"), picture=folder / "none.png", box=(0, 0, 1, 2), scale={"mid": 1})
    )
    assert [line.split()[1] for line in lines] == ["picture", "IP-Adapter", "box"]


def test_a_region_that_is_misspelt_and_a_plugin_that_predicts_no_windows(folder: Path) -> None:
    adapter, picture = str(folder / "ip-adapter.safetensors"), folder / "picture.png"
    regions = Regions(boxes={"left": {"box": (0, 0, 0.5, 1), "prompt": "a boat"}})
    (line,) = lines_of(regions, IPAdapter(adapter=adapter, picture=picture, region="lef"))
    assert line == "ip-adapter: no region is called 'lef'; did you mean 'left'?; there are: left"
    large: dict[str, Any] = {"size": (128, 128), "steps": 2}
    with pytest.raises(RecipeError, match="elastic-diffusion: 'ip-adapter' can't steer what it draws"):
        tiny_plan([ElasticDiffusion(), IPAdapter(adapter=adapter, picture=picture)], **large)
    assert tiny_plan([ElasticDiffusion(), IPAdapter(adapter=adapter, picture=picture, scale=0)], **large)
    assert tiny_plan([ProgressiveUpscaling(), regions, IPAdapter(adapter=adapter, picture=picture, region="left")])


def test_a_transformer_is_refused_before_it_loads(folder: Path) -> None:
    plugin = IPAdapter(adapter=str(folder / "ip-adapter.safetensors"), picture=folder / "picture.png")
    (stage,) = tiny_plan().stages
    other = replace(stage.info, name="dev", kind="flux", convolutions=(), text_layers=())
    (line,) = problems(plugin, replace(stage, info=other, infos={"model": other}))
    assert line == "it lets a UNet look at pictures, and dev is a transformer; leave it out"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"scale": float("nan")}, "scale"),
        ({"scale": "much"}, "must be a number, or numbers by block such as {up: {block_0: [0, 1, 0]}}, not 'much'"),
        ({"scale": {"left": 1}}, "must name the blocks 'down', 'mid' or 'up', not 'left'"),
        ({"scale": {"up": {"block": 1}}}, "must name the blocks of 'up' as block_0, block_1, ..., not 'block'"),
        ({"scale": {"up": [1, float("inf")]}}, "scale"),
        ({"box": (0, 0, 1, 1), "mask": "mask.png"}, "takes either a 'box' or a 'mask'"),
        ({"soft_border": 4}, "'soft-border' is of a 'box' or a 'mask'"),
        ({"box": (0, 0, 0, 1)}, "box"),
        ({"picture": ()}, "takes 1 to 16 pictures, not 0"),
        ({"picture": [3]}, "must be a picture's path, or a list of them, not 3"),
        ({"start": 2}, "start"),
    ],
)
def test_options_that_no_recipe_can_have(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        IPAdapter(**{"adapter": "a", "picture": "p.png", **given})
    (line,) = problems_of(caught.value, IPAdapter, "")
    assert expected in line


def test_a_scale_by_block_is_refused_of_no_model_whose_blocks_are_not_known(folder: Path) -> None:
    plugin = IPAdapter(adapter=str(folder), picture=folder / "picture.png", scale={"up": {"block_7": 1}})
    (stage,) = tiny_plan().stages
    unknown: ModelInfo = replace(stage.info, text_layers=(), cross_attention_dim=0)
    stage = replace(stage, info=unknown, infos={"model": unknown})
    assert not [line for line in problems(plugin, stage) if "block" in line]
