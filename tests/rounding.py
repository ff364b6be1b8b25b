"""How far two right answers may lie apart: by what float32 rounds, in an order that each processor has for itself."""

from __future__ import annotations

import torch
from torch import Tensor

UNITS = 64
"""Spacings of float32 at the largest value. One pass of the tiny networks (183 and 237 layers, sums of up to 576
products) errs by 6 of them against float64; ten times that leaves room for other instructions and for both sides."""


def rounding(of: Tensor | float, *, passes: float = 1, guidance: float = 1) -> float:
    """The largest difference that rounding explains; what is wrong by design must lie well above it.

    Args:
        of: The answer, or its largest value, which the spacing of float32 grows with.
        passes: Networks one after the other, as in the steps of a run; or how many times larger than the answer the
            values are that it was computed from.
        guidance: The guidance scale s: s cond + (1 - s) uncond multiplies the errors of both.
    """
    largest = float(of.abs().max()) if isinstance(of, Tensor) else of
    return UNITS * torch.finfo(torch.float32).eps * largest * passes * (abs(guidance) + abs(1 - guidance))
