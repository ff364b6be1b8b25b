"""A group of views in batches: which views share a forward pass, and what their halves become."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusionkit.loop.stage import Control, ImagePrompt, Patches, Prompt

if TYPE_CHECKING:
    from fusionkit.loop.stage import Stage
    from fusionkit.loop.views import View

Embedding = tuple[Tensor, ...]
Pair = tuple[Embedding, ...]
"""A view's embeddings: its prompt's and, where it is guided, the negative one's."""


@dataclass(frozen=True)
class Halves:
    """Which outputs of a group's views are wanted.

    Args:
        both: Of each view, whether it has both: with the prompt, and without.
        only: Which of the two is the only one, 0 or 1; None is neither.
        guided: Whether the guided output is wanted in place of its two halves.
    """

    both: Sequence[bool]
    only: int | None = None
    guided: bool = False

    @classmethod
    def one(cls, both: bool) -> Halves:
        """The guided output of one view, which may have both."""
        return cls([both], guided=True)


@dataclass(frozen=True)
class Wanted:
    """What is wanted of one batch of a group.

    Args:
        number: Which batch of its group it is.
        numbers: Its views' numbers in the group that was asked for.
        scale: The guidance scale, the same for all of its views.
        only: As `Halves` has it.
        guided: Likewise.
    """

    number: int
    numbers: Sequence[int]
    scale: float
    only: int | None = None
    guided: bool = False


@dataclass(frozen=True)
class Shown:
    """Pictures that views look at, each view by its own part of their mask.

    Args:
        prompt: The pictures.
        mask: (P, 1, h factor, w factor); None is everywhere.
        seen: P booleans: whether a view's part of the mask has anything of them.
    """

    prompt: ImagePrompt
    mask: Tensor | None
    seen: Sequence[bool]

    def of(self, part: slice) -> Shown:
        """The same of some of the views."""
        return Shown(self.prompt, None if self.mask is None else self.mask[part], self.seen[part])


@dataclass(frozen=True)
class Batch:
    """The rows of one forward pass: views with their prompts, and after them, if guided, the same views without.

    Args:
        number: Which batch of its group it is.
        views: The views, once.
        pairs: Their embeddings.
        latents: As the main model gets them, (P, C, h, w).
        controls: Each with the views' own crops of its hint.
        beside: What the denoiser is told in channels beside the latents, (P, E, h, w); None for nothing.
        conditional: Whether the first of its rows have the prompts; not where they are the other half alone.
        scale: The guidance scale, the same for all of its views.
        shown: Pictures that some of the views look at.
    """

    number: int
    views: Sequence[View]
    pairs: Sequence[Pair]
    latents: Tensor
    controls: Sequence[tuple[Control, Tensor]]
    beside: Tensor | None = None
    conditional: bool = True
    scale: float = 1.0
    shown: Sequence[Shown] = ()

    @property
    def halves(self) -> int:
        """1, or 2 if guided."""
        return len(self.pairs[0])

    def rows(self) -> tuple[list[View], list[Embedding], Tensor, list[tuple[Control, Tensor]]]:
        """Views, embeddings, latents and hints of all rows."""
        halves = self.halves
        embeddings = [pair[half] for half in range(halves) for pair in self.pairs]
        controls = [(control, hint.repeat(halves, 1, 1, 1)) for control, hint in self.controls]
        return list(self.views) * halves, embeddings, self.latents.repeat(halves, 1, 1, 1), controls


def texts_of(stage: Stage, patches: Patches) -> list[tuple[str, str]]:
    """Prompt and negative prompt of each view of a group."""
    prompts = [Prompt(each) if isinstance(each, str) else each for each in patches.prompts]
    default = stage.recipe.negative_prompt
    return [(each.text, default if each.negative is None else each.negative) for each in prompts]


def slices_of(pairs: Sequence[Pair], keys: Sequence[Hashable], scales: Sequence[float], size: int) -> list[slice]:
    """A group in batches of neighbours.

    Args:
        pairs: Each view's embeddings.
        keys: One for each view; only views of one key share a batch.
        scales: One guidance scale for each view; likewise, and views with a negative prompt are not with those without.
        size: Views in one batch at most.
    """
    return list(_slices([(key, scale, len(pair)) for key, scale, pair in zip(keys, scales, pairs, strict=True)], size))


def part_of(patches: Patches, part: slice, latents: Tensor) -> Patches:
    """Some neighbouring views of a group, as far as a model looks at them.

    Args:
        patches: The group, all of which is predicted.
        part: Which views.
        latents: The group's, as the main model gets them, (P, C, h, w).
    """
    return Patches(
        patches.views[part],
        patches.kind,
        latents=latents[part],
        prompts=patches.prompts[part],
        controls=patches.controls,
        image_prompts=patches.image_prompts,
        told=patches.told[part],
    )


def _slices(keys: Sequence[Hashable], size: int) -> Iterator[slice]:
    start = 0
    while start < len(keys):
        end = start + 1
        while end < len(keys) and end - start < size and keys[end] == keys[start]:
            end += 1
        yield slice(start, end)
        start = end


def together(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The halves of batches as those of the group."""
    return tuple(torch.cat(half) for half in zip(*parts, strict=True))


def only(batch: Batch, half: int) -> Batch:
    """One half of a batch alone."""
    return replace(batch, pairs=[(pair[half],) for pair in batch.pairs], conditional=half == 0)
