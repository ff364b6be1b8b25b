"""Model folders as they come out of interrupted downloads, other tools and edits by hand: drawn, or told beforehand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import CHECKPOINTS, info_of, plain

from fusionkit.errors import ModelError
from fusionkit.models.controlnet import inspect_controlnet
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_pipeline, wrap_pipeline
from fusionkit.models.lora.loras import check_loras
from fusionkit.recipe import Lora, ModelSpec

UNET = "unet/diffusion_pytorch_model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3438167534\n"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Edit = Callable[[Path], Any]


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def without(file: Path, *keys: str) -> None:
    file.write_text(json.dumps({key: each for key, each in json.loads(file.read_text()).items() if key not in keys}))


def rewritten(file: Path, edit: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(edit(load_file(file)), file)


def old_attention(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for key, each in weights.items():
        for now, then in names.items():
            key = key.replace(f"attentions.0.{now}", f"attentions.0.{then}")
        renamed[key] = each
    return renamed


def fast_alone(folder: Path) -> None:
    plain("sd").tokenizer.save_pretrained(folder / "tokenizer")
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json"):
        (folder / "tokenizer" / name).unlink(missing_ok=True)


DRAW: Mapping[str, Edit] = {
    "a safety checker that is not there": lambda folder: change(
        folder / "model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"]
    ),
    "no word of a safety checker": lambda folder: without(
        folder / "model_index.json", "safety_checker", "feature_extractor", "requires_safety_checker"
    ),
    "the position ids of older libraries": lambda folder: rewritten(
        folder / "text_encoder" / "model.safetensors",
        lambda weights: {**weights, "text_model.embeddings.position_ids": torch.arange(77)[None]},
    ),
    "an autoencoder's older names": lambda folder: rewritten(
        folder / "vae" / "diffusion_pytorch_model.safetensors", old_attention
    ),
    "what git, a desktop and a browser leave": lambda folder: [
        (folder / name).write_bytes(b"x") for name in ("unet/.DS_Store", "README.md", "v1-5.ckpt", "unet/a.bin")
    ],
    "no map of special tokens": lambda folder: (folder / "tokenizer" / "special_tokens_map.json").unlink(),
    "a fast tokenizer's file alone": fast_alone,
    "a fast tokenizer's class": lambda folder: change(
        folder / "model_index.json", tokenizer=["transformers", "CLIPTokenizerFast"]
    ),
    "merges with a carriage return": lambda folder: (folder / "tokenizer" / "merges.txt").write_bytes(
        (folder / "tokenizer" / "merges.txt").read_bytes().replace(b"\n", b"\r\n")
    ),
    "another pipeline's name": lambda folder: change(
        folder / "model_index.json", _class_name="StableDiffusionControlNetPipeline", controlnet=["diffusers", "X"]
    ),
    "an attention by name": lambda folder: change(
        folder / "text_encoder" / "config.json", attn_implementation="eager", _attn_implementation_autoset=True
    ),
}


@pytest.mark.parametrize("case", DRAW)
def test_folders_that_draw(tmp_path: Path, case: str) -> None:
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-sd", tmp_path / "model"))
    DRAW[case](folder)
    inspect_model(str(folder))
    pipe, whole = load_pipeline(str(folder), "sd", dtype=torch.float32), plain("sd")
    for part in ("unet", "vae"):
        ours, theirs = getattr(pipe, part).state_dict(), getattr(whole, part).state_dict()
        assert all(each.equal(ours[name]) for name, each in theirs.items())
    assert torch.allclose(wrap_pipeline(pipe).embed("a cat")[0], wrap_pipeline(whole).embed("a cat")[0], atol=1e-5)


TOLD: Mapping[str, tuple[Edit, str]] = {
    "a pointer of git-lfs": (
        lambda folder: (folder / UNET).write_text(POINTER),
        "diffusion_pytorch_model.safetensors is a pointer of git-lfs, not the weights; get them: git lfs pull",
    ),
    "a safety checker that is null": (
        lambda folder: change(folder / "model_index.json", safety_checker=None),
        "model_index.json must say [null, null] for a 'safety_checker' that is not there, not null",
    ),
    "no settings of the tokenizer": (
        lambda folder: (folder / "tokenizer" / "tokenizer_config.json").unlink(),
        "can't read a prompt: its tokenizer has no tokenizer_config.json, which tells how long one may be and what "
        "fills it up; get that file too",
    ),
    "no merges": (
        lambda folder: (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n"),
        "merges.txt has 0 merges, and the vocabulary needs 280; get its files again",
    ),
    "another tokenizer's merges": (
        lambda folder: (folder / "tokenizer" / "merges.txt").write_text("\n".join(["q z"] * 280)),
        "merges.txt makes 'qz', which vocab.json does not have; get its files again",
    ),
    "another tokenizer's class": (
        lambda folder: change(folder / "model_index.json", tokenizer=["transformers", "T5Tokenizer"]),
        "can't read a prompt: its tokenizer needs spiece.model or tokenizer.json, and they are not there",
    ),
    "another text encoder's width": (
        lambda folder: (
            change(folder / "unet" / "config.json", cross_attention_dim=64),
            change(folder / "text_encoder" / "config.json", hidden_size=64),
        ),
        "unet/config.json does not fit its weights: down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight "
        "takes 32 numbers a token, not 64",
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_folders_that_are_told(tmp_path: Path, case: str) -> None:
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-sd", tmp_path / "model"))
    edit, expected = TOLD[case]
    edit(folder)
    with pytest.raises(ModelError) as caught:
        inspect_model(str(folder))
    assert expected in str(caught.value)
    assert all(line.startswith(f"model '{folder}'") for line in str(caught.value).splitlines())


NETS: Mapping[str, tuple[Edit, str]] = {
    "a pointer of git-lfs": (
        lambda folder: (folder / "diffusion_pytorch_model.safetensors").write_text(POINTER),
        "is a pointer of git-lfs",
    ),
    "classes": (
        lambda folder: change(folder / "config.json", class_embed_type="timestep"),
        "takes more than a prompt and a hint (class_embed_type 'timestep'); use another",
    ),
    "null for a list": (
        lambda folder: change(folder / "config.json", conditioning_embedding_out_channels=None),
        "'conditioning_embedding_out_channels' of config.json must be a list, not null",
    ),
}


@pytest.mark.parametrize("case", NETS)
def test_controlnets_that_are_told(tmp_path: Path, case: str) -> None:
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-controlnet", tmp_path / "net"))
    edit, expected = NETS[case]
    edit(folder)
    with pytest.raises(ModelError, match=r"^controlnet '") as caught:
        inspect_controlnet(str(folder))
    assert expected in str(caught.value)


def test_a_lora_that_is_a_pointer(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    path.write_text(POINTER)
    spec = ModelSpec(model=str(CHECKPOINTS / "tiny-sd"), loras=[Lora(path=str(path))])
    assert check_loras(spec, info_of("sd")) == [
        f"LoRA '{path}' is a pointer of git-lfs, not the LoRA; get it: git lfs pull"
    ]


ASK = """
from fusionkit.errors import ModelError
from fusionkit.models.inspect import inspect_model
for name, revision in [*(("me/linked", each) for each in (None, "{commit}", "v9")), ("me/cut", None), ("me/no", None)]:
    try:
        print(inspect_model(name, revision=revision).parameters)
    except ModelError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own there")
