"""A scheduler of a flow: the model's noise levels, exact times, and latents (1 - s) x0 + s eps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fusionkit.models.schedulers.by_name import FLOW, FLOW_OR_NOISE
from fusionkit.models.schedulers.flows import MOST_NOISE, resamples
from fusionkit.models.schedulers.wrapper import DiffusersScheduler

_ALMOST = 1e-6


class FlowScheduler(DiffusersScheduler):
    """A scheduler of diffusers for one stage of a flow.

    Its noise levels are spaced by one class for all solvers, and its timesteps are those levels times T, not rounded:
    UniPC and DPM-Solver++ of diffusers cut them to whole numbers, by which a flow's model is told another level than
    that of its latents.

    Args:
        build: Makes a fresh scheduler.
        levels: Makes a fresh `FlowMatchEulerDiscreteScheduler`, which spaces the levels; None leaves them to the
            scheduler.
        timing: Arguments of `set_timesteps` for what spaces the levels.
        steps: Sampling steps.
        device: Where the canvas lives.
        options: Arguments of each `step`.
        skipped: How many of the sampling steps are not taken, the first ones.
    """

    def __init__(
        self,
        build: Callable[[], Any],
        levels: Callable[[], Any] | None,
        timing: Mapping[str, Any],
        steps: int,
        device: torch.device | str,
        options: Mapping[str, Any],
        skipped: int = 0,
    ) -> None:
        self._levels = levels
        self._timing = dict(timing)
        super().__init__(build, steps, device, options, skipped)

    def _set_timesteps(self, scheduler: Any, device: torch.device | str) -> None:
        if self._levels is None:
            taken = inspect.signature(scheduler.set_timesteps).parameters
            given = {key: value for key, value in self._timing.items() if key in taken}
            scheduler.set_timesteps(self._steps, device=device, **given)
            return
        plain = self._levels()
        plain.set_timesteps(self._steps, device=device, **self._timing)
        if type(scheduler) is type(plain):
            scheduler.set_timesteps(self._steps, device=device, **self._timing)
            return
        scheduler.set_timesteps(self._steps, device=device)
        sigmas, timesteps = plain.sigmas.clone(), plain.timesteps.clone()
        if getattr(scheduler, "order", 1) == 2:
            # Two looks at each level but the first.
            sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])
            timesteps = torch.cat([timesteps[:1], timesteps[1:].repeat_interleave(2)])
        if self._by_logarithm(scheduler):
            # Of the ratio of signal to noise, which is 0 at pure noise; as diffusers' UniPC does. They live on the CPU.
            sigmas = sigmas.clamp_max(1 - _ALMOST).cpu()
        scheduler.sigmas, scheduler.timesteps = sigmas, timesteps

    @staticmethod
    def _by_logarithm(scheduler: Any) -> bool:
        return type(scheduler).__name__ in FLOW_OR_NOISE

    @staticmethod
    def _start_of(scheduler: Any) -> float:
        return 1.0

    @staticmethod
    def _prepared(scheduler: Any, latents: Tensor, timestep: Tensor) -> Tensor:
        return latents

    @property
    def prediction_type(self) -> str:
        """The velocity eps - x0."""
        return FLOW

    @property
    def resamples(self) -> bool:
        """Whether all noise is drawn anew at each step: `flows.resamples`."""
        return resamples(self.name, self.config)

    def level(self, timestep: Tensor) -> float:
        """The noise level s of one of the timesteps, 1..0."""
        return self._level_of[float(timestep)]

    @cached_property
    def _level_of(self) -> dict[float, float]:
        """The level of each timestep, on the CPU; of equal ones the first one's."""
        timesteps, sigmas = self._scheduler.timesteps.tolist(), self._scheduler.sigmas.tolist()
        # What stays below pure noise for a logarithm is pure noise.
        levels = [1.0 if level > 1 - 2 * _ALMOST else level for level in sigmas[: len(timesteps)]]
        return dict(reversed([*zip(timesteps, levels, strict=True)]))

    def remaining(self, timestep: Tensor) -> float:
        """How much of the noise lies ahead: the level itself."""
        return self.level(timestep)

    def add_noise(self, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """(1 - s) x0 + s eps at the level of one of the timesteps."""
        # Not by the scheduler's own `scale_noise`: not all have one, and Heun's takes the step that it is at.
        level = self.level(timestep)
        return (1 - level) * latents + level * noise

    def noisiest(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Clean latents noised to the first timestep, but with no more noise to the signal than Stable Diffusion has.

        At s = 1 nothing would be left of them. The ratio s / a is then 14.6, and the size that of the first timestep's
        latents: sqrt((1 - s)^2 + s^2).
        """
        level = self.level(self.timesteps[0])
        if level <= MOST_NOISE * (1 - level):
            return self.add_noise(latents, noise, self.timesteps[0])
        size = ((1 - level) ** 2 + level**2) ** 0.5
        alpha = (1 + MOST_NOISE**2) ** -0.5
        noised: Tensor = size * (alpha * latents + MOST_NOISE * alpha * noise)
        return noised

    def step(
        self, prediction: Tensor, timestep: Tensor, latents: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """One call of the scheduler, with `noise` in place of what it would draw.

        Returns:
            The next latents, and the clean estimate x0 = x - s u; each (1, C, H, W).

        Raises:
            ValueError: The scheduler draws noise of another shape.
        """
        denoised = latents - self.level(timestep) * prediction
        following, _ = super().step(prediction, timestep, latents, noise)
        return following, denoised
