"""For plugin authors: a contract that a plugin's tests subclass, and tiny random models to run it on."""

from __future__ import annotations

from fusionkit.testing.contract import PluginContract
from fusionkit.testing.networks import tiny_network
from fusionkit.testing.tiny import (
    KINDS,
    WINDOW,
    Kind,
    execute_tiny,
    tiny_controlnet,
    tiny_model,
    tiny_pipeline,
    tiny_plan,
    tiny_run,
)

__all__ = [
    "KINDS",
    "WINDOW",
    "Kind",
    "PluginContract",
    "execute_tiny",
    "tiny_controlnet",
    "tiny_model",
    "tiny_network",
    "tiny_pipeline",
    "tiny_plan",
    "tiny_run",
]
