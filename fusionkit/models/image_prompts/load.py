"""An IP-Adapter's weights as diffusers' own modules, and the tokens that it makes of pictures (arXiv 2308.06721)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils.memory import clear_device_cache
from torch import Tensor

from fusionkit.loop.finite import check_finite, wider_type
from fusionkit.models.guard import loading, told_as
from fusionkit.models.image_prompts.adapter import AdapterInfo, called
from fusionkit.models.image_prompts.encoder import WHAT, EncoderInfo, files_of
from fusionkit.models.pipelines import load_part

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Adapter:
    """An IP-Adapter that is loaded.

    Args:
        info: What its header tells.
        layers: diffusers' processor for each layer of the UNet that looks at the text, by the layer's name.
        projection: Makes tokens of what the encoder sees.
    """

    info: AdapterInfo
    layers: Mapping[str, Any]
    projection: Any


def load_adapter(info: AdapterInfo, unet: Any, device: torch.device, dtype: torch.dtype) -> Adapter:
    """An IP-Adapter of a UNet, which is left as it is.

    Raises:
        ModelError: Its weights can't be loaded, or do not fit.
    """
    from safetensors.torch import load_file

    name = info.path.name
    with loading(called(info.source, None if info.source.endswith(name) else name)):
        tensors = load_file(info.path)
        parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
        for key, tensor in tensors.items():
            part, _, name = key.partition(".")
            if part in parts:
                parts[part][name] = tensor
        processors = unet._convert_ip_adapter_attn_to_diffusers([parts], low_cpu_mem_usage=False)
        projection = unet._convert_ip_adapter_image_proj_to_diffusers(parts["image_proj"], low_cpu_mem_usage=False)
        return Adapter(
            info,
            {
                name.removesuffix(".processor"): _ready(each, device, dtype)
                for name, each in processors.items()
                if hasattr(each, "to_k_ip")
            },
            _ready(projection, device, dtype),
        )


def encoded(
    adapter: Adapter, encoder: EncoderInfo, pictures: Sequence[Image], device: torch.device, dtype: torch.dtype
) -> Tensor:
    """What layers look at of pictures, (2, L, D): the tokens of all of them, and those of as many empty ones.

    The encoder is loaded for this, and is gone afterwards.

    Args:
        adapter: Whose tokens they are.
        encoder: Through which it looks.
        pictures: In RGB; the encoder sees the middle square of each, as diffusers shows it.
        device: Where the tokens are made.
        dtype: Their type.

    Raises:
        ModelError: The encoder's weights can't be loaded, or it fails at its work.
    """
    diffusers: Any = import_module("diffusers")
    transformers: Any = import_module("transformers")
    what = f"{WHAT} '{encoder.where}'"
    folder, variant = files_of(encoder)
    with loading(what):
        seeing = load_part(transformers.CLIPVisionModelWithProjection, folder, variant, dtype, what)
        seeing = _ready(seeing, device, dtype)
        # diffusers' own way, for which no more of a pipeline is needed than this.
        eyes = SimpleNamespace(
            image_encoder=seeing,
            feature_extractor=transformers.CLIPImageProcessor(size=encoder.side, crop_size=encoder.side),
        )
    tokens = None if adapter.info.kind == "projection" else True
    # What is made in inference mode could take part in no gradient.
    failing = told_as(f"{what} fails at its work", "; get its files again")
    with failing, torch.inference_mode(False), torch.no_grad():
        seen = diffusers.StableDiffusionPipeline.encode_image(eyes, list(pictures), device, 1, tokens)
        both = torch.stack([adapter.projection(each.to(dtype)).flatten(0, 1) for each in seen])
    del seeing, eyes
    clear_device_cache()
    check_finite(both, f"what the {what} sees", wider_type(dtype))
    return both


def _ready(module: Any, device: torch.device, dtype: torch.dtype) -> Any:
    return module.to(device=device, dtype=dtype).eval().requires_grad_(False)
