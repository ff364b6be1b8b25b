"""A canvas decoded tile by tile as the autoencoder's own tiled decoding does it, with few of them in memory.

Diffusers decodes all tiles, blends them, and joins them: it keeps all of them, and the result, in the VAE's type. A
tile needs no more than the last rows of the one above it and the last columns of the one to its left. So they are
decoded in their order, blended by the autoencoder's own functions, and what is final leaves as 8-bit pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fusionkit.loop.finite import check_finite, wider_type
from fusionkit.loop.ring import MARGIN, closed, faded
from fusionkit.loop.room import Room
from fusionkit.loop.views import Wrap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

DecodeTiles = Callable[[Sequence[Tensor]], Iterator[Tensor]]
"""Decodes tiles of latents (1, C, h, w), each on its own, and answers them in their order: here, or on many devices."""


@dataclass(frozen=True)
class Tiling:
    """How an autoencoder cuts latents into tiles; each pair is (height, width).

    Args:
        tile: A tile's sides, in latent pixels; at the canvas' end it may be smaller.
        stride: How far apart they begin.
        blend: Pixels over which one fades into the next.
        kept: Pixels of each that the picture has, at most.
    """

    tile: tuple[int, int]
    stride: tuple[int, int]
    blend: tuple[int, int]
    kept: tuple[int, int]

    def cuts(self, height: int, width: int) -> bool:
        """Whether latents of a size are cut at all."""
        return height > self.tile[0] or width > self.tile[1]

    def columns(self, latents: Tensor, row: int) -> list[Tensor]:
        """The tiles of a row, whose first latent row is number `row`, as views of the latents."""
        (high, wide), (_, across) = self.tile, self.stride
        return [latents[..., row : row + high, left : left + wide] for left in range(0, latents.shape[-1], across)]

    def count(self, height: int, width: int) -> int:
        """How many tiles latents of a size make."""
        return ceil(height / self.stride[0]) * ceil(width / self.stride[1])


def tiling_of(vae: Any, factor: int) -> Tiling | None:
    """How an autoencoder of diffusers tiles; None where it does not, or in a way that is not known.

    Args:
        vae: The autoencoder.
        factor: Pixels of the picture along one side of a latent pixel.
    """
    if not all(hasattr(vae, name) for name in ("tiled_decode", "blend_v", "blend_h")):
        return None
    side = getattr(vae, "tile_latent_min_size", None)
    if isinstance(side, int) and isinstance(vae.tile_sample_min_size, int):
        share, pixels = vae.tile_overlap_factor, vae.tile_sample_min_size
        stride, blend = int(side * (1 - share)), int(pixels * share)
        tiling = Tiling((side, side), (stride, stride), (blend, blend), (pixels - blend, pixels - blend))
    elif all(hasattr(vae, f"tile_sample_{name}_{side}") for name in ("min", "stride") for side in ("height", "width")):
        sides = vae.tile_sample_min_height, vae.tile_sample_min_width
        kept = vae.tile_sample_stride_height, vae.tile_sample_stride_width
        ratio = int(vae.spatial_compression_ratio)
        tile, stride_of = ((each[0] // ratio, each[1] // ratio) for each in (sides, kept))
        tiling = Tiling(tile, stride_of, (sides[0] - kept[0], sides[1] - kept[1]), kept)
    else:
        return None
    # Where they do not agree, tiles lie elsewhere than they are cut, and that is the autoencoder's own affair.
    agree = all(step > 0 and step * factor == own for step, own in zip(tiling.stride, tiling.kept, strict=True))
    return tiling if agree else None


def decode_tile(vae: Any, tile: Tensor) -> Tensor:
    """One tile of the VAE's latents, (1, C, h, w) or (1, C, 1, h, w), as its tiled decoding decodes it.

    A pure function of the tile: tiles may be decoded in any order, and on any device with these weights.
    """
    from diffusers.utils.accelerate_utils import apply_forward_hook

    with _one_tile(vae):
        # The hook is offload's: it brings the weights to the device.
        hooked: Any = apply_forward_hook
        decoded: Tensor = hooked(lambda own: own.tiled_decode(tile, return_dict=False)[0])(vae)
    return decoded


@contextmanager
def _one_tile(vae: Any) -> Iterator[None]:
    """Tiles do not overlap, so that what is no larger than one is decoded as one, as the class itself does it."""
    names = [name for name in _OVERLAPS if hasattr(vae, name)]
    before = {name: getattr(vae, name) for name in names}
    try:
        for name in names:
            setattr(vae, name, 0.0 if name == "tile_overlap_factor" else getattr(vae, name.replace("stride", "min")))
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)


_OVERLAPS = ("tile_overlap_factor", "tile_sample_stride_height", "tile_sample_stride_width")


@dataclass(frozen=True)
class Cut:
    """A canvas that is to be decoded in tiles, wherever these are decoded: all that is needed beside them.

    Args:
        tiling: Of `tiling_of`.
        latents: The VAE's latents in its type, (1, C, H, W) or (1, C, 1, H, W), continued where they are a ring.
        blender: The autoencoder's class, whose functions blend.
        processor: Diffusers' image processor, which makes 8-bit pixels of decoded ones.
        factor: Pixels of the picture along one side of a latent pixel.
        wrap: Along which axes it is a ring.
    """

    tiling: Tiling
    latents: Tensor = field(repr=False)
    blender: Any
    processor: Any = field(repr=False)
    factor: int
    wrap: Wrap = ""

    def drawn(self, decode: DecodeTiles, room: Room) -> Image:
        """The picture, in a room.

        Raises:
            NumericalError: It has values that are not finite.
        """
        height, width = (
            self.factor * (side - 2 * MARGIN * (axis in self.wrap))
            for axis, side in zip("yx", self.latents.shape[-2:], strict=True)
        )
        pixels, picture = room.picture((width, height))
        placed = Placed(pixels, self._in_bytes, self.wrap, MARGIN * self.factor)
        for top, left, piece in blended(self.blender, self.tiling, self.latents, decode):
            check_finite(piece, DECODED, wider_type(piece.dtype))
            placed.put(top, left, piece)
        placed.close()
        return picture()

    def _in_bytes(self, piece: Tensor) -> NDArray[np.uint8]:
        import numpy as np

        (drawn,) = self.processor.postprocess(piece.float(), output_type="pil")
        return np.asarray(drawn)


DECODED = "the picture as the VAE decodes it"
"""What errors call it."""


def blended(blender: Any, tiling: Tiling, latents: Tensor, decode: DecodeTiles) -> Iterator[tuple[int, int, Tensor]]:
    """The decoded canvas, piece by piece: where each begins, (top, left) in pixels, and itself, (1, 3, h, w).

    Each value is the one that `tiled_decode` of the same latents has at that place, to the last bit.

    Args:
        blender: The autoencoder's class; its functions blend.
        tiling: Of `tiling_of`.
        latents: The VAE's latents, (1, C, H, W) or (1, C, 1, H, W).
        decode: Decodes the tiles of a row.
    """
    (down, across), (high, wide) = tiling.kept, tiling.blend
    above: list[Tensor] = []
    for row, top in enumerate(range(0, latents.shape[-2], tiling.stride[0])):
        ends: list[Tensor] = []
        left: Tensor | None = None
        for column, decoded in enumerate(decode(tiling.columns(latents, top))):
            # As `AutoencoderKL.tiled_decode` does it: with the tile above first, in place.
            tile = blender.blend_v(None, above[column], decoded, high) if row else decoded
            tile = tile if left is None else blender.blend_h(None, left, tile, wide)
            left, end = (tile.narrow(dim, -min(n, tile.shape[dim]), min(n, tile.shape[dim])).clone()
                         for dim, n in ((-1, wide), (-2, high)))  # fmt: skip
            ends.append(end)
            piece = tile[..., :down, :across]
            yield row * down, column * across, piece[:, :, 0] if piece.ndim == 5 else piece
        above = ends


class Placed:
    """A picture that pieces of its decoded canvas are put into; of a ring, the edges are closed in the end.

    Args:
        pixels: The picture, (H, W, 3); written.
        in_bytes: Makes 8-bit pixels (h, w, 3) of decoded ones, (1, 3, h, w).
        wrap: Along which axes the canvas was continued before it was decoded.
        margin: By how many pixels at each edge.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], in_bytes: Callable[[Tensor], NDArray[np.uint8]], wrap: Wrap, margin: int
    ) -> None:
        self._pixels = pixels
        self._in_bytes = in_bytes
        self._wrap = wrap
        self._margins = margin * ("y" in wrap), margin * ("x" in wrap)
        self._margin = margin
        # The beginning of a ring is mixed of what was computed there and behind its end: both are kept as decoded.
        self._bands: dict[tuple[str, str], Tensor] = {}

    def put(self, top: int, left: int, piece: Tensor) -> None:
        """Put in a piece, (1, 3, h, w), that begins at a place of the continued canvas, in its pixels."""
        self._keep(top, left, piece)
        corner = top - self._margins[0], left - self._margins[1]
        begin = [max(0, -each) for each in corner]
        height, width = self._pixels.shape[:2]
        end = [min(piece.shape[-2], height - corner[0]), min(piece.shape[-1], width - corner[1])]
        if begin[0] < end[0] and begin[1] < end[1]:
            part = piece[..., begin[0] : end[0], begin[1] : end[1]]
            rows, columns = (slice(at + b, at + e) for at, b, e in zip(corner, begin, end, strict=True))
            self._pixels[rows, columns] = self._in_bytes(part)

    def _keep(self, top: int, left: int, piece: Tensor) -> None:
        for axis, dim, at, beside in (("y", -2, top, left), ("x", -1, left, top)):
            if axis not in self._wrap:
                continue
            length = self._pixels.shape[0 if axis == "y" else 1]
            for name, begin in (("own", self._margin), ("beyond", self._margin + length)):
                low, high = max(at, begin), min(at + piece.shape[dim], begin + self._fade)
                if low < high:
                    there = self._band(axis, name, piece).narrow(dim, low - begin, high - low)
                    across = -3 - dim
                    there = there.narrow(across, beside, piece.shape[across])
                    there.copy_(piece.narrow(dim, low - at, high - low))

    def _band(self, axis: str, name: str, like: Tensor) -> Tensor:
        if (axis, name) not in self._bands:
            height, width = (side + 2 * m for side, m in zip(self._pixels.shape[:2], self._margins, strict=True))
            sides = (self._fade, width) if axis == "y" else (height, self._fade)
            self._bands[axis, name] = like.new_empty(1, 3, *sides)
        return self._bands[axis, name]

    @property
    def _fade(self) -> int:
        return self._margin // 2

    def close(self) -> None:
        """Let the edges of a ring meet; after the last piece."""
        for axis, other, dim in (("y", "x", -2), ("x", "y", -1)):
            if axis in self._wrap:
                across: Any = other if other in self._wrap else ""
                beyond, own = (closed(self._bands[axis, name], across, self._margin) for name in ("beyond", "own"))
                part = self._in_bytes(faded(beyond, own, dim))
                self._pixels[: part.shape[0], : part.shape[1]] = part
