"""Signals that end a command: what a system sends does what Ctrl-C does, and the exit code says which it was."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
# What ends a process politely: `kill`, a batch system or a container that stops; a terminal that closes; Ctrl-Break.
_POLITE = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class Ended:
    """Which signal ended a command, if one did."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """As a signal's handler: end the command as Ctrl-C does."""
        self.signal = number
        raise KeyboardInterrupt

    def code(self, code: int) -> int:
        """The exit code: 128 and the signal's number where there was one, since it came before whatever failed."""
        return code if self.signal is None else 128 + self.signal


@contextmanager
def signals_interrupt() -> Iterator[Ended]:
    """Within the block, signals that end a process do what Ctrl-C does; those that are ignored stay so."""
    ended = Ended()
    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_POLITE)}
    ours = (signal.SIG_DFL, signal.default_int_handler)
    taken = {number: handler for number, handler in before.items() if handler in ours}
    for number in taken:
        signal.signal(number, ended)
    try:
        yield ended
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Ctrl-C, and what does the same, waits until the block is done: a file is written whole and noted as kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[tuple[int, FrameType | None]] = []
    numbers = [signal.SIGINT, *_POLITE]
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
