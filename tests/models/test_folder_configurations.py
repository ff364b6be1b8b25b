"""Model folders from strangers: configurations and tokenizers that can't be used, cost too much, or are missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damaged import change, problems

from fusionkit.errors import ModelError
from fusionkit.models.inspect import inspect_model


@pytest.mark.parametrize(
    ("name", "part", "said"),
    [
        ("text_encoder", ["my_module", "X"], "needs its own code for 'text_encoder' (my_module.X), which is not run"),
        ("scheduler", ["schedules", "X"], "needs its own code for 'scheduler' (schedules.X), which is not run"),
        ("unet", ["transformers", "AutoModel"], "has a AutoModel for its unet; fusionkit takes a UNet2DConditionModel"),
        ("text_encoder", ["transformers", "AutoModel"], "has a transformers.AutoModel for its text_encoder, which is"),
        (
            "tokenizer",
            ["transformers", "AutoTokenizer"],
            "has a transformers.AutoTokenizer for its tokenizer, which is",
        ),
    ],
)
def test_parts_of_other_classes(copied: Callable[[str], Path], name: str, part: list[str], said: str) -> None:
    folder = copied("sd")
    change(folder / "model_index.json", **{name: part})
    (found,) = problems(folder)
    assert found.startswith(said)


@pytest.mark.parametrize("key", ["auto_map", "quantization_config", "transformers_weights", "attn_implementation"])
def test_configurations_that_reach_for_more(copied: Callable[[str], Path], key: str) -> None:
    folder = copied("sd")
    change(folder / "text_encoder" / "config.json", **{key: "somebody/code"})
    (found,) = problems(folder)
    assert found.startswith("text_encoder/config.json asks for ")
    assert found.endswith(f"('{key}'), which is not loaded")


def test_an_adapter_beside_the_text_encoder_is_not_followed(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    adapter = {"base_model_name_or_path": "somebody/else", "peft_type": "LORA"}
    (folder / "text_encoder" / "adapter_config.json").write_text(json.dumps(adapter))
    assert problems(folder) == ["text_encoder/adapter_config.json names another model, which is not loaded; remove it"]


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        (
            "scheduler/scheduler_config.json",
            {"num_train_timesteps": 10**9},
            "'num_train_timesteps' must be 1 to 10000,",
        ),
        (
            "unet/config.json",
            {"layers_per_block": 10**6},
            "'layers_per_block' of unet/config.json must be 0 to 200, not",
        ),
        (
            "unet/config.json",
            {"block_out_channels": [10**6] * 3},
            "'block_out_channels' of unet/config.json must be 1 ",
        ),
        (
            "unet/config.json",
            {"sample_size": 10**6},
            "'sample_size' of unet/config.json must be 1 to 4,096, not 1000000",
        ),
        (
            "unet/config.json",
            {"norm_num_groups": 10**9},
            "unet/config.json: 'norm_num_groups' must be at most 10,000,000",
        ),
        ("vae/config.json", {"block_out_channels": [8] * 40}, "vae/config.json must have at most 12 levels, not 40"),
        (
            "text_encoder/config.json",
            {"num_hidden_layers": 10**6},
            "'num_hidden_layers' of text_encoder/config.json must",
        ),
        (
            "vae/config.json",
            {"scaling_factor": float("nan")},
            "vae/config.json: 'scaling_factor' must be a number, not nan",
        ),
        (
            "unet/config.json",
            {"in_channels": "four"},
            "'in_channels' of unet/config.json must be a whole number, not 'f",
        ),
        (
            "unet/config.json",
            {"block_out_channels": {"a": 1}},
            "'block_out_channels' of unet/config.json must be a list ",
        ),
        (
            "scheduler/scheduler_config.json",
            {"beta_start": []},
            "scheduler/scheduler_config.json: 'beta_start' must be a",
        ),
        ("scheduler/scheduler_config.json", {"_class_name": 3}, "scheduler/scheduler_config.json: has a scheduler 3,"),
        ("model_index.json", {"unet": ["diffusers"]}, "model_index.json must name 'unet' by its library and its class"),
    ],
)
def test_limits_and_types(copied: Callable[[str], Path], file: str, values: dict[str, Any], said: str) -> None:
    folder = copied("sd")
    change(folder / file, **values)
    with pytest.raises(ModelError) as caught:
        inspect_model(str(folder))
    assert any(said in line for line in str(caught.value).splitlines()), str(caught.value)


def test_large_and_deep_files(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    config = folder / "vae" / "config.json"
    for content, said in (
        (" " * 4_000_001, "vae/config.json has 4,000,001 bytes; 4,000,000 are the most that are read"),
        ('{"a":' * 60_000, "vae/config.json can't be read: it is nested too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", "vae/config.json can't be read: a number in it has too many digits"),
        ('{"a": "\ud800"}'.encode("utf-8", "surrogatepass"), "vae/config.json can't be read: it is not UTF-8"),
    ):
        config.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert problems(folder) == [said]


@pytest.mark.parametrize("names", [("vocab.json",), ("merges.txt",), ("vocab.json", "merges.txt")])
def test_a_tokenizer_without_its_files(copied: Callable[[str], Path], names: tuple[str, ...]) -> None:
    folder = copied("sd")
    for name in names:
        (folder / "tokenizer" / name).unlink()
    wanted = "can't read a prompt: its tokenizer needs vocab.json and merges.txt or tokenizer.json, and they are not"
    assert [line.startswith(wanted) for line in problems(folder)] == [True]
    shutil.rmtree(folder / "tokenizer")
    assert problems(folder)[0] == "can't read a prompt: it has no folder tokenizer"


def test_a_tokenizer_of_another_model(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    path = folder / "tokenizer" / "vocab.json"
    vocabulary = json.loads(path.read_text())
    path.write_text(json.dumps({**vocabulary, "one": 794, "two": 795}))
    assert problems(folder) == [
        "has a tokenizer that is not its text encoder's: its tokens go up to 795, and the encoder knows 794"
    ]
    path.write_text(json.dumps(dict(list(vocabulary.items())[:300])))
    assert problems(folder) == [
        "has a tokenizer that is not its text encoder's: it knows 300 tokens, and the encoder 794"
    ]
    path.write_text(json.dumps({**vocabulary, "one": "many"}))
    assert problems(folder) == ["tokenizer/vocab.json is no vocabulary: its tokens must have whole numbers"]
    path.write_text(json.dumps(vocabulary))
    change(folder / "tokenizer" / "tokenizer_config.json", model_max_length=512)
    assert problems(folder) == [
        "can't read a prompt: model_max_length of its tokenizer/tokenizer_config.json is 512; it must be 2 to 77"
    ]


def test_all_that_is_missing_is_named_at_once(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    (folder / "vae" / "config.json").unlink()
    (folder / "text_encoder" / "config.json").unlink()
    change(folder / "model_index.json", tokenizer=[None, None])
    assert problems(folder) == [
        "is no whole diffusers folder: it has no vae/config.json",
        "is no whole diffusers folder: it has no text_encoder/config.json",
        "has no tokenizer in its model_index.json, without which it can't draw",
    ]
    folder = copied("sdxl")
    for part in ("unet", "text_encoder_2"):
        (next((folder / part).glob("*.safetensors"))).unlink()
    assert problems(folder) == ["has no unet/*.safetensors, text_encoder_2/*.safetensors"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"addition_embed_type": "text_image"}, "addition_embed_type 'text_image'"),
        ({"encoder_hid_dim_type": "image_proj"}, "encoder_hid_dim_type 'image_proj'"),
        ({"class_embed_type": "projection"}, "class_embed_type 'projection'"),
        ({"attention_type": "gated"}, "attention_type 'gated'"),
    ],
)
def test_denoisers_of_other_models(copied: Callable[[str], Path], values: dict[str, Any], said: str) -> None:
    folder = copied("sd")
    change(folder / "unet" / "config.json", **values)
    (found,) = problems(folder)
    assert found.startswith(f"has a denoiser that takes more than a prompt ({said}); fusionkit draws with: ")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("initializer_range", "a", "'initializer_range' of text_encoder/config.json must be of another type (float)"),
        ("initializer_range", 1, "'initializer_range' of text_encoder/config.json must be of another type (float)"),
        ("pad_token_id", [1], "'pad_token_id' of text_encoder/config.json must be of another type (int | None)"),
        ("num_attention_heads", 7, "must have a width that its num_attention_heads 7 divide, not 32"),
    ],
)
def test_a_text_encoder_that_its_library_could_not_build(
    copied: Callable[[str], Path], key: str, value: Any, problem: str
) -> None:
    folder = copied("sd")
    change(folder / "text_encoder" / "config.json", **{key: value})
    (line,) = problems(folder)
    assert problem in line


def test_a_text_encoder_of_a_type_that_nobody_knows_is_its_class(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    change(folder / "text_encoder" / "config.json", model_type="x", bos_token_id=[792])
    (line,) = problems(folder)
    assert "'bos_token_id' of text_encoder/config.json must be of another type (int | None), not [792]" in line


@pytest.mark.parametrize("name", ["CLIPTextModel", "CLIPTextModelWithProjection", "BertModel", "T5EncoderModel"])
def test_the_types_of_a_text_encoder_are_those_that_its_library_takes(name: str) -> None:
    import transformers

    from fusionkit.models.files.configs import TextEncoder, known_entries
    from fusionkit.models.files.sources import fits

    kind = getattr(transformers, name).config_class
    fields = known_entries(TextEncoder, {"_class_name": name})
    assert len(fields) > 10
    wrong = []
    for key, (annotation, default) in fields.items():
        for value in (1, 16, 1.5, True, "relu", None, [1], ["a"], {"a": 1}):
            try:
                kind(**{key: value})
                taken = True
            except Exception as error:  # noqa: BLE001 - its own kind of error has no public name
                if "expected" not in str(error) and "any type" not in str(error):
                    continue
                taken = False
            if fits(value, annotation, default, exact=True) != taken:
                wrong.append((key, annotation, value, taken))
    assert wrong == []


def test_an_autoencoder_with_other_kinds_of_levels_than_levels(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    change(folder / "vae" / "config.json", up_block_types=["UpDecoderBlock2D"] * 7)
    (line,) = problems(folder)
    assert line == "vae/config.json must name 4 up_block_types, one for each level, not 7"


@pytest.mark.parametrize(
    ("part", "key", "value", "problem"),
    [
        ("unet", "attention_head_dim", [-1, 4, 4], "must be 1 to 65,536, not -1"),
        ("unet", "act_fn", "heun", "must be one of swish, silu, mish, gelu, relu, not 'heun'"),
        ("unet", "norm_eps", 0, "must be a number above 0, not 0"),
        ("unet", "norm_num_groups", 7, "must have levels that its norm_num_groups 7 divide, not "),
        ("unet", "up_block_types", ["DownBlock2D"] * 3, "must name blocks that diffusers has, such as "),
        ("vae", "down_block_types", ["cuda"] * 4, "must name blocks that diffusers has, such as "),
        ("vae", "norm_num_groups", 7, "must have levels that its norm_num_groups 7 divide, not "),
        ("text_encoder", "layer_norm_eps", None, "is empty; give it a value, or leave it out"),
        ("text_encoder", "hidden_act", "heun", "must be one of gelu, "),
    ],
)
def test_values_that_no_part_can_be_made_or_run_with(
    copied: Callable[[str], Path], part: str, key: str, value: Any, problem: str
) -> None:
    folder = copied("sd")
    change(folder / part / "config.json", **{key: value})
    (line,) = problems(folder)
    assert f"{part}/config.json" in line
    assert problem in line


def test_a_scheduler_that_is_none(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    change(folder / "model_index.json", scheduler=["diffusers", "tinyworld/rocket"])
    assert problems(folder) == ["has a diffusers.tinyworld/rocket for its scheduler, which is none"]


def test_a_text_encoder_with_fewer_layers_than_it_says(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    change(folder / "text_encoder" / "config.json", num_hidden_layers=12)
    assert problems(folder) == ["text_encoder/config.json does not fit its weights: they have 2 layers, not 12"]
