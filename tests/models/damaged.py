"""What the tests of strangers' model folders share: ways to damage a copy, and what is said of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionkit.errors import ModelError
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_pipeline

UNET = "unet/diffusion_pytorch_model.safetensors"
INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def problems(source: Path, **options: Any) -> list[str]:
    """What is wrong with a model, the same when it is asked about and when it is loaded."""
    with pytest.raises(ModelError) as asked:
        inspect_model(str(source), **options)
    with pytest.raises(ModelError) as loaded:
        load_pipeline(str(source), "sd", dtype=torch.float32, **options)
    assert str(asked.value) == str(loaded.value)
    lines = str(asked.value).splitlines()
    assert all(line.startswith(f"model '{source}'") for line in lines)
    return [line.removeprefix(f"model '{source}'").lstrip(": ") for line in lines]


class Told:
    """What a hostile pickle would do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def sharded(folder: Path, **named: str) -> dict[str, Any]:
    """The denoiser's weights in two files beside an index, of which some entries are changed."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / UNET)
    (folder / UNET).unlink()
    names = sorted(weights)
    halves = names[::2], names[1::2]
    where = {}
    for number, half in enumerate(halves, 1):
        file = f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in half}, folder / "unet" / file)
        where |= dict.fromkeys(half, file)
    index = {"metadata": {"total_size": 1}, "weight_map": {**where, **named}}
    (folder / INDEX).write_text(json.dumps(index))
    return index


def renamed(folder: Path, variant: str, parts: str = "*") -> None:
    for file in folder.glob(f"{parts}/*.safetensors"):
        file.rename(file.with_suffix(f".{variant}.safetensors"))
