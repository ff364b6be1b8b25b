"""LoRAs on a pipeline: every layer at its own rank and alpha, counted, and taken off again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lora_files import answers, farthest, halves, kohya_key, kohya_lora, merge
from safetensors.torch import load_file, save_file
from tiny_models import plain

from fusionkit.errors import ModelError
from fusionkit.models.lora.layers import shapes_of
from fusionkit.models.lora.loras import add_loras, remove_loras
from fusionkit.recipe import Lora


@pytest.mark.parametrize("scale", [1.0, -0.7])
def test_ranks_and_alphas_count_for_each_layer_by_itself(kind: str, tmp_path: Path, scale: float) -> None:
    """Linear layers and convolutions of the denoiser and of all text encoders, as hand-merged weights."""
    pipe, by_hand = plain(kind), plain(kind)
    before = answers(pipe, kind)
    merge(by_hand, kohya_lora(pipe, kind, tmp_path / "lora.safetensors"), scale)

    add_loras(pipe, [Lora(path=str(tmp_path / "lora.safetensors"), scale=scale)])

    expected = answers(by_hand, kind)
    assert farthest(answers(pipe, kind), expected) <= 2e-5
    assert farthest(before, expected) > 0.3
    remove_loras(pipe)
    assert farthest(answers(pipe, kind), before) == 0


def test_several_loras_add_up(kind: str, tmp_path: Path) -> None:
    pipe, by_hand = plain(kind), plain(kind)
    loras = []
    for number, (scale, part) in enumerate([(0.8, "attn"), (-1.5, "attn2"), (0.0, "proj"), (0.5, "fc1")]):
        path = tmp_path / f"{number}.safetensors"
        merge(by_hand, kohya_lora(pipe, kind, path, seed=number, wanted=lambda name, part=part: part in name), scale)
        loras.append(Lora(path=str(path), scale=scale))
    add_loras(pipe, loras)
    assert farthest(answers(pipe, kind), answers(by_hand, kind)) <= 2e-5
    assert len(pipe.get_list_adapters()["unet"]) == 3  # the last one is of the text encoders alone


LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0"
FIRST = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_out_0"
SPELLINGS = {
    "kohya": (f"lora_unet_{LAYER.replace('.', '_')}.lora_down.weight", "text_model.", "lora_te_{}.lora_down.weight"),
    "stability": (f"{FIRST}.lora_down.weight", "text_model.", "lora_te_{}.lora_down.weight"),
    "diffusers": (f"unet.{LAYER}.lora.down.weight", "text_model.", "text_encoder.{}.lora_linear_layer.down.weight"),
    "peft": (f"unet.{LAYER}.lora_A.weight", "text_model.", "text_encoder.{}.lora_A.weight"),
    "peft-dump": (
        f"base_model.model.{LAYER}.lora_A.default.weight",
        "",
        "text_encoder.base_model.model.{}.lora_A.weight",
    ),
    "onetrainer": (f"lora_unet.{LAYER}.lora_down.weight", "text_model.", "lora_te.{}.lora_down.weight"),
    "processor": (
        f"unet.{LAYER.removesuffix('.to_out.0')}.processor.to_out_lora.down.weight",
        "text_model.",
        "text_encoder.{}.to_q_lora.down.weight",
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_layer(tmp_path: Path, spelling: str) -> None:
    pipe, by_hand = plain("sd"), plain("sd")
    denoiser, prefix, text = SPELLINGS[spelling]
    text_layer = "encoder.layers.0.self_attn.q_proj"
    written = prefix + (text_layer.removesuffix(".q_proj") if "to_q_lora" in text else text_layer)
    text = text.format(written.replace(".", "_") if text.startswith("lora_te_") else written)
    content, changes, generator = {}, {}, torch.Generator().manual_seed(1)
    for part, name, key in (("unet", LAYER, denoiser), ("text_encoder", text_layer, text)):
        down, up = halves(shapes_of(getattr(pipe, part))[name], 2, generator, 0.3)
        content |= {
            key: down,
            key.replace("down", "up").replace("up_blocks", "down_blocks").replace("lora_A", "lora_B"): up,
        }
        changes[part, name] = up @ down
    save_file(content, tmp_path / "lora.safetensors")
    merge(by_hand, changes)

    add_loras(pipe, [Lora(path=str(tmp_path / "lora.safetensors"))])

    assert farthest(answers(pipe, "sd"), answers(by_hand, "sd")) <= 2e-5
    assert farthest(answers(plain("sd"), "sd"), answers(by_hand, "sd")) > 1e-2


def test_what_diffusers_saves_keeps_its_alphas(tmp_path: Path) -> None:
    """They are in the file's metadata."""
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    trained, pipe = plain("sd"), plain("sd")
    config = LoraConfig(
        r=2,
        lora_alpha=6,
        target_modules=["to_q", "to_v"],
        rank_pattern={"mid_block.attentions.0.transformer_blocks.0.attn1.to_q": 3},
        alpha_pattern={"down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": 1},
        init_lora_weights=False,
    )
    torch.manual_seed(0)
    trained.unet.add_adapter(config)
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(trained.unet))
    type(trained).save_lora_weights(
        tmp_path, unet_lora_layers=layers, unet_lora_adapter_metadata=trained.unet.peft_config["default"].to_dict()
    )
    add_loras(pipe, [Lora(path=str(tmp_path))])
    assert farthest(answers(pipe, "sd"), answers(trained, "sd")) <= 2e-5
    assert farthest(answers(pipe, "sd"), answers(plain("sd"), "sd")) > 0.1


