"""Z-Image: lists of latents and captions, time from 0 (noise) to 1, and the velocity with the other sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked, Family, Steered
from fusionkit.models.families.in_file import VAE, InFile

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class ZImage(Family):
    """`ZImagePipeline`, whose own guidance scale counts from 0, so that its 4 is 5 here."""

    kind, title, pipelines = "z-image", "Z-Image", ("ZImagePipeline",)
    denoisers, controlnets = ("ZImageTransformer2DModel",), ("ZImageControlNetModel",)
    widths = {"cap_feat_dim": "text_encoder"}
    defaults = {"guidance-scale": 6.0, "steps": 50}
    text_first, text_tokens, parameters = False, 128, 10_300_000_000
    in_file = InFile(
        (
            ("x_embedder.weight", "layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight"),
            ("all_x_embedder.2-1.weight", "layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight"),
        ),
        "Tongyi-MAI/Z-Image-Turbo",
        {"vae": VAE},
        (("n_layers", "layers"), ("cap_feat_dim", ("cap_embedder.0.weight", 0)), ("dim", ("cap_embedder.1.weight", 0))),
    )

    def encode(self, pipe: Any, text: str, device: Any) -> Embedding:
        """(1, L, D), as long as the prompt; the denoiser fills up and masks by itself."""
        (embeds,), _ = pipe.encode_prompt(text, device, do_classifier_free_guidance=False)
        return (embeds[None],)

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """The captions."""
        return {"cap_feats": [text[0] for (text,) in embeddings]}

    def time(self, timestep: Tensor, dtype: Any) -> Tensor:
        """1 - t / 1000."""
        return (1000 - timestep) / 1000

    def call(self, denoiser: Any, latents: Tensor, timestep: Tensor, conditions: dict[str, Any]) -> Tensor:
        """Lists in, a list out, and the velocity points from the noise to the picture."""
        import torch

        views, time = list(latents[:, :, None].unbind(0)), self.time(timestep, latents.dtype)
        answers = denoiser(views, time, **conditions, return_dict=False)[0]
        return -torch.stack([answer[:, 0] for answer in answers])

    def residuals(
        self, asked: Asked, steered: Steered, latents: Tensor, timestep: Tensor, conditions: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Of all rows, by layer; a ControlNet works with parts of the denoiser, and some take a mask, here empty."""
        import torch.nn.functional as F

        net = steered.net
        if net.t_embedder is None:
            net.from_transformer(net, asked.pipe.transformer)
        hints = F.pad(steered.hints, (0, 0, 0, 0, 0, net.config.control_in_dim - steered.hints.shape[1]))
        samples = net(
            list(latents[:, :, None].unbind(0)),
            self.time(timestep, latents.dtype),
            conditions["cap_feats"],
            hints[:, :, None],
            conditioning_scale=steered.scale,
        )
        return {"controlnet_block_samples": samples}

    def places(self, tokens: int, text: int, queries: int, keys: int) -> tuple[slice, slice] | None:
        """Both are filled up to multiples of 32."""
        image, caption = (-(-length // 32) * 32 for length in (tokens, text))
        if queries != keys or queries != image + caption:
            return None
        return slice(0, tokens), slice(image, None)

    def tokenized(self, pipe: Any) -> tuple[Any, str, int]:
        """Qwen's chat, all of it."""
        chat = [{"role": "user", "content": "{}"}]
        options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": True}
        return pipe.tokenizer, pipe.tokenizer.apply_chat_template(chat, **options), 0
