"""Kolors: a view is told the same as in Stable Diffusion XL, by a language model that reads a prompt as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from fusionkit.loop.model import TextToken
from fusionkit.models.adapters.batches import Embedding
from fusionkit.models.adapters.stable_diffusion_xl import StableDiffusionXL
from fusionkit.models.prompts.tokens import tokens_in
from fusionkit.models.silence import quiet_loading
from fusionkit.recipe.prompt_syntax import parse

if TYPE_CHECKING:
    from PIL.Image import Image


class Kolors(StableDiffusionXL):
    """A `KolorsPipeline`."""

    def encode_prompt(self, text: str, clip_skip: int | None) -> Embedding:
        """The prompt's embedding, (1, 256, D), and its pooled form, (1, D); its weights are left out.

        The U-Net is not told which tokens fill a prompt up to its length, so that all have one length.
        """
        with quiet_loading():
            embeds, _, pooled, _ = self.pipe.encode_prompt(
                parse(text).text, device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
            )
        return embeds.to(self.device, self.dtype), pooled.to(self.device, self.dtype)

    def embed(self, text: str) -> Embedding:
        """A prompt's embedding; each distinct text is encoded once, and no layer is skipped."""
        return self._cached(text, None)

    def embed_negative(self, text: str) -> Embedding:
        """The same: an empty negative prompt is encoded like any other."""
        return self._cached(text, None)

    def text_tokens(self, prompt: str) -> list[TextToken]:
        """Its tokens at the end of the text, behind what fills it up."""
        tokenizer, template, cut = self.family.tokenized(self.pipe)
        return tokens_in(template, self.family.heard(prompt), tokenizer, cut, self.embed(prompt)[0].shape[1])

    def postprocess(self, image: Tensor) -> Image:
        """The picture."""
        picture: Image = self.pipe.image_processor.postprocess(image, output_type="pil")[0]
        return picture