def test_a_folder_of_peft_keeps_its_alpha(tmp_path: Path) -> None:
    """It is in adapter_config.json, of which the numbers alone are read."""
    from peft import LoraConfig, get_peft_model

    trained, pipe = plain("sd"), plain("sd")
    torch.manual_seed(0)
    wrapped = get_peft_model(
        trained.unet, LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=["to_k"], init_lora_weights=False)
    )
    wrapped.save_pretrained(str(tmp_path))
    expected = answers(trained, "sd")
    add_loras(pipe, [Lora(path=str(tmp_path))])
    assert farthest(answers(pipe, "sd"), expected) <= 2e-5
    assert farthest(answers(plain("sd"), "sd"), expected) > 1e-2


def test_kernels_taken_apart_and_shapes_of_1x1(tmp_path: Path) -> None:
    pipe, by_hand = plain("sd"), plain("sd")
    generator = torch.Generator().manual_seed(2)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.3

    shapes = shapes_of(pipe.unet)
    conv, matrix = "down_blocks.0.resnets.0.conv1", LAYER
    out, taken = shapes[conv][:2]
    down, mid, up = drawn(2, taken, 1, 1), drawn(3, 2, 3, 3), drawn(out, 3, 1, 1)
    key = kohya_key("unet", conv, "sd")
    content = {f"{key}.lora_down.weight": down, f"{key}.lora_mid.weight": mid, f"{key}.lora_up.weight": up}
    content[f"{key}.alpha"] = torch.tensor(1.0, dtype=torch.bfloat16)
    changes = {("unet", conv): torch.einsum("or,rskl,si->oikl", up[..., 0, 0], mid, down[..., 0, 0]) / 2}
    # A matrix written as a 1x1 kernel, as older files have it.
    down, up = drawn(2, shapes[matrix][1], 1, 1), drawn(shapes[matrix][0], 2, 1, 1)
    key = kohya_key("unet", matrix, "sd")
    content |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
    changes["unet", matrix] = up[..., 0, 0] @ down[..., 0, 0]
    save_file(content, tmp_path / "lora.safetensors")
    merge(by_hand, changes)
    add_loras(pipe, [Lora(path=str(tmp_path / "lora.safetensors"))])
    assert farthest(answers(pipe, "sd"), answers(by_hand, "sd")) <= 2e-5
    assert farthest(answers(plain("sd"), "sd"), answers(by_hand, "sd")) > 1e-2


def test_half_precision_files_on_half_precision_models(tmp_path: Path) -> None:
    """alpha/rank is no part of the weights, which would lose digits by it."""
    pipe = plain("sd")
    kohya_lora(pipe, "sd", tmp_path / "lora.safetensors", ranks=[4], alphas=[0.25], size=1e-2)
    save_file({k: v.half() for k, v in load_file(tmp_path / "lora.safetensors").items()}, tmp_path / "half.safetensors")
    pipe.unet.to(torch.float16)
    add_loras(pipe, [Lora(path=str(tmp_path / "half.safetensors"))])
    layer = pipe.unet.get_submodule(LAYER)
    assert (layer.lora_A["fusionkit_0"].weight.dtype, layer.scaling["fusionkit_0"]) == (torch.float16, 0.0625)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda value: value * float("nan"), "has numbers that are not finite in lora_te_text_model_encoder"),
        (torch.zeros_like, "changes nothing: in each of its layers one matrix is zero"),
    ],
)
def test_numbers_that_can_not_be_meant(tmp_path: Path, change: Any, problem: str) -> None:
    pipe = plain("sd")
    before = answers(pipe, "sd")
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    kohya_lora(pipe, "sd", good)
    save_file({key: change(value) if "up.weight" in key else value for key, value in load_file(good).items()}, bad)
    with pytest.raises(ModelError) as caught:
        add_loras(pipe, [Lora(path=str(good)), Lora(path=str(bad))])
    assert str(caught.value).startswith(f"LoRA '{bad}' {problem}")
    assert pipe.get_list_adapters() == {}
    assert farthest(answers(pipe, "sd"), before) == 0


def test_a_layer_that_did_not_take_its_weights_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the libraries do: what is on the model is counted."""
    from fusionkit.models.lora import layers as lora_layers

    inject = lora_layers.inject_adapter_in_model

    def forgetful(config: Any, module: Any, adapter_name: str) -> Any:
        config.target_modules = set(sorted(config.target_modules)[1:])
        return inject(config, module, adapter_name=adapter_name)

    monkeypatch.setattr(lora_layers, "inject_adapter_in_model", forgetful)
    pipe = plain("sd")
    kohya_lora(pipe, "sd", tmp_path / "lora.safetensors", wanted=lambda name: "attn1" in name)
    with pytest.raises(
        ModelError, match=r"was not put on 1 of its \d+ layers: unet: down_blocks.0.attentions.0"
    ) as caught:
        add_loras(pipe, [Lora(path=str(tmp_path / "lora.safetensors"))])
    assert "\n" not in str(caught.value)
    assert pipe.get_list_adapters() == {}
