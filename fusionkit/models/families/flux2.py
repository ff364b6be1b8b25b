"""Flux.2: 32 channels normalised by the autoencoder's batch norm, four places for each token, a shift of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.in_file import InFile
from fusionkit.models.families.parts import image_ids, scales, stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class Flux2(Family):
    """`Flux2KleinPipeline`, distilled or not, and `Flux2Pipeline` (dev), which takes the guidance scale as an input.

    klein's own pipeline knows no negative prompt but the empty one; here it may be another. The statistics of the batch
    norm are those of a token's 2 x 2 latent pixels. Where a view's tokens lie otherwise, its latents are brought from
    the canvas' statistics to the tokens', and the answer back; only the variance of its noise is then not 1, but the
    ratio of two statistics of one channel. LoRAs: yes. ControlNets: diffusers has none.
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
            "moved": _moved(asked),
            "encoder_hidden_states": text,
            "txt_ids": F.pad(numbers[:, None], (3, 0)).expand(len(text), -1, -1),
            "img_ids": F.pad(image_ids(asked), (0, 1)).expand(len(text), -1, -1),
            "guidance": scales(asked) if asked.pipe.transformer.config.guidance_embeds else None,
        }

    def call(self, denoiser: Any, latents: Tensor, timestep: Tensor, conditions: dict[str, Any]) -> Tensor:
        """Of latents (1 - s) x0 + s eps, x0 becomes k x0 + b and eps becomes k eps; so does the answer, and back."""
        if (moved := conditions.pop("moved")) is None:
            return super().call(denoiser, latents, timestep, conditions)
        k, b = (each[..., : latents.shape[-2], : latents.shape[-1]] for each in moved)
        level = (timestep.to(latents.device).float() / 1000).view(-1, 1, 1, 1)
        seen = k * latents.float() + (1 - level) * b
        answer = super().call(denoiser, seen.to(latents.dtype), timestep, conditions)
        result: Tensor = (answer.float() + b) / k
        return result

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


def _moved(asked: Asked) -> tuple[Tensor, Tensor] | None:
    """From the statistics of each row's places on the canvas to those of their places in tokens: a factor and a term.

    Each (B, C, h, w), float32; None where all views begin at whole tokens.
    """
    import torch

    if all(not view.is_dilated and view.top % 2 == view.left % 2 == 0 for view in asked.views):
        return None
    vae, like = asked.pipe.vae, asked.like
    norm, (high, wide) = vae.bn, vae.config.patch_size
    deviation = (norm.running_var + vae.config.batch_norm_eps).sqrt()
    mean, std = (each.to(like.device).float().view(-1, high, wide) for each in (norm.running_mean, deviation))
    found = []
    for view in asked.views:
        own = torch.arange(asked.size[0] * high) % high, torch.arange(asked.size[1] * wide) % wide
        rows = (view.top + view.apart[0] * torch.arange(len(own[0]))) % high
        columns = (view.left + view.apart[1] * torch.arange(len(own[1]))) % wide
        there, here = (slice(None), rows[:, None], columns[None]), (slice(None), own[0][:, None], own[1][None])
        found.append((std[there] / std[here], (mean[there] - mean[here]) / std[here]))
    factors, terms = zip(*found, strict=True)
    return torch.stack(factors), torch.stack(terms)
