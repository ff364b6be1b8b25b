"""SpotDiffusion (arXiv 2407.15507) as a fusionkit plugin: windows that only touch, moved at each step."""

from __future__ import annotations

from fusionkit_spotdiffusion.shifted_windows import ShiftedWindows

__all__ = ["ShiftedWindows"]
