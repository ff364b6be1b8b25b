"""What stands around latents that are smaller than the model's window: a plain colour at each side, noised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusionkit import Stage, Step

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit_elasticdiffusion.elastic_diffusion import ElasticDiffusion

COLUMNS, ROWS = "columns", "rows"


def plain_colour(stage: Stage, at: Step, purpose: str, size: tuple[int, int]) -> Tensor:
    """Latents (1, C, h, w) of one colour, drawn evenly for a step and a side, noised to the step."""
    from PIL import Image

    height, width = (side * stage.factor for side in size)
    red, green, blue = stage.integers(f"{purpose} colour", 3, 0, 255, at=at)
    latents = stage.model.encode(Image.new("RGB", (width, height), (red, green, blue)))
    return stage.scheduler.add_noise(latents, stage.noise(f"{purpose} noise", latents.shape, at), at.timestep)


class Frame:
    """Brings latents of one size to the model's window, and answers back.

    Columns come first, then rows, over the whole width. What comes before is the smaller half.

    Args:
        plugin: Whose `background` says what stands there.
        stage: The stage.
        at: The step; in each of its rounds it is the same.
        size: (h, w) of the latents.
        window: (h, w) of the window.
    """

    def __init__(
        self, plugin: ElasticDiffusion, stage: Stage, at: Step, size: tuple[int, int], window: tuple[int, int]
    ) -> None:
        self.size = size
        self.strips: list[tuple[int, Tensor | None, Tensor | None]] = []
        self.starts = [0, 0]
        whole = list(size)
        for dim, name in ((-1, COLUMNS), (-2, ROWS)):
            missing = max(window[dim] - size[dim], 0)
            before, after = missing // 2, missing - missing // 2
            strips = []
            for side, count in enumerate((before, after), 1):
                shape = (whole[0], count) if dim == -1 else (count, whole[1])
                strips.append(plugin.background(stage, at, name, side, shape) if count else None)
            whole[dim] += missing
            self.starts[dim] = before
            self.strips.append((dim, *strips))  # type: ignore[arg-type]
        self.whole = whole[0], whole[1]

    def around(self, latents: Tensor) -> Tensor:
        """Latents (P, C, h, w) within the frame."""
        import torch

        for dim, before, after in self.strips:
            parts = [each.expand(len(latents), -1, -1, -1) for each in (before,) if each is not None]
            parts.append(latents)
            parts += [each.expand(len(latents), -1, -1, -1) for each in (after,) if each is not None]
            latents = torch.cat(parts, dim=dim)
        return latents

    def inside(self, answer: Tensor) -> Tensor:
        """What was answered, without the frame."""
        top, left = self.starts
        return answer[..., top : top + self.size[0], left : left + self.size[1]]
