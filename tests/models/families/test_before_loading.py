"""What is told of models of the families before they load: parts, sizes, memory, passes, and what does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from on_families import model_of
from safetensors.torch import load_file, save_file
from tiny_flux import CASES as FLUX
from tiny_qwen_image import CASES as QWEN
from tiny_sd3 import CASES as SD3

from fusionkit import Fusion, RecipeError
from fusionkit.errors import ModelError
from fusionkit.models.compatibility import misfits
from fusionkit.models.devices import pick_dtype
from fusionkit.models.encoders import encoder_notes
from fusionkit.models.families import FAMILIES
from fusionkit.models.inspect import inspect_model
from fusionkit.models.memory import views_per_pass
from fusionkit.models.prompts.plan import reader_of
from fusionkit.recipe import ModelSpec

DEV, SCHNELL = FLUX
GIB = 2**30


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Path]:
    """A case's folder, written once; to be copied by who changes it."""
    root = tmp_path_factory.mktemp("families")

    def folder_of(case: Any) -> Path:
        folder = root / case.name
        if not folder.exists():
            case.make().save_pretrained(folder)
        return folder

    return folder_of


@pytest.fixture
def copied(saved: Callable[[Any], Path], tmp_path: Path) -> Callable[[Any], Path]:
    def copy(case: Any) -> Path:
        folder: Path = shutil.copytree(saved(case), tmp_path / case.name)
        return folder

    return copy


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def problem(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        inspect_model(str(folder))
    return str(caught.value).replace(f"model '{folder}'", "it")


def test_parts_that_may_be_missing(copied: Callable[[Any], Path]) -> None:
    """T5 of Stable Diffusion 3, whether its index says so or its folder is just not there."""
    folder = copied(SD3[1])
    for part in ("text_encoder_3", "tokenizer_3"):
        shutil.rmtree(folder / part)
    fusion = Fusion.from_pretrained(folder, device="cpu", steps=1, window=(128, 128))
    without = fusion("a red boat", size=(128, 128), seed=1, progress=False).latents
    change(folder / "model_index.json", text_encoder_3=[None, None], tokenizer_3=[None, None])
    fusion = Fusion.from_pretrained(folder, device="cpu", steps=1, window=(128, 128))
    assert fusion("a red boat", size=(128, 128), seed=1, progress=False).latents.equal(without)


def test_parts_that_may_not(copied: Callable[[Any], Path]) -> None:
    folder = copied(DEV)
    shutil.rmtree(folder / "text_encoder_2")
    assert problem(folder) == "it is no whole diffusers folder: it has no text_encoder_2/config.json"
    change(folder / "model_index.json", text_encoder_2=[None, None])
    assert problem(folder) == "it has no text_encoder_2 in its model_index.json, without which it can't draw"


def test_denoisers_that_take_more_than_latents(copied: Callable[[Any], Path]) -> None:
    folder = copied(DEV)
    change(folder / "transformer" / "config.json", in_channels=128)
    assert "takes 128 channels, not the 64 of its latents: models that are told a picture" in problem(folder)


def test_text_encoders_of_another_model(copied: Callable[[Any], Path]) -> None:
    folder = copied(DEV)
    change(folder / "transformer" / "config.json", joint_attention_dim=4096)
    assert "does not fit together: its text_encoder_2's tokens have 24 numbers; its denoiser takes 4096" in problem(
        folder
    )


def test_pipelines_of_no_family(copied: Callable[[Any], Path]) -> None:
    folder = copied(DEV)
    change(folder / "model_index.json", _class_name="WanPipeline")
    assert problem(folder).startswith("it is a WanPipeline; fusionkit draws with: ")
    change(folder / "model_index.json", _class_name="FluxPipeline", transformer=["diffusers", "WanTransformer3DModel"])
    assert "has a WanTransformer3DModel for its transformer; fusionkit takes a FluxTransformer2DModel" in problem(
        folder
    )


def test_latent_spaces_that_differ() -> None:
    infos = {name: model_of(case).info for name, case in (("a", DEV), ("b", SD3[0]), ("c", QWEN[0]))}
    scaled, coded = misfits(infos)
    assert scaled == (
        "models 'a' (FluxPipeline) and 'b' (StableDiffusion3Pipeline) can't be fused: kinds flux and sd3, VAE scaling "
        "factors of 0.3611 and 1.5305, VAE latents_mean of 0.1159 and 0.0609"
        "; use models with the same autoencoder, such as those fine-tuned from one base model"
    )
    assert "autoencoders of AutoencoderKL and AutoencoderKLQwenImage" in coded
    assert misfits({"a": infos["a"], "b": replace(infos["a"], vae="AutoencoderTiny")}) == []


def test_autoencoders_of_one_configuration_with_other_weights(
    saved: Callable[[Any], Path], copied: Callable[[Any], Path]
) -> None:
    """Told where another encoder makes other latents; another decoder, or a type of fewer bits, is harmless."""
    folder = copied(SCHNELL)
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    specs = {"a": ModelSpec(model=str(saved(SCHNELL))), "b": ModelSpec(model=str(folder))}

    def notes(**changed: torch.Tensor) -> list[str]:
        save_file({**weights, **changed}, file)
        return encoder_notes(specs)

    assert notes() == []
    halved = {name: each.bfloat16() for name, each in weights.items()}
    assert notes(**halved) == []
    assert notes(**{"decoder.conv_out.weight": weights["decoder.conv_out.weight"] + 1}) == []
    (line,) = notes(**{"encoder.conv_out.weight": weights["encoder.conv_out.weight"] * 1.1})
    assert "have autoencoders that encode differently, though their configurations agree" in line


def test_sizes_are_whole_tokens() -> None:
    pipe = DEV.make()
    fusion = Fusion.from_pipe(pipe, prompt="a boat", size=(136, 128), window=(128, 120), steps=1)
    with pytest.raises(RecipeError) as caught:
        fusion.plan()
    assert caught.value.problems == [
        "size 136x128 is not divisible by 16, as FluxPipeline needs; try 128x128",
        "window 128x120 is not divisible by 16, as FluxPipeline needs; try 128x128",
    ]


def test_passes_are_counted_as_the_denoiser_is_guided() -> None:
    """One for a view where the scale is an input, two where a negative prompt counts."""
    fields: dict[str, Any] = {"prompt": "a boat", "size": (128, 128), "window": (128, 128), "steps": 3}
    counts = [Fusion.from_pipe(case.make(), **fields).plan().forward_passes for case in (DEV, SCHNELL)]
    assert counts == [3, 6]


def test_memory_of_a_published_model() -> None:
    """Flux.1 at 1024x1024 in 16 bits: about 0.6 GiB a row, against 24 GB of weights."""
    flux = FAMILIES["flux"]
    info = replace(model_of(DEV).info, unet_channels=3072)
    assert flux.view_bytes(info, (128, 128), 2) == 2 * 20 * 3072 * (4096 + 512) * 2
    assert views_per_pass(info, (128, 128), 2, free=12 * GIB) == 5
    assert views_per_pass(info, (64, 64), 2, free=12 * GIB) == 17


def test_the_type_of_sixteen_bits_is_the_familys() -> None:
    cuda = torch.device("cuda")
    assert pick_dtype("auto", cuda, FAMILIES["flux"].half) == torch.bfloat16
    assert pick_dtype("auto", cuda, FAMILIES["sdxl"].half) == torch.float16
    assert pick_dtype("float16", cuda, FAMILIES["flux"].half) == torch.float16
    assert pick_dtype("auto", torch.device("cpu"), FAMILIES["flux"].half) == torch.float32


def test_what_of_a_prompt_is_not_read(saved: Callable[[Any], Path]) -> None:
    reader = reader_of(ModelSpec(model=str(saved(DEV))))
    assert reader is not None
    assert reader.told("a red boat") == ""
    assert "tokens, of which the first 512 are read" in reader.told("a red boat " * 200)
    assert reader.told("a (red:1.3) boat") == "weights: 'red' 1.3: left out, as such models know none"
