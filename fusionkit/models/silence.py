"""Keeps the libraries' chatter away from the user while they build and load things."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Silence diffusers' advice and deprecations, such as those of numpy that DEIS meets; errors pass."""
    from diffusers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logging.set_verbosity(level)


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
