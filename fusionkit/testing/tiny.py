"""Tiny pipelines with random weights, made in code: real diffusers components that run anywhere in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.denoise import Begun, StepEnded
    from fusionkit.loop.model import Model, ModelInfo
    from fusionkit.plugin import Plugin
    from fusionkit.runs.plan import RunPlan

Kind = Literal["sd", "sdxl"]
KINDS: tuple[Kind, ...] = ("sd", "sdxl")

WINDOW = 64
"""Pixels along one side of a tiny model's window: 8 latent pixels at its factor of 8."""

SIZE = (160, 80)
"""Pixels of a canvas of which no size is said."""


def tiny_pipeline(kind: Kind = "sd", seed: int = 0) -> Any:
    """A `StableDiffusionPipeline` or `StableDiffusionXLPipeline` with seeded random weights, for 64x64 pixels.

    Its pictures show nothing, but all arithmetic is real: it follows prompts, the timestep, guidance and, for SDXL,
    the crop coordinates. The same object is answered for the same arguments; leave it as it is.

    Args:
        kind: "sd" or "sdxl".
        seed: Of the weights.
    """
    # Called with a seed or without one, it is one cache's entry.
    return _pipeline(kind, seed)


@lru_cache
def _pipeline(kind: Kind, seed: int) -> Any:
    import torch

    diffusers: Any = import_module("diffusers")

    xl = kind == "sdxl"
    with torch.random.fork_rng(devices=[]), TemporaryDirectory() as folder:
        torch.manual_seed(seed)
        tokenizer = _tokenizer(Path(folder))
        parts = {
            "vae": _vae(),
            "unet": _unet(xl),
            "text_encoder": _text_encoder(len(tokenizer), projected=False),
            "tokenizer": tokenizer,
            "scheduler": diffusers.DDIMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
            ),
        }
        if xl:
            second = {"text_encoder_2": _text_encoder(len(tokenizer), projected=True), "tokenizer_2": tokenizer}
            pipe = diffusers.StableDiffusionXLPipeline(**parts, **second, add_watermarker=False)
        else:
            pipe = diffusers.StableDiffusionPipeline(
                **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
            )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@lru_cache
def tiny_controlnet(kind: Kind = "sd", seed: int = 0) -> Any:
    """A `ControlNetModel` with seeded random weights that fits a tiny pipeline and does steer it.

    Args:
        kind: "sd" or "sdxl".
        seed: Of the weights.
    """
    return controlnet_for(tiny_pipeline(kind).unet, seed)


def controlnet_for(unet: Any, seed: int = 0) -> Any:
    """A `ControlNetModel` for a denoiser; its zero convolutions are random, so that it steers without training."""
    import torch

    diffusers: Any = import_module("diffusers")

    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        torch.manual_seed(seed)
        net = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8))
        for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
            torch.nn.init.normal_(layer.weight, std=0.3)
    return net.eval().requires_grad_(False)


def tiny_plan(
    plugins: Sequence[Plugin] = (), kind: Kind = "sd", models: Sequence[str] = ("model",), **fields: Any
) -> RunPlan:
    """A checked run of a recipe on tiny models; its stages and hooks can be asked without running it.

    Args:
        plugins: As in a recipe, in order of application.
        kind: "sd" or "sdxl".
        models: Names of the models, as a recipe with several gives them; each has weights of its own.
        fields: Other fields of the recipe. By default 3 steps of DDPM with guidance 4 on a canvas of three windows.

    Raises:
        RecipeError: What `fusionkit validate` would say.
    """
    from fusionkit.recipe.made import make_recipe
    from fusionkit.runs.run import prepare

    default = {"prompt": "a hill", "size": SIZE, "scheduler": "ddpm", "steps": 3, "guidance_scale": 4.0}
    recipe = make_recipe(**{**default, **fields, "plugins": list(plugins)})
    infos = {name: _info(kind, seed) for seed, name in enumerate(models)}
    return prepare(recipe, infos[models[0]], infos=infos)


def tiny_run(
    plugins: Sequence[Plugin] = (), kind: Kind = "sd", models: Sequence[str] = ("model",), **fields: Any
) -> Tensor:
    """The clean latents (1, C, H, W) of a recipe on a tiny model, float32.

    Args:
        plugins: As in a recipe, in order of application.
        kind: "sd" or "sdxl".
        models: As for `tiny_plan`.
        fields: As for `tiny_plan`.

    Raises:
        FusionError: As any other run.
    """
    return execute_tiny(tiny_plan(plugins, kind, models, **fields), kind)


def tiny_model(kind: Kind = "sd", seed: int = 0) -> Model:
    """A tiny pipeline behind the same adapter as any other model."""
    from fusionkit.models.load import wrap_pipelines

    return wrap_pipelines({"model": tiny_pipeline(kind, seed)}, {"model": _info(kind, seed)})["model"]


@lru_cache
def _info(kind: Kind, seed: int) -> ModelInfo:
    from fusionkit.models.inspect import info_of_pipeline

    return info_of_pipeline(tiny_pipeline(kind, seed))


def execute_tiny(
    plan: RunPlan, kind: Kind = "sd", *, begun: Begun | None = None, step_ended: StepEnded | None = None
) -> Tensor:
    """Run a plan of `tiny_plan` and answer its clean latents, (1, C, H, W).

    Args:
        plan: The run; a recipe with `devices` is drawn on copies of the models on each of them.
        kind: As for `tiny_plan`.
        begun: Where it goes on, as for `execute`.
        step_ended: Told of each step, as for `execute`.
    """
    from fusionkit.runs.run import execute

    names, devices = tuple(plan.infos), plan.recipe.devices
    models: Mapping[str, Model] = (
        _on_devices(kind, names, devices)
        if devices
        else {name: tiny_model(kind, seed) for seed, name in enumerate(names)}
    )
    return execute(plan, next(iter(models.values())), models, begun, step_ended)


@lru_cache
def _on_devices(kind: Kind, names: tuple[str, ...], devices: tuple[str, ...]) -> Mapping[str, Model]:
    """Tiny models on several devices, kept for the next run, whose workers have met other stages by then."""
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.testing.devices import on_devices

    pipes = {name: tiny_pipeline(kind, seed) for seed, name in enumerate(names)}
    return on_devices(pipes, {name: _info(kind, seed) for seed, name in enumerate(names)}, Recipe(), devices)


def _vae() -> Any:
    diffusers: Any = import_module("diffusers")

    channels = (4, 4, 8, 8)
    return diffusers.AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=WINDOW,
        force_upcast=False,
    ).eval()


def _unet(xl: bool) -> Any:
    diffusers: Any = import_module("diffusers")

    width = 16
    # SDXL is told six numbers about the crop, each embedded in `time` values, beside the pooled prompt.
    time = 4
    sdxl: dict[str, Any] = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": time,
        "projection_class_embeddings_input_dim": 6 * time + width,
    }
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=2 * width if xl else width,
        attention_head_dim=4,
        norm_num_groups=4,
        use_linear_projection=True,
        **(sdxl if xl else {}),
    ).eval()


def _text_encoder(words: int, projected: bool) -> Any:
    transformers: Any = import_module("transformers")

    config = transformers.CLIPTextConfig(
        vocab_size=words,
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=2,
        max_position_embeddings=16,
        projection_dim=16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config).eval()


def _tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer with one token for each printable ASCII character, and no merges."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return import_module("transformers").CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16
    )
