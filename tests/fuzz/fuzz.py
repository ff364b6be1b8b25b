"""Tries thousands of mutated recipes, comparison files, changes and model configurations, and says which end wrong.

    python tests/fuzz/fuzz.py --count 20000 --seed 0 --draw 450

Every input is decided by the seed and its number. Each may cost 5 CPU seconds and 1 GB of memory. Those that `validate`
accepts are planned and drawn, until `--draw` of them are.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_attempts import GOOD, Outcome, attempt, drawn, validated
from fuzz_cases import make_case

LONGEST = 120.0
"""Seconds after which an input that can't be interrupted has hung."""


def work(sender: Connection, seed: int, numbers: Sequence[int], draw: bool) -> None:
    """What a worker does: try inputs, and send how each ended."""
    import diffusers  # noqa: F401 - so that no input is charged with it
    import torch

    torch.set_num_threads(1)
    for number in numbers:
        outcome = attempt(make_case(seed, number), drawn if draw else validated)
        sender.send((number, outcome.kind, outcome.told))
    sender.close()


def tried(seed: int, numbers: Sequence[int], workers: int, draw: bool) -> Iterator[tuple[int, Outcome]]:
    """Each input's outcome; a worker that hangs or dies is replaced, and its input is to blame."""
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, tuple[multiprocessing.process.BaseProcess, list[int], float]] = {}

    def start(mine: list[int]) -> None:
        if mine:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(sender, seed, mine, draw), daemon=True)
            process.start()
            sender.close()
            running[receiver] = process, mine, time.monotonic()

    for worker in range(workers):
        start(list(numbers[worker::workers]))
    while running:
        ready = wait(list(running), timeout=5)
        for receiver, (process, mine, since) in list(running.items()):
            if receiver in ready:
                try:
                    number, kind, told = receiver.recv()  # type: ignore[union-attr]
                except EOFError:
                    del running[receiver]
                    process.join()
                    if mine:
                        yield mine[0], Outcome("died", f"exit code {process.exitcode}")
                        start(mine[1:])
                    continue
                mine.remove(number)
                running[receiver] = process, mine, time.monotonic()
                yield number, Outcome(kind, told)
            elif time.monotonic() - since > LONGEST:
                process.kill()
                process.join()
                del running[receiver]
                yield mine[0], Outcome("hang", f"no answer in {LONGEST:g} seconds")
                start(mine[1:])


def main() -> int:
    """Try, tell and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="how many inputs (20000)")
    parser.add_argument("--first", type=int, default=0, help="the first one's number (0)")
    parser.add_argument("--seed", type=int, default=0, help="what decides them all (0)")
    parser.add_argument("--draw", type=int, default=450, help="how many accepted ones to draw (450)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="where those that end wrong go (out/fuzz)")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    numbers = range(options.first, options.first + options.count)
    began, checked = time.monotonic(), dict[int, Outcome]()
    for number, outcome in tried(options.seed, numbers, options.workers, draw=False):
        checked[number] = outcome
        if len(checked) % 1000 == 0:
            print(f"{len(checked):,} after {time.monotonic() - began:.0f} s: {counts(checked)}", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(checked):,} inputs in {seconds:.0f} s, {len(checked) / seconds:.0f} a second: {counts(checked)}")
    accepted = [
        n for n in sorted(checked) if checked[n].kind == "valid" and make_case(options.seed, n).kind != "comparison"
    ]
    pictures = draw_some(options.seed, accepted, options.draw, options.workers)
    print(f"{len(pictures):,} of {len(accepted):,} accepted ones tried: {counts(pictures)}")
    bad = {("validate", n): each for n, each in checked.items() if each.kind not in GOOD}
    bad |= {("run", n): each for n, each in pictures.items() if each.kind not in ("drawn", "too long")}
    write(options.out, options.seed, bad)
    for (command, number), each in sorted(bad.items(), key=lambda item: item[1].kind)[:40]:
        print(f"  {command} {number}: {each.kind}: {each.told[:220]}")
    wrong = [each for each in bad.values() if each.kind not in GOOD]
    print(f"{len(wrong)} end wrong; {len(bad) - len(wrong)} are refused by plan or run alone; all are in {options.out}")
    return 1 if wrong else 0


def draw_some(seed: int, accepted: Sequence[int], most: int, workers: int) -> dict[int, Outcome]:
    """Outcomes of accepted inputs, until enough of them are drawn."""
    pictures: dict[int, Outcome] = {}
    place = 0
    while place < len(accepted) and (left := most - sum(each.kind != "too long" for each in pictures.values())) > 0:
        pictures |= dict(tried(seed, accepted[place : place + left], workers, draw=True))
        place += left
    return pictures


def counts(outcomes: dict[int, Outcome]) -> str:
    """`9 valid, 3 refused`."""
    return ", ".join(
        f"{count:,} {kind}" for kind, count in Counter(each.kind for each in outcomes.values()).most_common()
    )


def write(folder: Path, seed: int, bad: dict[tuple[str, int], Outcome]) -> None:
    """Each input that ended wrong, with what is needed to try it again."""
    for (command, number), outcome in bad.items():
        case, to = make_case(seed, number), folder / f"{command}-{outcome.kind.replace(' ', '-')}-{number}"
        to.mkdir(parents=True, exist_ok=True)
        for name, content in case.files.items():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes(content)
        about = {"kind": case.kind, "arguments": case.arguments, "outcome": outcome.kind, "told": outcome.told}
        (to / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
