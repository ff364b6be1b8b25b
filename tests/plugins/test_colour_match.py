"""Colours taken from another picture: what becomes equal, of which picture, and where it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from from_pictures import drawing
from PIL import Image
from torch import Tensor

from fusionkit import RecipeError
from fusionkit.pictures.picture import open_picture
from fusionkit.runs.run import decoded
from fusionkit.testing import execute_tiny, tiny_model, tiny_plan
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_multidiffusion import Ring
from fusionkit_pictures import ColourMatch, ImageToImage
from fusionkit_pictures.colour_match import coarse

FIELDS: dict[str, Any] = {"scheduler": "ddim", "steps": 2, "size": (160, 80)}


def tensor(picture: Any) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()


def drawn(*plugins: Any, **fields: Any) -> Any:
    plan = tiny_plan(plugins, **{**FIELDS, **fields})
    return decoded(plan, tiny_model(), execute_tiny(plan))


def test_mean_and_deviation_of_each_colour_are_the_pictures(tmp_path: Path) -> None:
    # Soft colours, so that few are cut off at black or white.
    path = drawing(tmp_path / "colours.png", (80, 40))
    soft = Image.open(path).point(lambda value: 100 + value // 4)
    soft.save(path)
    ours, theirs = tensor(drawn(ColourMatch(to=str(path)))), tensor(open_picture(path, (160, 80)))
    assert torch.allclose(ours.mean((2, 3)), theirs.mean((2, 3)), atol=0.5)
    assert torch.allclose(ours.std((2, 3)), theirs.std((2, 3)), atol=0.5)
    plain, half = tensor(drawn()), tensor(drawn(ColourMatch(to=str(path), amount=0.5)))
    assert float((half - (plain + ours) / 2).abs().max()) <= 1
    assert tensor(drawn(ColourMatch(to=str(path), amount=0))).equal(plain)


def test_what_is_coarse_is_the_pictures_and_what_is_fine_stays(tmp_path: Path) -> None:
    path = drawing(tmp_path / "colours.png", (160, 80))
    Image.open(path).point(lambda value: 100 + value // 4).save(path)
    before = tensor(drawn())
    theirs, ours = tensor(open_picture(path)), tensor(drawn(ColourMatch(to=str(path), by="wavelet", levels=3)))
    expected = before - coarse(before, 3) + coarse(theirs, 3)
    assert float((ours - expected.clamp(0, 255)).abs().max()) <= 0.5


def test_what_is_coarse_is_smoothed_at_doubling_distances_and_goes_around_rings() -> None:
    line = torch.zeros(1, 3, 1, 16)
    line[..., 8] = 16
    assert coarse(line, 1)[0, 0, 0, 6:11].tolist() == [0, 4, 8, 4, 0]
    assert coarse(line, 2)[0, 0, 0, 5:12].tolist() == [1, 2, 3, 4, 3, 2, 1]
    waves = torch.randn(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    for wrap, dim in (("x", -1), ("y", -2)):
        rolled = coarse(waves.roll(5, dim), 4, wrap)  # type: ignore[arg-type]
        assert torch.allclose(rolled, coarse(waves, 4, wrap).roll(5, dim), atol=1e-5)  # type: ignore[arg-type]
        assert float((coarse(waves.roll(5, dim), 4) - coarse(waves, 4).roll(5, dim)).abs().max()) > 0.1


def test_whose_colours_count(tmp_path: Path) -> None:
    path = drawing(tmp_path / "begin.png", (160, 80))
    means = tensor(open_picture(path)).mean((2, 3))
    for to in ("previous", "input", str(path)):
        ours = tensor(drawn(ImageToImage(from_=path), ColourMatch(to=to)))
        # Bright colours are cut off at white.
        assert torch.allclose(ours.mean((2, 3)), means, atol=6)
    size = {"size": (128, 128)}
    begin, upscaling = ImageToImage(from_=path, strength=0.5), ProgressiveUpscaling()
    plan = tiny_plan([begin, upscaling, ColourMatch()], **{**FIELDS, **size})
    ours = tensor(decoded(plan, tiny_model(), execute_tiny(plan)))
    last = plan.stages[-1]
    assert last.previous is not None
    small = tensor(tiny_model().decode(last.previous))
    assert torch.allclose(ours.mean((2, 3)), small.mean((2, 3)), atol=6)
    # A picture of the stage before is what it was.
    assert tensor(last.decode(last.previous)).equal(small)
    of_input = tensor(drawn(begin, upscaling, ColourMatch(to="input"), **size))
    assert torch.allclose(of_input.mean((2, 3)), tensor(open_picture(path, (128, 128))).mean((2, 3)), atol=6)


def test_it_goes_with_rings() -> None:
    plan = tiny_plan([Ring(), ProgressiveUpscaling(), ColourMatch(by="wavelet")], **{**FIELDS, "size": (128, 128)})
    assert decoded(plan, tiny_model(), execute_tiny(plan)).size == (128, 128)


def test_a_picture_that_is_not_there_is_told_before_anything_loads(tmp_path: Path) -> None:
    for to, line in [
        ("previous", "there is no picture of a stage before, as the run has one stage; name a file with 'to'"),
        ("input", "the run begins with no picture; add image-to-image, or name a file with 'to'"),
        (str(tmp_path / "none.png"), f"picture of 'to' '{tmp_path}/none.png' does not exist"),
    ]:
        with pytest.raises(RecipeError) as caught:
            tiny_plan([ColourMatch(to=to)])
        assert caught.value.problems == [f"colour-match: {line}"]
    with pytest.raises(ValueError, match="amount"):
        ColourMatch(amount=1.5)
