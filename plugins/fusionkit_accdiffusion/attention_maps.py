"""Attention maps of views, put together on the canvas and summed over the steps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import Patches, Stage
    from fusionkit.loop.view_maps import ViewMaps
    from fusionkit.loop.views import Wrap


@dataclass
class CanvasMaps:
    """Where on the canvas each text token is attended to: one running sum for each level, whatever the number of steps.

    Args:
        sums: The sum over the steps, (L, h, w) at each level, float32.
        steps: How many steps were added.
    """

    sums: dict[int, Tensor] = field(default_factory=dict)
    steps: int = 0

    def add(self, seen: ViewMaps, patches: Patches, canvas: tuple[int, int]) -> None:
        """Add one step's maps of a group of views on a canvas of (H, W) latent pixels."""
        for level in seen.sizes:
            maps = on_canvas(seen.mean(level), _of_seen(patches, seen), canvas, level)
            self.sums[level] = maps if level not in self.sums else _sum(self.sums[level], maps)
        self.steps += 1

    def mean(self, wrap: Wrap = "") -> Tensor:
        """The mean over steps and levels, (L, h, w), at the size of the finest level; along `wrap` it is a ring."""
        import torch

        from fusionkit.loop.ring import resized

        size = self.sums[min(self.sums)].shape[-2:]
        means = [
            maps if maps.shape[-2:] == size else resized(maps[None], (size[0], size[1]), wrap, "bilinear")[0]
            for maps in self.sums.values()
        ]
        return torch.stack(means).mean(0) / self.steps


def _of_seen(patches: Patches, seen: ViewMaps) -> Patches:
    """The group, in which views that were not predicted count for nothing."""
    import torch

    if all(seen.seen):
        return patches
    return patches.weighted(torch.tensor(seen.seen, dtype=torch.float32).reshape(-1, 1, 1, 1))


def _sum(one: Tensor, other: Tensor) -> Tensor:
    """Maps of tokens added up, where one prompt may have more chunks than the other."""
    short, long = sorted((one, other), key=len)
    total = long.clone()
    total[: len(short)] += short
    return total


def on_canvas(maps: Tensor, patches: Patches, canvas: tuple[int, int], level: int) -> Tensor:
    """Views' maps (P, L, h, w) as one map of the canvas at the level, (L, ceil(H / level), ceil(W / level)).

    Where views overlap it is their mean, with the weights that their predictions have.
    """
    from torch.nn.functional import adaptive_avg_pool2d, interpolate

    from fusionkit.loop.canvas import WeightedMean
    from fusionkit.loop.view_maps import map_size

    if len(patches.views) == 1 and patches.size == canvas and patches.views[0][:2] == (0, 0):
        return maps[0]
    # In latent pixels, since views do not begin at multiples of the level.
    values = interpolate(maps, size=patches.size, mode="nearest")
    fused = WeightedMean([patches], values.new_zeros(1, maps.shape[1], *canvas))([values])
    return adaptive_avg_pool2d(fused[0], map_size(canvas, level))


def maps_of_picture(
    stage: Stage,
    levels: tuple[int, ...],
    looks: int,
    layers: Collection[int] | None = None,
    over: Literal["text", "all"] | None = None,
) -> CanvasMaps:
    """The attention that a picture gets: `stage.previous`, noised to some timesteps and predicted with the prompt.

    Args:
        stage: The first stage of a run that starts from a picture.
        levels: As for `capture`.
        looks: At how many of the stage's timesteps, evenly spread.
        layers: As for `capture`.
        over: As for `capture`.
    """
    from dataclasses import replace

    from fusionkit import Patches
    from fusionkit.loop.canvas import gather
    from fusionkit.loop.views import covering

    assert stage.previous is not None
    canvas = (stage.previous.shape[-2], stage.previous.shape[-1])
    views = covering(canvas, stage.window, stage.wrap)
    prompts = [stage.recipe.prompt] * len(views)
    maps, total = CanvasMaps(), len(stage.steps)
    for number in range(min(looks, total)):
        at = stage.steps[(2 * number + 1) * total // (2 * min(looks, total))]
        # A scheduler of its own: the stage's must not move.
        scheduler = stage.scheduler.starting_at(at.index)
        noise = stage.noise("attention of the picture", tuple(stage.previous.shape), at)
        noised = scheduler.add_noise(stage.previous, noise, at.timestep)
        patches = Patches(views, latents=gather(noised, views), prompts=prompts)
        with stage.model.capture(len(views), patches.size, levels, None, layers, over) as seen:
            stage.model.predict(replace(stage, scheduler=scheduler), at, patches)
        maps.add(seen, patches, canvas)
    return maps
