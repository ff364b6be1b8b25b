"""The plugin ring: which edges meet, and what the picture's file says of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionkit import Fusion, RecipeError
from fusionkit.pictures.image import read_metadata
from fusionkit.testing import tiny_pipeline, tiny_plan, tiny_run
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_multidiffusion import MultiDiffusion, Ring


def test_every_stage_is_a_ring_along_its_axes() -> None:
    for axes, wrap in {"x": "x", "y": "y", "xy": "xy", "none": ""}.items():
        plan = tiny_plan([ProgressiveUpscaling(), MultiDiffusion(), Ring(axes=axes)], size=(128, 128))  # type: ignore[arg-type]
        assert [stage.wrap for stage in plan.stages] == [wrap, wrap]
    assert tiny_run([Ring(axes="none")]).equal(tiny_run([]))


def test_a_ring_shorter_than_the_window_is_told_before_anything_loads() -> None:
    with pytest.raises(RecipeError) as caught:
        tiny_plan([Ring(axes="xy")], size=(128, 48))
    assert caught.value.problems == [
        "ring: the size of 128x48 is less high than the model's window of 64 pixels, which would meet itself along y; "
        "use at least 64"
    ]
    # Along the other axis it may be as short as it likes.
    assert tiny_plan([Ring(axes="x")], size=(128, 48)).stages[0].wrap == "x"
    with pytest.raises(RecipeError, match="ring: a panorama of 360 degrees is a ring along x alone, and axes is 'xy'"):
        tiny_plan([Ring(axes="xy", panorama=True)], size=(128, 64))
    with pytest.raises(RecipeError, match="at least twice as wide as high, and the size is 120x64"):
        tiny_plan([Ring(panorama=True)], size=(120, 64))
    with pytest.raises(ValueError, match="axes"):
        Ring(axes="z")  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_file_says_that_it_goes_around(tmp_path: Path, suffix: str) -> None:
    fields: dict[str, Any] = {"size": (192, 64), "steps": 1}
    fusion = Fusion.from_pipe(tiny_pipeline(), plugins=[Ring()], **fields)
    result = fusion("a photo of the sea", progress=False)
    path = result.save(tmp_path / f"ring{suffix}")
    with Image.open(path) as image:
        notes = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
    told = dict(re.findall(r'GPano:(\w+)="(\w+)"', notes.decode()))
    assert told == {
        "ProjectionType": "equirectangular",
        "UsePanoramaViewer": "True",
        "FullPanoWidthPixels": "192",
        "FullPanoHeightPixels": "96",
        "CroppedAreaImageWidthPixels": "192",
        "CroppedAreaImageHeightPixels": "64",
        "CroppedAreaLeftPixels": "0",
        "CroppedAreaTopPixels": "16",
    }
    import xml.etree.ElementTree as ElementTree

    ElementTree.fromstring(notes.decode().partition("?>")[2].rpartition("<?xpacket")[0])
    assert "ring" in read_metadata(path)["recipe"]


def test_a_file_says_so_only_of_what_goes_around(tmp_path: Path) -> None:
    for options, size in [
        ({"panorama": False}, (192, 64)),
        ({"axes": "xy"}, (192, 64)),
        ({}, (96, 64)),
        ({"axes": "none"}, (192, 64)),
    ]:
        fusion = Fusion.from_pipe(tiny_pipeline(), plugins=[Ring(**options)], size=size, steps=1)
        with Image.open(fusion("the sea", progress=False).save(tmp_path / "plain.png", overwrite=True)) as image:
            assert "XML:com.adobe.xmp" not in image.info
