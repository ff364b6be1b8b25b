"""Which model won where, and what share of the pixels each one had at every step of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from fusionkit import Step, View

SHOWN = 8
"""At so many steps, evenly chosen, the winners of every pixel are kept."""


@dataclass
class Winners:
    """Collects the winners of one stage, step by step; all that grows with the steps is a number for each model.

    Where views overlap, a pixel's winner is shared: each view that holds the pixel counts the same.

    Args:
        names: The N models.
        canvas: (H, W) in latent pixels.
    """

    names: tuple[str, ...]
    canvas: tuple[int, int]
    timesteps: list[float] = field(default_factory=list)
    _shares: list[Tensor] = field(default_factory=list)
    _kept: list[tuple[float, NDArray[np.uint8]]] = field(default_factory=list)
    _total: Tensor | None = None
    _at: Step | None = None
    _counts: Tensor | None = None

    def add(self, at: Step, views: Sequence[View], winner: Tensor) -> None:
        """Add a group of P views: the number of the model that won at each pixel, (P, h, w)."""
        import torch

        from fusionkit.loop.canvas import scatter

        numbers = torch.arange(len(self.names), device=winner.device).view(1, -1, 1, 1)
        scatter((winner[:, None] == numbers).float(), views, self._of_step(at, winner.device))

    def add_alone(self, at: Step, name: str, device: torch.device) -> None:
        """Add a step at which one model drew alone."""
        self._of_step(at, device)[0, self.names.index(name)] += 1

    @property
    def is_empty(self) -> bool:
        """Whether no step has been seen."""
        return self._at is None and not self.timesteps

    def shares(self) -> dict[str, list[float]]:
        """The share of the canvas, 0..1, that each model won at each step, first to last."""
        import torch

        self._end_step()
        columns = torch.stack(self._shares, dim=1).cpu().double()
        return {name: row.tolist() for name, row in zip(self.names, columns, strict=True)}

    def shown(self) -> list[tuple[float, NDArray[np.float32]]]:
        """The timesteps of up to `SHOWN` steps with the models' shares of each pixel, (N, H, W), 0..1, to 1/255."""
        import numpy as np

        self._end_step()
        return [(timestep, np.divide(shares, 255, dtype=np.float32)) for timestep, shares in self._kept]

    def overall(self) -> NDArray[np.float32]:
        """The models' shares of each pixel over all steps, (N, H, W), 0..1."""
        self._end_step()
        assert self._total is not None, "asked after a step alone"
        overall: NDArray[np.float32] = (self._total / len(self.timesteps)).cpu().numpy()
        return overall

    def _of_step(self, at: Step, device: torch.device) -> Tensor:
        """How many views each model won at each pixel in this step so far, (1, N, H, W)."""
        import torch

        if self._at is None or self._at.index != at.index:
            self._end_step()
            self._at, self._counts = at, torch.zeros(1, len(self.names), *self.canvas, device=device)
        assert self._counts is not None
        return self._counts

    def _end_step(self) -> None:
        at, counts = self._at, self._counts
        if at is None or counts is None:
            return
        self._at = self._counts = None
        shares = (counts / counts.sum(dim=1, keepdim=True).clamp_min(1))[0]
        self.timesteps.append(float(at.timestep))
        # Left on the device, so that no step waits for it.
        self._shares.append(shares.mean(dim=(1, 2)))
        self._total = shares if self._total is None else self._total + shares
        if at.index in chosen(at.total):
            self._kept.append((float(at.timestep), (shares * 255).round().byte().cpu().numpy()))


def chosen(total: int) -> set[int]:
    """The indices of up to `SHOWN` of `total` steps, evenly apart, the first and the last among them."""
    count = min(SHOWN, total)
    return {round(number * (total - 1) / max(1, count - 1)) for number in range(count)}
