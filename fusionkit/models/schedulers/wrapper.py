"""A scheduler of diffusers whose randomness comes from outside."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from functools import cached_property
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fusionkit.loop.noise import keyed_noise
from fusionkit.models.silence import quiet_diffusers


class GivenNoise(TorchFunctionMode):
    """Answers `torch.randn` with a given noise while it is active, and counts the draws.

    A further draw gets N(0, 1) that depends on the given noise alone.

    Args:
        noise: What the first draw gets.
    """

    def __init__(self, noise: Tensor) -> None:
        super().__init__()
        self.noise = noise
        self.draws = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.randn:
            size = kwargs.get("size", args)
            shape = tuple(size[0] if len(size) == 1 and not isinstance(size[0], int) else size)
        elif func is torch.randn_like:
            shape = tuple(args[0].shape)
        else:
            return func(*args, **kwargs)
        noise = self._draw(shape)
        like = args[0] if func is torch.randn_like else self.noise
        return noise.to(kwargs.get("device") or like.device, kwargs.get("dtype") or like.dtype)

    def _draw(self, shape: tuple[int, ...]) -> Tensor:
        self.draws += 1
        if self.draws > 1:
            content = self.noise.detach().cpu().contiguous().numpy().tobytes()
            seed = int.from_bytes(blake2b(content, digest_size=7).digest(), "little")
            return keyed_noise(seed, "further draw", self.draws, shape=shape)
        if shape != tuple(self.noise.shape):
            raise ValueError(f"the scheduler draws noise of shape {shape}; it was given {tuple(self.noise.shape)}")
        return self.noise


class DiffusersScheduler:
    """A scheduler of diffusers for one stage: its timesteps are set, and its history lives here.

    Args:
        build: Makes a fresh scheduler.
        steps: Sampling steps.
        device: Where the canvas lives.
        options: Arguments of each `step`, such as `eta`.
    """

    def __init__(
        self, build: Callable[[], Any], steps: int, device: torch.device | str, options: Mapping[str, Any]
    ) -> None:
        self._build = build
        self._steps = steps
        self._options = dict(options)
        self._scheduler = self._fresh(device)
        self._takes_noise = "variance_noise" in inspect.signature(self._scheduler.step).parameters
        self.name: str = type(self._scheduler).__name__
        self.timesteps: Tensor = self._scheduler.timesteps
        self.init_noise_sigma = float(self._scheduler.init_noise_sigma)

    def _fresh(self, device: torch.device | str) -> Any:
        with quiet_diffusers():
            scheduler = self._build()
            scheduler.set_timesteps(self._steps, device=device)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)
        return scheduler

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration, as diffusers holds it."""
        config: Mapping[str, Any] = self._scheduler.config
        return config

    @property
    def clips(self) -> bool:
        """Whether a step clips the clean estimate: then it is not affine in the prediction."""
        return bool(self.config.get("thresholding") or self.config.get("clip_sample"))

    @property
    def stochastic(self) -> bool:
        """Whether any step of the schedule draws noise."""
        return self._tried[0]

    @property
    def broken_step(self) -> int | None:
        """The first step whose answer is not finite; None where all are."""
        return self._tried[1]

    @cached_property
    def _tried(self) -> tuple[bool, int | None]:
        """Whether noise is drawn, and where numbers end: the schedule on a fresh scheduler with one latent pixel."""
        scheduler = self._fresh("cpu")
        latents, draws = torch.full((1, 1, 1, 1), float(scheduler.init_noise_sigma)), 0
        with GivenNoise(torch.ones_like(latents)) as given, quiet_diffusers():
            for index, timestep in enumerate(scheduler.timesteps):
                given.draws = 0
                scheduler.scale_model_input(latents, timestep)
                latents = scheduler.step(torch.full_like(latents, 0.1), timestep, latents, **self._options).prev_sample
                draws += given.draws
                if not latents.isfinite().all():
                    return draws > 0, index
        return draws > 0, None

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The latents as the model expects them; may be called any number of times before a step."""
        scaled: Tensor = self._scheduler.scale_model_input(latents, timestep)
        return scaled

    def remaining(self, timestep: Tensor) -> float:
        """How much of the noise schedule lies ahead: t / T of the T training timesteps.

        Schedulers of the EDM family have no training timesteps: there it is the share of the steps that are left.
        """
        if self.name.startswith("EDM"):
            place = int((self.timesteps == timestep.to(self.timesteps.device)).nonzero()[0])
            return 1 - place / len(self.timesteps)
        return float(timestep) / int(self.config["num_train_timesteps"])

    def starting_at(self, index: int) -> DiffusersScheduler:
        """A scheduler of its own with the same timesteps, whose next step is the one of that index, without history."""
        other = copy(self)
        other._scheduler = self._fresh(self.timesteps.device)
        if hasattr(other._scheduler, "set_begin_index"):
            other._scheduler.set_begin_index(index)
        return other

    def add_noise(self, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Clean latents noised to one of the timesteps, whatever the step the schedule is at."""
        # Schedulers that count their steps noise to the step they are at, not to the timestep asked for. Where both are
        # the same they are left alone: of two steps whose sigmas are rounded to one timestep it is this one's.
        kept = {} if self._is_at(timestep) else {name: getattr(self._scheduler, name) for name in self._positions}
        for name in kept:
            setattr(self._scheduler, name, None)
        try:
            noised: Tensor = self._scheduler.add_noise(latents, noise, timestep.reshape(1).to(latents.device))
        finally:
            for name, value in kept.items():
                setattr(self._scheduler, name, value)
        return noised

    @property
    def _positions(self) -> list[str]:
        return [name for name in _POSITION if hasattr(self._scheduler, name)]

    def _is_at(self, timestep: Tensor) -> bool:
        """Whether the next step is one of this timestep, as far as the scheduler counts its steps."""
        places = (getattr(self._scheduler, name) for name in self._positions)
        place = next((each for each in places if each is not None), None)
        return place is not None and place < len(self.timesteps) and bool(self.timesteps[place] == timestep)

    def step(
        self, prediction: Tensor, timestep: Tensor, latents: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """One call of the scheduler, with `noise` in place of what it would draw.

        Returns:
            The next latents, and the clean estimate x_0 where the scheduler tells it; each (1, C, H, W).

        Raises:
            ValueError: The scheduler draws noise of another shape.
        """
        options = {**self._options, "variance_noise": noise} if self._takes_noise else self._options
        with GivenNoise(noise), quiet_diffusers():
            output = self._scheduler.step(prediction, timestep, latents, **options)
        return output.prev_sample, self._denoised(output)

    def _denoised(self, output: Any) -> Tensor | None:
        denoised: Tensor | None = getattr(output, "pred_original_sample", None)
        if denoised is None:
            denoised = getattr(output, "denoised", None)
        if denoised is None and self._keeps_x0:
            denoised = self._scheduler.model_outputs[-1]
        return denoised

    @cached_property
    def _keeps_x0(self) -> bool:
        """Whether the multistep history holds data predictions."""
        if not hasattr(self._scheduler, "model_outputs"):
            return False
        algorithm = self.config.get("algorithm_type")
        return algorithm in ("dpmsolver++", "sde-dpmsolver++", "data_prediction") or bool(self.config.get("predict_x0"))


_POSITION = ("_step_index", "_begin_index")
