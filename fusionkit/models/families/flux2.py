"""Flux.2: 32 channels normalised by the autoencoder's batch norm, four places for each token, a shift of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.in_file import InFile
from fusionkit.models.families.parts import image_ids, scales, stacked

if TYPE_CHECKING:
    from fusionkit.models.families.base import Embedding


class Flux2(Family):
    """`Flux2KleinPipeline`, distilled or not, and `Flux2Pipeline` (dev), which takes the guidance scale as an input.

    klein's own pipeline knows no negative prompt but the empty one; here it may be another. The statistics of the batch
    norm are those of a token's 2 x 2 latent pixels, so views had best begin at whole tokens. LoRAs: yes. ControlNets:
    diffusers has none.
    """

    kind, title, pipelines = "flux2", "Flux.2", ("Flux2KleinPipeline", "Flux2Pipeline")
    denoisers, autoencoders = ("Flux2Transformer2DModel",), ("AutoencoderKLFlux2",)
    packs = True
    defaults = {"guidance-scale": 4.0, "steps": 50}
    # Measured: 22.5 at a width of 256.
    maps, parameters = 24, 8_000_000_000
    in_file = InFile(
        (
            ("single_stream_modulation.lin.weight", "img_in.weight"),
            ("single_stream_modulation.linear.weight", "x_embedder.weight"),
        ),
        "black-forest-labs/FLUX.2-dev",
        told=(
            *(("num_layers", each) for each in ("double_blocks", "transformer_blocks")),
            *(("num_single_layers", each) for each in ("single_blocks", "single_transformer_blocks")),
            *(("joint_attention_dim", (each, 1)) for each in ("txt_in.weight", "context_embedder.weight")),
        ),
    )

    def takes_scale(self, config: Mapping[str, Any]) -> bool:
        """Dev does; what klein was distilled from is guided already."""
        return bool(config.get("guidance_embeds", True) or config.get("is_distilled"))

    def defaults_of(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Four steps of a distilled model."""
        return {"guidance-scale": 1.0, "steps": 4} if config.get("is_distilled") else self.defaults

    def shift(self, config: Mapping[str, Any], tokens: int, steps: int) -> float | None:
        """As fitted by its makers, to the tokens and the steps."""
        if not config.get("use_dynamic_shifting"):
            return None
        many, few = 0.00016927 * tokens + 0.45666666, 8.73809524e-05 * tokens + 1.89833333
        return many if tokens > 4300 else many + (steps - 200) * (many - few) / 190

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """Three layers of the text encoder side by side, (1, L, D), filled up to one length and without a mask."""
        embeds, _ = pipe.encode_prompt(text, device=device)
        return (embeds,)

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Text token n at (0, 0, 0, n), image tokens at (0, row, column, 0)."""
        import torch
        import torch.nn.functional as F

        text = stacked(embeddings, 0)
        numbers = torch.arange(text.shape[1], device=text.device, dtype=torch.float32)
        return {
            "encoder_hidden_states": text,
            "txt_ids": F.pad(numbers[:, None], (3, 0)).expand(len(text), -1, -1),
            "img_ids": F.pad(image_ids(asked), (0, 1)).expand(len(text), -1, -1),
            "guidance": scales(asked) if asked.pipe.transformer.config.guidance_embeds else None,
        }

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """The chat with the text encoder; dev's begins with what it is told to be."""
        chat: list[dict[str, Any]] = [{"role": "user", "content": "{}"}]
        options = {"add_generation_prompt": True, "enable_thinking": False}
        tokenizer = pipe.tokenizer
        if hasattr(pipe, "system_message"):
            chat = [{"role": "system", "content": pipe.system_message}, *chat]
            chat = [{**each, "content": [{"type": "text", "text": each["content"]}]} for each in chat]
            options, tokenizer = {"add_generation_prompt": False}, pipe.tokenizer.tokenizer
        template = pipe.tokenizer.apply_chat_template(chat, tokenize=False, **options)
        return tokenizer, template.removeprefix(tokenizer.bos_token or ""), 0
