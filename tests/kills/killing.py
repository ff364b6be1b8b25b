"""Kills a child at a random moment, or at a line of some module, as SIGKILL does: nothing of it runs any more.

The parent is warm, having imported what the child needs, and forks: a kill costs what the child's work costs. Whatever
must survive a kill can be tried with it: `killed_after`, `lines_in` and `killed_at` take any work.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType
from typing import Any

Work = Callable[[], object]


def forked(work: Work, told: Path) -> int:
    """Do some work in a child, and return its process id.

    Args:
        work: The work; it ends with its own exit code, or with 1 where it fails.
        told: Takes what it prints.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        handle = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        work()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - it is told, and the parent sees the exit code
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finished(work: Work, told: Path) -> int:
    """Do some work in a child, to its end, and return its exit code; below 0 is the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(forked(work, told), 0)[1])


def killed_after(work: Work, seconds: float, told: Path) -> bool:
    """Kill a child after some time; whether it still ran."""
    pid = forked(work, told)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def lines_in(files: Collection[str], work: Work, told: Path) -> int:
    """How many lines of some files a child runs while it does its work."""
    reader, writer = os.pipe()

    def counting() -> None:
        count = 0

        def one() -> None:
            nonlocal count
            count += 1

        try:
            _at_lines(files, work, one)
        finally:
            os.write(writer, str(count).encode())

    finished(counting, told)
    os.close(writer)
    with os.fdopen(reader) as told_count:
        return int(told_count.read())


def killed_at(files: Collection[str], number: int, work: Work, told: Path) -> bool:
    """Kill a child before it runs the line of this number, from 1, of some files; whether it came so far."""

    def dying() -> None:
        left = number

        def one() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        _at_lines(files, work, one)

    return finished(dying, told) == -signal.SIGKILL


def _at_lines(files: Collection[str], work: Work, call: Callable[[], None]) -> None:
    def in_a_frame(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            call()
        return in_a_frame

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        return in_a_frame if frame.f_code.co_filename in files else None

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
