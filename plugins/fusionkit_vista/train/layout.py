"""Puts the trained parts together as folders in diffusers' layout, in half precision."""

from __future__ import annotations

import copy
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

from fusionkit_vista.train.denoiser import build_scheduler


def class_of(name: str) -> Any:
    """A class of diffusers, or of transformers."""
    library = import_module("diffusers")
    return getattr(library if hasattr(library, name) else import_module("transformers"), name)


def load(kind: str, folder: Path) -> Any:
    """A part of a class of diffusers or transformers from a folder, in single precision, to be used."""
    return class_of(kind).from_pretrained(folder, local_files_only=True).float().eval()


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder."""
    return import_module("transformers").CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def assemble(vae: Any, unet: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> Any:
    """The parts as one `StableDiffusionPipeline`, without a safety checker."""
    pipeline = import_module("diffusers").StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save(pipeline: Any, tokenizer_folder: Path, folder: Path, names: tuple[str, ...]) -> None:
    """Write a pipeline as fp16 safetensors, of which these parts have weights; it stays as it is itself.

    The tokenizer's vocab.json and merges.txt go along, because older versions of transformers read those.
    """
    shutil.rmtree(folder, ignore_errors=True)
    halves = {name: copy.deepcopy(getattr(pipeline, name)).half() for name in names}
    for model in halves.values():
        if hasattr(model, "register_to_config"):
            # Otherwise the folder that the part was loaded from would be written down.
            model.register_to_config(_name_or_path="")
    options = {name: value for name, value in pipeline.config.items() if name == "requires_safety_checker"}
    type(pipeline)(**{**pipeline.components, **halves}, **options).save_pretrained(folder)
    for tokenizer in folder.glob("tokenizer*"):
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(tokenizer_folder / name, tokenizer / name)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # written for the owner alone


def export_scenes(work: Path, folder: Path) -> None:
    """The trained denoiser as a Stable Diffusion pipeline, with the autoencoder's best decoder so far."""
    denoiser = work / "denoiser"
    pipeline = assemble(
        load("AutoencoderKL", best_vae(work)),
        load("UNet2DConditionModel", denoiser / "unet"),
        load("CLIPTextModel", denoiser / "text_encoder"),
        load_tokenizer(denoiser / "tokenizer"),
        build_scheduler(),
    )
    save(pipeline, denoiser / "tokenizer", folder, ("vae", "unet", "text_encoder"))


def export_flow(work: Path, folder: Path) -> None:
    """The trained transformer as a Flux pipeline."""
    diffusers, flow = import_module("diffusers"), work / "flow"
    tokenizer = load_tokenizer(flow / "tokenizer")
    pipeline = diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=load("AutoencoderKL", best_vae(work)),
        text_encoder=load("CLIPTextModel", flow / "text_encoder"),
        tokenizer=tokenizer,
        text_encoder_2=load("T5EncoderModel", flow / "text_encoder_2"),
        tokenizer_2=tokenizer,
        transformer=load("FluxTransformer2DModel", flow / "transformer"),
    )
    save(pipeline, flow / "tokenizer", folder, ("vae", "transformer", "text_encoder", "text_encoder_2"))


def best_vae(work: Path) -> Path:
    """The autoencoder with the decoder that was trained further, or the first one where there is none."""
    further = work / "decoder" / "vae"
    return further if further.exists() else work / "vae" / "vae"
