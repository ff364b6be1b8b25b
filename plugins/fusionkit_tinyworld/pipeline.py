"""Puts the trained parts together as a Stable Diffusion pipeline, and samples from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fusionkit.models.silence import quiet_loading
from fusionkit_tinyworld.data import WINDOW
from fusionkit_tinyworld.parts import Autoencoder, Denoiser, Pipeline, TextEncoder, Tokenizer, diffusers
from fusionkit_tinyworld.unet import build_scheduler
from fusionkit_vista.train import layout

GUIDANCE = 4.0
STEPS = 30


def assemble(vae: Autoencoder, unet: Denoiser, text_encoder: TextEncoder, tokenizer: Tokenizer) -> Pipeline:
    """The parts as one pipeline, without a safety checker."""
    return layout.assemble(vae, unet, text_encoder, tokenizer, build_scheduler())


def load_pipeline(folder: Path, device: torch.device) -> Pipeline:
    """The pipeline of a folder, in single precision."""
    with quiet_loading():
        pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    # Called dtype in newer versions and torch_dtype in older ones, so the parts are converted here.
    for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        part.float()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def sample(
    pipeline: Pipeline,
    captions: Sequence[str],
    seed: int = 0,
    guidance: float = GUIDANCE,
    steps: int = STEPS,
    batch: int = 24,
) -> NDArray[np.uint8]:
    """One picture (n, 64, 64, 3) in RGB to each caption; the i-th depends on its caption and on seed + i alone."""
    pictures = []
    for start in range(0, len(captions), batch):
        chosen = list(captions[start : start + batch])
        generators = [torch.Generator().manual_seed(seed + start + index) for index in range(len(chosen))]
        result = pipeline(
            chosen,
            height=WINDOW,
            width=WINDOW,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
            output_type="np",
        )
        pictures.append((result.images * 255).round().astype(np.uint8))
    return np.concatenate(pictures)


def sheet(pictures: NDArray[np.uint8], columns: int, scale: int = 1) -> NDArray[np.uint8]:
    """Pictures (n, h, w, 3) in rows of `columns`, each enlarged by a whole factor; missing places are white."""
    missing = -len(pictures) % columns
    filled = np.concatenate([pictures, np.full((missing, *pictures.shape[1:]), 255, np.uint8)])
    count, height, width, _ = filled.shape
    grid = filled.reshape(count // columns, columns, height, width, 3).swapaxes(1, 2)
    flat = grid.reshape(count // columns * height, columns * width, 3)
    return np.asarray(flat.repeat(scale, axis=0).repeat(scale, axis=1), np.uint8)


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture (h, w, 3) in RGB in the format that the name ends in; raises OSError when that fails."""
    # What a format does not know of these is left aside.
    Image.fromarray(picture).save(path, optimize=True, quality=95, subsampling=0)
