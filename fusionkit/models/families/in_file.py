"""How one `.safetensors` file holds a model of a family, as diffusers loads it. Importing this needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each tensor of a file, by its name."""

DENOISER = "model.diffusion_model."
"""How names of the denoiser begin in a file that holds more than that."""

VAE = ("first_stage_model.", "vae.")
CLIP_L = ("text_encoders.clip_l.transformer.text_model.",)
CLIP_G = ("text_encoders.clip_g.transformer.text_model.",)
T5 = ("text_encoders.t5xxl.transformer.shared.",)

Place = str | tuple[str, int] | tuple[str, ...]


@dataclass(frozen=True)
class InFile:
    """How a single file holds a model of a family.

    Args:
        marks: Tensors of the denoiser that together are this family's alone, in each layout that diffusers reads.
        base: The hub's id of a model whose other parts fit.
        parts: How the names of its other parts begin, where diffusers takes them from such a file.
        told: What of the denoiser's configuration the shapes tell, in each layout: by how the names of numbered layers
            begin, by a tensor and an axis, or by whether one of some is there.
    """

    marks: tuple[tuple[str, ...], ...]
    base: str
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    told: tuple[tuple[str, Place], ...] = ()

    def holds(self, denoiser: Shapes) -> bool:
        """Whether a file's denoiser is of the family.

        Args:
            denoiser: Its shapes, by names without the prefix.
        """
        return any(all(name in denoiser for name in names) for names in self.marks)

    def others(self, shapes: Shapes) -> list[str]:
        """The parts beside the denoiser that a file holds and diffusers takes from it."""
        return [part for part, starts in self.parts.items() if any(name.startswith(starts) for name in shapes)]

    def config(self, denoiser: Shapes) -> dict[str, int | bool]:
        """What the shapes tell of the denoiser's configuration.

        Args:
            denoiser: Its shapes, by names without the prefix.
        """
        return dict(_told(self.told, denoiser))


def denoiser_in(shapes: Shapes) -> Shapes:
    """The tensors of a file's denoiser, by names without its prefix; all of a file that has no such prefix."""
    inner = {name.removeprefix(DENOISER): shape for name, shape in shapes.items() if name.startswith(DENOISER)}
    return inner or shapes


def _told(told: tuple[tuple[str, Place], ...], denoiser: Shapes) -> Iterator[tuple[str, int | bool]]:
    for key, place in told:
        if isinstance(place, str):
            numbers = (re.match(rf"{re.escape(place)}\.(\d+)\.", name) for name in denoiser)
            if count := len({each[1] for each in numbers if each}):
                yield key, count
        elif isinstance(axis := place[-1], int):
            if len(shape := denoiser.get(place[0], ())) > axis:
                yield key, shape[axis]
        else:
            yield key, any(name in denoiser for name in place)
