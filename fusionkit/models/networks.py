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
from fusionkit.models.files.reading import size_of
from fusionkit.models.files.weights import PICKLES, read_header
from fusionkit.models.guard import only_safetensors, told_as
from fusionkit.pictures.files import in_bytes
from fusionkit.pictures.picture import found, is_enlarged, picture_size
from fusionkit.trust import refusal

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.stage import Stage

NETWORK_LIMIT = 4 * 2**30
"""Bytes that a network's file may have; the largest that spandrel knows has 2.5 GB."""
LAYER_LIMIT = 4096
"""The highest number that a layer of it may have: as many layers are made as the numbers say."""

SUFFIX = ".safetensors"
_AGAIN = "; get its file again"
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


def network_problems(path: Path, stage: Stage, picture: Path | None = None) -> list[str]:
    """Why a network can't be used, or has nothing to do, in one line; none where it can.

    Its file's header is read, and where a run is planned with torch the network is made of it, too.

    Args:
        path: The file.
        stage: A stage of the run, as a plugin's `check` gets it.
        picture: What it is there to enlarge, to where the stage's canvas has it; None where that is not known yet.
    """
    try:
        check_network(path)
        # What only validates a recipe knows the scheduler's name, and does without torch.
        if hasattr(stage.scheduler, "timesteps"):
            _loads(path, *_stamp(path))
    except ModelError as error:
        return str(error).split("\n")
    if picture is None or is_enlarged(own := picture_size(picture), at := stage.begun_at):
        return []
    where = "the canvas" if stage.frame == stage.plan.size else "the picture's part of the canvas"
    return [
        f"network '{path}' has nothing to do, as {where}, {at[0]}x{at[1]}, is no larger than the picture, "
        f"{own[0]}x{own[1]}; give a larger 'size', or leave the network out"
    ]


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
    _check_layers(path, *_stamp(path))
    if lines := missing(_LIBRARIES):
        raise ModelError("\n".join(f"{what} {line}" for line in lines))


def _stamp(path: Path) -> tuple[int, int]:
    """What changes with a file: when it was written, and its bytes."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=16)
def _check_layers(path: Path, changed: int, size: int) -> None:
    what = f"network '{path}'"
    numbers = (int(each) for name in read_header(path, what) for each in re.findall(r"\d{1,18}", name))
    if max(numbers, default=0) > LAYER_LIMIT:
        raise ModelError(f"{what} numbers a layer beyond {LAYER_LIMIT:,}, and so is no super-resolution network")


@lru_cache(maxsize=16)
def _loads(path: Path, changed: int, size: int) -> None:
    """Load a network to see that it can be; raises as `load_network` does."""
    load_network(path)


def load_network(path: Path, device: Any = "cpu") -> Network:
    """A network of a safetensors file, on a device, in float32.

    Args:
        path: The file.
        device: A torch device, or its name.

    Raises:
        ModelError: It can't be opened, spandrel knows no such network, or it does not enlarge pictures in colour.
    """
    from safetensors.torch import load_file

    check_network(path)
    what = f"network '{path}'"
    with told_as(f"{what} can't be read", _AGAIN):
        weights = load_file(path)
    with _by_spandrel(what) as spandrel:
        try:
            found = spandrel.ModelLoader(device=device).load_from_state_dict(weights)
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
    seen = pixels.to(network.device, torch.float32)
    with _by_spandrel(what), torch.inference_mode():
        large = network.call(seen)
    expected = (1, 3, *(side * network.scale for side in pixels.shape[-2:]))
    if tuple(large.shape) != expected:
        raise ModelError(f"{what} makes pixels of {tuple(large.shape)}; expected {expected}")
    if not bool(large.isfinite().all()):
        raise ModelError(f"{what} makes numbers that are not finite (NaN or infinity){_AGAIN}")
    return large


@contextmanager
def _by_spandrel(what: str) -> Iterator[Any]:
    """While spandrel works: the draws of others are left alone, its own are the same each time, its errors told."""
    import spandrel
    import torch

    begun = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = [torch.cuda.current_device()] if begun else []
    telling = told_as(f"{what} can't be used by spandrel", _AGAIN)
    with telling, torch.random.fork_rng(devices=cuda), warnings.catch_warnings(), only_safetensors():
        # What is to change some day, and not what went wrong with numbers, which is a RuntimeWarning.
        for kind in (UserWarning, FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", kind)
        torch.manual_seed(0)
        yield spandrel
