"""Whether the denoiser looks at a thing's word where the thing is, by its cross-attention, on noised drawings.

The place of a thing in a sample is not known, but that in a drawing is. So a drawing is encoded, noised to ten
timesteps, evenly spread, and predicted with its own caption, and the attention to the thing's word is read, as
`patch-content-prompts` reads it of a picture that a run starts from.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from fusionkit import Fusion
from fusionkit.models.attention import capture
from fusionkit.recipe.made import make_recipe
from fusionkit_accdiffusion.influence import influence
from fusionkit_accdiffusion.words import words_of
from fusionkit_vista.drawer import THINGS, boxes, caption, draw, sample_spec
from fusionkit_vista.evaluate.parts import encoded
from fusionkit_vista.evaluate.progress import boxed
from fusionkit_vista.evaluate.tables import percent, table
from fusionkit_vista.windows import MARGIN, SIDE

COUNT = 96
LOOKS = 10
BOTH = "16x16 and 8x8"
SETS: Mapping[str, tuple[int, ...]] = {
    "16x16": (1,),
    "8x8": (2,),
    BOTH: (1, 2),
}
"""Levels, whose maps are averaged at 16x16."""
WAYS = {"own": "the word's own tokens", "all": "all tokens, by the word's share in each"}
KINDS = tuple(name for name, kind in THINGS.items() if not kind.extra)


@dataclass(frozen=True)
class Ground:
    """What is found in one drawing by one set of levels.

    Args:
        inside: Whether the highest place of the map lies inside the thing's box.
        box: The box's share of the picture, which a place at random would hit.
        covered: The share of the box that the mask (what is above the map's mean) covers.
        around: The share of the rest that the mask covers.
    """

    inside: bool
    box: float
    covered: float
    around: float


def ground(found: NDArray[np.float32], box: tuple[float, float, float, float]) -> Ground:
    """Compare a word's map (h, w) of a picture of 128 px with the box of its thing, in pixels."""
    height, width = found.shape
    ys, xs = (np.arange(height) + 0.5) * SIDE / height, (np.arange(width) + 0.5) * SIDE / width
    left, top, right, bottom = box
    within = ((ys >= top) & (ys <= bottom))[:, None] & ((xs >= left) & (xs <= right))[None]
    mask = found > found.mean()
    return Ground(
        bool(within.flat[int(found.argmax())]), float(within.mean()), float(mask[within].mean()), _share(mask, ~within)
    )


def _share(mask: NDArray[np.bool_], where: NDArray[np.bool_]) -> float:
    return float(mask[where].mean()) if where.any() else float("nan")


class Denoiser:
    """The shipped model, whose attention is read."""

    def __init__(self) -> None:
        fusion = Fusion.from_pretrained("vista/scenes")
        (model,) = fusion.models_for(make_recipe(model="vista/scenes")).values()
        self.model = cast("Any", model)
        self.pipe = self.model.pipe

    @torch.no_grad()
    def looks(self, latents: torch.Tensor, prompt: str, times: list[int], seed: int) -> dict[int, torch.Tensor]:
        """The attention of noised latents (1, 16, 16, 16) to a prompt, (timesteps, tokens, h, w) by level."""
        noise = torch.randn(len(times), *latents.shape[1:], generator=torch.Generator().manual_seed(seed))
        at = torch.tensor(times)
        noised = self.pipe.scheduler.add_noise(latents.expand_as(noise), noise, at)
        text = self.model.embed(prompt)[0].expand(len(times), -1, -1)
        size = (latents.shape[-2], latents.shape[-1])
        self.model.conditional_rows = len(times)
        with capture(self.model, len(times), size, (1, 2)) as seen:
            self.pipe.unet(noised.to(text.dtype), at, text)
        self.model.conditional_rows = 0
        return {level: seen.mean(level) for level in seen.sizes}

    def weights(self, prompt: str, thing: str) -> dict[str, torch.Tensor]:
        """How much each token (L,) counts for the thing's word: its own tokens, or all of them by its share in each."""
        words = words_of(prompt, self.model.text_tokens(prompt))
        (number,) = (number for number, word in enumerate(words) if word.bare == thing)
        shares = influence(words, lambda text: self.model.embed(text)[0], self.pipe.tokenizer.eos_token)[number]
        own = torch.zeros_like(shares)
        own[list(words[number].positions)] = 1 / len(words[number].positions)
        return {"own": own, "all": shares}


def word_map(looks: Mapping[int, torch.Tensor], levels: tuple[int, ...], tokens: torch.Tensor) -> NDArray[np.float32]:
    """A word's map, (16, 16): the mean over the timesteps, the levels and, by their weights, the tokens (L,)."""
    side = max(each.shape[-1] for each in looks.values())
    maps = [torch.einsum("l,lhw->hw", tokens, looks[level].mean(0))[None, None] for level in levels]
    large = [F.interpolate(each, (side, side), mode="bilinear") for each in maps]
    return np.asarray(torch.stack(large).mean(0)[0, 0], np.float32)


def measured(count: int, seed: int, minutes: float | None) -> list[tuple[str, dict[tuple[str, str], Ground]]]:
    """The kind of thing of each drawing, the kinds by turns, and what is found by each set of levels and tokens."""
    denoiser, found = Denoiser(), []
    spread = denoiser.pipe.scheduler.config.num_train_timesteps // LOOKS
    times = [spread * look + spread // 2 for look in range(LOOKS)]
    for index in boxed(range(count), "drawings", minutes):
        rng, name = np.random.default_rng((seed, index, 55)), KINDS[index % len(KINDS)]
        spec = sample_spec(rng, thing=name, number=1)
        prompt, picture = caption(spec), draw(spec, size=(SIDE, SIDE), margin=MARGIN)
        looks = denoiser.looks(encoded(picture[None]), prompt, times, seed + index)
        (box,) = boxes(spec, size=(SIDE, SIDE))
        weights = denoiser.weights(prompt, name).items()
        each = {(t, way): ground(word_map(looks, levels, w), box) for t, levels in SETS.items() for way, w in weights}
        found.append((name, each))
    return found


def main(options: argparse.Namespace) -> None:
    """Print the tables, by level and by thing."""
    found = measured(options.count or COUNT, options.seed, options.minutes)
    rows, head = [], ["attention at", "to", "peak inside the thing", "of the thing masked", "of the rest masked"]
    for title, way in found[0][1]:
        each = [grounds[title, way] for _, grounds in found]
        means = [np.nanmean([getattr(one, part) for one in each]) for part in ("covered", "around")]
        shown = [f"{mean:.0%}".replace("%", " %") for mean in means]
        rows.append((title, WAYS[way], percent([one.inside for one in each]), *shown))
    print(table(head, rows))
    chance = np.mean([grounds["16x16", "own"].box for _, grounds in found])
    print(f"\n{len(found)} drawings with one thing each; a place at random lies inside it in {chance:.1%}.")
    for way in WAYS:
        hits = {kind: [grounds[BOTH, way].inside for name, grounds in found if name == kind] for kind in KINDS}
        told = ", ".join(f"{kind} {sum(each)} of {len(each)}" for kind, each in hits.items() if each)
        print(f"{BOTH}, {WAYS[way]}: {told}")
