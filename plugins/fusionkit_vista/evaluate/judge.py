"""How often the judge is right about drawings that it never saw, as drawn and after the autoencoder."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fusionkit_vista.evaluate.parts import decoded, encoded
from fusionkit_vista.evaluate.progress import boxed
from fusionkit_vista.evaluate.tables import percent, table
from fusionkit_vista.judge import Judge, Seen, load_judge
from fusionkit_vista.models import WEIGHTS
from fusionkit_vista.train.expert_pictures import expert_window
from fusionkit_vista.windows import MARGIN, Window, window

COUNT = 600
FIRST_SEED = 4711
"""Added to the seed, since training draws from seed 0 on."""
PARTS = ("style", "scene", "time", "weather", "things", "number")


def whole_window(seed: int, index: int) -> Window:
    """A whole drawing of what the base knows."""
    return window(seed, index, close=False)


def right(seen: Seen, truth: dict[str, Any]) -> dict[str, bool]:
    """What the judge says rightly of a drawing, by question; "all" is everything together."""
    found = {part: getattr(seen, part) == truth[part] for part in PARTS if part != "things"}
    found["things"] = seen.things == (frozenset({truth["thing"]}) if truth["thing"] else frozenset())
    return {**{part: found[part] for part in PARTS}, "all": all(found.values())}


def judged(
    judge: Judge, chosen: Callable[[int, int], Window], count: int, seed: int, minutes: float | None, name: str
) -> tuple[list[dict[str, bool]], list[dict[str, bool]], list[dict[str, Any]]]:
    """What is right of drawings, and of the same after the autoencoder, and what they show."""
    drawn, after, truths = [], [], []
    for start in boxed(range(0, count, 10), name, minutes):
        windows = [chosen(seed, i) for i in range(start, min(count, start + 10))]
        pictures = np.stack([each.draw() for each in windows])
        inside = np.ascontiguousarray(pictures[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
        truths += (facts := [each.facts() for each in windows])
        drawn += list(map(right, judge.judge(inside), facts))
        after += list(map(right, judge.judge(decoded(encoded(pictures))), facts))
    return drawn, after, truths


def shares(found: Sequence[dict[str, bool]]) -> list[str]:
    """Shares of right answers, by question."""
    return [percent([each[part] for each in found]) for part in (*PARTS, "all")]


def main(options: argparse.Namespace) -> None:
    """Print the table: of drawings of what the base knows, and of what the expert knows."""
    judge, count = load_judge(options.judge or WEIGHTS / "judge"), options.count or COUNT
    seed = FIRST_SEED + options.seed
    base, base_after, _ = judged(judge, whole_window, count, seed, options.minutes, "drawings")
    special, special_after, facts = judged(judge, expert_window, count // 3, seed, options.minutes, "the expert's")
    columns = [shares(each) for each in (base, base_after, special, special_after)]
    head = ["right in", "as drawn", "after the autoencoder", "the expert's, as drawn", "after the autoencoder"]
    print(table(head, zip((*PARTS, "everything"), *columns, strict=True)))
    print(f"\n{len(base)} drawings, and {len(special)} of what the expert knows.")
    for name, key, value in (("watercolours", "style", "watercolour"), ("dragons", "thing", "dragon")):
        part = "style" if key == "style" else "things"
        hits = [each[part] for each, fact in zip(special_after, facts, strict=True) if fact[key] == value]
        print(f"{name} seen as such after the autoencoder: {sum(hits)} of {len(hits)}")
