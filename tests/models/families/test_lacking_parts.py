"""A transformer's folder that lacks a part: one line that names what is not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_flux import CASES as FLUX

from fusionkit.errors import ModelError
from fusionkit.models.inspect import inspect_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "flux"
    FLUX[0].make().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("transformer", "is no whole diffusers folder: it has no transformer/config.json"),
        ("vae", "is no whole diffusers folder: it has no vae/config.json"),
        ("text_encoder_2", "is no whole diffusers folder: it has no text_encoder_2/config.json"),
        ("tokenizer_2", "can't read a prompt: it has no folder tokenizer_2"),
        ("scheduler", "is no whole diffusers folder: it has no scheduler/scheduler_config.json"),
    ],
)
def test_a_folder_that_lacks_a_part(part: str, expected: str, whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(
        whole, tmp_path / "model", ignore=lambda _, names: [each for each in names if each == part]
    )
    with pytest.raises(ModelError) as caught:
        inspect_model(str(folder))
    assert str(caught.value) == f"model '{folder}' {expected}"
