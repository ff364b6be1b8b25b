"""Wrong values of plugins' options: pydantic's own plugin of mypy leaves these to the running program."""

from __future__ import annotations

from fusionkit_gvcf import StyleAlignment
from fusionkit_multidiffusion import MultiDiffusion

StyleAlignment(alpha="much")  # wrong
MultiDiffusion(stride=32.5)  # wrong
MultiDiffusion(noise="avreaged")  # wrong
