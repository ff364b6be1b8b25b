"""What a denoiser answers, turned into what another would: noise, velocity, or clean latents.

Noisy latents are taken in variance-preserving form, x = alpha x0 + sigma eps with alpha^2 + sigma^2 = 1, as a denoiser
gets them; its velocity is v = alpha eps - sigma x0 (Salimans & Ho, arXiv 2202.00512, appendix D).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fusionkit.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.scheduler import Scheduler


def converted(prediction: Tensor, noisy: Tensor, alpha: float, sigma: float, source: str, target: str) -> Tensor:
    """A denoiser's answer in another parameterisation; each of "epsilon", "v_prediction" and "sample".

    Affine in the prediction, so that a guided prediction may be converted in place of its two halves.

    Args:
        prediction: (P, C, h, w), in the parameterisation `source`.
        noisy: The latents that it is of, (P, C, h, w), in variance-preserving form, as the denoiser got them.
        alpha: How much of the clean latents they hold.
        sigma: How much noise.
        source: What the prediction is.
        target: What it becomes.

    Returns:
        (P, C, h, w), float32.

    Raises:
        ModelError: A parameterisation is not known, or the source tells nothing of the target: noise at alpha 0, clean
            latents at sigma 0.
    """
    answer = prediction.float()
    if source == target:
        return answer
    x = noisy.float()
    divisor = {"epsilon": alpha, "sample": sigma}.get(source, 1.0)
    if divisor == 0:
        raise ModelError(
            f"a prediction of type {source} can't be turned into {target} at "
            f"{'pure noise: it tells nothing of the picture' if source == 'epsilon' else 'clean latents'}"
        )
    match source, target:
        case "v_prediction", "epsilon":
            return alpha * answer + sigma * x
        case "v_prediction", "sample":
            return alpha * x - sigma * answer
        case "epsilon", "v_prediction":
            return (answer - sigma * x) / alpha
        case "epsilon", "sample":
            return (x - sigma * answer) / alpha
        case "sample", "epsilon":
            return (x - alpha * answer) / sigma
        case "sample", "v_prediction":
            return (alpha * x - answer) / sigma
    raise ModelError(f"a prediction of type {source} can't be turned into {target}")


def alpha_sigma(scheduler: Scheduler, timestep: Tensor) -> tuple[float, float]:
    """How much of the clean latents and how much noise a denoiser gets, (alpha, sigma) with alpha^2 + sigma^2 = 1.

    For `scheduler.scale_model_input(latents, timestep)` at the step that the scheduler is at; EDM schedulers have
    another form, and no such numbers.

    Args:
        scheduler: A stage's scheduler.
        timestep: The step's timestep.
    """
    one, zero = torch.ones(1, device=timestep.device), torch.zeros(1, device=timestep.device)
    # Where latents are x0 + sigma eps, the scale that brings them into this form is alpha. It is asked for first, since
    # it alone knows of a second-order scheduler's steps between the timesteps.
    scale = float(scheduler.scale_model_input(one, timestep))
    if scale < 1:
        return scale, (1 - scale**2) ** 0.5
    clean, noise = float(scheduler.add_noise(one, zero, timestep)), float(scheduler.add_noise(zero, one, timestep))
    size = (clean**2 + noise**2) ** 0.5
    return clean / size, noise / size
