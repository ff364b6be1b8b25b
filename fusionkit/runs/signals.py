"""Signals while something is done that must not end in its middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

POLITE = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
"""What ends a process politely: `kill`, a batch system, a container that stops; a terminal that closes; Ctrl-Break."""


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Ctrl-C, and what does the same, waits until the block is done: a file is written whole and noted as kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[tuple[int, FrameType | None]] = []
    numbers = [signal.SIGINT, *POLITE]
    before = {number: signal.getsignal(number) for number in numbers}
    # What is ignored, or ends the process at once because no command of ours is at work, stays as it is.
    waiting = {number: handler for number, handler in before.items() if callable(handler)}
    for number in waiting:
        signal.signal(number, lambda number, frame: asked.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in waiting.items():
            signal.signal(number, handler)
    if asked:
        number, frame = asked[0]
        handler = waiting[signal.Signals(number)]
        assert callable(handler)
        handler(number, frame)


@contextmanager
def interrupts_first() -> Iterator[None]:
    """Signals that would end the process at once do so after the block, which they interrupt as Ctrl-C does.

    Whoever handles them already, such as a command of ours, goes on doing so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    taken = [number for number in POLITE if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
        if asked:
            signal.raise_signal(asked[0])
