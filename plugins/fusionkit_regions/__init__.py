"""Parts of the picture with prompts, guidance and models of their own (arXiv 2302.08113, section 4.2), as a plugin."""

from __future__ import annotations

from fusionkit_regions.parts import Box, Boxed, Mask, Once, Painted, Region
from fusionkit_regions.regions import Regions, regions_of

__all__ = ["Box", "Boxed", "Mask", "Once", "Painted", "Region", "Regions", "regions_of"]
