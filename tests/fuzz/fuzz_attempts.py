"""Tries one input under limits, and says how it ended."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from fuzz_cases import Case

SECONDS, MEMORY = 5.0, 2**30
"""What `validate` may cost, and `plan`: of the processor's time, and bytes above what was taken before."""

DRAWING_SECONDS, DRAWING_MEMORY = 60.0, 2**32
"""What a picture may cost."""

MOST_PASSES = 60
"""A picture that takes more forward passes than this is tried with two steps."""

GOOD = ("valid", "refused", "drawn", "refused by plan", "refused by run", "too long")


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Args:
        kind: One of `GOOD`, or "internal", "hang", "memory", "words", "black", "died".
        told: What was printed, or where it failed.
        seconds: Of the processor's time.
        memory: Bytes that it took at most, above what was taken before.
    """

    kind: str
    told: str = ""
    seconds: float = 0.0
    memory: int = 0


class Hang(BaseException):
    """More CPU seconds than an input may cost."""


@dataclass
class Cost:
    """What an attempt has cost so far.

    Args:
        seconds: Of the processor's time.
        memory: The most bytes above what was taken before.
        hung: Whether there were too many seconds. This is known even where an exception was made another one.
    """

    seconds: float = 0.0
    memory: int = 0
    hung: bool = False


@contextlib.contextmanager
def limited(cost: Cost, seconds: float, memory: int) -> Iterator[None]:
    """At most so many CPU seconds, and so much more memory than now."""
    import resource

    def ring(number: int, frame: Any) -> None:
        cost.hung = True
        raise Hang

    Path("/proc/self/clear_refs").write_text("5")
    resident, began = _peak(), time.process_time()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, ring)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + memory, hard))
    # Again and again, for where it is caught.
    signal.setitimer(signal.ITIMER_PROF, seconds, seconds / 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        signal.signal(signal.SIGPROF, before)
        cost.seconds += time.process_time() - began
        cost.memory = max(cost.memory, _peak() - resident)


def _peak() -> int:
    """The most bytes of memory that were taken since this was last reset."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def attempt(case: Case, what: Callable[[Case, Cost], Outcome]) -> Outcome:
    """Try an input in a folder of its own, and say what it cost."""
    here, cost = os.getcwd(), Cost()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        case.write(Path(folder))
        os.chdir(folder)
        try:
            outcome = what(case, cost)
        finally:
            os.chdir(here)
    kind = "hang" if cost.hung else outcome.kind
    return replace(outcome, kind=kind, seconds=cost.seconds, memory=cost.memory)


def validated(case: Case, cost: Cost) -> Outcome:
    """What `fusionkit validate` makes of an input."""
    from fusionkit.cli import main
    from fusionkit.errors import FusionError

    try:
        with limited(cost, SECONDS, MEMORY), quiet():
            main.main(["--debug", "validate", *case.arguments], standalone_mode=False)
    except FusionError as error:
        return refused(error, "refused")
    except click.ClickException as error:
        return told(error.format_message(), "refused")
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return failed(error)
    return Outcome("valid")


def drawn(case: Case, cost: Cost) -> Outcome:
    """What `fusionkit plan` and `fusionkit run` make of an input that is valid."""
    from fusionkit.errors import FusionError

    try:
        with quiet():
            return _draw(case, cost)
    except FusionError as error:
        return refused(error, "refused by run")
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return failed(error)


def _draw(case: Case, cost: Cost) -> Outcome:
    import numpy as np

    from fusionkit.errors import FusionError
    from fusionkit.fusion import Fusion
    from fusionkit.recipe.recipe_file import read_recipe
    from fusionkit.runs.checks import check_file
    from fusionkit.runs.run import prepare

    sets = case.arguments[2::2]
    file = read_recipe(case.arguments[0], sets)
    try:
        with limited(cost, SECONDS, MEMORY):
            infos = check_file(file).infos
            plan = prepare(file.recipes[0], next(iter(infos.values())), infos=infos, to_look_at=True)
    except FusionError as error:
        return refused(error, "refused by plan")
    if plan.forward_passes > MOST_PASSES:
        try:
            file = read_recipe(case.arguments[0], [*sets, "steps=2"])
            infos = check_file(file).infos
            plan = prepare(file.recipes[0], next(iter(infos.values())), infos=infos, to_look_at=True)
        except FusionError:
            return Outcome("too long")
        if plan.forward_passes > MOST_PASSES:
            return Outcome("too long")
    with limited(cost, DRAWING_SECONDS, DRAWING_MEMORY):
        picture = np.asarray(Fusion.from_recipe(file.recipes[0]).run(progress=False).image)
    return Outcome("black" if picture.max() == 0 else "drawn")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing of what commands and libraries print."""
    nothing = io.StringIO()
    with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def refused(error: Exception, kind: str) -> Outcome:
    """A refusal, if it is one, and not memory that ran out on the way to it."""
    return failed(error) if "MemoryError" in causes(error) else told(str(error), kind)


def causes(error: BaseException | None) -> list[str]:
    """The kinds of an exception and of those that it was raised from, or while they were dealt with."""
    found = []
    while error is not None and len(found) < 100:
        found.append(type(error).__name__)
        error = error.__cause__ or error.__context__
    return found


def told(text: str, kind: str) -> Outcome:
    """A refusal, if it is one in words: lines that can be printed, none of them empty or an exception's name."""
    lines = text.split("\n")
    unfit = re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]|\b[A-Z]\w+(Error|Exception)\b|Traceback", text)
    if unfit or not all(line.strip() for line in lines):
        return Outcome("words", ascii(text[:600]))
    return Outcome(kind, ascii(text[:300]))


def failed(error: BaseException) -> Outcome:
    """An attempt that ended in neither a picture nor a refusal."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "fusionkit" in frame.filename] or list(frames)
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(ours[-3:]))
    kind = "memory" if "MemoryError" in causes(error) else "internal"
    return Outcome(kind, ascii(f"{type(error).__name__}: {str(error)[:200]} at {where}"))
