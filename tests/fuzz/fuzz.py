"""Tries thousands of mutated recipes, comparison files, changes and model configurations, and says which end wrong.

    python tests/fuzz/fuzz.py --count 20000 --seed 0 --draw 450
    python tests/fuzz/fuzz.py --seed 0 --only 17,4310

Every input is decided by the seed and its number. Each may cost 5 CPU seconds and 1 GB of memory. Those that `validate`
accepts are planned and drawn, until `--draw` of them are. How each ended is in `results.jsonl` at once, and those that
ended wrong have a folder each with what is needed to try them by hand.
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
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_attempts import GOOD, Outcome, attempt, drawn, validated
from fuzz_cases import make_case

LONGEST, IDLE = 120.0, 900.0
"""Seconds of a worker's processor, and of the clock, after which an input that can't be interrupted has hung.

A worker that compiles a model waits for compilers, and one on a busy machine waits for its turn.
"""


def work(sender: Connection, seed: int, numbers: Sequence[int], draw: bool) -> None:
    """What a worker does: try inputs, and send how each ended."""
    import diffusers  # noqa: F401 - so that no input is charged with it
    import torch

    torch.set_num_threads(1)
    for number in numbers:
        outcome = attempt(make_case(seed, number), drawn if draw else validated)
        sender.send((number, outcome))
    sender.close()


def tried(seed: int, numbers: Sequence[int], workers: int, draw: bool) -> Iterator[tuple[int, Outcome]]:
    """Each input's outcome; a worker that hangs or dies is replaced, and its input is to blame."""
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, tuple[multiprocessing.process.BaseProcess, list[int], float, float]] = {}

    def start(mine: list[int]) -> None:
        if mine:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(sender, seed, mine, draw), daemon=True)
            process.start()
            sender.close()
            running[receiver] = process, mine, time.monotonic(), 0.0

    for worker in range(workers):
        start(list(numbers[worker::workers]))
    while running:
        ready = wait(list(running), timeout=5)
        for receiver, (process, mine, since, spent) in list(running.items()):
            if receiver in ready:
                try:
                    number, outcome = receiver.recv()  # type: ignore[union-attr]
                except EOFError:
                    del running[receiver]
                    process.join()
                    if mine:
                        yield mine[0], Outcome("died", f"exit code {process.exitcode}")
                        start(mine[1:])
                    continue
                mine.remove(number)
                running[receiver] = process, mine, time.monotonic(), seconds_of(process.pid)
                yield number, outcome
            elif time.monotonic() - since > IDLE or seconds_of(process.pid) - spent > LONGEST:
                process.kill()
                process.join()
                del running[receiver]
                yield (
                    mine[0],
                    Outcome("hang", f"no answer in {LONGEST:g} seconds of a processor, or {IDLE:g} of the clock"),
                )
                start(mine[1:])


def seconds_of(pid: int | None) -> float:
    """A process's own time of processors; 0 once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Try, tell and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="how many inputs (20000)")
    parser.add_argument("--first", type=int, default=0, help="the first one's number (0)")
    parser.add_argument("--seed", type=int, default=0, help="what decides them all (0)")
    parser.add_argument("--draw", type=int, default=450, help="how many accepted ones to draw (450)")
    parser.add_argument("--only", help="numbers to try instead, with commas; each that is accepted is drawn")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="where those that end wrong go (out/fuzz)")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    numbers: Sequence[int] = range(options.first, options.first + options.count)
    if options.only:
        numbers = [int(each) for each in options.only.split(",")]
        options.draw = len(numbers)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "results.jsonl").open("w", encoding="utf-8") as results:
        return fuzz(options, numbers, results)


def fuzz(options: argparse.Namespace, numbers: Sequence[int], results: TextIO) -> int:
    """Try these, and say what was found: 1 if any ended wrong."""
    checked = noted("validate", tried(options.seed, numbers, options.workers, draw=False), results)
    accepted = [
        n for n in sorted(checked) if checked[n].kind == "valid" and make_case(options.seed, n).kind != "comparison"
    ]
    pictures = noted("run", draw_some(options.seed, accepted, options.draw, options.workers), results)
    print(f"{len(pictures):,} of {len(accepted):,} accepted ones tried")
    bad = {("validate", n): each for n, each in checked.items() if each.kind not in GOOD}
    bad |= {("run", n): each for n, each in pictures.items() if each.kind not in ("drawn", "too long")}
    write(options.out, options.seed, bad)
    for (command, number), each in sorted(bad.items(), key=lambda item: item[1].kind)[:40]:
        print(f"  {command} {number}: {each.kind}: {each.told[:220]}")
    wrong = [each for each in bad.values() if each.kind not in GOOD]
    print(f"{len(wrong)} end wrong; {len(bad) - len(wrong)} are refused by plan or run alone; all are in {options.out}")
    return 1 if wrong else 0


def noted(command: str, outcomes: Iterator[tuple[int, Outcome]], results: TextIO) -> dict[int, Outcome]:
    """All outcomes, each written as it comes; the counts, the time and what cost most are printed."""
    began, before, found = time.monotonic(), children_seconds(), dict[int, Outcome]()
    each_time = 1000 if command == "validate" else 50
    for number, outcome in outcomes:
        found[number] = outcome
        results.write(json.dumps({"command": command, "number": number, **asdict(outcome)}) + "\n")
        results.flush()
        if len(found) % each_time == 0:
            print(f"{command}: {len(found):,} after {time.monotonic() - began:.0f} s: {counts(found)}", flush=True)
    if found:
        seconds, spent = time.monotonic() - began, children_seconds() - before
        print(f"{command}: {len(found):,} in {seconds:.0f} s, {spent:.0f} s of processors: {counts(found)}")
        slowest = max(found, key=lambda n: found[n].seconds)
        largest = max(found, key=lambda n: found[n].memory)
        print(
            f"{command}: the most that one took: {found[slowest].seconds:.2f} s of a processor (number {slowest}), "
            f"{found[largest].memory / 1e6:.0f} MB (number {largest})",
            flush=True,
        )
    return found


def children_seconds() -> float:
    """Of the processors' time, what the workers that have ended took."""
    spent = os.times()
    return spent.children_user + spent.children_system


def draw_some(seed: int, accepted: Sequence[int], most: int, workers: int) -> Iterator[tuple[int, Outcome]]:
    """Outcomes of accepted inputs, until enough of them are no longer than is tried."""
    place = enough = 0
    while place < len(accepted) and enough < most:
        some = accepted[place : place + most - enough]
        for number, outcome in tried(seed, some, workers, draw=True):
            enough += outcome.kind != "too long"
            yield number, outcome
        place += len(some)


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
