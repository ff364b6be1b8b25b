"""Schedulers of diffusers behind one face, each step with a noise of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Scheduler(Protocol):
    """A scheduler whose timesteps are set, for one stage.

    Attributes:
        name: The diffusers class name.
        timesteps: 1-D tensor of the timesteps, first to last.
        init_noise_sigma: Standard deviation of the latents before the first step.
        stochastic: Whether its steps draw noise.
    """

    name: str
    timesteps: Tensor
    init_noise_sigma: float
    stochastic: bool

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The latents as the model expects them."""

    def add_noise(self, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Clean latents noised to a timestep."""

    def step(self, prediction: Tensor, timestep: Tensor, latents: Tensor, noise: Tensor) -> tuple[Tensor, Tensor | None]:
        """The next latents, and the clean estimate where the scheduler tells it; a stochastic step draws `noise`."""
