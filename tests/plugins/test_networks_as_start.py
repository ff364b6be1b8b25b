"""A super-resolution network as the start of a run: of image-to-image, and of the stages of an upscaling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from from_pictures import drawing
from upscaling import problem, watched

from fusionkit import enlarged_by
from fusionkit.pictures.picture import open_picture
from fusionkit.runs.run import execute, picture_latents
from fusionkit.testing import tiny_model, tiny_network, tiny_plan, tiny_run
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_pictures import ExactSize, ImageToImage


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return tiny_network(tmp_path / "net.safetensors")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return drawing(tmp_path / "picture.png", (64, 40))


def test_image_to_image_begins_with_what_the_network_makes(network: Path, picture: Path) -> None:
    given: dict[str, Any] = {"size": (128, 80), "scheduler": "euler", "steps": 4}
    plan = tiny_plan([ImageToImage(from_=picture, network=network)], **given)
    model = tiny_model()
    plan.stages[0].model = model
    start = picture_latents(plan)
    assert start is not None
    large = enlarged_by(network, open_picture(picture), (128, 80))
    assert start.equal(model.encode(large))
    assert not start.equal(model.encode(open_picture(picture, (128, 80))))
    latents = execute(plan, model)
    large.save(picture.with_name("large.png"))
    assert latents.equal(tiny_run([ImageToImage(from_=picture.with_name("large.png"))], **given))


def test_a_picture_that_is_larger_already_is_left_to_lanczos(network: Path, picture: Path) -> None:
    """As where a picture of another plugin's begins the run: what makes it smaller is no network."""
    from dataclasses import replace

    plan = tiny_plan([ImageToImage(from_=picture)], size=(32, 16))
    stage = plan.stages[0]
    stage.model, stage.plan = tiny_model(), replace(stage.plan, network=network)
    start = picture_latents(plan)
    assert start is not None
    assert start.equal(tiny_model().encode(open_picture(picture, (32, 16))))


def test_a_ring_begins_as_a_ring(network: Path, picture: Path) -> None:
    plan = tiny_plan([MultiDiffusion(), Ring(), ImageToImage(from_=picture, network=network)], size=(128, 80))
    plan.stages[0].model = tiny_model()
    start = picture_latents(plan)
    assert start is not None
    large = enlarged_by(network, open_picture(picture), (128, 80), wrap="x")
    assert start.equal(tiny_model().encode(large, "x"))
    assert np.asarray(large).tolist() != np.asarray(enlarged_by(network, open_picture(picture), (128, 80))).tolist()


def test_each_stage_of_an_upscaling_is_enlarged_by_the_network(network: Path) -> None:
    kept, first = watched(ProgressiveUpscaling(enlarge=network), size=(128, 128), steps=1)
    stage = kept[1]["stage"]
    large = enlarged_by(network, stage.decode(kept[1]["previous"]), (128, 128))
    latents, noise = first[1]
    assert latents.equal(stage.scheduler.noisiest(stage.encode(large), noise))
    assert not kept[1]["canvases"][-1].equal(
        watched(ProgressiveUpscaling(enlarge="pixels"), size=(128, 128), steps=1)[0][1]["canvases"][-1]
    )


def test_an_upscaling_begins_with_a_picture_that_the_network_enlarges(network: Path, picture: Path) -> None:
    kept, _ = watched(ProgressiveUpscaling(from_=picture, enlarge=str(network)), size=(128, 80), steps=1)
    large = enlarged_by(network, open_picture(picture), (128, 80))
    assert kept[0]["previous"].equal(tiny_model().encode(large))


def test_what_is_wrong_is_told_in_one_line_before_anything_loads(network: Path, picture: Path) -> None:
    broken = network.with_name("broken.safetensors")
    broken.write_bytes(b"no network")
    said = problem(ImageToImage(from_=picture, network=broken), size=(128, 80))
    assert said.startswith(f"image-to-image: network '{broken}': broken.safetensors is no whole safetensors file")
    said = problem(ImageToImage(from_=picture, network=network), size=(64, 40))
    assert said == (
        f"image-to-image: network '{network}' has nothing to do, as the canvas, 64x40, is no larger than the picture, "
        "64x40; give a larger 'size', or leave the network out"
    )
    # Where the canvas alone is larger, by whole tokens, there is nothing to do either.
    odd = drawing(picture.with_name("odd.png"), (63, 37))
    said = problem(ImageToImage(from_=odd, network=network), ExactSize(from_=odd), size=(64, 40))
    assert "as the picture's part of the canvas, 63x37, is no larger than the picture, 63x37;" in said
    whole = drawing(picture.with_name("whole.png"), (128, 80))
    said = problem(ProgressiveUpscaling(from_=whole, enlarge=str(network)), size=(128, 80))
    assert said.startswith(f"progressive-upscaling: network '{network}' has nothing to do, as the canvas, 128x80, is")
    assert problem(ProgressiveUpscaling(enlarge=broken)).startswith("progressive-upscaling: network ")
    with pytest.raises(ValueError, match=r"must be latents, pixels, or the \.safetensors file"):
        ProgressiveUpscaling(enlarge="bicubic")


def test_the_file_is_noted_in_the_picture(network: Path, picture: Path) -> None:
    from fusionkit.pictures.inputs import fingerprints

    recipe = tiny_plan([ImageToImage(from_=picture, network=network)], size=(128, 80)).recipe
    assert fingerprints(recipe)[str(network)].startswith("sha256:")
    recipe = tiny_plan([ProgressiveUpscaling(enlarge=network)], size=(128, 128)).recipe
    noted = fingerprints(recipe)
    tiny_network(network, seed=1)
    assert noted.keys() == {str(network)} == fingerprints(recipe).keys()
    assert fingerprints(recipe) != noted
