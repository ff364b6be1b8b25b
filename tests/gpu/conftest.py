"""Tests of what only a GPU shows. They need fusionkit, the plugins and nothing else of the tests.

`FUSIONKIT_GPU_TESTS_ON=cpu` runs those that make sense there, so that their own code is known to work before a GPU
sees it: the CPU is then compared with itself, or its 16-bit types with float32.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

ASKED = os.environ.get("FUSIONKIT_GPU_TESTS_ON", "cuda")


def pytest_configure(config: pytest.Config) -> None:
    """Know the mark where the tests run without the repository's pyproject.toml."""
    config.addinivalue_line("markers", "gpu: compares a GPU with the CPU; skipped where there is none")


@pytest.fixture(scope="session")
def device() -> str:
    """The device that is compared with the CPU."""
    import torch

    if ASKED.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no GPU is here; FUSIONKIT_GPU_TESTS_ON=cpu tries what makes sense on a CPU")
    return ASKED


@pytest.fixture(scope="session")
def gpu(device: str) -> str:
    """The device, which is a real GPU."""
    if device == "cpu":
        pytest.skip("makes sense on a GPU alone")
    return device


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models in diffusers' layout: sd, sdxl, other-sd with other weights, and controlnet for sd."""
    from fusionkit.testing import tiny_controlnet, tiny_pipeline

    folder = tmp_path_factory.mktemp("models")
    tiny_pipeline("sd").save_pretrained(folder / "sd")
    tiny_pipeline("sd", 1).save_pretrained(folder / "other-sd")
    tiny_pipeline("sdxl").save_pretrained(folder / "sdxl")
    tiny_controlnet("sd").save_pretrained(folder / "controlnet")
    return folder


@pytest.fixture(autouse=True)
def exact_float32() -> Iterator[None]:
    """A GPU's convolutions in float32, where torch's default is TF32, whose numbers have 10 bits."""
    import torch

    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before
