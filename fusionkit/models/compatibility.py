"""Whether models can be fused: their predictions must be of the same noisy latents. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fusionkit.loop.model import ModelInfo
from fusionkit.models.latent_spaces import latent_differences
from fusionkit.models.schedulers.by_name import is_edm

if TYPE_CHECKING:
    from fusionkit.loop.scheduler import Scheduler

PARAMETERISATIONS = ("epsilon", "v_prediction", "sample", "flow_prediction")
"""What a denoiser may answer; `fusionkit.models.parameterisation` turns one into another."""

# What diffusers' classes take where a configuration is silent, as DDIM does, and the classes that take something else.
_DDIM = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
_SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_BETWEEN = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}
_OTHER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "LCMScheduler": _SCALED,
    "TCDScheduler": _SCALED,
    "HeunDiscreteScheduler": _BETWEEN,
    "KDPM2DiscreteScheduler": _BETWEEN,
    "KDPM2AncestralDiscreteScheduler": _BETWEEN,
}
_SIGMA_DATA = 0.5


def misfits(infos: Mapping[str, ModelInfo]) -> list[str]:
    """Why models can't be fused: one line for each that does not fit the first one, and what to use instead.

    Predictions can be fused where they are of the same clean latents: latents of one space (channels, pixels per latent
    pixel, scaling). How they are noised may differ (`fusionkit.models.noising`), but for models of the EDM family. What
    the denoisers answer (noise, velocity, clean latents), their text encoders and the sizes they were trained at may
    differ. What a configuration does not tell is not compared.

    Args:
        infos: The models by the recipe's names, the main one first.
    """
    (main, ours), *others = infos.items()
    return [
        f"models '{main}' ({ours.name}) and '{name}' ({theirs.name}) can't be fused: {', '.join(differing)}; "
        f"use models with the same autoencoder, such as those fine-tuned from one base model"
        for name, theirs in others
        if (differing := list(_differences(ours, theirs)))
    ]


def mixing_problems(infos: Mapping[str, ModelInfo], scheduler: Scheduler) -> list[str]:
    """Why models that answer different things can't be fused with a scheduler, in one line each.

    Args:
        infos: The models by the recipe's names, the main one first; it answers what the scheduler expects.
        scheduler: A stage's scheduler.
    """
    (main, ours), *others = infos.items()
    target = scheduler.prediction_type
    problems = []
    for name, theirs in others:
        source = theirs.prediction_type
        both = f"models '{main}' ({ours.name}) and '{name}' ({theirs.name}) can't be fused:"
        alike = same_noising(ours, theirs)
        if source == target and alike:
            continue
        if unknown := [kind for kind in (target, source) if kind not in PARAMETERISATIONS]:
            problems.append(f"{both} '{unknown[0]}' can't be turned into {target if unknown[0] == source else source}")
        elif is_edm(scheduler.name):
            # Its preconditioning mixes the answer with the latents in a way of its own.
            problems.append(
                f"{both} scheduler {scheduler.name} takes {target} and {source} for the same; use another, such as ddim"
            )
        elif alike and source == "epsilon" and scheduler.config.get("rescale_betas_zero_snr"):
            problems.append(
                f"{both} {source} tells nothing at the pure noise that rescale_betas_zero_snr starts from; use models "
                f"that both predict {target}"
            )
    return problems


def _differences(ours: ModelInfo, theirs: ModelInfo) -> Iterator[str]:
    found = list(latent_differences(ours, theirs)) + list(_noising(ours, theirs))
    if found and ours.kind != theirs.kind:
        # Alone, it is none: only what follows from it matters.
        yield f"kinds {ours.kind} and {theirs.kind}"
    yield from found


def same_noising(ours: ModelInfo, theirs: ModelInfo) -> bool:
    """Whether a timestep stands for the same noise with two models."""
    return _schedule(ours) == _schedule(theirs)


def betas_of(info: ModelInfo) -> tuple[int, tuple[tuple[str, Any], ...]]:
    """Training timesteps and what else defines a variance-preserving schedule, as options of diffusers' DDIM."""
    config = info.scheduler_config
    told = {key: config.get(key, default) for key, default in _OTHER_DEFAULTS.get(info.scheduler, _DDIM).items()}
    told["rescale_betas_zero_snr"] = bool(config.get("rescale_betas_zero_snr", False))
    if (betas := config.get("trained_betas")) is not None:
        return len(betas), (("trained_betas", tuple(betas)), ("rescale_betas_zero_snr", told["rescale_betas_zero_snr"]))
    return int(config.get("num_train_timesteps", 1000)), tuple(told.items())


def _noising(ours: ModelInfo, theirs: ModelInfo) -> Iterator[str]:
    mine, other = _schedule(ours), _schedule(theirs)
    # An EDM model's answer is mixed with its latents in a way of its own; all others are matched.
    if mine != other and "EDM" in (mine[1], other[1]):
        yield f"noise schedules {_told(mine)} and {_told(other)}"


def _schedule(info: ModelInfo) -> tuple[Any, ...]:
    """Training timesteps, the kind of schedule, and what defines it."""
    config = info.scheduler_config
    if info.prediction_type == "flow_prediction":
        return int(config.get("num_train_timesteps", 1000)), "flow"
    if is_edm(info.scheduler):
        return 0, "EDM", float(config.get("sigma_data", _SIGMA_DATA))
    timesteps, told = betas_of(info)
    options = dict(told)
    zero = options["rescale_betas_zero_snr"]
    if (betas := options.get("trained_betas")) is not None:
        # Only they count then; to float32, as they are used.
        return timesteps, "trained_betas", tuple(f"{beta:.6g}" for beta in betas), zero
    return (
        timesteps,
        str(options["beta_schedule"]),
        *(f"{options[key]:.6g}" for key in ("beta_start", "beta_end")),
        zero,
    )


def _told(schedule: tuple[Any, ...]) -> str:
    _, kind, *rest = schedule
    if kind == "EDM":
        return f"EDM with sigma_data {rest[0]:g}"
    if kind == "flow":
        return "of a flow"
    zero = " with rescale_betas_zero_snr" if rest[-1] else ""
    values = rest[0] if kind == "trained_betas" else rest
    return f"{kind} {values[0]} to {values[-1] if kind == 'trained_betas' else values[1]}{zero}"
