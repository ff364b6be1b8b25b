"""Model folders from strangers: what is never opened, what is found damaged, missing or too costly, and what loads."""

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
from tiny_models import CHECKPOINTS, drawn, plain, run, stage_on

from fusionkit.errors import ModelError
from fusionkit.models.controlnet import inspect_controlnet, load_controlnet
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_pipeline, wrap_pipeline

UNET = "unet/diffusion_pytorch_model.safetensors"
INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a tiny checkpoint, to be damaged."""
    return lambda kind: Path(shutil.copytree(CHECKPOINTS / f"tiny-{kind}", tmp_path / kind))


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
    assert problems(folder)[0].startswith(wanted)


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


def renamed(folder: Path, variant: str, parts: str = "*") -> None:
    for file in folder.glob(f"{parts}/*.safetensors"):
        file.rename(file.with_suffix(f".{variant}.safetensors"))


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


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("sd", "StableDiffusionPanoramaPipeline"),
        ("sd", "StableDiffusionControlNetPipeline"),
        ("sd", "StableDiffusionInpaintPipeline"),
        ("sdxl", "StableDiffusionXLImg2ImgPipeline"),
        ("sd", "TextToVideoZeroPipeline"),
    ],
)
def test_what_a_folder_was_saved_from_does_not_matter(copied: Callable[[str], Path], kind: str, name: str) -> None:
    folder = copied(kind)
    extra = {
        "controlnet": ["diffusers", "ControlNetModel"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    extra |= {"image_encoder": ["transformers", "CLIPVisionModelWithProjection"]}
    extra |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]} if kind == "sd" else {}
    change(folder / "model_index.json", _class_name=name, **extra)
    assert inspect_model(str(folder)).kind == kind
    stage = stage_on(wrap_pipeline(load_pipeline(str(folder), kind, dtype=torch.float32)))
    assert (run(stage) - drawn(plain(kind), stage)).abs().max() <= 1e-4


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


def test_weights_that_are_not_all_there(copied: Callable[[str], Path]) -> None:
    """Diffusers would draw numbers in their place, and say so in a line that nobody sees."""
    from safetensors.torch import load_file, save_file

    folder = copied("sd")
    weights = load_file(folder / UNET)
    name = "mid_block.resnets.0.conv1.weight"
    save_file({key: value for key, value in weights.items() if key != name}, folder / UNET)
    with pytest.raises(ModelError) as caught:
        load_pipeline(str(folder), "sd", dtype=torch.float32)
    assert str(caught.value) == (
        f"model '{folder}': unet does not fit its configuration; missing from its files: 1 weight, such as '{name}'"
    )
    save_file({**weights, "another.weight": torch.zeros(1)}, folder / UNET)
    with pytest.raises(ModelError, match=r"without a place in it: 1 weight, such as 'another.weight'$"):
        load_pipeline(str(folder), "sd", dtype=torch.float32)


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


@pytest.mark.parametrize(
    ("part", "key", "value", "said"),
    [
        ("unet", "time_embedding_type", "nothing", "unet can't be loaded as its config.json says: "),
        ("vae", "down_block_types", ["CrossAttnDownBlock2D"] * 4, "vae can't be loaded as its config.json says: "),
        ("text_encoder", "torch_dtype", "nothing", "text_encoder can't be loaded as its config.json says: "),
        ("tokenizer", "added_tokens_decoder", 3, "tokenizer can't be loaded: "),
    ],
)
def test_what_only_loading_finds_names_the_part_and_what_to_do(
    copied: Callable[[str], Path], part: str, key: str, value: Any, said: str
) -> None:
    folder = copied("sd")
    change(folder / part / ("tokenizer_config.json" if part == "tokenizer" else "config.json"), **{key: value})
    with pytest.raises(ModelError) as caught:
        load_pipeline(str(folder), "sd", dtype=torch.float32)
    line = str(caught.value)
    assert line.startswith(f"model '{folder}': "), line
    assert said in line
    assert line.endswith("; get the model's files again, or save it where it works with pipe.save_pretrained(folder)")
    assert "Error" not in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("part", "said"), [("text_encoder", "text encoder or tokenizer"), ("unet", "unet"), ("vae", "vae")]
)
def test_a_part_that_fails_while_it_works_is_named(copied: Callable[[str], Path], part: str, said: str) -> None:
    """Its weights fit, and yet the libraries can't compute with it."""
    folder = copied("sd")
    model = wrap_pipeline(load_pipeline(str(folder), "sd", dtype=torch.float32))
    stage = stage_on(model)
    module = model.pipe.vae.decoder if part == "vae" else getattr(model.pipe, part)
    norm = next(each for each in module.modules() if isinstance(each, (torch.nn.LayerNorm, torch.nn.GroupNorm)))
    norm.eps = None
    work: dict[str, Callable[[], Any]] = {
        "text_encoder": lambda: model.embed("a hill"),
        "unet": lambda: run(stage),
        "vae": lambda: model.decode(torch.zeros(1, 4, 8, 8)),
    }
    with pytest.raises(ModelError) as caught:
        work[part]()
    line = str(caught.value)
    assert line.startswith(f"model '{folder}': {said} fails at its work: ")
    assert line.endswith("; get the model's files again, or save it where it works with pipe.save_pretrained(folder)")
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_scheduler_that_is_none(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    change(folder / "model_index.json", scheduler=["diffusers", "tinyworld/rocket"])
    assert problems(folder) == ["has a diffusers.tinyworld/rocket for its scheduler, which is none"]


def test_a_text_encoder_with_fewer_layers_than_it_says(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    change(folder / "text_encoder" / "config.json", num_hidden_layers=12)
    assert problems(folder) == ["text_encoder/config.json does not fit its weights: they have 2 layers, not 12"]


def test_what_a_compiler_can_not_do_is_told_as_that() -> None:
    from torch._dynamo.exc import TorchDynamoException

    from fusionkit.models.guard import at_work

    error = TorchDynamoException("ImportError: main.so: file too short\n\nSet TORCHDYNAMO_VERBOSE=1")
    with pytest.raises(ModelError) as caught, at_work("model 'm': unet"):
        raise error
    line = str(caught.value)
    assert line == "model 'm': unet can't be compiled here: main.so: file too short; leave out 'compile'"
    assert "\n" not in line
