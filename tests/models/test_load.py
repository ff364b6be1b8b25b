"""Loading: folders and single files, devices, types, offload, LoRAs, tiling; and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from damaged import change
from safetensors.torch import load_file
from single_file import save_single_file
from tiny_models import CHECKPOINTS, drawn, info_of, plain, run, stage_on

from fusionkit.errors import ModelError, RecipeError
from fusionkit.models.devices import pick_device, pick_dtype
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_model, load_pipeline, place, wrap_pipeline
from fusionkit.models.lora.loras import add_loras, remove_loras
from fusionkit.recipe import Lora, Recipe


def loaded(kind: str, **recipe: Any) -> Any:
    source = str(CHECKPOINTS / f"tiny-{kind}")
    return load_model(Recipe(model=source, device="cpu", **recipe), inspect_model(source))


def test_a_folder_draws_what_its_plain_pipeline_draws(kind: str) -> None:
    stage = stage_on(loaded(kind))
    assert (run(stage) - drawn(plain(kind), stage)).abs().max() <= 1e-4


def test_loading_says_nothing(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    loaded(kind)
    assert capfd.readouterr() == ("", "")


def test_the_libraries_speak_again_afterwards() -> None:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    def settings() -> tuple[Any, ...]:
        return tuple(
            (each.get_verbosity(), each.is_progress_bar_enabled()) for each in (diffusers_logging, transformers_logging)
        )

    before = settings()
    loaded("sd")
    assert settings() == before
    assert before[0][1]
    assert before[1][1]


def test_types_and_devices() -> None:
    assert loaded("sd").dtype == torch.float32
    assert loaded("sd", dtype="bfloat16").dtype == torch.bfloat16
    assert loaded("sd").device == torch.device("cpu")
    assert pick_dtype("auto", torch.device("cuda")) == torch.float16
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32
    assert pick_dtype("float32", torch.device("cuda")) == torch.float32
    assert pick_device("cpu").type == "cpu"


def test_a_vae_that_needs_float32_keeps_it(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-sd", tmp_path / "model"))
    config = folder / "vae" / "config.json"
    config.write_text(config.read_text().replace('"force_upcast": false', '"force_upcast": true'))
    pipe = load_pipeline(str(folder), "sd", dtype=torch.float16)
    assert (pipe.unet.dtype, pipe.vae.dtype) == (torch.float16, torch.float32)


def test_channels_last_changes_the_layout_alone(kind: str) -> None:
    model = loaded(kind, channels_last=True)
    assert model.pipe.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert (run(stage_on(model)) - run(stage_on(loaded(kind)))).abs().max() <= 1e-4


def test_what_this_machine_does_not_have_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        loaded("sd", offload="model", loras=[Lora(path=str(tmp_path / "gone.safetensors"))])
    assert caught.value.problems == [
        f"LoRA '{tmp_path / 'gone.safetensors'}': no such file or folder",
        "offload 'model' moves weights to a GPU when they are needed; there is none in use",
    ]


def test_offloaded_models_draw_the_same(pipe: Any) -> None:
    """With the hooks of a GPU, but on the CPU."""
    stage = stage_on(wrap_pipeline(pipe))
    expected = run(stage)
    picture = stage.model.decode(expected)

    place([pipe], torch.device("cpu"), "model")
    model = wrap_pipeline(pipe)

    assert model.device == torch.device("cpu")
    for _ in range(2):
        assert (run(stage_on(model)) - expected).abs().max() <= 1e-4
        assert model.decode(expected).tobytes() == picture.tobytes()


def test_a_pipeline_may_change_after_it_was_wrapped(pipe: Any) -> None:
    model = wrap_pipeline(pipe)
    assert model.dtype == torch.float32
    pipe.to(torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert run(stage_on(model)).dtype == torch.float32


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(RecipeError, match=r"^device 'cuda:77' is not there; this machine has: .*cpu$"):
        pick_device("cuda:77")


def test_weights_that_do_not_fit_their_configuration(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-sd", tmp_path / "model"))
    config = folder / "unet" / "config.json"
    config.write_text(config.read_text().replace('"layers_per_block": 1', '"layers_per_block": 2'))
    info = inspect_model(str(folder))
    with pytest.raises(ModelError) as caught:
        load_model(Recipe(model=str(folder), device="cpu"), info)
    assert str(caught.value).startswith(f"model '{folder}': unet does not fit its configuration; ")
    assert "\n" not in str(caught.value)


def test_a_single_file(tmp_path: Path) -> None:
    """As diffusers loads it, with the configuration from a folder: the hub's is not within reach of a test."""
    path = tmp_path / "tiny.safetensors"
    save_single_file(plain("sd"), CHECKPOINTS / "tiny-sd", path)

    info = inspect_model(str(path))
    pipe = load_pipeline(str(path), "sd", dtype=torch.float32, base=str(CHECKPOINTS / "tiny-sd"))

    assert (info.kind, info.prediction_type) == ("sd", "epsilon")
    assert info.parameters == info_of("sd").parameters
    stage = stage_on(wrap_pipeline(pipe))
    assert (run(stage) - drawn(plain("sd"), stage)).abs().max() <= 1e-4
    picture = wrap_pipeline(pipe).decode(stage.noise("init"))
    assert picture.tobytes() == wrap_pipeline(plain("sd")).decode(stage.noise("init")).tobytes()


