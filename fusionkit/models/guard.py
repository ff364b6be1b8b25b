"""While a model loads, nothing but safetensors is opened, and of a model that is here nothing is asked of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fusionkit.errors import ModelError


@contextmanager
def only_safetensors() -> Iterator[None]:
    """Refuse whatever a library would unpickle: what is loaded has been checked, and this holds where a check erred.

    Raises:
        ModelError: Something is about to be unpickled.
    """
    import torch

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise ModelError("a pickled file, which can run any code, was about to be opened, and is refused")

    with _swapped(torch, "load", refuse):
        yield


@contextmanager
def no_hub() -> Iterator[None]:
    """Let the libraries find no hub: what a local model names is looked for in its own folder alone."""
    from huggingface_hub import constants

    with _swapped(constants, "HF_HUB_OFFLINE", True):
        yield


@contextmanager
def _swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
