"""What checkpoints cost the quickstart: with and without them by turns, in one process.

    python benchmarks/checkpoints.py --rounds 5

Two figures for each interval: the share of the run's time that is spent in keeping it, measured there, which another
program's work can hardly change; and the ratio of whole runs, with and without, which it can.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fusionkit import Fusion
from fusionkit.runs.checkpoints import EVERY
from fusionkit.runs.checkpoints.keeper import Keeper

RECIPE = "panorama-tinyworld"


class Inside:
    """Seconds inside of some methods, the outermost alone."""

    def __init__(self) -> None:
        self.seconds, self.depth = 0.0, 0

    def timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, timed."""

        def call(*args: Any, **kwargs: Any) -> Any:
            began, self.depth = time.perf_counter(), self.depth + 1
            try:
                return method(*args, **kwargs)
            finally:
                self.depth -= 1
                self.seconds += 0 if self.depth else time.perf_counter() - began

        return call


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="by default the recipe's own")
    options = parser.parse_args()
    steps: Any = {} if options.steps is None else {"steps": options.steps}
    fusion = Fusion.from_recipe(RECIPE, **steps)
    inside = Inside()
    for name in ("step_ended", "write", "forget"):
        setattr(Keeper, name, inside.timed(getattr(Keeper, name)))
    fusion(progress=False, steps=2)
    shares: dict[float, list[float]] = {EVERY: [], 0.0: []}
    ratios: dict[float, list[float]] = {EVERY: [], 0.0: []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.checkpoint.safetensors"
        for _ in range(options.rounds):
            began = time.perf_counter()
            fusion(progress=False)
            without = time.perf_counter() - began
            for every in shares:
                inside.seconds, began = 0.0, time.perf_counter()
                fusion(progress=False, checkpoint=path, checkpoint_every=every).forget_checkpoint()
                seconds = time.perf_counter() - began
                shares[every].append(inside.seconds / (seconds - inside.seconds))
                ratios[every].append(seconds / without)
    print(f"{RECIPE}, {fusion.recipe.steps} steps, {without:.1f} s; median of {options.rounds} rounds")
    for every in shares:
        share, ratio = statistics.median(shares[every]), statistics.median(ratios[every])
        when = f"every {every:g} s" if every else "after each step"
        print(f"{when}: {share:.2%} of the run in keeping it; whole runs {ratio - 1:+.1%}")


if __name__ == "__main__":
    main()