def test_a_single_file_of_nine_channels(tmp_path: Path) -> None:
    """It fills in, and its base must as well."""
    pipe, folder, path = plain("sd"), tmp_path / "base", tmp_path / "filling.safetensors"
    shutil.copytree(CHECKPOINTS / "tiny-sd", folder)
    change(folder / "unet" / "config.json", in_channels=9)
    first = pipe.unet.conv_in
    first.weight = torch.nn.Parameter(torch.cat([first.weight, first.weight, first.weight[:, :1]], dim=1))
    save_single_file(pipe, CHECKPOINTS / "tiny-sd", path)
    assert inspect_model(str(path)).fills_masks
    with pytest.raises(ModelError, match=r"has in_channels 9, and its base '.*tiny-sd' 4; name the base that it was"):
        inspect_model(str(path), base=str(CHECKPOINTS / "tiny-sd"))
    assert inspect_model(str(path), base=str(folder)).fills_masks
    model: Any = wrap_pipeline(load_pipeline(str(path), "sd", dtype=torch.float32, base=str(folder)))
    assert model.info.fills_masks
    assert model.pipe.unet.conv_in.weight.equal(first.weight)


def test_a_single_file_whose_configuration_is_out_of_reach(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_single_file(plain("sd"), CHECKPOINTS / "tiny-sd", path)
    with pytest.raises(ModelError) as caught:
        load_model(Recipe(model=str(path), device="cpu"), inspect_model(str(path)))
    assert str(caught.value) == (
        f"model '{path}' holds weights alone: their configuration comes from the hub, which can't be reached, or "
        f"its cache; where the hub is there, save the model as a folder: pipe.save_pretrained(folder)"
    )
    assert "\n" not in str(caught.value)


@pytest.fixture
def lora(kind: str, tmp_path: Path) -> Path:
    """A real LoRA of the kind, strong enough to be seen."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipe = plain(kind)
    pipe.unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    generator = torch.Generator().manual_seed(0)
    layers = {
        name: torch.randn(value.shape, generator=generator) * 0.3
        for name, value in get_peft_model_state_dict(pipe.unet).items()
    }
    type(pipe).save_lora_weights(tmp_path / "lora", unet_lora_layers=layers)
    return tmp_path / "lora" / "pytorch_lora_weights.safetensors"


def test_a_lora_is_put_on_and_taken_off(kind: str, lora: Path) -> None:
    assert load_file(lora)
    without = run(stage_on(loaded(kind)))

    model = loaded(kind, loras=[Lora(path=str(lora), scale=0.5)])
    half = run(stage_on(model))
    full = run(stage_on(loaded(kind, loras=[Lora(path=str(lora.parent), weight_name=lora.name)])))
    twice = run(stage_on(loaded(kind, loras=[Lora(path=str(lora), scale=0.25), Lora(path=str(lora), scale=0.25)])))
    none = run(stage_on(loaded(kind, loras=[Lora(path=str(lora), scale=0.0)])))

    assert (half - without).abs().max() > 1e-2
    assert (full - half).abs().max() > 1e-2
    assert (twice - half).abs().max() <= 1e-3
    assert (none - without).abs().max() <= 1e-4

    remove_loras(model.pipe)
    assert run(stage_on(model)).equal(without)
    assert model.pipe.unet.state_dict().keys() == plain(kind).unet.state_dict().keys()


def test_loras_that_are_no_loras(pipe: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "lora.bin").write_bytes(b"")
    for path, problem in (
        (tmp_path / "empty", f"LoRA '{tmp_path / 'empty'}' has no .safetensors file"),
        (tmp_path / "lora.bin", f"LoRA '{tmp_path / 'lora.bin'}' is pickled, which can run any code and is refused; "),
        ("no such thing", "LoRA 'no such thing': no such file or folder"),
    ):
        with pytest.raises(RecipeError) as caught:
            loaded("sd", loras=[Lora(path=str(path))])
        assert str(caught.value).startswith(problem)
    weights = CHECKPOINTS / "tiny-sd" / "vae" / "diffusion_pytorch_model.safetensors"
    before = run(stage_on(wrap_pipeline(pipe)))
    with pytest.raises(ModelError, match=r"^LoRA '.*' is no LoRA: it holds [^\n]*$"):
        add_loras(pipe, [Lora(path=str(weights))])
    assert run(stage_on(wrap_pipeline(pipe))).equal(before)


def test_a_pipeline_with_loras_gets_no_others(kind: str, lora: Path) -> None:
    pipe = plain(kind)
    pipe.load_lora_weights(str(lora), adapter_name="mine")
    with pytest.raises(ModelError, match="the pipeline has LoRAs of its own"):
        add_loras(pipe, [Lora(path=str(lora))])
    assert pipe.get_list_adapters() == {"unet": ["mine"]}
