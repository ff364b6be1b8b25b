"""What saliency-noise-blending says of its options before the models load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fusionkit.models.suits import no_such_model
from fusionkit_magicfusion.roles import Role, Stretch


def model_problems(
    models: Mapping[str, Role], otherwise: str | None, baseline: str, defined: Sequence[str]
) -> list[str]:
    """Models that the recipe does not define, and what those that it does define lack; one line each.

    Args:
        models: Those that take part.
        otherwise: The one that draws outside the span; None is the main one.
        baseline: "own" or "shared".
        defined: The recipe's models, the main one first.
    """
    main = defined[0]
    if len(defined) == 1:
        names = ", ".join(f"{name}: SOURCE" for name in models)
        return [f"the recipe has one model, '{main}'; it needs two or more: models: {{{names}}} in place of model"]
    named = dict.fromkeys(models, "models")
    if otherwise is not None:
        named.setdefault(otherwise, "otherwise")
    unknown = [
        f"{where} names '{name}', {no_such_model(name, defined)}"
        for name, where in named.items()
        if name not in defined
    ]
    silent = [
        f"model '{name}' has no prompt; give it one of its own, {name}: {{prompt: ...}}, as the recipe's prompt is for "
        f"the main model, '{main}'"
        for name in named
        if name in defined[1:] and not (models.get(name, Role()).prompt or "").strip()
    ]
    if baseline == "shared" and main not in models and not unknown:
        silent.append(
            f"baseline 'shared' is that of the main model, '{main}', which takes no part; add it to models, or use "
            f"baseline: own"
        )
    return unknown + silent


def span_problems(
    span: Stretch, timesteps: int, steps: Iterable[tuple[float, float]], name: str = "blend"
) -> list[str]:
    """A span that is reversed, or holds none of a stage's steps.

    Args:
        span: The span.
        timesteps: The number of training timesteps.
        steps: Of each step its timestep, and how much of the noise schedule lies ahead, 1..0.
        name: The option's name.
    """
    if disorder := span.disorder(timesteps):
        return [f"{name} {disorder}"]
    all_steps = list(steps)
    if any(span.holds(remaining, timesteps) for _, remaining in all_steps):
        return []
    listed = ", ".join(f"{timestep:g} ({remaining:.2f})" for timestep, remaining in all_steps[:6])
    return [
        f"{name} from {span.from_:g} to {span.to:g} holds no step; the steps' timesteps (and the fraction that is "
        f"left) are {listed}{', ...' if len(all_steps) > 6 else ''}"
    ]
