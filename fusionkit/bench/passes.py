"""The forward passes of a run, noted while it runs, so that they can be counted and repeated alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from fusionkit.bench.parts import replaced

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.model import Model

_PASS = "forward"
"""The adapter's method whose every call is one forward pass: of latents, timestep, stage, conditions and more."""


@dataclass
class Passes:
    """The calls of the models' denoisers in one run, in their order.

    Of all calls whose arguments have the same shapes one is kept: their cost is the same, and all latents of a long run
    need not be in memory at once.

    Args:
        views: How many views went through a denoiser, with and without the prompt counted apart.
        pixels: The pixels of those views, as the picture would show them: w x h of each, in pixels.
        largest: The most views of one call.
    """

    views: int = 0
    pixels: int = 0
    largest: int = 0
    _calls: list[tuple[Any, Tensor]] = field(default_factory=list, repr=False)
    _examples: dict[Any, Callable[[Tensor], Tensor]] = field(default_factory=dict, repr=False)

    @contextmanager
    def noted(self, models: Mapping[str, Model]) -> Iterator[None]:
        """While the block runs, note the forward passes of models by their names, where they have our adapter."""
        with ExitStack() as stack:
            for name, model in models.items():
                if hasattr(model, _PASS):
                    note = partial(self._note, name, model, getattr(model, _PASS))
                    stack.enter_context(replaced(model, _PASS, note))
            yield

    def repeat(self) -> None:
        """All calls again, with the timesteps of each, and nothing else.

        What is put on the denoiser's layers while the run asks it is not there, such as the pictures of an IP-Adapter,
        whose share is missing in what this costs.
        """
        import torch

        with torch.inference_mode():
            for key, timestep in self._calls:
                self._examples[key](timestep)

    def _note(
        self,
        name: str,
        model: Model,
        call: Callable[..., Tensor],
        latents: Tensor,
        timestep: Tensor,
        stage: Any,
        conditions: Any,
        controls: Any,
        beside: Tensor | None = None,
    ) -> Tensor:
        nets = tuple((id(each.net), shapes(hint)) for each, hint in controls)
        key = name, shapes(latents), shapes(conditions), nets, shapes(beside)
        if key not in self._examples:
            self._examples[key] = lambda timestep: call(latents, timestep, stage, conditions, controls, beside)
        self._calls.append((key, timestep))
        rows, _, height, width = latents.shape
        self.views += rows
        self.pixels += rows * height * width * model.info.factor**2
        self.largest = max(self.largest, rows)
        return call(latents, timestep, stage, conditions, controls, beside)


def shapes(value: Any) -> Any:
    """The shapes of all tensors in nested mappings, lists and tuples."""
    if isinstance(value, Mapping):
        return tuple((name, shapes(each)) for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(shapes(each) for each in value)
    shape = getattr(value, "shape", None)
    return None if shape is None else tuple(shape)
