"""ElasticDiffusion (arXiv 2311.18822) as a fusionkit plugin: a small picture guides windows."""

from __future__ import annotations

from fusionkit_elasticdiffusion.elastic_diffusion import ElasticDiffusion

__all__ = ["ElasticDiffusion"]
