"""Keeps the libraries' chatter away from the user while they build and load things."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Advice(logging.Filter):
    """Lets no record of a library through that is less than an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or record.name.partition(".")[0] != self.name


_DIFFUSERS = _Advice("diffusers")


@contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Silence diffusers' advice and deprecations, such as those of numpy that DEIS meets; errors pass.

    Where the records end up, and not by the logger's level: a change of that costs milliseconds, for each step of a
    scheduler, since every logger of the process forgets what it has been asked before.
    """
    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.get_verbosity()  # which gives its logger the handler that it has, if nothing has yet
    loud = [each for each in _handlers(_DIFFUSERS.name) if _DIFFUSERS not in each.filters]
    for each in loud:
        each.addFilter(_DIFFUSERS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for each in loud:
            each.removeFilter(_DIFFUSERS)


def _handlers(name: str) -> list[logging.Handler]:
    """What writes the records of a library."""
    logger: logging.Logger | None = logging.getLogger(name)
    found: list[logging.Handler] = []
    while logger is not None:
        found += logger.handlers
        logger = logger.parent if logger.propagate else None
    return found


@contextmanager
def quiet_finding() -> Iterator[None]:
    """Silence what the hub's client tells of a hub out of reach; downloads still show their bars."""
    from huggingface_hub.utils import logging

    hub_logging: Any = logging
    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        hub_logging.set_verbosity(level)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence diffusers and transformers, their progress bars too; downloads still show theirs."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging

    transformers_logging: Any = logging
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled(), diffusers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()
    try:
        with quiet_diffusers():
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars[0]:
            transformers_logging.enable_progress_bar()
        if bars[1]:
            diffusers_logging.enable_progress_bar()
