"""Attention scaling: self-attention over many tokens as sharp as over the model's own number (arXiv 2306.08645)."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from math import log
from typing import TYPE_CHECKING, Any

from fusionkit import Field, LayerPatch, Patches, Plugin, Stage, Step, hookimpl
from fusionkit.layers import Share, is_active, patched, problems, unets

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import ModelInfo

FEWEST = 2
"""Of fewer tokens the logarithm is 0 or less."""


class AttentionScaling(Plugin):
    """Scale self-attention by sqrt(log_T N), so that it is as sharp over N tokens as over T (arXiv 2306.08645).

    N are the tokens of a view in a layer, and T those of a view of the model's window. Over more tokens attention is
    more even, and what is drawn less distinct. Of views of the window's area nothing changes.
    """

    until: Share = Field(
        default=1.0, description="In which share of the steps, the first ones, attention is scaled; 0 is none."
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model without a UNet."""
        return [f"{self.plugin_name}: {problem}" for problem in problems(stage, ())] if stage.index == 0 else []

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict with scaled self-attention while it is time."""
        if not is_active(at, self.until):
            return (yield)
        found = {}
        for name, info in unets(stage).items():
            ratio = area_ratio(info, patches.size)
            # The queries are scaled, which scales the logits, whatever kernel computes them. Where projections are
            # fused (`fuse_qkv_projections`), a layer of its own answers queries, keys and values beside each other.
            model = stage.models.get(name, stage.model)
            found[name] = {
                layer: LayerPatch(around=partial(_scaled, ratio, parts))
                for pattern, parts in (("*attn1.to_q", 1), ("*attn1.to_qkv", 3))
                for layer in (model.layers(pattern) if ratio != 1 else ())
            }
        with patched(stage, found, self.plugin_name):
            return (yield)


def area_ratio(info: ModelInfo, size: tuple[int, int]) -> float:
    """How many times the area of what the model was trained at a view of (h, w) latent pixels has."""
    width, height = info.window
    return size[0] * size[1] * info.factor**2 / (width * height)


def attention_factor(tokens: int, ratio: float) -> float:
    """sqrt(ln N / ln T) of N tokens, T = N / ratio, neither counted as fewer than 2."""
    return float((log(max(tokens, FEWEST)) / log(max(tokens / ratio, FEWEST))) ** 0.5)


def _scaled(ratio: float, parts: int, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """What a layer answers, (B, N, C), its queries scaled, which are the first of so many parts of C."""
    import torch

    answer: Tensor = forward(hidden, *args, **kwargs)
    queries, *others = answer.chunk(parts, -1)
    return torch.cat([queries * attention_factor(answer.shape[1], ratio), *others], -1)
