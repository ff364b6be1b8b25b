"""The libraries' models under names of our own: their annotations are too partial for a strict type checker."""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeAlias

Autoencoder: TypeAlias = Any
"""A `diffusers.AutoencoderKL`."""
Denoiser: TypeAlias = Any
"""A `diffusers.UNet2DConditionModel`."""
ControlNet: TypeAlias = Any
"""A `diffusers.ControlNetModel`."""
TextEncoder: TypeAlias = Any
"""A `transformers.CLIPTextModel`."""
Tokenizer: TypeAlias = Any
"""A `transformers.CLIPTokenizer`."""
Pipeline: TypeAlias = Any
"""A `diffusers.StableDiffusionPipeline`."""

diffusers: Any = import_module("diffusers")
transformers: Any = import_module("transformers")
peft: Any = import_module("peft")
