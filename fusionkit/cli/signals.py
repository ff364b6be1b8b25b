"""Signals that end a command: what a system sends does what Ctrl-C does, and the exit code says which it was."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fusionkit.runs.signals import POLITE
from fusionkit.runs.signals import interrupts_later as interrupts_later

INTERRUPTED = 130


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
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *POLITE)}
    ours = (signal.SIG_DFL, signal.default_int_handler)
    taken = {number: handler for number, handler in before.items() if handler in ours}
    for number in taken:
        signal.signal(number, ended)
    try:
        yield ended
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
