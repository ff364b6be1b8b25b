"""Models, through diffusers pipelines: one adapter a file, all with the face of `Model`."""

from __future__ import annotations

from fusionkit.loop.model import Model, ModelInfo

__all__ = ["Model", "ModelInfo"]
