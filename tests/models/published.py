"""Configurations of well-known models as they were published, beside weights of which the headers alone are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Config = dict[str, Any]

_DOWN, _UP, _PLAIN_DOWN, _PLAIN_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D", "DownBlock2D", "UpBlock2D"

SD_UNET: Config = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.2.2",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": [_DOWN, _DOWN, _DOWN, _PLAIN_DOWN],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": [_PLAIN_UP, _UP, _UP, _UP],
}
SD2_UNET: Config = {
    **SD_UNET,
    "_diffusers_version": "0.10.0.dev0",
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "dual_cross_attention": False,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "sample_size": 96,
    "upcast_attention": True,
    "use_linear_projection": True,
}
XL_UNET: Config = {
    **SD2_UNET,
    "_diffusers_version": "0.19.0.dev0",
    "addition_embed_type": "text_time",
    "addition_embed_type_num_heads": 64,
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "class_embed_type": None,
    "class_embeddings_concat": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_dim": 2048,
    "cross_attention_norm": None,
    "down_block_types": [_PLAIN_DOWN, _DOWN, _DOWN],
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "mid_block_only_cross_attention": None,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "num_attention_heads": None,
    "projection_class_embeddings_input_dim": 2816,
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "resnet_time_scale_shift": "default",
    "sample_size": 128,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": [_UP, _UP, _PLAIN_UP],
    "upcast_attention": None,
}
VAE: Config = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.2.2",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "out_channels": 3,
    "sample_size": 512,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
XL_VAE: Config = {
    **VAE,
    "_diffusers_version": "0.20.0.dev0",
    "_name_or_path": "../sdxl-vae/",
    "force_upcast": True,
    "norm_num_groups": 32,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
}
TEXT: Config = {
    "_name_or_path": "openai/clip-vit-large-patch14",
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dropout": 0.0,
    "eos_token_id": 2,
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "projection_dim": 768,
    "torch_dtype": "float32",
    "transformers_version": "4.21.0.dev0",
    "vocab_size": 49408,
}
SD2_TEXT: Config = {
    **TEXT,
    "hidden_act": "gelu",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 23,
    "projection_dim": 512,
    "transformers_version": "4.25.0.dev0",
}
XL_TEXT_2: Config = {
    **TEXT,
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
}
BERT: Config = {
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "bos_token_id": 0,
    "classifier_dropout": None,
    "directionality": "bidi",
    "eos_token_id": 2,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "output_past": True,
    "pad_token_id": 0,
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 21128,
}
_BETAS: Config = {
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
PNDM: Config = {"_class_name": "PNDMScheduler", "_diffusers_version": "0.7.0.dev0", **_BETAS}
DDIM_V: Config = {"_class_name": "DDIMScheduler", **_BETAS, "prediction_type": "v_prediction"}
EULER: Config = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.19.0.dev0",
    **_BETAS,
    "interpolation_type": "linear",
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "timestep_spacing": "leading",
    "use_karras_sigmas": False,
}
DPM: Config = {
    "_class_name": "DPMSolverMultistepScheduler",
    "_diffusers_version": "0.29.0.dev0",
    **_BETAS,
    "algorithm_type": "dpmsolver++",
    "dynamic_thresholding_ratio": 0.995,
    "euler_at_final": False,
    "final_sigmas_type": "zero",
    "lambda_min_clipped": float("-inf"),
    "lower_order_final": True,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "sample_max_value": 1.0,
    "solver_order": 2,
    "solver_type": "midpoint",
    "thresholding": False,
    "timestep_spacing": "linspace",
    "use_karras_sigmas": True,
    "use_lu_lambdas": False,
    "variance_type": None,
}
LCM: Config = {
    "_class_name": "LCMScheduler",
    "_diffusers_version": "0.22.0.dev0",
    **_BETAS,
    "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.995,
    "original_inference_steps": 50,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "thresholding": False,
    "timestep_scaling": 10.0,
    "timestep_spacing": "leading",
}
EDM: Config = {
    "_class_name": "EDMDPMSolverMultistepScheduler",
    "_diffusers_version": "0.27.0.dev0",
    "algorithm_type": "dpmsolver++",
    "dynamic_thresholding_ratio": 0.995,
    "euler_at_final": False,
    "final_sigmas_type": "zero",
    "lower_order_final": True,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rho": 7.0,
    "sample_max_value": 1.0,
    "sigma_data": 0.5,
    "sigma_max": 80.0,
    "sigma_min": 0.002,
    "solver_order": 2,
    "solver_type": "midpoint",
    "thresholding": False,
}
CLIP_TOKENIZER: Config = {
    "add_prefix_space": False,
    "bos_token": {"__type": "AddedToken", "content": "<|startoftext|>", "lstrip": False, "normalized": True},
    "do_lower_case": True,
    "eos_token": {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": False, "normalized": True},
    "errors": "replace",
    "model_max_length": 77,
    "name_or_path": "openai/clip-vit-large-patch14",
    "pad_token": "<|endoftext|>",
    "special_tokens_map_file": "./special_tokens_map.json",
    "tokenizer_class": "CLIPTokenizer",
    "unk_token": {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": False, "normalized": True},
}
_SD_INDEX: Config = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.2.2",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
_XL_INDEX: Config = {
    **{key: value for key, value in _SD_INDEX.items() if key not in ("safety_checker", "feature_extractor")},
    "_class_name": "StableDiffusionXLPipeline",
    "_diffusers_version": "0.19.0.dev0",
    "force_zeros_for_empty_prompt": True,
    "add_watermarker": None,
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
}


def _model(**parts: Config) -> dict[str, Config]:
    return parts


SD: Mapping[str, Config] = _model(
    model_index=_SD_INDEX, unet=SD_UNET, vae=VAE, text_encoder=TEXT, scheduler=PNDM, tokenizer=CLIP_TOKENIZER
)
SD2: Mapping[str, Config] = {**SD, "unet": SD2_UNET, "text_encoder": SD2_TEXT, "scheduler": DDIM_V}
XL: Mapping[str, Config] = {
    **SD,
    "model_index": _XL_INDEX,
    "unet": XL_UNET,
    "vae": XL_VAE,
    "text_encoder_2": XL_TEXT_2,
    "tokenizer_2": {**CLIP_TOKENIZER, "pad_token": "!"},
    "scheduler": EULER,
}
KOLORS_TEXT: Config = {
    "_name_or_path": "THUDM/chatglm3-6b-base",
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "apply_query_key_layer_scaling": True,
    "apply_residual_connection_post_layernorm": False,
    "architectures": ["ChatGLMModel"],
    "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True,
    "auto_map": {"AutoConfig": "configuration_chatglm.ChatGLMConfig", "AutoModel": "modeling_chatglm.ChatGLMModel"},
    "bias_dropout_fusion": True,
    "classifier_dropout": None,
    "eos_token_id": 2,
    "ffn_hidden_size": 13696,
    "fp32_residual_connection": False,
    "hidden_dropout": 0.0,
    "hidden_size": 4096,
    "kv_channels": 128,
    "layernorm_epsilon": 1e-05,
    "model_type": "chatglm",
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "num_attention_heads": 32,
    "num_layers": 28,
    "original_rope": True,
    "pad_token_id": 0,
    "padded_vocab_size": 65024,
    "post_layer_norm": True,
    "pre_seq_len": None,
    "prefix_projection": False,
    "quantization_bit": 0,
    "rmsnorm": True,
    "seq_length": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.42.4",
    "use_cache": True,
    "vocab_size": 65024,
}
KOLORS: Mapping[str, Config] = _model(
    model_index={
        "_class_name": "KolorsPipeline",
        "_diffusers_version": "0.30.0.dev0",
        "force_zeros_for_empty_prompt": True,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["kolors", "ChatGLMModel"],
        "tokenizer": ["kolors", "ChatGLMTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    },
    unet={
        **XL_UNET,
        "encoder_hid_dim": 4096,
        "encoder_hid_dim_type": "text_proj",
        "projection_class_embeddings_input_dim": 5632,
    },
    vae=XL_VAE,
    text_encoder=KOLORS_TEXT,
    tokenizer={
        "added_tokens_decoder": {},
        "auto_map": {"AutoTokenizer": ["tokenization_chatglm.ChatGLMTokenizer", None]},
        "clean_up_tokenization_spaces": False,
        "do_lower_case": False,
        "encode_special_tokens": False,
        "model_max_length": 1000000000000000019884624838656,
        "padding_side": "left",
        "remove_space": False,
        "tokenizer_class": "ChatGLMTokenizer",
    },
    scheduler={**EULER, "beta_end": 0.014, "num_train_timesteps": 1100},
)


def changed(model: Mapping[str, Config], **parts: Config) -> dict[str, Config]:
    """A model with some entries of its configurations changed."""
    return {**model, **{part: {**model.get(part, {}), **values} for part, values in parts.items()}}


def publish(folder: Path, model: Mapping[str, Config]) -> Path:
    """Write a model's folder: its weights have a header, and as many bytes of nothing as that tells."""
    index = {**model["model_index"], "scheduler": ["diffusers", model["scheduler"]["_class_name"]]}
    for part, content in {**model, "model_index": index}.items():
        name = {"scheduler": "scheduler_config.json", "model_index": "../model_index.json"}.get(part, "config.json")
        (folder / part).mkdir(parents=True, exist_ok=True)
        if part.startswith("tokenizer"):
            name = "tokenizer_config.json"
            _vocabulary(folder / part, model[part.replace("tokenizer", "text_encoder")]["vocab_size"], content)
        (folder / part / name).write_text(json.dumps(content))
    (folder / "model_index").rmdir()
    unet = model["unet"]
    first = (unet["block_out_channels"][0], unet["in_channels"], 3, 3)
    _weights(folder / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": first})
    _weights(folder / "vae" / "diffusion_pytorch_model.safetensors", {"encoder.conv_in.weight": (128, 3, 3, 3)})
    for part in (each for each in model if each.startswith("text_encoder")):
        text = model[part]
        if "vocab_size" in text:
            rows = (text["vocab_size"], text["hidden_size"])
            _weights(folder / part / "model.safetensors", {"text_model.embeddings.token_embedding.weight": rows})
    return folder


def _weights(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    at, header = 0, {}
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)


_PIECES = {"T5Tokenizer": "spiece.model", "ChatGLMTokenizer": "tokenizer.model"}


def _vocabulary(folder: Path, count: int, config: Config) -> None:
    kind = config.get("tokenizer_class")
    if kind == "BertTokenizer":
        (folder / "vocab.txt").write_text("\n".join(f"word{number}" for number in range(count)))
    elif kind in _PIECES:
        (folder / _PIECES[kind]).write_bytes(b"\n\x0e\n\x05<unk>")
    else:
        (folder / "vocab.json").write_text(json.dumps({f"t{number}": number for number in range(count)}))
        merges = (f"t {number}" for number in range(count - 514))
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
