"""Between the canvas and its views: gather patches, put their weighted mean back, check that nothing is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fusionkit.errors import CanvasError
from fusionkit.loop.room import IN_MEMORY, Room
from fusionkit.loop.stage import Patches, Stage, Step
from fusionkit.loop.views import View

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

# Plugins import from here at their head, which must not wait for torch.
_TINY = 2.0**-126  # the least normal float32


def gather(canvas: Tensor, views: Sequence[View], room: Room = IN_MEMORY) -> Tensor:
    """The views of a canvas (1, ..., H, W), as (P, ..., h, w); zeros where a view reaches over a border.

    A view of a ring goes on at the other edge.

    Args:
        canvas: The canvas.
        views: P views of one size.
        room: Where they are put.
    """
    if not room.on_disk:
        import torch

        return torch.stack(list(_gathered(canvas, views)))
    return room.joined((each[None] for each in _gathered(canvas, views)), len(views))


def _gathered(canvas: Tensor, views: Sequence[View]) -> Iterator[Tensor]:
    height, width = canvas.shape[-2:]
    for view in views:
        parts = view.parts((height, width))
        whole = canvas[0, ..., parts[0][0][0], parts[0][0][1]] if len(parts) == 1 else None
        if whole is None or whole.shape[-2:] != (view.height, view.width):
            whole = canvas.new_zeros(*canvas.shape[1:-2], view.height, view.width)
            for (rows, columns), (own_rows, own_columns) in parts:
                whole[..., own_rows, own_columns] = canvas[0, ..., rows, columns]
        yield whole


def crop_pixels(picture: Tensor, views: Sequence[View], factor: int) -> Tensor:
    """Each view's own part of a picture of the canvas, as (P, C, h factor, w factor).

    A latent pixel stands for factor x factor pixels, so that a dilated view takes one such block for each of its
    samples. What lies outside the canvas is zeros.

    Args:
        picture: (1, C, H factor, W factor), in pixels.
        views: P views of one size, in latent pixels.
        factor: Pixels of the picture along one side of a latent pixel.
    """
    height, width = (side // factor for side in picture.shape[-2:])
    # A view of the same memory: nothing is copied before the crops are taken.
    blocks = picture.reshape(1, -1, height, factor, width, factor).permute(0, 1, 3, 5, 2, 4)
    crops = gather(blocks, views)  # (P, C, factor, factor, h, w)
    return crops.permute(0, 1, 4, 2, 5, 3).flatten(-2).flatten(-3, -2)


def scatter(values: Tensor, views: Sequence[View], canvas: Tensor) -> Tensor:
    """Add values (P, C, h, w) onto a canvas (1, C, H, W), in place, and return it; what lies outside is dropped."""
    height, width = canvas.shape[-2:]
    for value, view in zip(values, views, strict=True):
        for (rows, columns), (own_rows, own_columns) in view.parts((height, width)):
            canvas[0, :, rows, columns] += value[:, own_rows, own_columns]
    return canvas


def weight_map(patches: Patches, like: Tensor) -> Tensor:
    """The group's weights, (P, 1, h, w), on the device and in the type of `like`."""
    shape = (len(patches.views), 1, *patches.size)
    if patches.weights is None:
        return like.new_ones(1).expand(shape)
    return patches.weights.to(like).expand(shape)


def view_noise(stage: Stage, at: Step, groups: Sequence[Patches]) -> list[Tensor]:
    """Each group's noise of this step, (P, C, h, w): its own where it has some, else N(0, 1) drawn for each view."""
    return [
        stage.noise(f"view {number}", (len(patches.views), stage.shape[1], *patches.size), at)
        if patches.noise is None
        else patches.noise
        for number, patches in enumerate(groups)
    ]


def view_weights(stage: Stage, values: Tensor, views: Sequence[View]) -> Tensor:
    """What a map of the canvas says of each view, (P, 1, h, w), as `Patches.weights` are; 0 outside of the canvas.

    Args:
        stage: The stage, whose canvas it is.
        values: (H, W) or (1, 1, H, W), in latent pixels.
        views: P views of one size.

    Raises:
        ValueError: The map is of another shape than the canvas.
    """
    if tuple(values.shape) not in (stage.canvas, (1, 1, *stage.canvas)):
        height, width = stage.canvas
        raise ValueError(
            f"a map of {tuple(values.shape)} is none of the canvas; expected ({height}, {width}) or "
            f"(1, 1, {height}, {width}), in latent pixels"
        )
    return gather(values.reshape(1, 1, *stage.canvas).to(stage.device, stage.dtype), views)


