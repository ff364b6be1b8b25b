"""What is said of LoRA files before anything loads, from their headers alone."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from local_hub import hub
from safetensors.torch import save_file
from tiny_models import CHECKPOINTS, info_of

from fusionkit.models.lora.file import read_lora
from fusionkit.models.lora.loras import check_loras
from fusionkit.models.lora.names import of_stability, plain
from fusionkit.recipe import Lora, ModelSpec

MODEL = str(CHECKPOINTS / "tiny-sd")
LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
Shapes = Mapping[str, tuple[int, ...]]


def problems(path: Path | str, weight_name: str | None = None, model: str = MODEL, kind: str = "sd") -> list[str]:
    return check_loras(ModelSpec(model=model, loras=[Lora(path=str(path), weight_name=weight_name)]), info_of(kind))


def written(path: Path, shapes: Shapes) -> Path:
    save_file({key: torch.ones(shape) for key, shape in shapes.items()}, path)
    return path


def pair(layer: str, taken: int, out: int, rank: int = 2) -> dict[str, tuple[int, ...]]:
    return {f"{layer}.lora_down.weight": (rank, taken), f"{layer}.lora_up.weight": (out, rank)}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A file that fits tiny-sd."""
    return written(tmp_path / "whole.safetensors", pair(LAYER, 32, 16))


def test_a_file_that_fits(whole: Path) -> None:
    assert problems(whole) == []


CASES: dict[str, tuple[Shapes, str]] = {
    "half": (
        {f"{LAYER}.lora_down.weight": (2, 32), f"{LAYER}.alpha": ()},
        f"is not whole: 'down' or 'up' is missing of {LAYER}",
    ),
    "alpha alone": (
        {**pair(LAYER, 32, 16), "lora_te_x.alpha": ()},
        "is not whole: 'down' or 'up' is missing of lora_te_x",
    ),
    "ranks": (
        {f"{LAYER}.lora_down.weight": (2, 32), f"{LAYER}.lora_up.weight": (32, 3)},
        f"has matrices that can't be multiplied, of {LAYER}",
    ),
    "shapes": (
        pair(LAYER, 32, 64),
        f"does not fit 1 of the layers of '{MODEL}': unet: {LAYER.removeprefix('lora_unet_')} "
        f"(64x32 here, 16x32 there)",
    ),
    "lacking": (
        {**pair(LAYER, 32, 16), **{k: s for n in range(5) for k, s in pair(f"unet.down_blocks.9.q{n}", 4, 4).items()}},
        f"changes 5 of 6 layers that '{MODEL}' does not have: unet: down_blocks.9.q0, unet: down_blocks.9.q1, "
        f"unet: down_blocks.9.q2 and 2 more",
    ),
    "second encoder": (
        pair("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 32, 32),
        "is for SDXL, not for Stable Diffusion 1 or 2: it changes a second text encoder",
    ),
    "another width": (
        pair(LAYER, 2048, 16),
        f"is for a model whose text has 2048 numbers a token, not 32 as '{MODEL}' has",
    ),
    "flux": (
        pair("transformer.single_transformer_blocks.0.attn.to_q", 8, 8),
        "is for Flux, or a model like it, not for Stable Diffusion 1 or 2: it changes "
        "transformer.single_transformer_blocks.0.attn.to_q",
    ),
    "flux by kohya": (
        pair("lora_transformer_double_blocks_0_img_attn_qkv", 8, 8),
        "is for Flux, or a model like it, not for Stable Diffusion 1 or 2: it changes "
        "lora_transformer_double_blocks_0_img_attn_qkv",
    ),
    "flux by kohya's own name": (
        pair("lora_unet_double_blocks_0_img_attn_qkv", 8, 8),
        "is for Flux, or a model like it, not for Stable Diffusion 1 or 2: it changes double_blocks_0_img_attn_qkv",
    ),
    "sd3": (
        pair("transformer.transformer_blocks.0.attn.add_k_proj", 8, 8),
        "is for Stable Diffusion 3, or another transformer, not for Stable Diffusion 1 or 2: it changes "
        "transformer.transformer_blocks.0.attn.add_k_proj",
    ),
    "another trainer's prefix": (
        pair("module.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", 32, 16),
        "is for another kind of model, not for Stable Diffusion 1 or 2: it changes module.down_blocks.0.",
    ),
    "dora": (
        {**pair(LAYER, 32, 16), f"{LAYER}.dora_scale": (32, 1)},
        f"is or holds a DoRA ({LAYER}.dora_scale), which can't be put on; merge it into its model with the tool that "
        f"made it, and name that model",
    ),
    "dora of peft": (
        {"unet.a.lora_A.weight": (2, 4), "unet.a.lora_B.weight": (4, 2), "unet.a.lora_magnitude_vector": (4,)},
        "is or holds a DoRA (unet.a.lora_magnitude_vector), which can't be put on; merge it",
    ),
    "loha": ({f"{LAYER}.hada_w1_a": (4, 2), f"{LAYER}.alpha": ()}, f"is or holds a LoHa ({LAYER}.hada_w1_a), which"),
    "lokr": ({f"{LAYER}.lokr_w1": (4, 4)}, f"is or holds a LoKr ({LAYER}.lokr_w1), which"),
    "ia3": ({f"{LAYER}.weight": (4,), f"{LAYER}.on_input": ()}, f"is or holds a (IA)3 ({LAYER}.on_input), which"),
    "no lora": ({"decoder.conv_in.weight": (4, 4)}, "is no LoRA: it holds decoder.conv_in.weight"),
    "something beside": (
        {**pair(LAYER, 32, 16), "optimizer.state": (4,)},
        "holds 1 tensors that are no LoRA's: optimizer.state",
    ),
    "twice": (
        {**pair(LAYER, 32, 16), **pair("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", 32, 16)},
        f"does not fit 1 of the layers of '{MODEL}': unet: "
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k (twice in the file)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_files_that_do_not_fit_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    shapes, problem = CASES[case]
    path = written(tmp_path / "lora.safetensors", shapes)
    found = problems(path)
    assert found[0].startswith(f"LoRA '{path}' {problem}")
    assert all("\n" not in line for line in found)
    assert len(found) == (2 if case == "ia3" else 1)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda raw: raw[:-5], "is damaged, or no safetensors file"),
        (lambda raw: raw[:40], "is damaged, or no safetensors file"),
        (lambda raw: raw[:3], "is damaged, or no safetensors file"),
        (lambda raw: b"", "is damaged, or no safetensors file: its header has no sensible length"),
        (
            lambda raw: struct.pack("<Q", 2**60) + raw[8:],
            "is damaged, or no safetensors file: its header has no sensible",
        ),
        (lambda raw: raw.replace(b'"F32"', b'"Q32"', 1), "is damaged, or no safetensors file"),
        (lambda raw: struct.pack("<Q", 200_000) + b"[" * 200_000, "is damaged, or no safetensors file"),
    ],
)
def test_damaged_files(whole: Path, change: object, problem: str) -> None:
    whole.write_bytes(change(whole.read_bytes()))  # type: ignore[operator]
    (found,) = problems(whole)
    assert found.startswith(f"LoRA '{whole}' {problem}")


