"""The whitening of an autoencoder's latents, whole or in part."""

from __future__ import annotations

import math
from typing import Any

import torch

from fusionkit_vista.train.clock import say

POSTERIOR_STD = 0.01
"""The spread that the whitened posterior is given: small against the latents' unit variance."""


@torch.no_grad()
def whiten(vae: Any, latents: torch.Tensor, power: float = 0.25) -> None:
    """Change the autoencoder in place so that latents like these (n, c, h, w) become whiter, with a variance of 1.

    With z' = s C^(-power) (z - mean) of the channels' covariance C, the mapping is folded into `quant_conv` and its
    inverse into `post_quant_conv`: decoding is unchanged. The mean is zero and the mean variance one. With the power
    1/2 (ZCA) no channel knows of another and fine detail counts as much as what a picture shows; with 1/4 it keeps a
    smaller part, is drawn later, and the denoiser's effort goes to what is seen.
    """
    flat = latents.double().cpu().permute(1, 0, 2, 3).flatten(1)
    mean, count = flat.mean(1), flat.shape[0]
    values, vectors = torch.linalg.eigh(torch.cov(flat))
    values = values.clamp(min=1e-6 * float(values.max()))
    say(f"variances of the latents {[round(v, 3) for v in values.tolist()]}")
    scale = values**-power / (values ** (1 - 2 * power)).mean().sqrt()
    forth, back = vectors * scale @ vectors.T, vectors / scale @ vectors.T
    q, p = vae.quant_conv, vae.post_quant_conv
    weight, bias = q.weight[:, :, 0, 0].double().cpu(), q.bias.double().cpu()
    weight[:count], bias[:count] = forth @ weight[:count], forth @ (bias[:count] - mean)
    weight[count:], bias[count:] = 0, 2 * math.log(POSTERIOR_STD)
    q.weight.copy_(weight[..., None, None])
    q.bias.copy_(bias)
    weight = p.weight[:, :, 0, 0].double().cpu()
    p.bias.copy_(p.bias.double().cpu() + weight @ mean)
    p.weight.copy_((weight @ back)[..., None, None])
