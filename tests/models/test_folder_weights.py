"""Model folders from strangers: what of their weights is never opened, and what is found damaged or missing."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from damaged import INDEX, UNET, Told, problems, renamed, sharded
from tiny_models import CHECKPOINTS, drawn, plain, run, stage_on

from fusionkit.errors import ModelError
from fusionkit.models.controlnet import inspect_controlnet, load_controlnet
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_pipeline, wrap_pipeline


def test_shards_are_loaded_and_counted(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    sharded(folder)
    assert inspect_model(str(folder)).parameters == inspect_model(str(CHECKPOINTS / "tiny-sd")).parameters
    loaded = load_pipeline(str(folder), "sd", dtype=torch.float32).unet.state_dict()
    assert all(weights.equal(loaded[name]) for name, weights in plain("sd").unet.state_dict().items())


@pytest.mark.parametrize("name", ["part.bin", "../part.safetensors", "/part.safetensors", "a\\b.safetensors", ".bin"])
def test_an_index_names_nothing_but_safetensors_beside_it(
    copied: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    folder = copied("sd")
    sharded(folder, **{"conv_in.weight": name})
    (folder / "unet" / "part.bin").write_bytes(pickle.dumps(Told(tmp_path / "told")))
    (said,) = problems(folder)
    assert said.endswith(f"names '{name}', which is no .safetensors file beside it; nothing else is opened")
    assert not (tmp_path / "told").exists()


def test_a_pickle_that_calls_itself_safetensors(copied: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied("sd")
    for content in (pickle.dumps(Told(tmp_path / "told")), b"PK\x03\x04" + b"\0" * 60):
        (folder / UNET).write_bytes(content)
        assert problems(folder) == ["diffusion_pytorch_model.safetensors is no whole safetensors file"]
    sharded_folder = copied("sdxl")
    sharded(sharded_folder)
    (sharded_folder / "unet/diffusion_pytorch_model-00001-of-00002.safetensors").write_bytes(b"\x80\x04" * 40)
    with pytest.raises(ModelError, match=r"00001-of-00002\.safetensors is no whole safetensors file"):
        inspect_model(str(sharded_folder))
    assert not (tmp_path / "told").exists()


def test_nothing_is_unpickled_while_a_model_loads(tmp_path: Path) -> None:
    from fusionkit.models.guard import only_safetensors

    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.bin")
    with only_safetensors(), pytest.raises(ModelError, match=r"a pickled file, which can run any code"):
        torch.load(tmp_path / "weights.bin")
    assert torch.load(tmp_path / "weights.bin")["a"].equal(torch.zeros(1))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_download_that_was_cut_off(copied: Callable[[str], Path], part: str) -> None:
    folder = copied("sd")
    (file,) = (folder / part).glob("*.safetensors")
    whole = file.read_bytes()
    short = f"{part}/{file.name} is {{}} bytes too short: it was not downloaded or copied whole; get it again"
    file.write_bytes(whole[:-1234])
    assert problems(folder) == [short.format("1,234")]
    header = int.from_bytes(whole[:8], "little")
    file.write_bytes(whole[: header - 12])
    assert problems(folder) == [short.format(20)]


@pytest.mark.parametrize(
    "damage",
    [
        {"dtype": "F16"},
        {"shape": [3, 3]},
        {"shape": [-1]},
        {"shape": "a"},
        {"data_offsets": [4, 8]},
        {"data_offsets": [8, 0]},
        {"data_offsets": None},
        {"shape": [1e30]},
    ],
)
def test_headers_that_do_not_fit(copied: Callable[[str], Path], damage: dict[str, Any]) -> None:
    folder = copied("sd")
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **damage}
    header = json.dumps({"a": tensor}).encode()
    (folder / UNET).write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    (found,) = problems(folder)
    assert found.startswith("diffusion_pytorch_model.safetensors is no whole safetensors file")


def test_an_index_whose_files_are_not_all_there(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    index = sharded(folder, **{"conv_in.weight": "gone.safetensors"})
    assert problems(folder) == [f"{INDEX} names files that are not there: gone.safetensors; get them again"]
    index["weight_map"].pop("conv_in.weight")
    (folder / INDEX).write_text(
        json.dumps({**index, "weight_map": {**index["weight_map"], "nothing": "a.safetensors"}})
    )
    shutil.copy(folder / "vae/diffusion_pytorch_model.safetensors", folder / "unet/a.safetensors")
    (found,) = problems(folder)
    assert found.endswith("names weights that its files do not hold (1), such as 'nothing'")
    for content in ({}, {"metadata": {}, "weight_map": {}}, {"metadata": {}, "weight_map": {"a": 1}}):
        (folder / INDEX).write_text(json.dumps(content))
        assert len(problems(folder)) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such files")
@pytest.mark.parametrize("name", [UNET, "unet/config.json", "tokenizer/vocab.json", "model_index.json"])
def test_pipes_and_devices_are_not_opened(copied: Callable[[str], Path], name: str) -> None:
    folder = copied("sd")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    if name == "model_index.json":
        with pytest.raises(ModelError, match=r"it has no model_index\.json"):
            inspect_model(str(folder))
        return
    (found,) = problems(folder)
    assert found.endswith("is a pipe, not a file")
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    (found,) = problems(folder)
    assert found.endswith("is a device, not a file")


def test_links_are_followed_as_in_the_hubs_cache(copied: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied("sd")
    for number, file in enumerate([each for each in folder.rglob("*") if each.is_file()]):
        blob = tmp_path / f"blob{number}"
        file.rename(blob)
        file.symlink_to(blob)
    assert inspect_model(str(folder)).parameters == 502371
    load_pipeline(str(folder), "sd", dtype=torch.float32)


def test_a_variant_alone_is_used_and_told(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    renamed(folder, "fp16")
    info = inspect_model(str(folder))
    assert info.notes == (f"model '{folder}' has weights of variant 'fp16' alone, which are used (variant)",)
    stage = stage_on(wrap_pipeline(load_pipeline(str(folder), "sd", dtype=torch.float32)))
    assert (run(stage) - drawn(plain("sd"), stage)).abs().max() <= 1e-4


def test_a_variant_of_some_parts(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    renamed(folder, "fp16", "unet")
    assert inspect_model(str(folder)).parameters == 502371
    load_pipeline(str(folder), "sd", dtype=torch.float32)
    renamed(folder, "ema", "vae")
    info = inspect_model(str(folder))
    assert info.parameters == 502371
    assert info.notes == (f"model '{folder}' has weights of variant 'ema' and 'fp16' alone, which are used (variant)",)
    load_pipeline(str(folder), "sd", dtype=torch.float32)
    assert problems(folder, variant="fp16") == [
        "has no weights of variant 'fp16' for its vae, nor plain ones, but 'ema'; leave variant out"
    ]
    (vae,) = (folder / "vae").glob("*.safetensors")
    shutil.copy(vae, folder / "vae" / "diffusion_pytorch_model.bf16.safetensors")
    assert problems(folder) == ["has its weights in 'bf16' and 'ema' alone; say which: variant: bf16"]


def test_a_controlnet_of_a_variant(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-controlnet", tmp_path / "net"))
    whole = load_controlnet(inspect_controlnet(str(folder)), torch.device("cpu"), torch.float32).state_dict()
    renamed(tmp_path, "fp16", "net")
    info = inspect_controlnet(str(folder))
    assert info.variant == "fp16"
    loaded = load_controlnet(info, torch.device("cpu"), torch.float32).state_dict()
    assert all(weights.equal(loaded[name]) for name, weights in whole.items())
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ModelError, match=r"^controlnet '.*fp16.safetensors is 7 bytes too short: [^\n]*$"):
        inspect_controlnet(str(folder))


def test_an_index_of_a_controlnet_names_no_pickle(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-controlnet", tmp_path / "net"))
    index = {"metadata": {}, "weight_map": {"a": "part.bin"}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "part.bin").write_bytes(pickle.dumps(Told(tmp_path / "told")))
    with pytest.raises(ModelError, match=r"names 'part\.bin', which is no \.safetensors file beside it"):
        inspect_controlnet(str(folder))
    assert not (tmp_path / "told").exists()
