"""SDXL's own architecture with random weights, made where it computes: no file and no network is needed.

A forward pass costs the same whatever the weights are, so that seconds and bytes are those of the real model. The
pictures show noise.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from fusionkit.models.silence import quiet_loading
from fusionkit.testing import tiny_controlnet, tiny_pipeline

CONFIGURATIONS = Path(__file__).with_name("sdxl.json")


class Sdxl:
    """SDXL base as its authors published it, with random weights.

    Args:
        device: Where it is made.
    """

    window = 1024
    level = 4  # where `patch-content-prompts` finds its attention

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def pipeline(self, seed: int = 0) -> Any:
        """A `StableDiffusionXLPipeline` in float16, its VAE in float32, as fusionkit loads it."""
        from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

        torch.manual_seed(seed)
        with quiet_loading():
            parts = {
                name: part(name, self.device, torch.float16) for name in ("unet", "text_encoder", "text_encoder_2")
            }
            parts["vae"] = part("vae", self.device, torch.float32)
            for name in ("tokenizer", "tokenizer_2"):
                parts[name] = tokenizer(configurations()["text_encoder"]["vocab_size"])
            parts["scheduler"] = EulerDiscreteScheduler.from_config(configurations()["scheduler"])
            pipe = StableDiffusionXLPipeline(**parts, add_watermarker=False)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def save_controlnet(self, folder: Path) -> None:
        """A ControlNet of SDXL's size, in diffusers' layout."""
        with quiet_loading():
            part("controlnet", self.device, torch.float16).save_pretrained(folder)


class Tiny:
    """The tiny pipelines of `fusionkit.testing`, to try the commands on a CPU in seconds.

    Args:
        device: Where it computes.
    """

    window = 64
    level = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def pipeline(self, seed: int = 0) -> Any:
        """A `StableDiffusionXLPipeline` in float32."""
        from diffusers import StableDiffusionXLPipeline

        parts = tiny_pipeline("sdxl", seed).components
        pipe = StableDiffusionXLPipeline(**parts, add_watermarker=False)
        pipe.set_progress_bar_config(disable=True)
        return pipe.to(self.device)

    def save_controlnet(self, folder: Path) -> None:
        """A ControlNet that fits."""
        tiny_controlnet("sdxl").save_pretrained(folder)


def configurations() -> Mapping[str, Mapping[str, Any]]:
    """The published configuration of each part of SDXL base, and of its Canny ControlNet."""
    found: Mapping[str, Mapping[str, Any]] = json.loads(CONFIGURATIONS.read_text(encoding="utf-8"))
    return found


def part(name: str, device: torch.device | str, dtype: torch.dtype) -> Any:
    """One part of SDXL, with the random weights of its constructor, made on a device in a type."""
    with born(device, dtype):
        return makers()[name](configurations()[name]).eval().requires_grad_(False)


def makers() -> Mapping[str, Callable[[Any], Any]]:
    """How each part is made of its configuration."""
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    return {
        "unet": UNet2DConditionModel.from_config,
        "controlnet": ControlNetModel.from_config,
        "vae": AutoencoderKL.from_config,
        "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig(**config)),
        "text_encoder_2": lambda config: CLIPTextModelWithProjection(CLIPTextConfig(**config)),
    }


@contextmanager
def born(device: torch.device | str, dtype: torch.dtype) -> Iterator[None]:
    """While the block runs, new weights are made on a device and in a type, rather than on the CPU in float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def tokenizer(words: int) -> Any:
    """CLIP's tokenizer with one token a letter, filled up to a number of words that nobody writes.

    The end of a text has the largest number, by which CLIP's encoder finds it.
    """
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    known = [*letters, *(f"{letter}</w>" for letter in letters)]
    filled = [*known, *(f"<unused-{number}>" for number in range(words - 2 - len(known)))]
    vocabulary = [*filled, "<|startoftext|>", "<|endoftext|>"]
    with TemporaryDirectory() as folder:
        vocab, merges = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab.write_text(json.dumps({word: number for number, word in enumerate(vocabulary)}), encoding="utf-8")
        merges.write_text("#version: 0.2\n", encoding="utf-8")
        return CLIPTokenizer(str(vocab), str(merges), model_max_length=77)


def forget(device: torch.device) -> None:
    """Give back the memory of what is no longer used."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
