"""Sana: a flow in latents of 32 x 32 pixels, cross-attention to a prompt behind instructions, and no places."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.in_file import InFile
from fusionkit.models.families.parts import in_small_letters, stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class Sana(Family):
    """`SanaPipeline`, with the instructions that it puts before a prompt."""

    kind, title, pipelines = "sana", "Sana", ("SanaPipeline",)
    denoisers = ("SanaTransformer2DModel",)
    autoencoders = ("AutoencoderDC",)
    widths = {"caption_channels": "text_encoder"}
    patch, text_first = 1, None
    reads = {"tokenizer": 300}
    defaults = {"guidance-scale": 4.5, "steps": 20}
    # Measured: 11.1 at a width of 1,536.
    maps, text_tokens, parameters = 12, 300, 4_500_000_000
    in_file: ClassVar[InFile | None] = InFile(
        (
            ("blocks.0.cross_attn.q_linear.weight", "attention_y_norm.weight"),
            ("caption_norm.weight", "transformer_blocks.0.ff.conv_inverted.weight"),
        ),
        "Efficient-Large-Model/Sana_1600M_1024px_diffusers",
        told=tuple(("num_layers", each) for each in ("blocks", "transformer_blocks")),
    )

    def sigmas(self, steps: int) -> list[float]:
        """As diffusers' solvers space the levels of flows: from just below pure noise."""
        return [0.999 * (1 - number / steps) for number in range(steps)]

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """Gemma's (1, L, D) and the mask (1, L), of the prompt's tokens alone."""
        return self.read(pipe, text, device, _instructions(pipe))

    def encode_negative(self, pipe: Any, text: str, device: Any) -> Embedding:
        """Without the instructions."""
        return self.read(pipe, text, device)

    def read(self, pipe: Any, text: str, device: Any, said: Sequence[str] | None = None) -> Embedding:
        """A text behind instructions, or alone."""
        embeds, mask, *_ = pipe.encode_prompt(text, False, device=device, complex_human_instruction=said)
        return embeds, mask

    def heard(self, prompt: str) -> str:
        """In small letters."""
        return in_small_letters(prompt)

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """Behind the instructions, of which one token is left in front."""
        said = "\n".join(_instructions(pipe))
        return pipe.tokenizer, said + "{}", len(pipe.tokenizer.encode(said)) - 2

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text and mask."""
        return {"encoder_hidden_states": stacked(embeddings, 0), "encoder_attention_mask": stacked(embeddings, 1)}

    def call(self, denoiser: Any, latents: Tensor, timestep: Tensor, conditions: dict[str, Any]) -> Tensor:
        """With the denoiser's own scale of time; a learned variance is left out."""
        told = self.scaled(timestep, denoiser)
        return super().call(denoiser, latents, told, conditions)[:, : latents.shape[1]]

    def scaled(self, timestep: Tensor, denoiser: Any) -> Tensor:
        """The denoiser's time of the scheduler's."""
        scale: float = denoiser.config.timestep_scale
        return timestep * scale

    def time(self, timestep: Tensor, dtype: Any) -> Tensor:
        """As it is: not rounded."""
        return timestep


def _instructions(pipe: Any) -> list[str]:
    # Its pipeline has them as a default, and in no other place.
    said: list[str] = inspect.signature(type(pipe).__call__).parameters["complex_human_instruction"].default
    return said
