"""What differs between a CPU and a GPU: precision, normalisation, attention, the size of batches."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import nn


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; "auto" is the GPU where there is one. Sets the precision of float32 products there."""
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    return device


SINGLE = "FUSIONKIT_VISTA_SINGLE"
"""Environment variable with which all is trained in float32."""


def half(device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bf16 on a device, unless the environment forbids it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=not os.environ.get(SINGLE))


class FittingGroupNorm(nn.GroupNorm):
    """Group normalisation for bf16 autocast, whose statistics are in float32.

    On a CPU its way back in bf16 takes half of the time of a step, so it is float32 inside. On a GPU the kernel is in
    float32 inside by itself, and autocast would only make all that follows float32.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As that of `GroupNorm`; under autocast the result is bf16."""
        kind = x.device.type
        if not torch.is_autocast_enabled(kind):
            return super().forward(x)
        if kind == "cpu":
            return F.group_norm(x.float(), self.num_groups, self.weight, self.bias, self.eps).bfloat16()
        with torch.autocast(kind, enabled=False):
            weight, bias = self.weight.bfloat16(), self.bias.bfloat16()
            return F.group_norm(x.bfloat16(), self.num_groups, weight, bias, self.eps)


class FittingRMSNorm(nn.RMSNorm):
    """RMS normalisation whose weights have the precision of what comes in, which the fused kernel asks for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As that of `RMSNorm`."""
        weight = None if self.weight is None else self.weight.to(x.dtype)
        return F.rms_norm(x, self.normalized_shape, weight, self.eps)


def fit_norms(model: nn.Module) -> None:
    """Give a model's normalisations the precision that suits autocast; their weights stay."""
    for module in model.modules():
        if type(module) is nn.GroupNorm:
            module.__class__ = FittingGroupNorm
        elif type(module) is nn.RMSNorm:
            module.__class__ = FittingRMSNorm


def plain_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **_: object,
) -> torch.Tensor:
    """Attention written out: for few tokens in bf16 torch's CPU kernel takes four times as long on its way back."""
    scores = torch.matmul(query * (scale or query.shape[-1] ** -0.5), key.transpose(-1, -2))
    if is_causal:
        scores = scores.masked_fill(torch.ones_like(scores[0, 0], dtype=torch.bool).triu(1), float("-inf"))
    if attn_mask is not None:
        is_bool = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, float("-inf")) if is_bool else scores + attn_mask
    return torch.matmul(scores.softmax(-1).to(value.dtype), value)
