"""Hears the queries and keys of a denoiser's attention: how much each pixel looks at each token of the text."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from fusionkit.loop.view_maps import ViewMaps
    from fusionkit.models.families.base import Over


class Listener(TorchFunctionMode):
    """Adds the attention of a denoiser's conditional rows to maps, as long as it is entered.

    Queries and keys come as torch's kernel gets them, normalised and rotated, so that no family's attention is written
    again. In layers that look at the text alone, any other kernel's are made anew from what the layer is given.

    Args:
        adapter: Whose rows count; while another one is at work with the same denoiser, nothing is heard.
        denoiser: The pipeline's part that predicts.
        maps: What is added to.
        layers: The numbers of the layers that count; empty is all.
        over: As for `capture`.
    """

    def __init__(self, adapter: Any, denoiser: Any, maps: ViewMaps, layers: Collection[int], over: Over) -> None:
        super().__init__()
        self._adapter, self._denoiser, self._maps = adapter, denoiser, maps
        self._layers, self._over = layers, over
        self._joint = adapter.family.text_first is not None
        self._within = self._heard = False
        self._layer = 0
        self._hooks: list[Any] = []

    def __enter__(self) -> Any:
        """Begin to listen."""
        parts = [self._denoiser] if self._joint else cross_attention(self._denoiser).values()
        try:
            for number, part in enumerate(parts):
                self._hooks.append(part.register_forward_pre_hook(partial(self._begin, number)))
                self._hooks.append(part.register_forward_hook(self._end, with_kwargs=True, always_call=True))
            entered: Any = super().__enter__()  # type: ignore[no-untyped-call]
            return entered
        except BaseException:
            self._leave()
            raise

    def __exit__(self, *details: Any) -> None:
        """Leave nothing behind."""
        self._leave()
        super().__exit__(*details)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Any function of torch, as it is."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and self._within:
            self._hear(*args, **kwargs)
        return func(*args, **kwargs)

    def _begin(self, number: int, *_: Any) -> None:
        """A layer begins that looks at the text, or a whole denoiser, whose layers are told apart as they come."""
        self._within, self._heard, self._layer = True, False, number

    def _end(self, layer: Any, args: Any, kwargs: Any, output: Any) -> None:
        text = args[1] if len(args) > 1 else kwargs.get("encoder_hidden_states")
        if self._within and not self._joint and not self._heard and output is not None and text is not None:
            hidden = args[0] if args else kwargs["hidden_states"]
            # An IP-Adapter adds the embeddings of its pictures.
            query, key = _projected(layer, hidden, text[0] if isinstance(text, tuple) else text)
            self._hear(query, key, key, kwargs.get("attention_mask"))
        self._within = False

    def _leave(self) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def _hear(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        rows, adapter = self._adapter.conditional_rows, self._adapter
        if rows == 0 or self._heard:
            return
        image, text, pixels = slice(None), slice(None), query.shape[2]
        if self._joint:
            places = adapter.family.places(adapter.tokens, adapter.text, query.shape[2], key.shape[2])
            if places is None:
                return
            (image, text), pixels = places, adapter.tokens
        # Of a layer that looks at the text, what comes after is an IP-Adapter's pictures.
        self._heard = not self._joint
        number, self._layer = self._layer, self._layer + self._joint
        level = self._maps.level_of(pixels)
        if level is None or (self._layers and number not in self._layers):
            return
        seen = self._probabilities(query[:rows, :, image], key[:rows], attn_mask, image, text, scale)
        self._maps.add(str(number), level, seen.transpose(1, 2).reshape(rows, -1, *self._maps.sizes[level]))

    def _probabilities(
        self, query: Tensor, key: Tensor, mask: Tensor | None, image: slice, text: slice, scale: float | None
    ) -> Tensor:
        """softmax(Q K^T / sqrt(d) + mask), (rows, pixels, L), float32: the mean over heads.

        In float32 whatever the model's type: float16 would lose the small values, which are summed over many steps.
        """
        rows, heads = query.shape[:2]
        columns = text if self._over == "text" else slice(None)
        if mask is not None:  # of one row or all, of one head or all, of one query or all
            mask = mask.expand(-1, heads, -1, -1) if mask.ndim == 4 else mask.expand(rows, heads, -1, -1)
        shared = heads // key.shape[1]  # heads of queries to one of keys
        total: Tensor | float = 0.0
        for head in range(heads):  # one at a time: all would fill a GPU
            scores = query[:, head].float() @ key[:, head // shared, columns].float().transpose(1, 2)
            scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
            if mask is not None:
                scores = _masked(scores, mask[:rows, head, image if mask.shape[2] > 1 else slice(None), columns])
            seen = scores.softmax(-1)
            total = total + (seen if self._over == "text" else seen[..., text])
        assert isinstance(total, Tensor)
        return total / heads


def cross_attention(denoiser: Any) -> dict[str, Any]:
    """The layers of a denoiser that look at the text alone, by name: of a UNet those of its down and up blocks.

    The middle block is left out, as in Prompt-to-Prompt (arXiv 2208.01626) and in AccDiffusion.
    """
    from diffusers.models.attention_processor import Attention

    return {
        name: module
        for name, module in denoiser.named_modules()
        if isinstance(module, Attention) and name.endswith("attn2") and "mid_block." not in name
    }


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask.float()


def _projected(layer: Any, hidden: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys as diffusers' processors make them, each (rows, heads, tokens, d)."""
    if layer.norm_cross:
        text = layer.norm_encoder_hidden_states(text)
    query, key = layer.to_q(hidden), layer.to_k(text)
    query, key = (each.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for each in (query, key))
    return query, key
