"""A compiled denoiser on a GPU. Compiling takes longest of all, so that its file comes last."""

from __future__ import annotations

from pathlib import Path

import pytest
from on_a_gpu import a_run, difference, fusion

pytestmark = pytest.mark.gpu


def test_a_compiled_denoiser_draws_the_same(models: Path, device: str) -> None:
    plain = fusion(models / "sd", device, size=(64, 64))
    expected = plain(progress=False)
    compiled = fusion(models / "sd", device, size=(64, 64), compile=True)
    found = compiled(progress=False)
    unet = compiled.models_for(found.recipe)["model"].pipe.unet
    assert unet._compiled_call_impl is not None
    assert difference(found.latents, expected.latents) <= a_run(unet, found.latents.dtype)
