"""A finished picture with what made it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.recipe.recipe import Recipe


@dataclass(frozen=True, repr=False)
class Result:
    """A finished picture and how it was made.

    Args:
        image: The picture; a notebook shows it.
        latents: Its clean latents, (1, C, H, W), float32 on the CPU.
        recipe: The recipe that made it, completed with all defaults.
        seconds: Time of the denoising and the decoding together.
        denoising_seconds: Time of the denoising alone.
        forward_share: The part of the denoising time that the model's own forward passes took, 0..1.
        forward_passes: How many views went through the denoiser.
        batch_size: Most views that went through the denoiser together, with and without the prompt as one.
        batches: For each model by name, and each (height, width) in latent pixels of its views, how many go together;
            empty where recipe or caller decided it.
        draw_maps: Asks the plugins for `maps`.
        identify: Looks for what tells the models from others of their names.
        forget_checkpoint: Deletes the run's checkpoint, once the picture is safe; `save` does so.
    """

    image: Image
    latents: Tensor
    recipe: Recipe
    seconds: float
    denoising_seconds: float
    forward_share: float
    forward_passes: int
    batch_size: int = 0
    batches: Mapping[str, Mapping[tuple[int, int], int]] = field(default_factory=dict)
    draw_maps: Callable[[], Mapping[str, Image]] = field(default=dict)
    identify: Callable[[], Mapping[str, str]] = field(default=dict)
    forget_checkpoint: Callable[[], None] = field(default=lambda: None)

    @property
    def seed(self) -> int:
        """The seed that was used."""
        return self.recipe.seed

    @cached_property
    def maps(self) -> Mapping[str, Image]:
        """The plugins' pictures of how they worked, by name; drawn when first looked at, none unless asked for.

        Raises:
            PluginError: A plugin failed.
        """
        return self.draw_maps()

    @cached_property
    def models(self) -> Mapping[str, str]:
        """What tells the models that are no files of this machine's user from others of their names."""
        return self.identify()

    @property
    def latents_hash(self) -> str:
        """SHA-256 of the latents' bytes, to tell whether two runs gave exactly the same."""
        return hashlib.sha256(self.latents.contiguous().numpy().data.cast("B")).hexdigest()

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the picture, with recipe, seed, versions and the latents' hash inside.

        Args:
            path: The file; its folder is made. An existing file is kept and a number is added to the new one's name.
            overwrite: Replace an existing file instead.

        Returns:
            Where the picture is.
        """
        from fusionkit.pictures.image import metadata_of, save_image

        saved = save_image(self.image, Path(path), metadata_of(self), overwrite=overwrite)
        self.forget_checkpoint()
        return saved

    def __repr__(self) -> str:
        width, height = self.image.size
        passes = f"{self.forward_passes:,} forward pass{'' if self.forward_passes == 1 else 'es'}"
        return f"Result: {width}x{height} pixels, seed {self.seed}, {self.seconds:.1f} s, {passes}"

    def _repr_png_(self) -> bytes | None:
        return self.image._repr_png_()
