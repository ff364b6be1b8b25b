"""Well-known models, by their configurations as they were published: what each is, and which can't be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from published import BERT, DDIM_V, DPM, EDM, EULER, KOLORS, LCM, SD, SD2, SD2_TEXT, XL, Config, changed, publish

from fusionkit.errors import ModelError
from fusionkit.models.inspect import inspect_model
from fusionkit.models.schedulers.make import make_scheduler
from fusionkit.recipe import SchedulerSpec

_NO_CHECKER = {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
_THREE: Config = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3,
    "up_block_types": ["CrossAttnUpBlock2D"] * 3,
    "layers_per_block": 1,
    "mid_block_type": None,
    "_diffusers_version": "0.19.0",
}
_SSD: Config = {
    "mid_block_type": "UNetMidBlock2D",
    "attention_type": "default",
    "dropout": 0.0,
    "transformer_layers_per_block": [0, [2, 2], [4, 4]],
    "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 0],
}
_TRAILING = {"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}

DRAWS: Mapping[str, tuple[Mapping[str, Config], tuple[Any, ...]]] = {
    "stable-diffusion-v1-4": (SD, ("sd", 512, "PNDMScheduler", "epsilon")),
    "stable-diffusion-v1-1, as first published": (
        changed(SD, scheduler={"tensor_format": "pt", "timestep_values": None, "_diffusers_version": "0.2.2"}),
        ("sd", 512, "PNDMScheduler", "epsilon"),
    ),
    "stable-diffusion-inpainting": (
        changed(SD, model_index={"_class_name": "StableDiffusionInpaintPipeline"}, unet={"in_channels": 9}),
        ("sd", 512, "PNDMScheduler", "epsilon"),
    ),
    "stable-diffusion-v1-5": (
        changed(
            SD,
            model_index={"_diffusers_version": "0.6.0"},
            unet={"_diffusers_version": "0.6.0"},
            text_encoder={"architectures": ["CLIPTextModel"], "transformers_version": "4.22.0.dev0"},
        ),
        ("sd", 512, "PNDMScheduler", "epsilon"),
    ),
    "a model of dreambooth": (
        changed(
            SD,
            model_index=_NO_CHECKER,
            unet={"_name_or_path": "runwayml/stable-diffusion-v1-5", "attention_type": "default", "dropout": 0.0},
            vae={"latents_mean": None, "latents_std": None, "shift_factor": None, "mid_block_add_attention": True},
            text_encoder={"torch_dtype": "float16", "_attn_implementation_autoset": True, "tf_legacy_loss": False},
        ),
        ("sd", 512, "PNDMScheduler", "epsilon"),
    ),
    "text encoder with all that transformers once wrote": (
        changed(
            SD,
            text_encoder={
                "top_k": 50,
                "top_p": 1.0,
                "prefix": None,
                "pruned_heads": {},
                "problem_type": None,
                "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
                "label2id": {"LABEL_0": 0, "LABEL_1": 1},
                "bad_words_ids": None,
                "task_specific_params": None,
                "torchscript": False,
                "tie_word_embeddings": True,
                "return_dict": True,
                "output_attentions": False,
                "chunk_size_feed_forward": 0,
                "is_decoder": False,
                "use_bfloat16": False,
            },
        ),
        ("sd", 512, "PNDMScheduler", "epsilon"),
    ),
    "openjourney": (
        changed(SD, scheduler={"prediction_type": "epsilon"}, vae={"_name_or_path": "/content/vae"}),
        ("sd", 512, "PNDMScheduler", "epsilon"),
    ),
    "stable-diffusion-2-1": (SD2, ("sd", 768, "DDIMScheduler", "v_prediction")),
    "stable-diffusion-2-1-base": (
        changed(SD2, unet={"sample_size": 64}, scheduler={**SD["scheduler"], "prediction_type": "epsilon"}),
        ("sd", 512, "PNDMScheduler", "epsilon"),
    ),
    "sd-turbo": (
        changed(SD2, unet={"sample_size": 64}, scheduler={**EULER, **_TRAILING}),
        ("sd", 512, "EulerAncestralDiscreteScheduler", "epsilon"),
    ),
    "small-stable-diffusion": (
        changed(SD, unet={"layers_per_block": 1, "_diffusers_version": "0.9.0.dev0"}, scheduler=DPM),
        ("sd", 512, "DPMSolverMultistepScheduler", "epsilon"),
    ),
    "tiny-sd": (changed(SD, unet=_THREE, scheduler=DPM), ("sd", 512, "DPMSolverMultistepScheduler", "epsilon")),
    "LCM_Dreamshaper_v7": (
        changed(
            SD,
            model_index={"_class_name": "LatentConsistencyModelPipeline", "image_encoder": [None, None]},
            unet={"time_cond_proj_dim": 256, "sample_size": 96, "_diffusers_version": "0.22.0.dev0"},
            scheduler=LCM,
        ),
        ("sd", 768, "LCMScheduler", "epsilon"),
    ),
    "Taiyi-Stable-Diffusion-1B-Chinese": (
        changed(
            {**SD, "text_encoder": BERT, "tokenizer": {"model_max_length": 512, "tokenizer_class": "BertTokenizer"}},
            model_index={
                "text_encoder": ["transformers", "BertModel"],
                "tokenizer": ["transformers", "BertTokenizer"],
            },
        ),
        ("sd", 512, "PNDMScheduler", "epsilon"),
    ),
    "japanese-stable-diffusion": (
        changed(
            {**SD, "tokenizer": {"model_max_length": 77, "tokenizer_class": "T5Tokenizer", "extra_ids": 0}},
            model_index={"tokenizer": ["transformers", "T5Tokenizer"]},
            text_encoder={"vocab_size": 32000},
        ),
        ("sd", 512, "PNDMScheduler", "epsilon"),
    ),
    "stable-diffusion-xl-base-1.0": (XL, ("sdxl", 1024, "EulerDiscreteScheduler", "epsilon")),
    "sdxl-turbo": (
        changed(XL, unet={"sample_size": 64}, scheduler={**EULER, **_TRAILING}),
        ("sdxl", 512, "EulerAncestralDiscreteScheduler", "epsilon"),
    ),
    "SSD-1B": (changed(XL, unet=_SSD), ("sdxl", 1024, "EulerDiscreteScheduler", "epsilon")),
    "Segmind-Vega": (
        changed(
            XL,
            unet={
                **_SSD,
                "transformer_layers_per_block": [0, [1, 1], [2, 2]],
                "reverse_transformer_layers_per_block": [[2, 2, 2], [1, 1, 1], 0],
            },
        ),
        ("sdxl", 1024, "EulerDiscreteScheduler", "epsilon"),
    ),
    "animagine-xl": (
        changed(
            XL,
            model_index={"image_encoder": [None, None], "feature_extractor": [None, None]},
            unet={"attention_type": "default", "dropout": 0.0, "reverse_transformer_layers_per_block": None},
            scheduler={"_class_name": "EulerAncestralDiscreteScheduler", "rescale_betas_zero_snr": False},
        ),
        ("sdxl", 1024, "EulerAncestralDiscreteScheduler", "epsilon"),
    ),
    "pony": (
        changed(
            XL,
            scheduler={"sigma_max": None, "sigma_min": None, "timestep_type": "discrete", "final_sigmas_type": "zero"},
            text_encoder={"eos_token_id": 49407, "bos_token_id": 49406},
        ),
        ("sdxl", 1024, "EulerDiscreteScheduler", "epsilon"),
    ),
    "NoobAI, v-prediction": (
        changed(
            XL,
            scheduler={
                "prediction_type": "v_prediction",
                "rescale_betas_zero_snr": True,
                "use_beta_sigmas": False,
                "use_exponential_sigmas": False,
                "timestep_type": "discrete",
            },
        ),
        ("sdxl", 1024, "EulerDiscreteScheduler", "v_prediction"),
    ),
    "playground-v2.5": (
        changed(
            {**XL, "scheduler": EDM},
            vae={
                "latents_mean": [-1.6574, 1.886, -1.383, 2.5155],
                "latents_std": [8.4927, 5.9022, 6.5498, 5.2299],
                "scaling_factor": 0.5,
            },
        ),
        ("sdxl", 1024, "EDMDPMSolverMultistepScheduler", "epsilon"),
    ),
    "Kolors": (KOLORS, ("kolors", 1024, "EulerDiscreteScheduler", "epsilon")),
    "img2img, saved from a pipeline": (
        changed(
            XL, model_index={"_class_name": "StableDiffusionXLImg2ImgPipeline", "requires_aesthetics_score": False}
        ),
        ("sdxl", 1024, "EulerDiscreteScheduler", "epsilon"),
    ),
}


@pytest.mark.parametrize("name", DRAWS)
def test_models_that_draw(tmp_path: Path, name: str) -> None:
    model, expected = DRAWS[name]
    if model is KOLORS:
        pytest.importorskip("sentencepiece", reason="Kolors needs sentencepiece: pip install 'fusionkit[kolors]'")
    info = inspect_model(str(publish(tmp_path / "model", model)))
    assert (info.kind, info.window[0], info.scheduler, info.prediction_type) == expected
    assert info.parameters > 10_000


REFUSED: Mapping[str, tuple[Mapping[str, Config], str]] = {
    "instruct-pix2pix": (changed(SD, unet={"in_channels": 8}), "takes 8 channels, not the 4"),
    "stable-diffusion-x4-upscaler": (
        changed(SD2, unet={"in_channels": 7, "num_class_embeds": 1000}),
        "takes more than a prompt (num_class_embeds 1000)",
    ),
    "stable-diffusion-2-1-unclip": (
        changed(SD2, unet={"class_embed_type": "projection", "projection_class_embeddings_input_dim": 2048}),
        "takes more than a prompt (class_embed_type 'projection')",
    ),
    "stable-diffusion-xl-refiner-1.0": (
        changed(
            {key: value for key, value in XL.items() if key not in ("text_encoder", "tokenizer")},
            model_index={
                "text_encoder": [None, None],
                "tokenizer": [None, None],
                "requires_aesthetics_score": True,
                "_class_name": "StableDiffusionXLImg2ImgPipeline",
            },
            unet={
                "block_out_channels": [384, 768, 1536, 1536],
                "attention_head_dim": [6, 12, 24, 24],
                "cross_attention_dim": 1280,
                "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
                "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                "projection_class_embeddings_input_dim": 2560,
                "transformer_layers_per_block": 4,
            },
        ),
        "is an SDXL refiner, which can't draw a picture of its own",
    ),
    "AltDiffusion": (
        changed(
            SD,
            model_index={
                "_class_name": "AltDiffusionPipeline",
                "text_encoder": ["alt_diffusion", "RobertaSeriesModelWithTransformation"],
                "tokenizer": ["transformers", "XLMRobertaTokenizer"],
            },
            text_encoder={"model_type": "M-CLIP"},
        ),
        "needs its own code for 'text_encoder' (alt_diffusion.RobertaSeriesModelWithTransformation), which is not run",
    ),
    "DiT": (
        changed(SD, model_index={"_class_name": "DiTPipeline", "unet": None, "transformer": ["diffusers", "X"]}),
        "is a DiTPipeline; fusionkit draws with: ",
    ),
    "a text encoder of another size": (
        changed({**SD, "text_encoder": SD2_TEXT}),
        "its text encoder's tokens have 1024 numbers; its denoiser takes 768",
    ),
    "a flow with a scheduler of noise": (
        changed(
            {**XL, "scheduler": {**DDIM_V, "_class_name": "EulerDiscreteScheduler"}},
            scheduler={"prediction_type": "flow_prediction"},
        ),
        "has prediction_type 'flow_prediction', for which EulerDiscreteScheduler can't solve; schedulers of ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_are_told_to_be_others(tmp_path: Path, name: str) -> None:
    model, expected = REFUSED[name]
    with pytest.raises(ModelError) as caught:
        inspect_model(str(publish(tmp_path / "model", model)))
    assert expected in str(caught.value)


ODD: Mapping[str, Mapping[str, Config]] = {
    "null for what is false": changed(SD, scheduler={**DPM, "thresholding": None, "euler_at_final": None}),
    "numbers for what is true or false": changed(SD, scheduler={"skip_prk_steps": 1, "set_alpha_to_one": 0}),
    "null for what is off": changed(SD, scheduler={**LCM, "sample_max_value": None, "clip_sample_range": None}),
    "another solver's words": changed(SD, scheduler={**DPM, "_class_name": "UniPCMultistepScheduler"}),
    "another algorithm's words": changed(SD, scheduler={**DPM, "_class_name": "DEISMultistepScheduler"}),
    "a denoiser's switches": changed(SD, unet={"upcast_attention": None, "use_linear_projection": 0}),
    "no attention but the libraries' own": changed(SD, text_encoder={"attn_implementation": "eager"}),
    "a text encoder of no type": changed(SD, text_encoder={"model_type": None}),
    "added tokens that are known": changed(
        SD, tokenizer={"added_tokens_decoder": {"49407": {"content": "<|endoftext|>", "special": True}}}
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_that_diffusers_takes(tmp_path: Path, name: str) -> None:
    info = inspect_model(str(publish(tmp_path / "model", ODD[name])))
    assert info.most_clip_skip == 12
    assert info.notes == ()
    for spec in (None, SchedulerSpec(name="dpm++-2m"), SchedulerSpec(name="deis"), SchedulerSpec(name="unipc")):
        scheduler = make_scheduler(info, spec, 3, "cpu")
        assert len(scheduler.timesteps) >= 3


WRONG: Mapping[str, tuple[Mapping[str, Config], str]] = {
    "a text encoder's number": (
        changed(SD, text_encoder={"initializer_factor": 1}),
        "'initializer_factor' of text_encoder/config.json must be of another type (float | None), not 1",
    ),
    "null for a list": (changed(SD, unet={"only_cross_attention": None}), "'only_cross_attention' of unet/config.json"),
    "tokens that the encoder does not know": (
        changed(SD, tokenizer={"added_tokens_decoder": {"49408": {"content": "<toy>", "special": False}}}),
        "its tokens go up to 49,408, and the encoder knows 49,408",
    ),
    "a VAE of two kinds": (
        changed(SD, model_index={"vae": ["diffusers", "AutoencoderTiny"]}),
        "its vae is a AutoencoderTiny by model_index.json, and a AutoencoderKL by vae/config.json",
    ),
    "weights of another name": (changed(SD, text_encoder={"transformers_weights": "eager"}), "'transformers_weights'"),
    "another algorithm that none takes": (
        changed(SD, scheduler={**DPM, "_class_name": "DEISMultistepScheduler", "algorithm_type": "sde-dpmsolver"}),
        "'algorithm_type' must be deis, not 'sde-dpmsolver'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_odd_values_that_their_libraries_do_not_take(tmp_path: Path, name: str) -> None:
    model, expected = WRONG[name]
    with pytest.raises(ModelError) as caught:
        inspect_model(str(publish(tmp_path / "model", model)))
    assert expected in str(caught.value)


def test_a_scheduler_that_the_index_calls_otherwise_is_told(tmp_path: Path) -> None:
    folder = publish(tmp_path / "model", SD)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**EULER}))
    (note,) = inspect_model(str(folder)).notes
    assert note.endswith(
        "draws with EulerDiscreteScheduler, as its own file says; model_index.json says PNDMScheduler (scheduler)"
    )
    config.write_text(json.dumps({key: value for key, value in SD["scheduler"].items() if key != "_class_name"}))
    assert inspect_model(str(folder)).scheduler == "PNDMScheduler"
