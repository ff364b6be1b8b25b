"""Muon for matrices and convolutions, AdamW for the rest, under one rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

Named = Iterable[tuple[str, torch.nn.Parameter]]


class Muon:
    """Momentum whose step is made orthogonal, matrix by matrix (Newton-Schulz in bf16; Jordan et al., 2024).

    Its steps have the size that AdamW's have at the same rate (arXiv:2502.16982). Matrices of one shape are done
    together, which saves launches on a GPU and half of the time on a CPU.

    Args:
        weights: Parameters of two or more axes; all after the first count as one.
        momentum: Of the running mean of the gradients.
        iterations: Of Newton-Schulz.
    """

    def __init__(self, weights: Iterable[torch.nn.Parameter], momentum: float = 0.95, iterations: int = 5) -> None:
        self.momentum, self.iterations = momentum, iterations
        groups: dict[tuple[int, int], list[torch.Tensor]] = {}
        for weight in weights:
            rows = weight.shape[0]
            groups.setdefault((rows, weight.numel() // rows), []).append(weight)
        self.groups = list(groups.items())
        self.means = [torch.zeros(len(group), *shape, device=group[0].device) for shape, group in self.groups]

    @torch.no_grad()
    def step(self, rate: float, decay: float = 0.0) -> None:
        """Change the weights by their gradients; all must have one."""
        for ((rows, columns), group), mean in zip(self.groups, self.means, strict=True):
            gradient = torch.stack([_gradient(weight).reshape(rows, columns) for weight in group])
            mean.lerp_(gradient, 1 - self.momentum)
            change = orthogonal(gradient.lerp_(mean, self.momentum), self.iterations)
            if decay:
                torch._foreach_mul_(group, 1 - rate * decay)
            changes = [part.reshape(weight.shape) for part, weight in zip(change, group, strict=True)]
            torch._foreach_add_(group, changes, alpha=-rate * 0.2 * max(rows, columns) ** 0.5)


def orthogonal(x: torch.Tensor, iterations: int) -> torch.Tensor:
    """Matrices (n, rows, columns) with their singular values brought to about 1."""
    tall = x.shape[1] > x.shape[2]
    y: torch.Tensor = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    y = y.mT.contiguous() if tall else y
    for _ in range(iterations):
        a = y @ y.mT
        y = torch.baddbmm(y, torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315), y, beta=3.4445)
    result: torch.Tensor = y.mT if tall else y
    return result.float()


def _gradient(weight: torch.Tensor) -> torch.Tensor:
    if weight.grad is None:
        raise ValueError(f"a weight of shape {tuple(weight.shape)} has no gradient")
    return weight.grad


def is_for_muon(name: str, weight: torch.nn.Parameter) -> bool:
    """Whether Muon takes a weight: matrices and convolutions that are not tiny, and no table of embeddings."""
    embeddings = ("embedding.weight", "shared.weight", "embed_tokens.weight", "relative_attention_bias.weight")
    return weight.ndim >= 2 and min(weight.flatten(1).shape) >= 8 and not name.endswith(embeddings)


class Optimizer:
    """Both optimizers.

    Args:
        muon: Names and weights that Muon takes.
        adamw: Names and weights that AdamW takes.
        muon_rate: Muon's highest rate.
        adamw_rate: AdamW's highest rate.
        decay: Of the weights that Muon takes; AdamW's is 1e-3.
    """

    def __init__(self, muon: Named, adamw: Named, muon_rate: float, adamw_rate: float, decay: float = 1e-2) -> None:
        self.muon_rate, self.adamw_rate, self.decay = muon_rate, adamw_rate, decay
        self.muon = Muon(weight for _, weight in muon)
        self.weights = [weight for _, weight in adamw]
        self.adamw = torch.optim.AdamW(self.weights, adamw_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)

    def step(self, share: float) -> None:
        """Make a step at this share of the highest rates."""
        for group in self.adamw.param_groups:
            group["lr"] = self.adamw_rate * share
        self.adamw.step()
        self.muon.step(self.muon_rate * share, self.decay)

    def state(self) -> dict[str, torch.Tensor]:
        """All that a resumed training needs, by name."""
        found = {f"muon.{i}": mean for i, mean in enumerate(self.muon.means)}
        for i, state in self.adamw.state_dict()["state"].items():
            found |= {f"adamw.{i}.{key}": value for key, value in state.items()}
        return found

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take over what `state` gave."""
        for i, mean in enumerate(self.muon.means):
            mean.copy_(state[f"muon.{i}"])
        whole = self.adamw.state_dict()
        for name, value in state.items():
            if name.startswith("adamw."):
                _, number, key = name.split(".")
                whole["state"].setdefault(int(number), {})[key] = value
        self.adamw.load_state_dict(whole)
