"""Which models can be fused, in one line each where they can't."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import save_file
from tiny_models import CHECKPOINTS, info_of, plain

from fusionkit.loop.model import ModelInfo
from fusionkit.models.compatibility import _DDIM, _OTHER_DEFAULTS, misfits, mixing_problems, same_noising
from fusionkit.models.inspect import info_of_pipeline, inspect_model
from fusionkit.models.schedulers.by_name import CLASS_NAMES, SHORT_NAMES
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.recipe import SchedulerSpec

ADVICE = "; use models with the same autoencoder, such as those fine-tuned from one base model"


def pair(config: dict[str, Any] | None = None, **changed: Any) -> dict[str, ModelInfo]:
    """The tiny model, and another that differs from it in some fields, and some keys of its scheduler."""
    scene = replace(info_of("sd"), name="tiny")
    scheduler = {**scene.scheduler_config, **(config or {})}
    return {"scene": scene, "expert": replace(scene, name="other", scheduler_config=scheduler, **changed)}


def difference(config: dict[str, Any] | None = None, **changed: Any) -> str:
    """What is said of the second model, without the frame that all lines have."""
    (line,) = misfits(pair(config, **changed))
    begin = "models 'scene' (tiny) and 'expert' (other) can't be fused: "
    assert line.startswith(begin)
    assert line.endswith(ADVICE)
    return line.removeprefix(begin).removesuffix(ADVICE)


def test_what_may_differ() -> None:
    assert misfits(pair()) == []
    assert misfits(pair(prediction_type="v_prediction", window=(512, 512), cross_attention_dim=1024)) == []
    # How a sampler walks through the schedule is no property of the model.
    assert misfits(pair({"timestep_spacing": "trailing", "steps_offset": 0, "set_alpha_to_one": True})) == []
    assert misfits(pair(scheduler="EulerDiscreteScheduler")) == []
    assert misfits({"only": info_of("sd")}) == []


def test_latent_spaces() -> None:
    assert difference(channels=16) == "latents of 4 and 16 channels"
    assert difference(factor=4) == "latent pixels of 8 and 4 pixels"
    assert difference(scaling_factor=0.13025) == "VAE scaling factors of 0.18215 and 0.13025"
    assert difference(latents_mean=(0.5, 0, -1, 0)) == "VAE latents_mean of 0 and 0.5/0/-1/0"
    assert difference(latents_std=(2.0, 2.0, 2.0, 3.0)) == "VAE latents_std of 1 and 2/2/2/3"
    assert difference(channels=16, factor=4) == "latents of 4 and 16 channels, latent pixels of 8 and 4 pixels"
    # What is not known is not compared, and what says nothing is the same as what is silent.
    assert misfits(pair(scaling_factor=0.0, latents_mean=(0.5,) * 4)) == []
    assert misfits(pair(latents_mean=(0.0,) * 4, latents_std=(1.0,) * 4)) == []


BETAS = [0.001, 0.002, 0.004]
OTHERWISE_NOISED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"num_train_timesteps": 500}, {}),
    ({"beta_end": 0.02}, {}),
    ({"beta_schedule": "linear"}, {}),
    ({"rescale_betas_zero_snr": True}, {"prediction_type": "v_prediction"}),
    ({"trained_betas": BETAS, "num_train_timesteps": 3}, {}),
    ({"shift": 3.0}, {"prediction_type": "flow_prediction", "scheduler": "FlowMatchEulerDiscreteScheduler"}),
]


@pytest.mark.parametrize(("config", "changed"), OTHERWISE_NOISED)
def test_noise_schedules_may_differ_but_for_edm(config: dict[str, Any], changed: dict[str, Any]) -> None:
    infos = pair(config, **changed)
    assert misfits(infos) == []
    assert not same_noising(*infos.values())
    assert mixing_problems(infos, make_scheduler(infos["scene"], None, 4, "cpu")) == []
    edm = replace(infos["scene"], scheduler="EDMEulerScheduler", scheduler_config={})
    (line,) = misfits({"scene": edm, "expert": infos["expert"]})
    assert "can't be fused: noise schedules EDM with sigma_data 0.5 and " in line


def test_edm_models_are_told_from_all_others() -> None:
    edm = difference(scheduler="EDMEulerScheduler")
    assert edm == "noise schedules scaled_linear 0.00085 to 0.012 and EDM with sigma_data 0.5"
    infos = pair({"rescale_betas_zero_snr": True}, prediction_type="v_prediction")
    (line,) = misfits({"a": replace(infos["scene"], scheduler="EDMEulerScheduler"), "b": infos["expert"]})
    assert "and scaled_linear 0.00085 to 0.012 with rescale_betas_zero_snr;" in line


def test_equal_trained_betas_make_the_others_meaningless() -> None:
    one, two = (
        replace(info_of("sd"), scheduler_config={"trained_betas": BETAS, "beta_end": end}) for end in (0.02, 0.01)
    )
    assert same_noising(one, two)
    assert not same_noising(one, replace(two, scheduler_config={"trained_betas": [0.001, 0.003, 0.004]}))


def test_a_silent_configuration_is_as_its_class() -> None:
    silent = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    told = replace(info_of("sd"), scheduler="DDIMScheduler", scheduler_config=silent)
    assert same_noising(told, replace(told, scheduler="LCMScheduler", scheduler_config={}))
    assert not same_noising(told, replace(told, scheduler_config={}))


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_what_silence_means_is_what_diffusers_takes(name: str) -> None:
    parameters = inspect.signature(getattr(diffusers, name).__init__).parameters
    assert parameters["num_train_timesteps"].default == 1000
    assert parameters["prediction_type"].default == "epsilon"
    if name.startswith("EDM"):
        assert parameters["sigma_data"].default == 0.5
    else:
        expected = _OTHER_DEFAULTS.get(name, _DDIM)
        assert {option: parameters[option].default for option in expected} == expected
        assert parameters["trained_betas"].default is None


def test_every_model_is_compared_with_the_main_one() -> None:
    scene, other = pair(channels=16).values()
    lines = misfits({"one": scene, "two": other, "three": scene, "four": other})
    assert [line.partition(" can't")[0] for line in lines] == [
        "models 'one' (tiny) and 'two' (other)",
        "models 'one' (tiny) and 'four' (other)",
    ]


def test_sd_and_sdxl_do_not_fit() -> None:
    (line,) = misfits({"scene": info_of("sd"), "expert": info_of("sdxl")})
    assert "can't be fused: kinds sd and sdxl, VAE scaling factors of 0.18215 and 0.13025;" in line


def test_edm_models_are_told_apart_by_their_preconditioning() -> None:
    edm = replace(info_of("sd"), scheduler="EDMDPMSolverMultistepScheduler", scheduler_config={})
    assert misfits({"a": edm, "b": replace(edm, scheduler="EDMEulerScheduler")}) == []
    (line,) = misfits({"a": edm, "b": replace(edm, scheduler_config={"sigma_data": 1.0})})
    assert "noise schedules EDM with sigma_data 0.5 and EDM with sigma_data 1;" in line


def test_embedded_models_fit_each_other() -> None:
    scenes = inspect_model("tinyworld/scenes")
    assert misfits({"scene": scenes, "again": scenes}) == []
    assert scenes.scaling_factor == 1.0
    assert 0 < scenes.denoiser_parameters < scenes.parameters


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_what_a_folder_and_a_pipeline_tell(kind: str) -> None:
    pipe, folder = plain(kind), info_of(kind)
    told = info_of_pipeline(pipe)
    assert folder.scaling_factor == told.scaling_factor == pipe.vae.config.scaling_factor
    weights = sum(each.numel() for each in pipe.unet.parameters())
    assert folder.denoiser_parameters == told.denoiser_parameters == weights


def test_a_vae_that_shifts_its_latents(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-sd", tmp_path / "sd"))
    file = folder / "vae" / "config.json"
    config = json.loads(file.read_text())

    file.write_text(json.dumps({**config, "shift_factor": 0.5}))
    assert inspect_model(str(folder)).latents_mean == (0.5, 0.5, 0.5, 0.5)

    means, stds = [1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0]
    file.write_text(json.dumps({**config, "latents_mean": means, "latents_std": stds}))
    info = inspect_model(str(folder))
    assert (info.latents_mean, info.latents_std) == (tuple(means), tuple(stds))


def test_a_vae_that_does_not_tell_its_scale(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-sd", tmp_path / "sd"))
    file = folder / "vae" / "config.json"
    config = json.loads(file.read_text())
    del config["scaling_factor"]
    file.write_text(json.dumps(config))
    assert inspect_model(str(folder)).scaling_factor == diffusers.AutoencoderKL().config.scaling_factor


def test_a_single_file(tmp_path: Path) -> None:
    unet = "model.diffusion_model."
    keys = {f"{unet}input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3), "cond_stage_model.x": torch.zeros(5)}
    xl = {**keys, "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": torch.zeros(3)}
    edm = {**xl, "edm_mean": torch.zeros(1, 4, 1, 1)}
    for name, tensors in (("sd", keys), ("xl", xl), ("edm", edm)):
        save_file(tensors, tmp_path / f"{name}.safetensors")
    found = {name: inspect_model(str(tmp_path / f"{name}.safetensors")) for name in ("sd", "xl", "edm")}
    assert [info.scaling_factor for info in found.values()] == [0.18215, 0.13025, 0.0]
    assert [info.denoiser_parameters for info in found.values()] == [288, 288, 288]
    assert misfits({"scene": found["sd"], "expert": replace(info_of("sd"), name="tiny")}) == []
    assert len(misfits({"scene": found["xl"], "expert": found["edm"]})) == 1


def mixing(scheduler: str, prediction: str = "v_prediction", **options: Any) -> list[str]:
    infos = pair(prediction_type=prediction)
    return mixing_problems(
        infos, make_scheduler(infos["scene"], SchedulerSpec(name=scheduler, options=options), 4, "cpu")
    )


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_every_scheduler_mixes_predictions_but_edm(name: str) -> None:
    problems = mixing(name)
    if name.startswith("edm"):
        cls = SHORT_NAMES[name][0]
        assert problems == [
            f"models 'scene' (tiny) and 'expert' (other) can't be fused: scheduler {cls} takes epsilon and "
            f"v_prediction for the same; use another, such as ddim"
        ]
    else:
        assert problems == []
    assert mixing(name, "epsilon") == []


def test_noise_predictions_tell_nothing_at_pure_noise() -> None:
    options = {"prediction-type": "v_prediction", "rescale-betas-zero-snr": True}
    assert mixing("ddim", "v_prediction", **options) == []
    (line,) = mixing("ddim", "epsilon", **options)
    assert line.endswith(
        "epsilon tells nothing at the pure noise that rescale_betas_zero_snr starts from; use models that both predict "
        "v_prediction"
    )


def test_an_unknown_prediction() -> None:
    (line,) = mixing("ddim", "trigflow")
    assert line.endswith("can't be fused: 'trigflow' can't be turned into epsilon")


def test_comparing_needs_no_torch() -> None:
    code = "import sys, fusionkit.models.compatibility; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
