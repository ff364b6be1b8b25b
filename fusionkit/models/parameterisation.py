"""What a denoiser answers, turned into what another would: noise, velocity, clean latents, or the velocity of a flow.

Of noisy latents x = a x0 + s eps every kind of answer is p x0 + q eps: noise is (0, 1), clean latents (1, 0). A
variance-preserving model has a^2 + s^2 = 1 and may answer v = a eps - s x0, (-s, a) (Salimans & Ho, arXiv 2202.00512,
appendix D). A flow has a = 1 - s and answers eps - x0, (-1, 1) (Lipman et al., arXiv 2210.02747). Latents and answer
are two equations for x0 and eps, from which any other answer follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fusionkit.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.scheduler import Scheduler


def converted(prediction: Tensor, noisy: Tensor, a: float, s: float, source: str, target: str) -> Tensor:
    """A denoiser's answer in another parameterisation: "epsilon", "v_prediction", "sample" or "flow_prediction".

    With the determinants D = a q - s p of both kinds it is (D' answer + (p' q - q' p) x) / D. Affine in the prediction,
    so that a guided prediction may be converted in place of its two halves.

    Args:
        prediction: (P, C, h, w), in the parameterisation `source`.
        noisy: The latents that it is of, (P, C, h, w), as the denoiser got them.
        a: How much of the clean latents they hold.
        s: How much noise.
        source: What the prediction is.
        target: What it becomes.

    Returns:
        (P, C, h, w), float32.

    Raises:
        ModelError: A parameterisation is not known, or the source tells nothing of the target: noise at a = 0, clean
            latents at s = 0.
    """
    answer = prediction.float()
    if source == target:
        return answer
    x = noisy.float()
    p, q, divisor = _mixture(a, s, source, target)
    if divisor == 0:
        raise ModelError(
            f"a prediction of type {source} can't be turned into {target} at "
            f"{'pure noise: it tells nothing of the picture' if source == 'epsilon' else 'clean latents'}"
        )
    to_p, to_q, determinant = _mixture(a, s, target, source)
    return (determinant * answer + (to_p * q - to_q * p) * x) / divisor


def _mixture(a: float, s: float, kind: str, other: str) -> tuple[float, float, float]:
    """Both shares of an answer p x0 + q eps, and the determinant a q - s p."""
    match kind:
        case "epsilon":
            return 0.0, 1.0, a
        case "sample":
            return 1.0, 0.0, -s
        case "v_prediction":
            return -s, a, 1.0  # a^2 + s^2, without its rounding
        case "flow_prediction":
            return -1.0, 1.0, a + s
    raise ModelError(f"a prediction of type {kind} can't be turned into {other}")


def alpha_sigma(scheduler: Scheduler, timestep: Tensor) -> tuple[float, float]:
    """How much of the clean latents and how much noise a denoiser gets.

    For `scheduler.scale_model_input(latents, timestep)` at the step that the scheduler is at; EDM schedulers have
    another form, and no such numbers.

    Args:
        scheduler: A stage's scheduler.
        timestep: The step's timestep.

    Returns:
        (a, s), with a + s = 1 where the scheduler is a flow's, and with a^2 + s^2 = 1 elsewhere.
    """
    one, zero = torch.ones(1, device=timestep.device), torch.zeros(1, device=timestep.device)
    if scheduler.prediction_type == "flow_prediction":
        noise = float(scheduler.add_noise(zero, one, timestep))
        return 1 - noise, noise
    # Where latents are x0 + sigma eps, the scale that brings them into this form is alpha. It is asked for first, since
    # it alone knows of a second-order scheduler's steps between the timesteps.
    scale = float(scheduler.scale_model_input(one, timestep))
    if scale < 1:
        return scale, (1 - scale**2) ** 0.5
    clean, noise = float(scheduler.add_noise(one, zero, timestep)), float(scheduler.add_noise(zero, one, timestep))
    size = (clean**2 + noise**2) ** 0.5
    return clean / size, noise / size