class WeightedMean:
    """The mean that fuses groups of views: normalised inside each group, then mixed by the groups' shares.

    One pixel x of the canvas gets sum_i e_i(x) value_i(x), over all views i that hold it, with effective weights
    e_i = share_g w_i / sum_{j in g} w_j, divided by the sum of the shares that reach the pixel, so that sum_i e_i = 1.

    Args:
        groups: The groups of views, with their weights and shares.
        like: A canvas (1, C, H, W) that gives size, type and device.
        room: Where what is fused is put.
    """

    def __init__(self, groups: Sequence[Patches], like: Tensor, room: Room = IN_MEMORY) -> None:
        self.groups = groups
        self.like = like
        self._room = room
        one = like[:, :1]
        # Of each group its weights in all, where they are; of every pixel the shares that reach it.
        self._totals: list[Tensor] = []
        self.coverage = one.new_zeros(one.shape)
        self._weights = [weight_map(patches, like) for patches in groups]
        for patches, weights in zip(groups, self._weights, strict=True):
            total = scatter(weights, patches.views, one.new_zeros(one.shape))
            self._totals.append(total)
            self.coverage += patches.share * (total > 0)

    @property
    def effective(self) -> list[Tensor]:
        """Each group's effective weights, (P, 1, h, w)."""
        import torch

        return [torch.stack(list(self._effective(number))) for number in range(len(self.groups))]

    def _effective(self, number: int) -> Iterator[Tensor]:
        """Those of one group, view by view, (1, h, w): all together are a part of a canvas, which may be large."""
        patches, total = self.groups[number], self._totals[number]
        for view, weights in zip(patches.views, self._weights[number], strict=True):
            (own,) = gather(total, [view])
            (reached,) = gather(self.coverage, [view])
            yield patches.share * weights / own.clamp_min(_TINY) / reached.clamp_min(_TINY)

    def __call__(self, values: Sequence[Tensor]) -> Tensor:
        """Fuse one tensor (P, C, h, w) a group into a canvas (1, C, H, W)."""
        fused = self._room.empty(self.like.shape, self.like).zero_()
        for number, (value, patches) in enumerate(zip(values, self.groups, strict=True)):
            for own, weights, view in zip(value, self._effective(number), patches.views, strict=True):
                scatter((own * weights)[None], [view], fused)
        return fused

    def norm(self) -> Tensor:
        """sqrt(sum_i e_i^2): the standard deviation that averaging leaves of unit-variance noise, (1, 1, H, W)."""
        total = self.like.new_zeros(1, 1, *self.like.shape[-2:])
        for number, patches in enumerate(self.groups):
            for weights, view in zip(self._effective(number), patches.views, strict=True):
                scatter(weights.square()[None], [view], total)
        return total.sqrt()


def check_views(stage: Stage, groups: Sequence[Patches]) -> None:
    """Check that groups of views can be predicted and leave no hole in the canvas.

    Raises:
        CanvasError: A group is empty or of mixed sizes, a view lies outside the canvas or is longer than a ring, or a
            pixel has no weight.
    """
    import numpy as np

    height, width = stage.canvas
    covered = np.zeros((height, width), dtype=bool)
    for patches in groups:
        if not patches.views:
            raise CanvasError(f"a group of kind '{patches.kind}' has no views")
        counting = _counting(patches)
        for number, view in enumerate(patches.views):
            if (view.height, view.width) != patches.size:
                raise CanvasError(f"a group of kind '{patches.kind}' mixes views of {patches.size} and {view[2:4]}")
            _check_ring(view, (height, width))
            parts = view.parts((height, width))
            if not parts:
                raise CanvasError(f"{view} lies outside the canvas of {width}x{height} latent pixels")
            for (rows, columns), own in parts:
                if counting is None:
                    covered[rows, columns] = True
                else:
                    covered[rows, columns] |= counting[number][own]
    if not covered.all():
        y, x = (each[0] for each in np.nonzero(~covered))
        holes = int((~covered).sum())
        raise CanvasError(
            f"{holes} of {height * width} latent pixels have no view, or no weight; the first is row {y}, column {x}"
        )


def _check_ring(view: View, canvas: tuple[int, int]) -> None:
    for axis, samples, apart, length in zip("yx", view[2:4], view.apart, canvas, strict=True):
        if axis in view.wrap and (samples - 1) * apart >= length:
            what = "higher" if axis == "y" else "wider"
            raise CanvasError(f"{view} is {what} than the ring of {length} latent pixels that it lies on")


def _counting(patches: Patches) -> npt.NDArray[np.bool_] | None:
    """Which pixels of a group's views have a weight, (P, h, w); None where all have."""
    import numpy as np

    shape = (len(patches.views), *patches.size)
    if patches.share <= 0:
        return np.zeros(shape, dtype=bool)
    if patches.weights is None or bool((patches.weights > 0).all()):
        return None
    counting: npt.NDArray[np.bool_] = (patches.weights > 0).expand(shape[0], 1, *shape[1:])[:, 0].cpu().numpy()
    return counting
