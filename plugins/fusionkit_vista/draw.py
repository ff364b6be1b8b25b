"""`python -m fusionkit_vista.draw OUT --count N`: draws training pictures into memory-mapped shards.

Each process writes a shard of its own: `shard-00.npy`, uint8 (pictures, side, side, 3) with the margin included, and
`shard-00.json` with how many of them are drawn and what each shows. Picture number i of a seed is the same whatever
else is drawn. Needs numpy, OpenCV and skia-python alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit_vista.windows import MARGIN, SIDE, window

_SAVE_EVERY = 500


def skia_problem() -> str:
    """Why the drawer's library can't be used, in one line; empty where it can."""
    try:
        import skia  # noqa: F401
    except ModuleNotFoundError:
        return "drawing needs skia-python: pip install 'fusionkit[vista]'"
    except ImportError as error:
        return f"drawing needs skia-python, which can't be loaded here: {error}"
    return ""


def draw_shard(folder: Path, number: int, of: int, count: int, seed: int, until: float | None, close: bool) -> None:
    """Draw the pictures number, number + of, number + 2 of, ... below `count` into one shard, until a time."""
    indices = range(number, count, of)
    side = SIDE + 2 * MARGIN
    path = folder / f"shard-{number:02d}.npy"
    pictures = np.lib.format.open_memmap(path, "w+", np.uint8, (len(indices), side, side, 3))
    facts: list[dict[str, Any]] = []
    for row, index in enumerate(indices):
        if until is not None and time.time() > until:
            break
        picture = window(seed, index, close=close)
        pictures[row] = picture.draw()
        facts.append({"index": index, **picture.facts()})
        if len(facts) % _SAVE_EVERY == 0:
            _save(path.with_suffix(".json"), seed, facts)
    pictures.flush()
    _save(path.with_suffix(".json"), seed, facts)


def _save(path: Path, seed: int, facts: list[dict[str, Any]]) -> None:
    """Write what is drawn so far, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"seed": seed, "margin": MARGIN, "count": len(facts), "facts": facts}), encoding="utf-8")
    os.replace(part, path)


def load(folder: Path) -> list[tuple[np.ndarray, list[dict[str, Any]]]]:
    """The shards of a folder: pictures (n, side, side, 3), memory-mapped, and what each shows."""
    found = []
    for path in sorted(folder.glob("shard-*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
        found.append((np.load(path.with_suffix(".npy"), mmap_mode="r")[: len(facts)], facts))
    return found


def draw_shards(
    folder: Path, count: int, seed: int = 0, processes: int = 1, seconds: float | None = None, close: bool = True
) -> int:
    """Draw `count` pictures with several processes, or as many as a wall-clock limit allows; returns how many.

    Raises:
        RuntimeError: If a process failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("shard-*"):
        old.unlink()
    until = time.time() + seconds if seconds is not None else None
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=draw_shard, args=(folder, k, processes, count, seed, until, close))
        for k in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed := [worker.exitcode for worker in workers if worker.exitcode]:
        raise RuntimeError(f"{len(failed)} of {processes} drawing processes failed (exit code {failed[0]})")
    return sum(len(facts) for _, facts in load(folder))


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and draw; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fusionkit_vista.draw", description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the shards")
    parser.add_argument("--count", type=int, default=1000, help="pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, help="stop after so long, with what is drawn")
    parser.add_argument("--whole", action="store_true", help="no close-ups and no windows of wide drawings")
    options = parser.parse_args(arguments)
    if problem := skia_problem():
        print(problem, file=sys.stderr)
        return 1
    start = time.time()
    count = draw_shards(options.out, options.count, options.seed, options.processes, options.seconds, not options.whole)
    print(f"{count} pictures in {time.time() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
