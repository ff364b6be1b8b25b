"""The families of models, by their kind, as the installed packages offer them. Importing this needs no torch."""

from __future__ import annotations

from fusionkit.models.families.base import Asked, Family
from fusionkit.models.families.offered import FAMILIES, family_of_denoiser, family_of_pipeline

__all__ = ["FAMILIES", "Asked", "Family", "family_of_denoiser", "family_of_pipeline"]
