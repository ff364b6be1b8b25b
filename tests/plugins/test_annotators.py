"""Annotators by name: their size, their weights, and one line where they can't be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fusionkit.errors import FusionError
from fusionkit_accdiffusion import annotators
from fusionkit_accdiffusion.annotators import ANNOTATORS, annotate, annotator_problems


def picture(width: int, height: int) -> Image.Image:
    """A bright disc on a dark ground."""
    y, x = np.mgrid[:height, :width]
    disc = ((y - height / 2) ** 2 + (x - width / 2) ** 2) < (min(width, height) / 3) ** 2
    return Image.fromarray((60 + 120 * disc[..., None].repeat(3, -1)).astype("uint8"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub that is empty; answers the folder where the annotators' weights would be."""
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert file_download.constants is constants
    repository = tmp_path / "models--lllyasviel--Annotators"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    return snapshot


def pidinet(folder: Path) -> None:
    """Seeded random weights for the annotator `softedge`."""
    from controlnet_aux.pidi.model import pidinet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save({"state_dict": pidinet().state_dict()}, folder / "table5_pidinet.pth")


def test_canny_sees_the_rim_of_a_disc_at_the_pictures_own_size() -> None:
    seen = np.array(annotate("canny", picture(100, 72), sigma=0.3))
    assert seen.shape == (72, 100, 3)
    assert set(np.unique(seen)) == {0, 255}
    y, x = np.nonzero(seen[..., 0])
    assert np.abs(np.hypot(y - 36, x - 50) - 24).max() < 2


def test_none_is_the_picture_itself() -> None:
    given = picture(24, 16)
    assert annotate("none", given, sigma=0.3) is given


@pytest.mark.parametrize("size", [(100, 72), (64, 200)])
def test_an_annotator_of_controlnet_aux_keeps_the_pictures_size(size: tuple[int, int]) -> None:
    seen = annotate("lineart-standard", picture(*size), sigma=0.3)
    assert seen.size == size
    assert seen.mode == "RGB"
    assert np.array(seen).std() > 5


def test_an_annotator_with_weights_reads_them_from_the_cache(cache: Path) -> None:
    assert annotator_problems("softedge")
    from warnings import catch_warnings, simplefilter

    with catch_warnings():
        simplefilter("ignore")
        pidinet(cache)
    assert annotator_problems("softedge") == []
    seen = annotate("softedge", picture(100, 72), sigma=0.3)
    assert seen.size == (100, 72)
    # Random weights find no edge more likely than none: a half everywhere.
    assert set(np.unique(np.array(seen))) == {127}


@pytest.mark.usefixtures("cache")
def test_missing_weights_are_told_before_the_run_and_in_it() -> None:
    (line,) = annotator_problems("hed")
    assert line == (
        "annotator 'hed' needs ControlNetHED.pth of the hub's lllyasviel/Annotators, not in the local cache, and the "
        "hub is switched off (HF_HUB_OFFLINE); "
        "use 'annotator: canny', or 'annotator: none' with 'from:' a hint that is ready"
    )
    with pytest.raises(FusionError, match=r"^annotator 'hed' can't be used: .*; use 'annotator: canny'") as error:
        annotate("hed", picture(64, 64), sigma=0.3)
    assert "\n" not in str(error.value)


def test_pickled_weights_are_not_read_by_a_torch_that_would_run_them(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotators, "_SAFE_TORCH", (99, 0))
    with pytest.raises(FusionError, match=r"its weights are pickled, which is safe to read from torch 99\.0 on"):
        annotate("softedge", picture(64, 64), sigma=0.3)


def test_every_detector_is_there() -> None:
    code = (
        "import warnings; warnings.simplefilter('ignore'); import controlnet_aux; "
        "from fusionkit_accdiffusion.annotators import ANNOTATORS; "
        "print(*[a.detector for a in ANNOTATORS.values() if a.detector and not hasattr(controlnet_aux, a.detector)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == ""
    assert {"none", "canny", "hed", "lineart", "depth"} <= set(ANNOTATORS)


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    code = "import sys, fusionkit_accdiffusion.controlnet; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert not {"torch", "numpy", "cv2", "diffusers", "controlnet_aux", "PIL", "huggingface_hub"} & set(
        done.stdout.split()
    )
