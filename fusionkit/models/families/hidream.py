"""HiDream-I1: four text encoders, a layer of Llama's for each block, the other sign, and square windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.in_file import InFile
from fusionkit.models.families.parts import stacked

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.model import ModelInfo
    from fusionkit.models.families.base import Embedding


class HiDream(Family):
    """`HiDreamImagePipeline`, with its Llama in the folder.

    The denoiser fills a view that is not square up to the tokens of its largest square, and costs as much. Its latents
    are Flux.1's. LoRAs: yes. ControlNets: diffusers has none.
    """

    kind, title, pipelines = "hidream", "HiDream-I1", ("HiDreamImagePipeline",)
    denoisers = ("HiDreamImageTransformer2DModel",)
    encoders = ("text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4")
    reads = {"tokenizer_3": 128}
    defaults = {"guidance-scale": 5.0, "steps": 50}
    # Measured: 13.6 at a width of 256, with two of four experts for each token.
    maps, text_first, text_tokens, parameters = 16, False, 384, 35_000_000_000
    in_file = InFile(
        (("double_stream_blocks.0.block.adaLN_modulation.1.weight", "p_embedder.pooled_embedder.linear_1.weight"),),
        "HiDream-ai/HiDream-I1-Full",
        told=(("num_layers", "double_stream_blocks"), ("num_single_layers", "single_stream_blocks")),
    )

    def sigmas(self, steps: int) -> None:
        """The scheduler's own."""

    def schedule(self, config: Mapping[str, Any], scheduler: Mapping[str, Any]) -> Mapping[str, Any]:
        """One shift for all sizes: that of the denoiser's largest square."""
        high, wide = config.get("max_resolution") or (128, 128)
        mu = super().shift({"use_dynamic_shifting": True}, high * wide // (config.get("patch_size") or 2) ** 2, 0)
        return {**scheduler, "base_shift": mu, "max_shift": mu}

    def window_of(self, config: Mapping[str, Any], factor: int) -> tuple[int, int]:
        """The largest square."""
        high, wide = config.get("max_resolution") or (128, 128)
        return wide * factor, high * factor

    def view_problems(self, info: ModelInfo, view: tuple[int, int]) -> Iterator[str]:
        """There is nothing to fill a view up to that is no square, and larger."""
        (width, height), (most, side) = view, info.window
        if width != height and width * height > most * side:
            yield (
                f"draws views of {most}x{side}, or of other sides and no more pixels, and not of {width}x{height}; "
                f"set the window, such as to {most}x{side}"
            )

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """T5's (1, 128, D), Llama's layers (1, layers, 128, E), and CLIP's pooled forms (1, F)."""
        answer = pipe.encode_prompt(text, device=device, do_classifier_free_guidance=False)
        return answer[0], answer[2].transpose(0, 1), answer[4]

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """All texts; places are the denoiser's own."""
        return {
            "encoder_hidden_states_t5": stacked(embeddings, 0),
            "encoder_hidden_states_llama3": stacked(embeddings, 1).transpose(0, 1),
            "pooled_embeds": stacked(embeddings, 2),
        }

    def call(self, denoiser: Any, latents: Tensor, timestep: Tensor, conditions: dict[str, Any]) -> Tensor:
        """The velocity points from the noise to the picture."""
        answer: Tensor = denoiser(hidden_states=latents, timesteps=timestep, **conditions, return_dict=False)[0]
        return -answer

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """Of T5, whose tokens follow the image's; Llama's come after them."""
        return pipe.tokenizer_3, "{}", 0

    def places(self, tokens: int, text: int, queries: int, keys: int) -> tuple[slice, slice] | None:
        """T5's tokens, then Llama's last layer's, then those of the block's own layer."""
        if queries != keys or queries != tokens + 3 * text:
            return None
        return slice(0, tokens), slice(tokens, tokens + text)
