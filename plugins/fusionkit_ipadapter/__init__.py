"""Pictures as prompts, for the whole canvas or a part of it: IP-Adapters (arXiv 2308.06721), as a plugin."""

from __future__ import annotations

from fusionkit_ipadapter.ip_adapter import IPAdapter

__all__ = ["IPAdapter"]
