"""While a model loads, nothing but safetensors is opened, and of a model that is here nothing is asked of the hub.

What a library raises while a model loads or works is told in words that name the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

from fusionkit.errors import FusionError, ModelError
from fusionkit.foreign import out_of_memory, owner_of

AGAIN = "get the model's files again, or save it where it works with pipe.save_pretrained(folder)"
"""What to do where a library can't use what a model's files say."""

_LIBRARIES = ("torch", "diffusers", "transformers")


def reason_of(error: Exception) -> str:
    """What a library's exception says, in one line and without the names of exceptions in it."""
    return re.sub(r"\b[A-Z]\w*(Error|Exception): ?", "", " ".join(str(error).split()))[:300]


@contextmanager
def at_work(what: str) -> Iterator[None]:
    """While a part of a model works, what its libraries raise is told with its name.

    Faults of plugins and of fusionkit itself stay what they are, and so does memory that runs out.

    Args:
        what: The part: "model 'name': vae".

    Raises:
        ModelError: The part failed, or could not be compiled.
    """
    try:
        yield
    except FusionError:
        raise
    except Exception as error:
        if any(each.__name__ == "TorchDynamoException" for each in type(error).__mro__):
            first = str(error).strip().partition("\n")[0]
            reason = re.sub(r"\b[A-Z]\w*(Error|Exception): ?", "", first)[:300]
            raise ModelError(f"{what} can't be compiled here: {reason}; leave out 'compile'") from error
        *_, (frame, _) = walk_tb(error.__traceback__)
        library = str(frame.f_globals.get("__name__", "")).partition(".")[0] in _LIBRARIES
        if not library or owner_of(error) or out_of_memory(error):
            raise
        raise ModelError(f"{what} fails at its work: {reason_of(error)}; {AGAIN}") from error


@contextmanager
def told_as(begins: str, ends: str = "") -> Iterator[None]:
    """What somebody else's files make a library raise becomes one line; memory that runs out stays what it is.

    Args:
        begins: How the line begins: "controlnet 'name' can't be loaded".
        ends: What is said behind the reason.

    Raises:
        ModelError: The block raised anything but that.
    """
    try:
        yield
    except FusionError:
        raise
    except Exception as error:
        # What the libraries raise for bad files has no common type.
        if out_of_memory(error):
            raise
        raise ModelError(f"{begins}: {reason_of(error)}{ends}") from error


@contextmanager
def loading(what: str) -> Iterator[None]:
    """While a part loads that a run asks for in its middle: quietly, from safetensors alone, and without the hub.

    Nothing is drawn of torch's random numbers, and what is made can be changed later, also where it is asked for in
    inference mode.

    Args:
        what: The part, as errors name it.

    Raises:
        ModelError: It can't be loaded.
    """
    import torch

    from fusionkit.models.silence import quiet_loading

    telling = told_as(f"{what} can't be loaded")
    with telling, quiet_loading(), only_safetensors(), no_hub(), torch.inference_mode(False), torch.random.fork_rng([]):
        yield


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
