"""A scheduler of diffusers whose randomness comes from outside."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fusionkit.loop.noise import keyed_noise
from fusionkit.models.parameterisation import alpha_sigma, converted
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
        skipped: How many of the sampling steps are not taken, the first ones.
    """

    def __init__(
        self,
        build: Callable[[], Any],
        steps: int,
        device: torch.device | str,
        options: Mapping[str, Any],
        skipped: int = 0,
    ) -> None:
        self._build = build
        self._steps = steps
        self._skipped = skipped
        self._options = dict(options)
        self._scheduler = self._fresh(device)
        self._at_first = dict(vars(self._scheduler))
        self._takes_noise = "variance_noise" in inspect.signature(self._scheduler.step).parameters
        self.name: str = type(self._scheduler).__name__
        self._first = _first(self._scheduler, skipped)
        self.timesteps: Tensor = self._scheduler.timesteps[self._first :]
        self.init_noise_sigma = self._start_of(self._scheduler)

    @staticmethod
    def _start_of(scheduler: Any) -> float:
        return float(scheduler.init_noise_sigma)

    def _set_timesteps(self, scheduler: Any, device: torch.device | str) -> None:
        scheduler.set_timesteps(self._steps, device=device)

    def _fresh(self, device: torch.device | str) -> Any:
        with quiet_diffusers():
            scheduler = self._build()
            self._set_timesteps(scheduler, device)
        if self._skipped and hasattr(scheduler, "plms_timesteps"):
            _shorten(scheduler, self._skipped)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(_first(scheduler, self._skipped))
        return scheduler

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration, as diffusers holds it."""
        config: Mapping[str, Any] = self._scheduler.config
        return config

    @property
    def prediction_type(self) -> str:
        """What a model's answers are taken for: "epsilon", "v_prediction", "sample" or "flow_prediction"."""
        return str(self.config.get("prediction_type", "epsilon"))

    @property
    def resamples(self) -> bool:
        """Whether the steps of a flow throw all noise away and draw it anew, so that they follow no SDE."""
        return False

    @property
    def clips(self) -> bool:
        """Whether a step clips the clean estimate: then it is not affine in the prediction."""
        return bool(self.config.get("thresholding") or self.config.get("clip_sample"))

    @property
    def is_local(self) -> bool:
        """Whether a step looks at each pixel by itself: not where it thresholds, or draws noise of its own twice."""
        return not self.config.get("thresholding") and self._tried[2] <= 1

    @property
    def stochastic(self) -> bool:
        """Whether any step of the schedule draws noise."""
        return self._tried[0]

    @property
    def broken_step(self) -> int | None:
        """The first step whose answer is not finite; None where all are."""
        return self._tried[1]

    @cached_property
    def _tried(self) -> tuple[bool, int | None, int]:
        """Whether noise is drawn, where numbers end, and how often a step draws at most.

        Found by taking the schedule's steps on a fresh scheduler, with one latent pixel.
        """
        scheduler = self._fresh("cpu")
        latents, draws, most = torch.full((1, 1, 1, 1), self.init_noise_sigma), 0, 0
        with GivenNoise(torch.ones_like(latents)) as given, quiet_diffusers():
            for index, timestep in enumerate(scheduler.timesteps[self._first :]):
                given.draws = 0
                self._prepared(scheduler, latents, timestep)
                options = _step_options(scheduler, self._options)
                latents = scheduler.step(torch.full_like(latents, 0.1), timestep, latents, **options).prev_sample
                draws, most = draws + given.draws, max(most, given.draws)
                if not latents.isfinite().all():
                    return draws > 0, index, most
        return draws > 0, None, most

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The latents as the model expects them; may be called any number of times before a step."""
        return self._prepared(self._scheduler, latents, timestep)

    @staticmethod
    def _prepared(scheduler: Any, latents: Tensor, timestep: Tensor) -> Tensor:
        scaled: Tensor = scheduler.scale_model_input(latents, timestep)
        return scaled

    def clean(self, prediction: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
        """The clean latents that a prediction tells of latents at the step that is next; nothing is clipped."""
        scaled = self.scale_model_input(latents, timestep)
        if hasattr(self._scheduler, "precondition_outputs"):
            # The EDM family's answers hold the latents as well, in proportions that only its schedulers know.
            place = self._scheduler.step_index
            found: Tensor = self._scheduler.precondition_outputs(latents, prediction, self._scheduler.sigmas[place])
            return found
        a, s = alpha_sigma(self, timestep)
        return converted(prediction, scaled, a, s, self.prediction_type, "sample")

    def remaining(self, timestep: Tensor) -> float:
        """How much of the noise schedule lies ahead: t / T of the T training timesteps.

        Schedulers of the EDM family have no training timesteps: there it is the share of the steps that are left.
        """
        if self.name.startswith("EDM"):
            timesteps = self._scheduler.timesteps
            place = int((timesteps == timestep.to(timesteps.device)).nonzero()[0])
            return 1 - place / len(timesteps)
        return float(timestep) / int(self.config["num_train_timesteps"])

    def starting_at(self, index: int) -> DiffusersScheduler:
        """A scheduler of its own with the same timesteps, whose next step is the one of that index, without history."""
        other = copy(self)
        other._scheduler = self._fresh(self.timesteps.device)
        other._at_first = dict(vars(other._scheduler))
        if hasattr(other._scheduler, "set_begin_index"):
            other._scheduler.set_begin_index(self._first + index)
        return other

    def state(self) -> dict[str, Any]:
        """The attributes of diffusers' scheduler, but its configuration, functions, and arrays as at first."""
        return {
            name: list(value) if isinstance(value, torch.Size) else value
            for name, value in vars(self._scheduler).items()
            if name != "_internal_dict"
            and not callable(value)
            and not (hasattr(value, "shape") and value is self._at_first.get(name))
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set these attributes; arrays that are not among them are as at first."""
        self._scheduler = self._fresh(self.timesteps.device)
        self._at_first = dict(vars(self._scheduler))
        for name, value in state.items():
            if name == "_internal_dict" or callable(getattr(self._scheduler, name, None)):
                raise ValueError(f"'{name}' is no state of {self.name}")
            first = self._at_first.get(name)
            # Some keep their noise levels on the CPU, wherever the canvas is.
            on = first.device if isinstance(value, Tensor) and isinstance(first, Tensor) else None
            setattr(self._scheduler, name, value if on is None else value.to(on))

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

    def noisiest(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Clean latents noised to the first timestep, or as far as something of them is left."""
        return self.add_noise(latents, noise, self.timesteps[0])

    @property
    def _positions(self) -> list[str]:
        return [name for name in _POSITION if hasattr(self._scheduler, name)]

    def _is_at(self, timestep: Tensor) -> bool:
        """Whether the next step is one of this timestep, as far as the scheduler counts its steps."""
        places = (getattr(self._scheduler, name) for name in self._positions)
        place = next((each for each in places if each is not None), None)
        timesteps = self._scheduler.timesteps
        return place is not None and place < len(timesteps) and bool(timesteps[place] == timestep)

    def step(
        self, prediction: Tensor, timestep: Tensor, latents: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """One call of the scheduler, with `noise` in place of what it would draw.

        Returns:
            The next latents, and the clean estimate x_0 where the scheduler tells it; each (1, C, H, W).

        Raises:
            ValueError: The scheduler draws noise of another shape.
        """
        options = _step_options(self._scheduler, self._options)
        if self._takes_noise:
            options["variance_noise"] = noise
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


def _first(scheduler: Any, skipped: int) -> int:
    """Where a scheduler's timesteps begin without so many sampling steps: a step of second order has two of them."""
    return 0 if hasattr(scheduler, "plms_timesteps") else skipped * int(getattr(scheduler, "order", 1))


def _shorten(scheduler: Any, skipped: int) -> None:
    """Let a PNDM scheduler begin so many sampling steps later.

    It has no history there, and makes one by repeating its first timesteps: so these must be those of the later
    beginning. Made as its `set_timesteps` makes them.

    Raises:
        ValueError: Too few are left for its Runge-Kutta steps.
    """
    left = scheduler._timesteps[: len(scheduler._timesteps) - skipped]
    if scheduler.config.skip_prk_steps:
        last = np.concatenate([left[:-1], left[-2:-1], left[-1:]])[::-1]
    else:
        order = scheduler.pndm_order
        if len(left) < order:
            raise ValueError(f"its last {len(left)} are too few, it needs {order}; or set skip-prk-steps: true")
        half = scheduler.config.num_train_timesteps // scheduler.num_inference_steps // 2
        twice = np.array(left[-order:]).repeat(2) + np.tile(np.array([0, half]), order)
        scheduler.prk_timesteps = (twice[:-1].repeat(2)[1:-1])[::-1].copy()
        last = left[: 1 - order][::-1]
    scheduler._timesteps, scheduler.plms_timesteps = left, last.copy()
    timesteps = np.concatenate([scheduler.prk_timesteps, scheduler.plms_timesteps]).astype(np.int64)
    scheduler.timesteps = torch.from_numpy(timesteps).to(scheduler.timesteps.device)


def _step_options(scheduler: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a step, where a linear multistep scheduler takes no longer history for one than there is."""
    known = getattr(scheduler, "derivatives", None)
    if known is None or not hasattr(scheduler, "get_lms_coefficient"):
        return dict(options)
    return {**options, "order": min(options.get("order", _LMS_ORDER), len(known) + 1)}


_LMS_ORDER = 4
_POSITION = ("_step_index", "_begin_index")
