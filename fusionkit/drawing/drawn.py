"""A picture on its way from whoever drew it: what its result tells, and what its run cost, as a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionkit.errors import Cancelled, FusionError, RecipeError
from fusionkit.models.devices import device_name
from fusionkit.pictures.result import Result

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

_VALUES = ("latents", "seconds", "denoising_seconds", "forward_share", "forward_passes", "batch_size", "batches")


@dataclass(frozen=True)
class Drawn:
    """What is left of a `Result` that can travel.

    Args:
        image: The picture.
        recipe: The recipe, completed.
        values: The result's numbers, and its latents.
        models: What tells its models from others of their names.
        maps: The plugins' pictures.
        run: What the run cost, as a picture's file tells it.
    """

    image: Image
    recipe: Any
    values: Mapping[str, Any]
    models: Mapping[str, str]
    maps: Mapping[str, Image]
    run: Mapping[str, Any]

    @classmethod
    def of(cls, result: Result, device: str, run: Mapping[str, Any]) -> Drawn:
        """What a result tells.

        Args:
            result: The result.
            device: What its recipe had for a device before a worker had one for it.
            run: What the run cost.
        """
        values = {name: getattr(result, name) for name in _VALUES}
        recipe = result.recipe.model_copy(update={"device": device})
        return cls(result.image, recipe, values, dict(result.models), dict(result.maps), run)

    def result(self) -> Result:
        """The result, as if it had been drawn here."""
        return Result(
            image=self.image,
            recipe=self.recipe,
            **self.values,
            draw_maps=lambda: self.maps,
            identify=lambda: self.models,
        )


@contextmanager
def told_of(where: str) -> Iterator[None]:
    """Say of an error within the block which picture it was.

    Args:
        where: What it is called; empty leaves the error as it is.

    Raises:
        FusionError: The error, of its own kind, with that before it.
    """
    try:
        yield
    except Cancelled:
        raise
    except FusionError as error:
        if not where:
            raise
        if isinstance(error, RecipeError):
            raise RecipeError(f"{where}: {line}" for line in error.problems) from error
        raise type(error)(f"{where}: {error}") from error


def run_of(result: Result, in_processors: float, peak: int, warm: bool, device: torch.device) -> dict[str, Any]:
    """What a run cost, as a comparison's pictures tell it.

    Args:
        result: The result.
        in_processors: Seconds of all of its threads; it does not grow when somebody else keeps the machine busy.
        peak: The most memory that was in use, in bytes.
        warm: Whether the model has drawn before; the first picture takes longer than its like.
        device: What has drawn it.
    """
    return {
        "seconds": round(result.seconds, 4),
        "cpu-seconds": round(in_processors, 4),
        "denoising-seconds": round(result.denoising_seconds, 4),
        "forward-share": round(result.forward_share, 4),
        "forward-passes": result.forward_passes,
        "peak-memory": peak,
        "warm": warm,
        "device": device_name(device),
    }


def pinned(
    types: Sequence[Mapping[str, str]], batches: Sequence[Mapping[str, Mapping[tuple[int, int], int]]]
) -> dict[str, dict[tuple[int, int], int]]:
    """Views in one forward pass that all workers can have: the fewest that one of them would choose.

    Args:
        types: The type of numbers of each model, of each worker.
        batches: What each would choose.

    Raises:
        RecipeError: They would compute in different types, so that pictures would depend on who draws them.
    """
    for name in types[0] if types else ():
        if len(found := sorted({each[name] for each in types})) > 1:
            said = " and ".join(each.removeprefix("torch.") for each in found)
            raise RecipeError([f"workers would compute model '{name}' in {said}; say which: --set dtype=float32"])
    found_sizes: dict[str, dict[tuple[int, int], int]] = {}
    for each in batches:
        for name, sizes in each.items():
            mine = found_sizes.setdefault(name, {})
            for size, views in sizes.items():
                mine[size] = min(views, mine.get(size, views))
    return found_sizes
