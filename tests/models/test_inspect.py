"""What is known of a model before its weights load, and every way in which it can't be used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from damaged import change
from safetensors.torch import save_file
from tiny_models import CHECKPOINTS, plain, run, stage_on

from fusionkit.errors import ModelError
from fusionkit.loop.manager import Manager
from fusionkit.models.embedded import embedded_models
from fusionkit.models.families import FAMILIES
from fusionkit.models.inspect import info_of_pipeline, inspect_model
from fusionkit.models.load import load_pipeline, wrap_pipeline


def problem(source: str, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        inspect_model(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder(kind: str) -> None:
    info = inspect_model(str(CHECKPOINTS / f"tiny-{kind}"))
    side = {"sd": 128, "sdxl": 256}[kind]
    assert (info.kind, info.channels, info.factor, info.window) == (kind, 4, 8, (side, side))
    assert info.scheduler == {"sd": "DDIMScheduler", "sdxl": "EulerDiscreteScheduler"}[kind]
    assert info.prediction_type == "epsilon"
    assert info.parameters == {"sd": 502371, "sdxl": 714547}[kind]
    assert (info.unet_channels, info.vae_channels) == (16, 8)
    assert info.told_size == (kind == "sdxl")


def test_a_pipeline_is_known_as_its_folder_is(kind: str) -> None:
    pipe, folder = info_of_pipeline(plain(kind)), inspect_model(str(CHECKPOINTS / f"tiny-{kind}"))
    assert pipe.scheduler_config["beta_end"] == folder.scheduler_config["beta_end"]
    assert replace(pipe, name=folder.name, scheduler_config=folder.scheduler_config) == folder


def test_v_prediction_and_an_oblong_window(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    change(folder / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    change(folder / "unet" / "config.json", sample_size=[16, 24])
    info = inspect_model(str(folder))
    assert (info.prediction_type, info.window) == ("v_prediction", (192, 128))


def test_outdated_configurations_are_corrected_as_the_pipeline_does(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    change(folder / "scheduler" / "scheduler_config.json", steps_offset=0, clip_sample=True)
    change(folder / "unet" / "config.json", _diffusers_version="0.6.0", sample_size=32)

    info = inspect_model(str(folder))
    pipe = info_of_pipeline(load_pipeline(str(folder), "sd", dtype=torch.float32))

    assert info.window == pipe.window == (512, 512)
    for name in ("steps_offset", "clip_sample"):
        assert info.scheduler_config[name] == pipe.scheduler_config[name]


def test_embedded_models() -> None:
    info = inspect_model("tinyworld/scenes")
    assert (info.name, info.kind) == ("tinyworld/scenes", "sd")
    assert info.window == embedded_models()["tinyworld/scenes"].window
    assert info.parameters > 1_000_000
    assert problem("tinyworld/scene") == "no embedded model 'tinyworld/scene'; did you mean 'tinyworld/scenes'?"


def test_missing_places(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert problem(str(gone)) == f"model '{gone}': no such folder, and no hub id such as 'owner/name'"
    assert problem(f"{gone}.safetensors") == f"model '{gone}.safetensors': no such file"
    assert problem("scenes") == (
        "model 'scenes': no such folder, and no hub id such as 'owner/name'; did you mean 'vista/scenes'?"
    )


def test_folders_that_are_none(tmp_path: Path, copied: Callable[[str], Path]) -> None:
    assert problem(str(tmp_path)) == f"model '{tmp_path}' is no diffusers folder: it has no model_index.json"
    (tmp_path / "notes.txt").write_text("hello")
    assert "neither a folder nor a .safetensors file" in problem(str(tmp_path / "notes.txt"))
    folder = copied("sd")
    (folder / "vae" / "config.json").unlink()
    assert problem(str(folder)) == f"model '{folder}' is no whole diffusers folder: it has no vae/config.json"
    (folder / "vae" / "config.json").write_text("{")
    assert problem(str(folder)).startswith(f"model '{folder}': vae/config.json can't be read: ")
    (folder / "vae" / "config.json").write_text("[]")
    assert problem(str(folder)) == f"model '{folder}': vae/config.json holds no configuration"
    (folder / "vae" / "config.json").write_text("{}")
    assert problem(str(folder)) == f"model '{folder}': its configuration does not tell 'block_out_channels'"


def test_pickled_weights_are_refused(tmp_path: Path, copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    assert problem(str(folder)).startswith(f"model '{folder}' has pickle-only weights, which can run any ")
    weights.with_suffix(".bin").unlink()
    assert problem(str(folder)) == f"model '{folder}' has no unet/*.safetensors"
    for suffix in ("ckpt", "pt", "bin"):
        assert "pickle-only weights" in problem(str(tmp_path / f"model.{suffix}"))


def test_variants(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    assert inspect_model(str(folder), variant="fp16").parameters == 502371
    assert inspect_model(str(folder)).parameters == 502371
    assert problem(str(folder), variant="bf16") == f"model '{folder}' has no .safetensors weights of variant 'bf16'"


def test_pipelines_of_other_kinds(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    # What it is, its parts tell: such a model has a transformer for its denoiser.
    change(folder / "model_index.json", _class_name="FluxPipeline", unet=None)
    drawn = ", ".join(family.title for family in FAMILIES.values())
    assert problem(str(folder)) == f"model '{folder}' is a FluxPipeline; fusionkit draws with: {drawn}"
    change(folder / "model_index.json", _class_name=["pipeline", "Mine"])
    assert "is a pipeline.Mine; fusionkit draws with" in problem(str(folder))
    change(folder / "model_index.json", _class_name="StableDiffusionPipeline", unet=["my_unet", "Mine"])
    assert problem(str(folder)) == f"model '{folder}' needs its own code for 'unet' (my_unet.Mine), which is not run"


def test_models_that_are_told_more_than_a_mask_are_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    change(folder / "unet" / "config.json", in_channels=8)
    assert (
        "takes 8 channels, not the 4 of its latents: models that edit a picture by instructions can't be used"
        in problem(str(folder))
    )


@pytest.mark.parametrize(
    ("kind", "name"), [("sd", "StableDiffusionInpaintPipeline"), ("sdxl", "StableDiffusionXLInpaintPipeline")]
)
def test_models_that_fill_in_masked_parts_are_known_by_their_channels(
    copied: Callable[[str], Path], kind: str, name: str
) -> None:
    """A folder as diffusers saves one: it loads, and draws with mask and picture beside the latents."""
    from safetensors.torch import load_file

    folder = copied(kind)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    first = weights["conv_in.weight"]
    weights["conv_in.weight"] = torch.cat([first, first, first[:, :1]], dim=1)
    save_file(weights, file)
    assert "conv_in has " in problem(str(folder))
    change(folder / "unet" / "config.json", in_channels=9)
    change(folder / "model_index.json", _class_name=name)
    info = inspect_model(str(folder))
    assert (info.kind, info.channels, info.fills_masks) == (kind, 4, True)
    model = wrap_pipeline(load_pipeline(str(folder), kind, dtype=torch.float32))
    assert model.info.fills_masks
    stage = stage_on(model)
    stage.hooks = Manager([])
    assert bool(run(stage).isfinite().all())
    assert stage.masked.mask.min() == 1


def test_damaged_weights(copied: Callable[[str], Path]) -> None:
    folder = copied("sd")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 40)
    assert problem(str(folder)) == (
        f"model '{folder}': diffusion_pytorch_model.safetensors is no whole safetensors file"
    )


def test_other_objects_are_no_pipelines() -> None:
    with pytest.raises(
        ModelError, match=r"^a str can't be used; make a pipeline of it that draws from a prompt alone, "
    ):
        info_of_pipeline("a pipeline")


def test_a_pipeline_whose_denoiser_is_told_more_than_a_mask() -> None:
    from diffusers import UNet2DConditionModel

    pipe = plain("sd")
    config = {key: value for key, value in pipe.unet.config.items() if not key.startswith("_")}
    pipe.unet = UNet2DConditionModel(**{**config, "in_channels": 8})
    with pytest.raises(ModelError, match=r"^a StableDiffusionPipeline takes 8 channels, not the 4 of its latents: "):
        info_of_pipeline(pipe)


DEPTH = ("vae", "text_encoder", "tokenizer", "unet", "scheduler", "depth_estimator", "feature_extractor")


def test_pipelines_made_of_others() -> None:
    """A subclass will do; one whose picture depends on more than fusionkit would use will not."""
    from diffusers import StableDiffusionDepth2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline

    class Mine(StableDiffusionPipeline):
        pass

    assert info_of_pipeline(Mine.from_pipe(plain("sd"))).kind == "sd"
    filling = StableDiffusionInpaintPipeline.from_pipe(plain("sd"), requires_safety_checker=False)
    assert not info_of_pipeline(filling).fills_masks, "its UNet is told no mask"
    parts = {**plain("sd").components, "depth_estimator": None}
    with pytest.raises(ModelError, match=r"^a StableDiffusionDepth2ImgPipeline can't be used; "):
        info_of_pipeline(StableDiffusionDepth2ImgPipeline(**{key: parts.get(key) for key in DEPTH}))


def test_the_hub_is_not_there() -> None:
    """Tests run with the hub switched off."""
    assert problem("nobody/nothing") == (
        "model 'nobody/nothing' is not in the local cache and the hub can't be reached; there is no such folder either"
    )


IN = "model.diffusion_model.input_blocks.0.0.weight"
TEXT = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
XL = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"
REFINER = "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({IN: (320, 4, 3, 3), TEXT: (320, 768)}, ("sd", (512, 512), "PNDMScheduler", "epsilon")),
        ({IN: (320, 4, 3, 3), TEXT: (320, 1024)}, ("sd", (768, 768), "DDIMScheduler", "v_prediction")),
        ({IN: (320, 4, 3, 3), XL: (1280,)}, ("sdxl", (1024, 1024), "EulerDiscreteScheduler", "epsilon")),
        (
            {IN: (320, 4, 3, 3), XL: (1280,), "v_pred": (0,)},
            ("sdxl", (1024, 1024), "EulerDiscreteScheduler", "v_prediction"),
        ),
        (
            {IN: (320, 4, 3, 3), XL: (1280,), "edm_mean": (4,)},
            ("sdxl", (1024, 1024), "EDMDPMSolverMultistepScheduler", "epsilon"),
        ),
        # Models that fill in; those of 2 were trained from its "base".
        ({IN: (320, 9, 3, 3), TEXT: (320, 768)}, ("sd", (512, 512), "PNDMScheduler", "epsilon")),
        ({IN: (320, 9, 3, 3), TEXT: (320, 1024)}, ("sd", (512, 512), "PNDMScheduler", "epsilon")),
        ({IN: (320, 9, 3, 3), XL: (1280,)}, ("sdxl", (1024, 1024), "EulerDiscreteScheduler", "epsilon")),
    ],
)
def test_single_files_by_their_header(tmp_path: Path, keys: dict[str, Any], expected: tuple[Any, ...]) -> None:
    from fusionkit.models.schedulers.make import make_scheduler

    path = tmp_path / "model.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in keys.items()}, path)

    info = inspect_model(str(path))

    assert (info.kind, info.window, info.scheduler, info.prediction_type) == expected
    assert (info.channels, info.factor, info.fills_masks) == (4, 8, keys[IN][1] == 9)
    assert info.told_size == (info.kind == "sdxl")
    assert info.parameters == sum(torch.zeros(shape).numel() for shape in keys.values())
    assert make_scheduler(info, None, 5, "cpu").name == info.scheduler


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"lora_unet.up.weight": (4, 4)}, "is no Stable Diffusion checkpoint; a single file must be a whole SD 1"),
        ({"conv_in.weight": (320, 4, 3, 3)}, "is the UNet alone; a single file must be a whole SD 1, 2 or XL"),
        (
            {IN: (320, 8, 3, 3), TEXT: (320, 768)},
            "takes 8 channels, not the 4 of its latents: models that edit a picture by instructions can't be used; use",
        ),
        ({IN: (320, 5, 3, 3), TEXT: (320, 1024)}, "takes 5 channels, not the 4 of its latents: models that are told a"),
        ({IN: (256, 7, 3, 3), TEXT: (320, 1024)}, "takes 7 channels, not the 4 of its latents: models that upscale"),
        ({IN: (384, 4, 3, 3), REFINER: (1280,)}, "is an SDXL refiner, which can't draw a picture of its own"),
    ],
)
def test_single_files_that_are_no_models(tmp_path: Path, keys: dict[str, Any], expected: str) -> None:
    path = tmp_path / "model.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in keys.items()}, path)
    assert problem(str(path)).startswith(f"model '{path}' {expected}")


def test_a_file_that_is_no_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    length = [size.to_bytes(8, "little") for size in (2, 5)]
    for content in (b"", b"PK\x03\x04 not safetensors", length[1] + b"hello", length[0] + b"[]"):
        path.write_bytes(content)
        assert problem(str(path)) == f"model '{path}': model.safetensors is no whole safetensors file"


def test_nothing_heavy_is_imported() -> None:
    """`validate` must be quick, and import neither torch nor diffusers."""
    code = (
        "import sys\n"
        "from fusionkit.models.inspect import inspect_model\n"
        "from fusionkit.models.schedulers.by_name import known_schedulers, resolve\n"
        "from fusionkit.recipe import SchedulerSpec\n"
        "import fusionkit.models.memory\n"
        f"inspect_model({str(CHECKPOINTS / 'tiny-sdxl')!r})\n"
        "inspect_model('tinyworld/scenes')\n"
        "resolve(SchedulerSpec(name='ddim'))\n"
        "try: inspect_model('nobody/nothing')\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["ModelError", "[]"]
