"""CogView 4: SDXL's three conditions of size and crop, places that span every picture, and times before their shift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.parts import corners, stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class CogView4(Family):
    """`CogView4Pipeline`; a view is told where in the picture it lies, as SDXL is.

    LoRAs: yes. ControlNets: diffusers has none; CogView4-Control, whose denoiser takes the hint as more channels, is
    another model.
    """

    kind, title, pipelines = "cogview4", "CogView 4", ("CogView4Pipeline",)
    denoisers = ("CogView4Transformer2DModel",)
    widths = {"text_embed_dim": "text_encoder"}
    reads = {"tokenizer": 1024}
    defaults = {"guidance-scale": 5.0, "steps": 50}
    # What its processor makes of a mask, 0 and 1, is added to the scores, and so masks nothing (diffusers 0.42).
    one_length, crops = True, True
    # Measured: 10.3 at a width of 240.
    maps, text_tokens, parameters = 12, 224, 16_000_000_000

    def sigmas(self, steps: int) -> list[float]:
        """Whole timesteps from 1000 to 1."""
        return [int(1000 - number * 999 / max(1, steps - 1)) / 1000 for number in range(steps)]

    def shift(self, config: Mapping[str, Any], tokens: int, steps: int) -> float | None:
        """By the root of the tokens."""
        if not config.get("use_dynamic_shifting"):
            return None
        low, high = config.get("base_shift", 0.25), config.get("max_shift", 0.75)
        return float((tokens / config.get("base_image_seq_len", 256)) ** 0.5 * high + low)

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """GLM's (1, L, D), L a multiple of 16, filled up in front."""
        embeds, _ = pipe.encode_prompt(text, do_classifier_free_guidance=False, device=device)
        return (embeds,)

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text, the view as a crop of the whole picture, and the shift of noise levels at the view's size."""
        text = stacked(embeddings, 0)
        width, height = asked.stage.told
        sizes = asked.like.new_tensor([[height, width]]).expand(len(text), 2)
        config = asked.pipe.scheduler.config
        mu = self.shift(config, asked.size[0] * asked.size[1], 0)
        exponential = config.get("time_shift_type", "exponential") == "exponential"
        return {
            "encoder_hidden_states": text,
            "original_size": sizes,
            "target_size": sizes,
            "crop_coords": asked.like.new_tensor(corners(asked)),
            "shift": config.get("shift", 1.0) if mu is None else exp(mu) if exponential else mu,
        }

    def call(self, denoiser: Any, latents: Tensor, timestep: Tensor, conditions: dict[str, Any]) -> Tensor:
        """The denoiser is told the time t of its noise level s before the shift: 1 / s - 1 = (1 / t - 1) / shift."""
        shift = conditions.pop("shift")
        level = timestep.double() / 1000
        time = 1000 * level / (level + shift * (1 - level))
        return super().call(denoiser, latents, time.float(), conditions)

    def time(self, timestep: Tensor, dtype: Any) -> Tensor:
        """As it is."""
        return timestep
