"""How much of a machine each worker gets, so that all of them find a place on the machines that there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from fusionkit.errors import RecipeError

Machines = Sequence[dict[str, float]]
"""What each machine has of each kind: `CPU`, `GPU`."""


@dataclass(frozen=True)
class Places:
    """What workers get.

    Args:
        size: How many there are.
        cpus: Cores of each; its libraries use as many threads.
        gpus: GPUs of each, which may be a part of one.
    """

    size: int
    cpus: int
    gpus: float


def places(machines: Machines, size: int | None, device: str, gpus: float | None = None) -> Places:
    """Places for workers: a GPU for each where there are any, and else an equal part of the cores.

    Args:
        machines: What there is.
        size: How many workers; None is as many as there are GPUs, or cores.
        device: What they compute on, as a recipe names it.
        gpus: GPUs of each; None gives each as much as there is for all.

    Raises:
        RecipeError: There is not enough for so many.
    """
    there = sum(int(each.get("GPU", 0)) for each in machines)
    cores = sum(int(each.get("CPU", 0)) for each in machines)
    on_gpus = bool(gpus) or (gpus is None and device in ("auto", "cuda", "xpu") and there > 0)
    if size is None:
        size = (int(there / gpus) if gpus else there) if on_gpus else cores
    if not on_gpus:
        if not (cpus := _whole_parts(machines, size)):
            raise RecipeError([f"{size} workers need {size} cores; there are {cores}"])
        return Places(size, cpus, 0)
    gpus = gpus or 1 / max(1, ceil(size / max(1, there)))
    room = sum(int(each.get("GPU", 0) / gpus + 1e-9) for each in machines)
    if room < size:
        raise RecipeError([f"{size} workers with {gpus:g} GPUs each need more than the {there} that are there"])
    return Places(size, 0, gpus)


def _whole_parts(machines: Machines, size: int) -> int:
    """The most cores that each worker can have, where none has those of two machines; 0 if there are too few."""
    have = [int(each.get("CPU", 0)) for each in machines]
    return next((n for n in range(max(have, default=0), 0, -1) if sum(each // n for each in have) >= size), 0)


def maker(size: int | None, device: str, gpus: float | None) -> tuple[Callable[[], Any], int]:
    """What starts a worker, and how many there are to be.

    Args:
        size: As for `places`.
        device: As for `places`.
        gpus: As for `places`.

    Raises:
        RecipeError: There is not enough for so many.
    """
    import ray

    from fusionkit.distributed.ray_worker import RayWorker

    machines: Any = ray.nodes  # untyped
    there = [each["Resources"] for each in machines() if each["Alive"]]
    found = places(there, size, device, gpus)
    # What is lost is given again by whoever waits for it: it knows to whom.
    options = {"num_cpus": found.cpus, "num_gpus": found.gpus, "max_restarts": 0, "max_task_retries": 0}
    make = ray.remote(RayWorker).options(**options).remote
    return lambda: make(device), found.size