def test_the_hubs_cache_without_a_network(tmp_path: Path) -> None:
    """As the hub's client lays it out: snapshots of links into blobs, and the branch's commit in refs."""
    for name in ("linked", "cut"):
        root = tmp_path / "hub" / f"models--me--{name}"
        for number, file in enumerate(sorted(each for each in (CHECKPOINTS / "tiny-sd").rglob("*") if each.is_file())):
            link = root / "snapshots" / COMMIT / file.relative_to(CHECKPOINTS / "tiny-sd")
            blob = root / "blobs" / str(number)
            for folder in (link.parent, blob.parent, root / "refs"):
                folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, blob)
            link.symlink_to(os.path.relpath(blob, link.parent))
        (root / "refs" / "main").write_text(COMMIT)
    cut = (root / "snapshots" / COMMIT / UNET).resolve()
    cut.write_bytes(cut.read_bytes()[:-100])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    script = ASK.replace("{commit}", COMMIT)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines() == [
        "502371",
        "502371",
        "model 'me/linked' is not in the local cache in revision 'v9' and the hub can't be reached",
        f"model 'me/cut': {UNET} is 100 bytes too short: it was not downloaded or copied whole; get it again",
        "model 'me/no' is not in the local cache and the hub can't be reached; there is no such folder either",
    ]
