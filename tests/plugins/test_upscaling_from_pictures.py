"""Progressive upscaling of a picture that its user has, which takes the first stage's place."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rounding import rounding
from torch import Tensor
from torch.nn.functional import interpolate
from upscaling import Size, close, problem, watched

from fusionkit.pictures.picture import open_picture, picture_problems
from fusionkit.testing import KINDS, Kind, tiny_model
from fusionkit_accdiffusion import ProgressiveUpscaling


def gradient(size: Size = (90, 50), mode: str = "RGB") -> Image.Image:
    """Bright to the right and green to the bottom."""
    width, height = size
    across = np.tile(np.linspace(0, 255, width, dtype=np.uint8), (height, 1))
    down = np.tile(np.linspace(0, 255, height, dtype=np.uint8)[:, None], (1, width))
    return Image.fromarray(np.dstack([across, down, across])).convert(mode)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    gradient().save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_picture(kind: Kind, picture: Path) -> None:
    kept, first = watched(ProgressiveUpscaling(from_=picture), kind=kind, size=(200, 136))
    assert [stage["stage"].plan.size for stage in kept.values()] == [(128, 88), (200, 136)]
    # 90x50 cropped around its centre to 64:40, which is 80x50, and scaled.
    cropped = gradient().crop((5, 0, 85, 50)).resize((64, 40), Image.Resampling.LANCZOS)
    encoded = tiny_model(kind).encode(cropped)
    assert close(kept[0]["previous"], encoded, rounding(encoded))
    stage = kept[0]["stage"]
    enlarged = interpolate(encoded, size=stage.canvas, mode="bicubic")
    latents, noise = first[0]
    assert close(latents, stage.scheduler.add_noise(enlarged, noise, stage.steps[0].timestep), rounding(latents))
    for each in kept.values():
        assert float(each["canvases"][-1].mean()) == pytest.approx(float(encoded.mean()), abs=1e-4)
        assert float(each["canvases"][-1].std()) == pytest.approx(float(encoded.std()), abs=1e-4)


def previous_of(path: Path) -> Tensor:
    kept, _ = watched(ProgressiveUpscaling(from_=path), size=(128, 128), steps=1)
    previous: Tensor = kept[0]["previous"]
    return previous


def test_a_picture_that_is_enlarged_in_pixels_is_read_at_the_stages_own_size(picture: Path) -> None:
    kept, first = watched(ProgressiveUpscaling(from_=picture, enlarge="pixels"), size=(200, 136), steps=1)
    stage, previous = kept[0]["stage"], kept[0]["previous"]
    assert tuple(previous.shape[-2:]) == stage.canvas
    latents, noise = first[0]
    assert latents.equal(stage.scheduler.noisiest(previous, noise))


def test_a_picture_that_lies_on_its_side(tmp_path: Path) -> None:
    upright = gradient((64, 96))
    exif = upright.getexif()
    exif[0x0112] = 6  # turn it by 90 degrees to the right
    upright.save(tmp_path / "upright.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "aside.png", exif=exif)
    assert previous_of(tmp_path / "aside.png").equal(previous_of(tmp_path / "upright.png"))
    # Its least size is that of the upright picture.
    assert picture_problems(tmp_path / "aside.png", "picture", (64, 96)) == []
    assert picture_problems(tmp_path / "aside.png", "picture", (96, 64)) != []


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "P", "1", "CMYK"])
def test_a_picture_of_another_mode(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    gradient(mode=mode).save(path)
    gradient(mode=mode).convert("RGB").save(tmp_path / "same.png")
    assert previous_of(path).equal(previous_of(tmp_path / "same.png"))


def test_a_grey_picture_of_16_bits(tmp_path: Path) -> None:
    grey = gradient(mode="L")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as deep:
        assert deep.mode == "I;16"
    opened = np.asarray(open_picture(tmp_path / "deep.png")).astype(int)
    assert np.abs(opened - np.asarray(grey.convert("RGB")).astype(int)).max() <= 1


def test_a_large_photo_or_a_careless_header_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    gradient().save(tmp_path / "large.png")
    gradient((20, 20)).save(tmp_path / "bad.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture_problems(tmp_path / "large.png", "picture") == []
        assert open_picture(tmp_path / "large.png").size == (90, 50)
        assert picture_problems(tmp_path / "bad.jpg", "picture") == []
        assert open_picture(tmp_path / "bad.jpg").size == (20, 20)


def test_a_picture_that_can_not_be_used(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:100])
    (tmp_path / "folder.png").mkdir()
    gradient((63, 20)).save(tmp_path / "tiny.png")
    for name, line in {
        "none.png": "does not exist",
        "text.png": "is no picture of a known format",
        "folder.png": "is a folder, not a picture",
        "tiny.png": "has 63x20 pixels; it takes at least 32x32",
    }.items():
        path = tmp_path / name
        assert problem(ProgressiveUpscaling(from_=path)) == f"progressive-upscaling: picture of 'from' '{path}' {line}"
    assert "' can't be read: " in problem(ProgressiveUpscaling(from_=tmp_path / "cut.png"))
    assert problem(ProgressiveUpscaling(from_=picture), size=(64, 64)) == (
        "progressive-upscaling: size 64x64 is the model's own, so there is nothing to upscale 'from' a picture; "
        "use a larger size, or times: 2"
    )


@pytest.mark.parametrize("extra", [{}, {"from_": "picture.png"}])
def test_a_size_smaller_than_the_window(extra: Any, picture: Path) -> None:
    extra = {"from_": picture} if extra else {}
    assert problem(ProgressiveUpscaling(**extra), size=(56, 40)) == (
        "progressive-upscaling: size 56x40 is smaller than the model's window, 64x64: there is nothing to upscale; "
        "use a larger size"
    )


def test_a_picture_does_not_come_out_smaller_than_it_was(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (640, 427)).save(path)
    assert problem(ProgressiveUpscaling(from_=path), size=(256, 256)) == (
        f"progressive-upscaling: picture of 'from' '{path}' has 640x427 pixels, and would come out at 256x256; "
        f"use a larger size, or add exact-size: {{from: ..., times: 2}} and leave 'size' out"
    )
