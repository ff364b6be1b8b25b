"""Noised latents of one model as another one knows them: a x0 + s eps, matched at equal noise-to-signal ratio s / a.

A variance-preserving model has a^2 + s^2 = 1 at each of its training timesteps, a flow has a = 1 - s. Clean latents
and noise are the same for all models of one latent space. So the latents of one are those of the other times a number,
and the other's timestep is where its ratio is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf, log
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionkit.models.compatibility import betas_of, same_noising
from fusionkit.models.parameterisation import alpha_sigma, converted

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.loop.stage import Stage, Step


@dataclass(frozen=True)
class Frame:
    """Latents a x0 + s eps as a denoiser gets them, and what it answers.

    Args:
        a: How much of the clean latents they hold.
        s: How much noise.
        kind: "epsilon", "v_prediction", "sample" or "flow_prediction".
    """

    a: float
    s: float
    kind: str


@dataclass(frozen=True)
class Bridge:
    """What a model gets and answers, from what the main model gets, and back.

    Where the main model's ratio lies beyond what this model was trained at, this model is asked at its nearest end, its
    noisiest or its cleanest timestep. Then what it says of the clean latents counts, and the noise is what the main
    model's latents hold beside them. A flow begins at pure noise, Stable Diffusion at a ratio of 14.6: of normally
    distributed data of deviation 1, an ideal denoiser's first answer is off by 0.07 (at most 0.3), and the finished
    picture by at most 0.01 to 0.02.

    Args:
        main: The main model's latents and answers.
        own: This model's.
        timestep: This model's, which may lie between two of its training timesteps.
    """

    main: Frame
    own: Frame
    timestep: Tensor

    def into(self, noisy: Tensor) -> Tensor:
        """The main model's latents (P, C, h, w), as it gets them, as this model's."""
        if (self.main.a, self.main.s) == (self.own.a, self.own.s):
            return noisy
        # The same number, but beyond the ends of this model's range: there the larger part tells the size.
        main, own = self.main, self.own
        return noisy * (own.a / main.a if main.s < main.a else own.s / main.s)

    def back(self, answer: Tensor, noisy: Tensor) -> Tensor:
        """This model's answer as the main model would have given it, (P, C, h, w).

        Args:
            answer: This model's, to `into(noisy)`.
            noisy: The main model's latents.
        """
        main, own = self.main, self.own
        if main == own:
            return answer
        if (main.a, main.s) == (own.a, own.s):
            return converted(answer, noisy, main.a, main.s, own.kind, main.kind)
        clean = converted(answer, self.into(noisy), own.a, own.s, own.kind, "sample")
        return converted(clean, noisy, main.a, main.s, "sample", main.kind)


def bridge_between(info: ModelInfo, stage: Stage, at: Step) -> Bridge:
    """From the latents of a stage, as its main model gets them, to those of a model.

    Args:
        info: The model.
        stage: The stage; its scheduler says what the main model's answers are taken for.
        at: The step.
    """
    target, alike = stage.scheduler.prediction_type, same_noising(info, stage.info)
    # What the main model answers is what the scheduler takes it for, also where a recipe sets that.
    if info == stage.info or (alike and info.prediction_type == target):
        same = Frame(1.0, 0.0, target)
        return Bridge(same, same, at.timestep)
    a, s = alpha_sigma(stage.scheduler, at.timestep)
    main = Frame(a, s, target)
    if alike:
        return Bridge(main, Frame(a, s, info.prediction_type), at.timestep)
    own_a, own_s, timestep = nearest(info, s / a if a > 0 else inf)
    return Bridge(main, Frame(own_a, own_s, info.prediction_type), torch.tensor(timestep, device=at.timestep.device))


def nearest(info: ModelInfo, ratio: float) -> tuple[float, float, float]:
    """(a, s, timestep) of a model at a noise-to-signal ratio, or at the end of its range that is nearest.

    Between training timesteps the logarithm of the ratio is taken to be linear.

    Args:
        info: The model; of a flow, or variance-preserving.
        ratio: s / a, 0 to infinity.
    """
    if info.prediction_type == "flow_prediction":
        s = 1.0 if ratio == inf else ratio / (1 + ratio)
        return 1 - s, s, s * int(info.scheduler_config.get("num_train_timesteps", 1000))
    ratios = _ratios(*betas_of(info))
    if ratios[-1] == inf:
        if ratio == inf:
            return 0.0, 1.0, float(len(ratios) - 1)
        ratios = ratios[:-1]
    ratio = min(max(ratio, ratios[0]), ratios[-1])
    above = next((number for number, each in enumerate(ratios) if each >= ratio), len(ratios) - 1)
    timestep = float(above)
    if above > 0:
        low, high = log(ratios[above - 1]), log(ratios[above])
        timestep -= (high - log(ratio)) / (high - low)
    a = (1 + ratio**2) ** -0.5
    return a, ratio * a, timestep


@lru_cache(maxsize=8)
def _ratios(timesteps: int, options: tuple[tuple[str, Any], ...]) -> tuple[float, ...]:
    """The ratio s / a at each training timestep, as diffusers makes the schedule of these options."""
    import diffusers

    schedule: Any = diffusers.DDIMScheduler
    config: Mapping[str, Any] = {key: list(value) if isinstance(value, tuple) else value for key, value in options}
    kept = schedule(num_train_timesteps=timesteps, **config).alphas_cumprod.double()
    return tuple(((1 - kept) / kept).sqrt().tolist())