@pytest.mark.parametrize("alpha", [torch.tensor(float("inf")), torch.tensor(1e30), torch.ones(3), torch.tensor(True)])
def test_alphas_that_are_no_numbers(tmp_path: Path, alpha: torch.Tensor) -> None:
    path = tmp_path / "lora.safetensors"
    tensors = {key: torch.ones(shape) for key, shape in pair(LAYER, 32, 16).items()}
    save_file({**tensors, f"{LAYER}.alpha": alpha}, path)
    assert problems(path) == [f"LoRA '{path}' has an alpha that is no number of a sensible size, of {LAYER}"]


def test_a_folder_with_several_files_needs_a_name(tmp_path: Path, whole: Path) -> None:
    written(tmp_path / "another.safetensors", pair(LAYER, 32, 16))
    (tmp_path / "lora.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "evil.bin"}}))
    assert problems(tmp_path) == [
        f"LoRA '{tmp_path}' has 2 .safetensors files; say which by weight-name: another.safetensors, whole.safetensors"
    ]
    assert problems(tmp_path, "whole.safetensors") == []
    named = tmp_path / "evil.bin"
    named.write_bytes(b"")
    assert problems(tmp_path, "evil.bin") == [
        f"LoRA '{named}' is pickled, which can run any code and is refused; convert it to .safetensors"
    ]
    assert problems(tmp_path, "gone.safetensors") == [f"LoRA '{tmp_path / 'gone.safetensors'}': no such file or folder"]
    (found,) = problems(tmp_path, "lora.safetensors.index.json")
    assert found.endswith("has the weight-name 'lora.safetensors.index.json', which is no .safetensors file")
    (found,) = problems(tmp_path, "../whole.safetensors")
    assert found.endswith("has the weight-name '../whole.safetensors', which is outside of it")
    (found,) = problems(whole, "another.safetensors")
    assert found == f"LoRA '{whole}' is a file, and has no weight-name 'another.safetensors' in it"


def test_what_exists_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("owner/lora").mkdir(parents=True)
    with hub({}) as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert problems("owner/lora") == ["LoRA 'owner/lora' has no .safetensors file"]
        written(Path("owner/lora/a.safetensors"), pair(LAYER, 32, 16))
        assert problems("owner/lora") == []
    assert asked == []


ASK = """
import json, sys
from fusionkit.models.inspect import inspect_model
from fusionkit.models.lora.loras import check_loras
from fusionkit.recipe import Lora, ModelSpec

model, cases = json.loads(sys.argv[1])
for path, name in cases:
    spec = ModelSpec(model=model, loras=[Lora(path=path, weight_name=name)])
    print(json.dumps([check_loras(spec, inspect_model(model), download=each) for each in (False, True)]))
"""


def test_the_hubs_files_are_listed_before_one_is_fetched(tmp_path: Path) -> None:
    for folder, names in {"two": ("a", "b"), "one": ("a",)}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            written(tmp_path / folder / f"{name}.safetensors", pair("unet.x", 4, 4))
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "a.bin").write_bytes(b"")
    lacking = f"changes 1 of 1 layers that '{MODEL}' does not have: unet: x"
    cases = {
        ("o/two", None): ("has 2 .safetensors files; say which by weight-name: a.safetensors, b.safetensors", "has 2"),
        ("o/two", "c.safetensors"): ("has no file 'c.safetensors'; it has a.safetensors, b.safetensors", "has no file"),
        ("o/two", "b.safetensors"): ("", lacking),
        ("o/one", None): ("", lacking),
        ("o/pickled", None): ("has no .safetensors file", "has no .safetensors file"),
        ("o/none", None): ("", "is not on the hub, and there is no such folder"),
    }
    with hub({f"o/{name}": tmp_path / name for name in ("two", "one", "pickled")}) as (address, asked):
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", ASK, json.dumps([MODEL, list(cases)])],
            env={**os.environ, **settings, "HF_HUB_DISABLE_XET": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    for (path, _), expected, line in zip(cases, cases.values(), done.stdout.splitlines(), strict=True):
        for found, start in zip(json.loads(line), expected, strict=True):
            assert [each[: len(f"LoRA '{path}' {start}")] for each in found] == [f"LoRA '{path}' {start}"] * bool(start)
    assert not [path for path in asked if path.endswith(".bin")]


def test_other_models_are_told_by_their_text(tmp_path: Path) -> None:
    from dataclasses import replace

    from fusionkit.models.lora.file import read_lora
    from fusionkit.models.lora.fit import family_problem

    path = written(tmp_path / "lora.safetensors", pair(LAYER, 2048, 32))
    first = replace(info_of("sd"), cross_attention_dim=768)
    assert family_problem(read_lora(path), first) == "is for SDXL, not for Stable Diffusion 1"
    assert family_problem(read_lora(path), replace(first, cross_attention_dim=2048, kind="sdxl")) == ""
    written(path, pair(LAYER, 1024, 32))
    assert family_problem(read_lora(path), first) == "is for Stable Diffusion 2, not for Stable Diffusion 1"


@pytest.mark.parametrize(
    ("stability", "diffusers"),
    [
        ("input_blocks.0.0", "conv_in"),
        ("input_blocks.3.0.op", "down_blocks.0.downsamplers.0.conv"),
        ("input_blocks.4.0.in_layers.2", "down_blocks.1.resnets.0.conv1"),
        (
            "input_blocks.5.1.transformer_blocks.1.attn1.to_q",
            "down_blocks.1.attentions.1.transformer_blocks.1.attn1.to_q",
        ),
        ("middle_block.1.proj_in", "mid_block.attentions.0.proj_in"),
        ("middle_block.2.out_layers.3", "mid_block.resnets.1.conv2"),
        ("output_blocks.2.1.conv", "up_blocks.0.upsamplers.0.conv"),
        ("output_blocks.5.2.conv", "up_blocks.1.upsamplers.0.conv"),
        ("output_blocks.8.0.skip_connection", "up_blocks.2.resnets.2.conv_shortcut"),
        ("time_embed.2", "time_embedding.linear_2"),
        ("label_emb.0.0", "add_embedding.linear_1"),
        ("out.2", "conv_out"),
        ("down_blocks.1.attentions.0.proj_in", "down_blocks.1.attentions.0.proj_in"),
    ],
)
def test_names_of_stability(stability: str, diffusers: str) -> None:
    """As diffusers' own conversion has them."""
    assert of_stability(plain(stability)) == plain(diffusers)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int16, torch.int8, torch.uint8])
@pytest.mark.parametrize("alpha", [0.0625, -1.75, 448.0, 1.0, 0.001953125])
def test_alphas_of_small_types(tmp_path: Path, dtype: torch.dtype, alpha: float) -> None:
    path = tmp_path / "lora.safetensors"
    number = torch.tensor(alpha if dtype.is_floating_point else round(alpha) % 100 + 1).to(dtype)
    tensors = {key: torch.ones(shape) for key, shape in pair(LAYER, 32, 16).items()}
    save_file({**tensors, f"{LAYER}.alpha": number}, path)
    (layer,) = read_lora(path).layers
    assert layer.alpha == float(number.float())


def test_alphas_that_are_all_zero_are_told_before_loading(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    tensors = {key: torch.ones(shape) for key, shape in pair(LAYER, 32, 16).items()}
    save_file({**tensors, f"{LAYER}.alpha": torch.tensor(0.0)}, path)
    assert problems(path) == [f"LoRA '{path}' changes nothing: the alpha of each of its layers is 0"]
