"""What the loop knows of a scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Scheduler(Protocol):
    """A scheduler whose timesteps are set, for one stage.

    Attributes:
        name: The diffusers class name.
        timesteps: 1-D tensor of the timesteps, first to last.
        init_noise_sigma: Standard deviation of the latents before the first step.
    """

    name: str
    timesteps: Tensor
    init_noise_sigma: float

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration, as diffusers holds it."""

    @property
    def prediction_type(self) -> str:
        """What a model's answers are taken for: "epsilon", "v_prediction", "sample" or "flow_prediction"."""

    @property
    def stochastic(self) -> bool:
        """Whether its steps draw noise."""

    @property
    def resamples(self) -> bool:
        """Whether the steps of a flow throw all noise away and draw it anew, so that they follow no SDE."""

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The latents as the model expects them."""

    def clean(self, prediction: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
        """The clean latents (P, C, h, w) that a prediction tells of latents, at the step that is next.

        Nothing is clipped, and gradients go through it.
        """

    def remaining(self, timestep: Tensor) -> float:
        """How much of the noise schedule lies ahead: 1 at pure noise, 0 at clean latents."""

    def starting_at(self, index: int) -> Scheduler:
        """A scheduler of its own with the same timesteps, whose next step is the one of that index."""

    def add_noise(self, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Clean latents noised to a timestep."""

    def noisiest(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Clean latents noised to the first timestep, or as far as something of them is left."""

    def step(
        self, prediction: Tensor, timestep: Tensor, latents: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The next latents, and the clean estimate where the scheduler tells it; a stochastic step draws `noise`."""

    def state(self) -> Mapping[str, Any]:
        """What has changed since no step was done: numbers, texts, tensors, and lists of those; not copied."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be as another scheduler of the same kind and timesteps was when it answered this `state`."""
