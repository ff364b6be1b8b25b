"""MagicFusion (arXiv 2303.13126): several models draw one picture, each where its own guidance responds most."""

from __future__ import annotations

from fusionkit_magicfusion.roles import Role, Span, Stretch, Voice
from fusionkit_magicfusion.saliency_noise_blending import SaliencyNoiseBlending

__all__ = ["Role", "SaliencyNoiseBlending", "Span", "Stretch", "Voice"]
