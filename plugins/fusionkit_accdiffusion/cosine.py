"""The cosine by which DemoFusion and AccDiffusion let go of what guides an upscaling stage."""

from __future__ import annotations

from math import cos, pi

from fusionkit import Stage, Step


def cosine(stage: Stage, at: Step, exponent: float = 1.0) -> float:
    """((1 + cos(pi (T - t) / T)) / 2)^exponent: 1 at pure noise, 0 at clean latents (arXiv 2311.16973, eq. 4).

    Args:
        stage: Whose scheduler tells t / T.
        at: The step.
        exponent: The larger, the sooner it falls.
    """
    return float(((1 + cos(pi * (1 - stage.scheduler.remaining(at.timestep)))) / 2) ** exponent)
