"""Cross-attention maps: which words a view's pixels look at, read while the denoiser works and without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.errors import ModelError

if TYPE_CHECKING:
    from fusionkit.loop.model import Model


class ViewMaps:
    """The attention maps of a group's views: running sums over layers, means over heads.

    Args:
        views: P, how many views there are.
        sizes: (height, width) of a view's map at each level.
        asked: Asked when maps come: the numbers of the views that are predicted; None is all.
    """

    def __init__(
        self, views: int, sizes: Mapping[int, tuple[int, int]], asked: Callable[[], Sequence[int]] | None = None
    ) -> None:
        self.views = views
        self._asked = asked or (lambda: range(views))
        self.sizes = dict(sizes)
        self._sums: dict[int, Tensor] = {}
        self._counts = {level: [0] * views for level in sizes}
        self._rows: dict[str, int] = {}

    def level_of(self, queries: int) -> int | None:
        """The level whose maps have that many pixels, if it is one of those asked for."""
        return next((level for level, (height, width) in self.sizes.items() if height * width == queries), None)

    def add(self, layer: str, level: int, maps: Tensor) -> None:
        """Add one layer's maps (rows, L, h, w) of the views that come next, in float32."""
        start = self._rows.get(layer, 0)
        # Views come in the order of the group, in batches; a second prediction of the group begins anew.
        asked = self._asked()
        numbers = [asked[(start + row) % len(asked)] for row in range(len(maps))]
        self._rows[layer] = start + len(maps)
        tokens = maps.shape[1]
        sums = self._sums.get(level, maps.new_zeros(self.views, *maps.shape[1:]))
        if sums.shape[1] < tokens:  # prompts of a group may differ in their number of chunks
            sums = torch.cat([sums, sums.new_zeros(self.views, tokens - sums.shape[1], *maps.shape[2:])], dim=1)
        for number, each in zip(numbers, maps, strict=True):
            sums[number, :tokens] += each
            self._counts[level][number] += 1
        self._sums[level] = sums

    @property
    def seen(self) -> list[bool]:
        """Whether each of the P views was predicted."""
        return [all(counts[number] for counts in self._counts.values()) for number in range(self.views)]

    def mean(self, level: int) -> Tensor:
        """Each view's map, (P, L, h, w), float32: the mean over heads and layers; L text tokens, padding included.

        Of a view that was not predicted it is zeros.

        Of a prompt of several chunks L counts all of them, one after the other; where a view's prompt has fewer than
        another's, the rest is zeros.

        Raises:
            ModelError: The denoiser did not use cross-attention at that level.
        """
        counts = self._counts[level]
        if not any(counts):
            height, width = self.sizes[level]
            raise ModelError(f"the denoiser used no cross-attention of {width}x{height} queries, at level {level}")
        return self._sums[level] / self._sums[level].new_tensor(counts).clamp_min(1).view(-1, 1, 1, 1)


@contextmanager
def capture(
    model: Model,
    views: int,
    view_size: tuple[int, int],
    levels: Sequence[int],
    asked: Callable[[], Sequence[int]] | None = None,
) -> Iterator[ViewMaps]:
    """Read the cross-attention of the conditional half while a group of views is predicted.

    The layers are only listened to: their processors, LoRAs and adapters stay in place, the output is the same to the
    last bit, and nothing is left on the model afterwards. A compiled denoiser runs uncompiled meanwhile.

    Args:
        model: The adapter of a diffusers pipeline that predicts.
        views: P, how many views it is about to predict.
        view_size: (height, width) of each view, in latent pixels.
        levels: Divisors of the view's size at which attention is read, such as 4 for the layers at latent/4.
        asked: Asked while the denoiser works: the numbers of the views that are predicted, where some may be left out.
    """
    adapter: Any = model
    unet = adapter.pipe.unet
    maps = ViewMaps(views, {level: map_size(view_size, level) for level in levels}, asked)
    listeners: list[Any] = []
    try:
        for name, layer in cross_attention(unet).items():
            listener = partial(_listen, adapter, maps, name)
            listeners.append(layer.register_forward_pre_hook(listener, with_kwargs=True))
        with _uncompiled(unet):
            yield maps
    finally:
        for each in listeners:
            each.remove()


def map_size(view_size: tuple[int, int], level: int) -> tuple[int, int]:
    """(height, width) of the attention maps of a view of (height, width) latent pixels at a level, a power of 2."""
    # Each of the denoiser's halvings rounds up, which is the same as rounding up once.
    return -(-view_size[0] // level), -(-view_size[1] // level)


def cross_attention(unet: Any) -> dict[str, Any]:
    """The layers of a denoiser's down and up blocks that look at the text, by name.

    The middle block is left out, as in Prompt-to-Prompt (arXiv 2208.01626) and in AccDiffusion.
    """
    from diffusers.models.attention_processor import Attention

    return {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, Attention) and name.endswith("attn2") and "mid_block." not in name
    }


def _listen(adapter: Any, maps: ViewMaps, name: str, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    hidden = args[0] if args else kwargs["hidden_states"]
    text = args[1] if len(args) > 1 else kwargs.get("encoder_hidden_states")
    if text is None or (level := maps.level_of(hidden.shape[1])) is None:
        return
    if isinstance(text, tuple):  # an IP-Adapter adds the embeddings of its pictures
        text = text[0]
    rows = adapter.conditional_rows
    if rows == 0:  # another adapter works with this denoiser, for another prompt
        return
    probabilities = _probabilities(layer, hidden[:rows], text[:rows])  # (rows, h w, L)
    maps.add(name, level, probabilities.transpose(1, 2).reshape(rows, -1, *maps.sizes[level]))


def _probabilities(layer: Any, hidden: Tensor, text: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)), (rows, queries, L), float32: the mean over heads."""
    if layer.norm_cross:
        text = layer.norm_encoder_hidden_states(text)
    query, key = layer.head_to_batch_dim(layer.to_q(hidden)), layer.head_to_batch_dim(layer.to_k(text))
    # In float32 whatever the model's type: float16 would lose the small values, which are summed over many steps.
    scores: Tensor = layer.get_attention_scores(query.float(), key.float())
    return scores.view(len(hidden), layer.heads, *scores.shape[1:]).mean(1)


def _uncompiled(unet: Any) -> Any:
    """A context in which compiled code is not used, where there is any: it does not know of listeners."""
    compiled = hasattr(unet, "_orig_mod") or any(m._compiled_call_impl is not None for m in unet.modules())
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
