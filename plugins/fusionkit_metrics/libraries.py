"""The libraries of the extra `metrics`: what a plain install leaves out, since only scores need it."""

from __future__ import annotations

from collections.abc import Mapping

EXTRA = "fusionkit[metrics]"
"""What to install where one is missing."""
PYWAVELETS: Mapping[str, str] = {"pywt": EXTRA}
SKIMAGE: Mapping[str, str] = {"skimage": EXTRA}
SKLEARN: Mapping[str, str] = {"sklearn": EXTRA}
TORCH_FIDELITY: Mapping[str, str] = {"torch_fidelity": EXTRA}
TORCHMETRICS: Mapping[str, str] = {"torchmetrics": EXTRA}
