"""How often the counter is right, on drawings of crowds whose number is known, also after the autoencoder."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit_vista.counter import shipped_finder
from fusionkit_vista.crowds import crowd
from fusionkit_vista.drawer import THINGS, draw, sample_spec
from fusionkit_vista.evaluate.parts import decoded, encoded
from fusionkit_vista.evaluate.progress import boxed
from fusionkit_vista.evaluate.tables import percent, table
from fusionkit_vista.finder import load_finder
from fusionkit_vista.windows import MARGIN

COUNT = 156
FIRST_SEED = 4711
"""Added to the seed, since training draws from seed 0 on."""
SIDES = (256, 512)
KINDS = tuple(THINGS)
NUMBERS = (3, 0, 1, 5, 2, 1)


@dataclass(frozen=True)
class Counted:
    """What a crowd holds and what was counted in it, as drawn and after the autoencoder."""

    kind: str
    side: int
    truth: int
    drawn: int
    after: int


def crowded(seed: int, index: int) -> tuple[str, int, int, NDArray[np.uint8]]:
    """Kind, side and number of a crowd, and its picture with a margin, like an enlargement that repeats its subject.

    One thing in it is of the usual size in the whole picture; the others are as large as a window's, or up to that.
    """
    rng = np.random.default_rng((seed, index, 17))
    block = index // len(KINDS)
    kind, number = KINDS[index % len(KINDS)], NUMBERS[block % len(NUMBERS)]
    side = SIDES[block // len(NUMBERS) % len(SIDES)]
    smallest = 128 / side
    sizes = [1.0, *np.exp(rng.uniform(np.log(smallest), 0, 4))][:number]
    spec = crowd(rng, sample_spec(rng, thing=kind, number=1), kind, sizes)
    return kind, side, len(spec.things), draw(spec, size=(side, side), margin=MARGIN)


def main(options: argparse.Namespace) -> None:
    """Print the tables, by thing and by number."""
    finder = load_finder(options.finder) if options.finder else shipped_finder()
    found = []
    for index in boxed(range(options.count or COUNT), "crowds", options.minutes):
        kind, side, truth, picture = crowded(FIRST_SEED + options.seed, index)
        inside = np.ascontiguousarray(picture[MARGIN:-MARGIN, MARGIN:-MARGIN])
        with torch.no_grad():
            after = decoded(encoded(picture[None]))[0]
        found.append(Counted(kind, side, truth, len(finder.find(inside, kind)), len(finder.find(after, kind))))
    print(table(["thing", "crowds", "as drawn", "after the autoencoder", "counted too few", "too many"], _rows(found)))
    wrong = Counter((each.truth, each.after) for each in found if each.truth != each.after).most_common(6)
    print("\nafter the autoencoder: " + ", ".join(f"{after} for {truth} ({n} x)" for (truth, after), n in wrong))


def _rows(found: list[Counted]) -> list[tuple[object, ...]]:
    sets = {kind: [each for each in found if each.kind == kind] for kind in KINDS}
    sets |= {f"{side}x{side}": [each for each in found if each.side == side] for side in SIDES}
    sets |= {f"of {number}": [each for each in found if each.truth == number] for number in sorted(set(NUMBERS))}
    return [
        (
            title,
            len(each),
            percent([one.drawn == one.truth for one in each]),
            percent([one.after == one.truth for one in each]),
            sum(one.after < one.truth for one in each),
            sum(one.after > one.truth for one in each),
        )
        for title, each in {**sets, "all": found}.items()
        if each
    ]
