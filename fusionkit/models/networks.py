"""Super-resolution networks, by spandrel: checked before a run, and loaded. Importing it needs no torch."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from fusionkit.doctor import missing
from fusionkit.errors import ModelError
from fusionkit.foreign import out_of_memory
from fusionkit.models.files.reading import size_of
from fusionkit.models.files.weights import PICKLES, read_header
from fusionkit.models.guard import only_safetensors, reason_of
from fusionkit.pictures.files import in_bytes
from fusionkit.pictures.picture import found
from fusionkit.trust import refusal

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.stage import Stage

NETWORK_LIMIT = 4 * 2**30
"""Bytes that a network's file may have; the largest that spandrel knows has 2.5 GB."""
LAYER_LIMIT = 4096
"""The highest number that a layer of it may have: as many layers are made as the numbers say."""

SUFFIX = ".safetensors"
_LIBRARIES = {"spandrel": "fusionkit[upscale]"}

NetworkPath = Annotated[Path, AfterValidator(found)]
"""Type of an option that names the file of a super-resolution network."""


@dataclass(frozen=True)
class Network:
    """A loaded network.

    Args:
        path: Its file.
        architecture: Spandrel's name of it, such as ESRGAN.
        scale: How many times wider and higher its pictures get.
        whole: Whether it takes a picture as a whole, as it makes tiles itself.
        device: Where it computes, in float32.
        call: Pixels (1, 3, h, w) in 0..1 to (1, 3, h scale, w scale).
    """

    path: Path
    architecture: str
    scale: int
    whole: bool
    device: Any
    call: Callable[[Tensor], Tensor]


def network_problems(path: Path, stage: Stage) -> list[str]:
    """Why a network can't be used, in one line; none where it can.

    Its file's header is read, and where a run is planned with torch the network is made of it, too.

    Args:
        path: The file.
        stage: A stage of the run, as a plugin's `check` gets it.
    """
    try:
        check_network(path)
        # What only validates a recipe knows the scheduler's name, and does without torch.
        if hasattr(stage.scheduler, "timesteps"):
            scale_of(path)
    except ModelError as error:
        return str(error).split("\n")
    return []


def check_network(path: Path) -> None:
    """Check a network's file by its name and its header.

    Raises:
        ModelError: It can't be one, or spandrel is not installed.
    """
    what = f"network '{path}'"
    if refused := refusal(path):
        raise ModelError(f"{what} {refused}")
    if path.suffix.lower() in PICKLES:
        raise ModelError(f"{what} is pickled, which can run any code and is refused; convert it to {SUFFIX}")
    if path.suffix.lower() != SUFFIX:
        raise ModelError(f"{what} is no {SUFFIX} file")
    try:
        size = size_of(path, what)
    except FileNotFoundError:
        raise ModelError(f"{what} does not exist") from None
    if size > NETWORK_LIMIT:
        raise ModelError(f"{what} has {in_bytes(size)}, and so is no super-resolution network")
    layers = read_header(path, what)
    numbers = (int(each) for name in layers for each in re.findall(r"\d{1,18}", name))
    if max(numbers, default=0) > LAYER_LIMIT:
        raise ModelError(f"{what} numbers a layer beyond {LAYER_LIMIT:,}, and so is no super-resolution network")
    if lines := missing(_LIBRARIES):
        raise ModelError("\n".join(f"{what} {line}" for line in lines))


def scale_of(path: Path) -> int:
    """How many times wider and higher a network makes a picture; raises as `load_network` does."""
    check_network(path)
    stat = path.stat()
    return _scale_of(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _scale_of(path: Path, changed: int, size: int) -> int:
    return load_network(path).scale


def load_network(path: Path, device: Any = "cpu") -> Network:
    """A network of a safetensors file, on a device, in float32.

    Args:
        path: The file.
        device: A torch device, or its name.

    Raises:
        ModelError: It can't be opened, spandrel knows no such network, or it does not enlarge pictures in colour.
    """
    check_network(path)
    what = f"network '{path}'"
    with _by_spandrel(what) as spandrel:
        from safetensors.torch import load_file

        try:
            found = spandrel.ModelLoader(device=device).load_from_state_dict(load_file(path))
        except spandrel.UnsupportedModelError as error:
            message = f"{what} is of no architecture that spandrel {spandrel.__version__} knows"
            raise ModelError(f"{message}; it may be no super-resolution network, or a newer one") from error
    enlarges = isinstance(found, spandrel.ImageModelDescriptor) and found.purpose == "SR" and found.scale > 1
    if not enlarges:
        raise ModelError(f"{what} is of the architecture {found.architecture.name}, and enlarges no pictures")
    if (channels := (found.input_channels, found.output_channels)) != (3, 3):
        raise ModelError(f"{what} takes {channels[0]} and makes {channels[1]} colours of a pixel, and not 3")
    whole = found.tiling == spandrel.ModelTiling.INTERNAL
    return Network(path, found.architecture.name, found.scale, whole, found.device, found.float().eval())


def applied(network: Network, pixels: Tensor) -> Tensor:
    """What a network makes of pixels (1, 3, h, w) in 0..1: (1, 3, h scale, w scale), within 0..1.

    Raises:
        ModelError: It fails, or makes something else.
    """
    import torch

    what = f"network '{network.path}'"
    with _by_spandrel(what), torch.inference_mode():
        large = network.call(pixels.to(network.device, torch.float32))
    expected = (1, 3, *(side * network.scale for side in pixels.shape[-2:]))
    if tuple(large.shape) != expected:
        raise ModelError(f"{what} makes pixels of {tuple(large.shape)}; expected {expected}")
    if not bool(large.isfinite().all()):
        raise ModelError(f"{what} makes numbers that are not finite (NaN or infinity); get its file again")
    return large


@contextmanager
def _by_spandrel(what: str) -> Iterator[Any]:
    """While spandrel works: the draws of others are left alone, its own are the same each time, its errors told."""
    import spandrel
    import torch

    begun = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = [torch.cuda.current_device()] if begun else []
    with torch.random.fork_rng(devices=cuda), warnings.catch_warnings(), only_safetensors():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        try:
            yield spandrel
        except ModelError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            raise ModelError(f"{what} can't be used by spandrel: {reason_of(error)}; get its file again") from error
