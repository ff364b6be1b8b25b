"""How well workers share an emulated step of SDXL at 8192x8192, 225 views of 50 ms each, on threads and on Ray.

    python benchmarks/workers.py --steps 12

A worker sleeps in place of the denoiser, so that what is measured is the engine: views really travel there and back.
Efficiency is the time that the workers would take if nothing else cost any, by the time that the step took: the median,
with its 95 % interval. On a machine that others keep busy sleeps end late, too: `late` is by how much in the mean, and
`load` the machine's load average; read figures with a large one as a lower bound.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fusionkit.distributed.pool import Threads
from fusionkit.distributed.ray_pool import RayPool
from fusionkit.distributed.values import Answer
from fusionkit.distributed.worker import Worker

VIEWS, SECONDS, SHAPE = 225, 0.05, (1, 4, 128, 128)
CASES: dict[str, tuple[float, ...]] = {
    "2": (1.0,) * 2,
    "4": (1.0,) * 4,
    "8": (1.0,) * 8,
    "8, four at half speed": (1.0,) * 4 + (0.5,) * 4,
    "8, one at a quarter": (1.0,) * 7 + (0.25,),
    "8, one stuck (x40)": (1.0,) * 7 + (1 / 40,),
}


@dataclass(frozen=True)
class Begin:
    """Gives each worker a speed of its own: whoever comes first takes the first one.

    Args:
        folder: Where it is noted which are taken.
        speeds: The speeds.
    """

    folder: Path
    speeds: Sequence[float]

    def __call__(self, worker: Worker) -> Answer:
        """Take one."""
        speed = worker.keep("speed", str(self.folder), self._free, most=1)
        current(worker)[:] = [speed]
        return Answer(speed)

    def _free(self) -> float:
        for number, speed in enumerate(self.speeds):
            try:
                (self.folder / str(number)).touch(exist_ok=False)
            except FileExistsError:
                continue
            return speed
        raise RuntimeError("a worker died, and another one took its place: measure again")


def current(worker: Worker) -> list[float]:
    """A worker's speed at present."""
    return worker.keep("current", "speed", lambda: [1.0])


@dataclass(frozen=True)
class View:
    """One view: it travels there, takes its time, and another one travels back."""

    latents: torch.Tensor = field(repr=False)

    def __call__(self, worker: Worker) -> Answer:
        """Sleep; the answer's seconds are by how much longer than was asked."""
        (speed,) = current(worker)
        asked, began = SECONDS / speed, time.perf_counter()
        time.sleep(asked)
        return Answer(self.latents + 1, 1, time.perf_counter() - began - asked)


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12, help="steps of each case; one more begins")
    parser.add_argument("--engines", nargs="+", default=["threads", "ray"], choices=["threads", "ray"])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    rows = []
    print(f"{'engine':8} {'workers':22} {'ideal':>7} {'efficiency':>22} {'CPU a step':>11} {'late':>8} {'load':>6}")
    for engine in asked.engines:
        sizes = sorted({len(CASES[case]) for case in asked.cases})
        for size in sizes:
            # One pool for all cases of its size: workers take seconds to start, and speeds are told them.
            pool: Any = Threads(["cpu"] * size) if engine == "threads" else RayPool(size, device="cpu", told=_no_note)
            try:
                if engine == "ray":
                    pool.ready()
                for case in asked.cases:
                    if len(CASES[case]) == size:
                        rows.append({"engine": engine, "workers": case, **measured(pool, CASES[case], asked.steps)})
                        print(line(rows[-1]), flush=True)
            finally:
                pool.close()
    if asked.json is not None:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


def measured(pool: Any, speeds: Sequence[float], steps: int) -> dict[str, Any]:
    """What steps on workers of these speeds took."""
    views = [View(torch.randn(SHAPE)) for _ in range(VIEWS)]
    ideal = VIEWS * SECONDS / sum(speeds)
    took, late, cpu = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        pool.prepare(Begin(Path(folder), speeds))
        for _ in range(steps + 1):
            began, processor = time.perf_counter(), time.process_time()
            answers = pool.run(views)
            took.append(time.perf_counter() - began)
            cpu.append(time.process_time() - processor)
            late.append(statistics.mean(answer.seconds for answer in answers))
            assert all(torch.equal(answer.value, view.latents + 1) for answer, view in zip(answers, views, strict=True))
    found = [ideal / each for each in took[1:]]  # the first one learns how quick they are
    low, high = interval(found, statistics.median)
    return {
        "ideal": ideal,
        "efficiency": statistics.median(found),
        "low": low,
        "high": high,
        "each": found,
        "cpu": statistics.median(cpu[1:]),
        "late": statistics.mean(late[1:]),
        "load": os.getloadavg()[0],
    }


def interval(values: Sequence[float], of: Callable[[Sequence[float]], float], times: int = 2000) -> tuple[float, float]:
    """The 95 % interval of a statistic, by resampling (percentile bootstrap)."""
    draw = random.Random(0)
    found = sorted(of(draw.choices(values, k=len(values))) for _ in range(times))
    return found[int(0.025 * times)], found[int(0.975 * times)]


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    efficiency = f"{row['efficiency']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
    return (
        f"{row['engine']:8} {row['workers']:22} {row['ideal']:6.2f}s {efficiency:>22} {row['cpu']:10.3f}s "
        f"{1000 * row['late']:6.1f}ms {row['load']:6.1f}"
    )


def _no_note(_: str) -> None:
    """What happens to workers is in the figures."""


if __name__ == "__main__":
    main()
