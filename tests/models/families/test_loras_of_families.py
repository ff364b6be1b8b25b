"""LoRAs on transformers: what they add, that they come off again, and those of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from on_families import apart, model_of, stage_on
from safetensors.torch import save_file
from tiny_parts import Case

from fusionkit.loop.stage import Patches
from fusionkit.loop.views import View
from fusionkit.models.inspect import inspect_model
from fusionkit.models.lora.layers import shapes_of
from fusionkit.models.lora.loras import add_loras, check_loras, remove_loras
from fusionkit.models.offers import takes_loras
from fusionkit.recipe import Lora, ModelSpec

SD = Path(__file__).parents[2] / "golden" / "checkpoints" / "tiny-sd"


def lora_of(denoiser: Any, path: Path, prefix: str = "transformer.") -> dict[str, torch.Tensor]:
    """A file that changes the layers of the blocks, and what it adds to each at scale 1."""
    generator = torch.Generator().manual_seed(0)
    tensors, added = {}, {}
    for name, (out, taken, *_) in shapes_of(denoiser).items():
        if "attn" not in name and "attention" not in name:
            continue
        down, up = (0.3 * torch.randn(shape, generator=generator) for shape in ((2, taken), (out, 2)))
        tensors |= {f"{prefix}{name}.lora_A.weight": down, f"{prefix}{name}.lora_B.weight": up}
        added[name] = up @ down
    save_file(tensors, path)
    return added


def predicted(model: Any) -> torch.Tensor:
    stage = stage_on(model)
    latents = stage.noise("x", (1, stage.shape[1], 16, 16))
    answer: torch.Tensor = model.predict(
        stage, stage.steps[0], Patches((View(0, 0, 16, 16),), latents=latents, prompts=["a boat"])
    )
    return answer


def test_a_lora_adds_what_it_holds_and_comes_off_again(family: Case, tmp_path: Path) -> None:
    model = model_of(family)
    if not takes_loras(model.family):
        pytest.skip("diffusers loads no LoRA for the family")
    pipe, denoiser = model.pipe, model.denoiser
    path = tmp_path / "lora.safetensors"
    added = lora_of(denoiser, path, f"{model.family.denoiser}.")
    assert len(added) >= 4
    plain, layers = predicted(model), dict(denoiser.named_modules())

    add_loras(pipe, [Lora(path=str(path), scale=0.5)])
    with_lora = predicted(model)
    remove_loras(pipe)

    assert predicted(model).equal(plain)
    assert {name: id(each) for name, each in denoiser.named_modules()} == {n: id(each) for n, each in layers.items()}
    kept = {name: layers[name].weight.data.clone() for name in added}
    for name, change in added.items():
        layers[name].weight.data += 0.5 * change.reshape(layers[name].weight.shape)
    merged = predicted(model)
    for name, weights in kept.items():
        layers[name].weight.data = weights
    assert apart(with_lora, merged) <= 1e-4 * float(merged.std()) + 1e-4
    assert apart(with_lora, plain) > 1e-2


def test_a_lora_of_another_family_is_refused_before_the_model_loads(family: Case, tmp_path: Path) -> None:
    pipe, folder, file = family.make(), tmp_path / "model", tmp_path / "lora.safetensors"
    if not hasattr(pipe, "transformer"):
        pytest.skip("tests/models/test_loras.py has those of UNets")
    pipe.save_pretrained(folder)
    info = inspect_model(str(folder))
    spec = ModelSpec(model=str(folder), loras=(Lora(path=str(file)),))

    def problem() -> str:
        (line,) = check_loras(spec, info) or [""]
        return line.replace(str(tmp_path), "")

    lora_of(pipe.transformer, file)
    own = model_of(family).family
    title = own.title
    assert takes_loras(own) == ("transformer" in getattr(pipe, "_lora_loadable_modules", ()))
    if not takes_loras(own):
        told = f"LoRA '/lora.safetensors' can't be put on {title} models, for which diffusers knows none"
        assert problem() == told
        return
    assert problem() == ""
    save_file(
        {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": torch.ones(2, 8)}
        | {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": torch.ones(8, 2)},
        file,
    )
    assert problem() == f"LoRA '/lora.safetensors' is for Stable Diffusion 1, 2 or XL, not for {title}"
    lora_of(pipe.transformer, file, "lora_unet_double_blocks_0.")
    assert "spells its layers as another program does" in problem()
    assert f"{own.pipelines[0]}.lora_state_dict(FILE)" in problem()
    lora_of(torch.nn.ModuleDict({"other_attn": torch.nn.Linear(4, 4)}), file)
    assert problem() == (
        "LoRA '/lora.safetensors' changes 1 of 1 layers that '/model' does not have: transformer: other_attn"
    )
    sd = ModelSpec(model=str(SD), loras=spec.loras)
    lora_of(pipe.transformer, file)
    (line,) = check_loras(sd, inspect_model(str(SD)))
    assert "not for Stable Diffusion 1" in line
