"""A diffusion transformer's pipeline as the loop uses it: what its family leaves to do."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from fusionkit.errors import ModelError
from fusionkit.loop.model import TextToken
from fusionkit.loop.stage import Control, Stage
from fusionkit.loop.views import View, Wrap
from fusionkit.models.adapters.batches import Batch, Embedding, Pair, only
from fusionkit.models.adapters.diffusers_model import DiffusersModel
from fusionkit.models.adapters.steering import added, in_type
from fusionkit.models.adapters.step_cache import StepCache
from fusionkit.models.families.base import Asked, Family, Steered
from fusionkit.models.noising import Bridge
from fusionkit.models.prompts.tokens import tokens_in
from fusionkit.models.silence import quiet_diffusers
from fusionkit.recipe.prompt_syntax import parse

if TYPE_CHECKING:
    from PIL.Image import Image

_NEGATIVE = -1  # in place of a number of skipped layers: encoded as a negative prompt


class TransformerModel(DiffusersModel):
    """Any pipeline whose family says the rest; each view is told that it is a whole picture."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Image and text tokens of the rows at work, and the batch's number: for those who watch the attention.
        self.tokens = self.text = self._number = 0
        self._asked: Asked | None = None
        self._hints: Any = WeakIdKeyDictionary()
        self._cache = StepCache()

    def encode_prompt(self, text: str, clip_skip: int | None) -> Embedding:
        """As the family encodes, on the device and in the denoiser's type, masks as they are.

        A prompt's weights are left out: such text encoders know none.
        """
        encode = self.family.encode_negative if clip_skip == _NEGATIVE else self.family.encode
        with quiet_diffusers():
            parts = encode(self.pipe, parse(text).text, self.device)
        return tuple(part.to(self.device, self.dtype if part.is_floating_point() else part.dtype) for part in parts)

    def embed(self, text: str) -> Embedding:
        """A prompt's embedding; each distinct text is encoded once."""
        return self._cached(text, None)

    @property
    def blank(self) -> str:
        """The end of a text, of the tokenizer whose tokens the image looks at."""
        return str(self.family.tokenized(self.pipe)[0].eos_token)

    def embed_negative(self, text: str) -> Embedding:
        """Encoded once, apart from the same text as a prompt where the family encodes it in another way."""
        same = type(self.family).encode_negative is Family.encode_negative
        return self._cached(text, None if same else _NEGATIVE)

    def alike(self, pairs: Sequence[Pair]) -> list[Pair]:
        """As the family aligns: over the whole group, so that no row depends on the others of its batch."""
        aligned = iter(self.family.aligned([embedding for pair in pairs for embedding in pair]))
        return [tuple(islice(aligned, len(pair))) for pair in pairs]

    def key(self, pair: Pair) -> Hashable:
        """The lengths of the texts, where the denoiser can't tell text from what fills it up."""
        return tuple(embeds.shape[1] for embeds, *_ in pair) if self.family.one_length else ()

    def guided(self, cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
        """As the family guides, which may be token by token."""
        height, width = cond.shape[-2:]
        return super().guided(self._whole(cond), self._whole(uncond), scale)[..., :height, :width]

    def answers(self, stage: Stage, bridge: Bridge, batch: Batch, scale: float) -> tuple[Tensor, ...]:
        """The halves one after the other, where their texts must be of one length and are not."""
        self._number = batch.number
        lengths = {embeds.shape[1] for pair in batch.pairs for embeds, *_ in pair}
        if not self.family.one_length or len(lengths) == 1:
            return super().answers(stage, bridge, batch, scale)
        halves = range(batch.halves)
        return tuple(
            super(TransformerModel, self).answers(stage, bridge, only(batch, half), scale)[0] for half in halves
        )

    def conditions(
        self, stage: Stage, views: Sequence[View], embeddings: Sequence[Embedding], scale: float
    ) -> dict[str, Any]:
        """The denoiser's arguments but latents and time."""
        p, view = self.family.patch, views[0]
        size = -(-view.height // p), -(-view.width // p)
        self.tokens, self.text = size[0] * size[1], max(parts[0].shape[1] for parts in embeddings)
        like = torch.empty(0, device=self.device, dtype=self.dtype)
        self._asked = Asked(self.pipe, stage, views, size, scale, like)
        return self.family.conditions(self._asked, embeddings)

    def call(self, latents: Tensor, timestep: Tensor, conditions: Mapping[str, Any]) -> Tensor:
        """The family's call, on views whose sides are whole tokens."""
        height, width = latents.shape[-2:]
        times = timestep.to(latents.device).expand(len(latents))
        assert self._asked is not None, "the denoiser's other arguments come first"
        # Several batches may be of the same views, which are told different things.
        key = self.info.kind, height, width, self.conditional_rows, tuple(self._asked.views), self._number
        with self._cache.step(self.denoiser, self._asked.stage, key, times):
            answer = self.family.call(self.denoiser, self._whole(latents), times, dict(conditions))
        return answer[..., :height, :width]

    def _whole(self, latents: Tensor) -> Tensor:
        """Views of whole tokens: what a plugin cuts gets a row or a column more, of which the answer is left out."""
        p = self.family.patch
        beyond = (0, -latents.shape[-1] % p, 0, -latents.shape[-2] % p)
        if not any(beyond):
            return latents
        # A mirror has no more than there is.
        mode = (
            "reflect"
            if all(more < side for more, side in zip(beyond[1::2], latents.shape[:-3:-1], strict=True))
            else "replicate"
        )
        return F.pad(latents, beyond, mode=mode)

    def residuals(
        self,
        latents: Tensor,
        timestep: Tensor,
        controls: Sequence[tuple[Control, Tensor]],
        conditions: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """What ControlNets add, as arguments of the denoiser; several add up."""
        if not self.family.controlnets:
            raise ModelError(f"ControlNets can't steer {self.family.title} models")
        assert self._asked is not None, "the denoiser's other arguments come first"
        whole, rows = self._whole(latents), self.conditional_rows or len(latents)
        times = timestep.to(latents.device).expand(len(latents))
        total: dict[str, Any] = {}
        for control, hints in controls:
            dtype = control.net.dtype
            told = {name: each.to(dtype) if _is_float(each) else each for name, each in conditions.items()}
            steered = Steered(control.net, self._whole(hints).to(latents.device, dtype), control.scale, rows)
            found = self.family.residuals(self._asked, steered, whole.to(dtype), times, told)
            total = added(total, found) if total else found
        return {name: in_type(value, self.dtype) for name, value in total.items()}

    def hints(self, stage: Stage, controls: Sequence[Control]) -> tuple[list[Tensor], int]:
        """Each hint as latents of the whole canvas, encoded once, of which each view gets its own part."""
        return [self.family.hint(self.pipe, each.net, self._encoded(each.hint, stage.wrap)) for each in controls], 1

    def _encoded(self, hint: Tensor, wrap: Wrap) -> Tensor:
        if hint not in self._hints:
            self._hints[hint] = self.encode_pixels(2 * hint - 1, wrap)
        latents: Tensor = self._hints[hint]
        return latents

    def postprocess(self, image: Tensor) -> Image:
        """The picture."""
        picture: Image = self.pipe.image_processor.postprocess(image, output_type="pil")[0]
        return picture

    def text_tokens(self, prompt: str) -> list[TextToken]:
        """By the letters that each token of the family's template covers."""
        tokenizer, template, cut = self.family.tokenized(self.pipe)
        mend = partial(self.family.mended, self.pipe)
        length = self.embed(prompt)[0].shape[1]
        return tokens_in(template, self.family.heard(prompt), tokenizer, cut, length, mend)


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
