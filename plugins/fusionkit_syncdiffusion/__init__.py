"""SyncDiffusion (arXiv 2306.05178) as a fusionkit plugin: windows that look alike, by gradients."""

from __future__ import annotations

from fusionkit_syncdiffusion.sync_diffusion import SyncDiffusion

__all__ = ["SyncDiffusion"]
