"""While weights load and parts work: memory that runs out stays what it is, and nothing of others is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_networks import compact

from fusionkit import ModelError
from fusionkit.models.controlnet import inspect_controlnet, load_controlnet
from fusionkit.models.image_prompts.adapter import read_adapter
from fusionkit.models.image_prompts.encoder import find_encoder
from fusionkit.models.image_prompts.load import encoded, load_adapter
from fusionkit.models.networks import load_network
from fusionkit.testing import tiny_controlnet, tiny_pipeline
from fusionkit.testing.tiny_adapter import save_tiny_adapter

CPU = torch.device("cpu")


def too_much(*_: Any, **__: Any) -> Any:
    """What torch itself says where memory runs out."""
    return torch.empty(2**48)


def of_a_controlnet(folder: Path) -> Callable[[], Any]:
    tiny_controlnet("sd").save_pretrained(folder / "net")
    return lambda: load_controlnet(inspect_controlnet(str(folder / "net")), CPU, torch.float32)


def of_an_adapter(folder: Path) -> Callable[[], Any]:
    unet = tiny_pipeline("sd").unet
    path = save_tiny_adapter(folder, unet)
    return lambda: load_adapter(read_adapter(str(path), None, path), unet, CPU, torch.float32)


def of_an_encoder(folder: Path) -> Callable[[], Any]:
    adapter = of_an_adapter(folder)()
    pictures = [Image.new("RGB", (48, 40), "teal")]
    return lambda: encoded(adapter, find_encoder(str(folder), None, None), pictures, CPU, torch.float32)


def of_a_network(folder: Path) -> Callable[[], Any]:
    path = compact(folder / "net.safetensors")
    return lambda: load_network(path)


LOADED = {
    "a ControlNet": (of_a_controlnet, "diffusers.ControlNetModel.eval"),
    "an adapter": (of_an_adapter, "diffusers.models.embeddings.ImageProjection.eval"),
    "an encoder": (of_an_encoder, "transformers.CLIPVisionModelWithProjection.eval"),
    "an encoder at work": (of_an_encoder, "transformers.CLIPVisionModelWithProjection.forward"),
    "a network": (of_a_network, "spandrel.ModelLoader.load_from_state_dict"),
}


@pytest.mark.parametrize("name", LOADED)
def test_memory_that_runs_out_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make, where = LOADED[name]
    load = make(tmp_path)
    monkeypatch.setattr(where, too_much)
    with pytest.raises(RuntimeError, match="allocate memory"):
        load()


@pytest.mark.parametrize("name", [name for name in LOADED if name != "an encoder at work"])
def test_what_a_library_raises_names_what_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("of another\nkind")

    make, where = LOADED[name]
    load = make(tmp_path)
    monkeypatch.setattr(where, fail)
    with pytest.raises(
        ModelError, match=r"'.*' can't be (loaded|loaded as its config.json says|used by spandrel): of another kind"
    ):
        load()


def test_an_encoder_that_fails_at_its_work_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    see = of_an_encoder(tmp_path)
    monkeypatch.setattr("transformers.CLIPVisionModelWithProjection.forward", lambda *_, **__: torch.ones(2).view(3))
    with pytest.raises(
        ModelError, match=r"^image encoder '.*image_encoder' fails at its work: .*; get its files again$"
    ):
        see()


@pytest.mark.parametrize("name", [name for name in LOADED if name != "an encoder at work"])
def test_the_draws_of_others_are_left_alone(tmp_path: Path, name: str) -> None:
    load = LOADED[name][0](tmp_path)
    state = torch.get_rng_state()
    load()
    assert torch.get_rng_state().equal(state)
