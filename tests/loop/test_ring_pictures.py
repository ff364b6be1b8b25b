"""Pictures of canvases whose edges meet: the edge is seen neither in them nor by the metric of seams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fusionkit import Fusion
from fusionkit.evaluation.picture import Picture
from fusionkit.loop.ring import MARGIN, continued
from fusionkit.recipe.made import make_recipe
from fusionkit_metrics.seam import Seam, border_shares, jumps
from fusionkit_multidiffusion import Ring


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# Pictures


@pytest.fixture(scope="module")
def tinyworld() -> Any:
    fusion = Fusion.from_pretrained("tinyworld/scenes")
    return next(iter(fusion.models_for(fusion.recipe).values()))


def steps_between(image: Any, axis: int = 1) -> tuple[Any, float]:
    """The mean difference of neighbouring columns (or rows), and that between the last and the first."""
    brightness = np.asarray(image.convert("L"), dtype=float)
    brightness = brightness if axis else brightness.T
    return np.abs(np.diff(brightness)).mean(0), float(np.abs(brightness[:, 0] - brightness[:, -1]).mean())


@pytest.mark.parametrize("tiled", [False, True])
def test_a_strip_of_one_constant_row_decodes_without_a_step_at_the_edge(tinyworld: Any, tiled: bool) -> None:
    column = normal(1, 4, 16, 1)
    strip = column.expand(1, 4, 16, 80)
    before, tinyworld.vae_tiling = tinyworld.vae_tiling, tiled
    try:
        between, edge = steps_between(tinyworld.decode(strip, "x"))
        line, _ = steps_between(tinyworld.decode(strip))
    finally:
        tinyworld.vae_tiling = before
    assert edge <= between.max()
    # Without the ring both ends look as borders do.
    assert max(line[:4].max(), line[-4:].max()) > 2 * (np.median(line) + 0.5)
    assert max(between[:4].max(), between[-4:].max()) <= between[8:-8].max() + 0.5


def test_encoding_a_ring_does_not_see_the_edge(tinyworld: Any) -> None:
    image = tinyworld.decode(normal(1, 4, 16, 32), "x")
    from PIL import Image

    rolled = Image.fromarray(np.roll(np.asarray(image), 64, axis=1))
    difference = (tinyworld.encode(rolled, "x") - tinyworld.encode(image, "x").roll(16, -1)).abs()
    plain = (tinyworld.encode(rolled) - tinyworld.encode(image).roll(16, -1)).abs()
    at_the_edge = [float(each[..., [0, -1, 15, 16]].mean()) for each in (difference, plain)]
    assert at_the_edge[0] < 0.1 * at_the_edge[1]


def test_the_margin_is_wide_enough_for_stable_diffusions_decoder() -> None:
    """A decoder of SD's layout, with random weights: the two copies of the edge are equal without any fading."""
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderKL(
            block_out_channels=(8, 16, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            norm_num_groups=8,
        ).eval()
    with torch.inference_mode():
        beyond = vae.decode(continued(normal(1, 4, 12, 48), "x", MARGIN)).sample
    first, again = beyond[..., 8 * MARGIN :][..., :8], beyond[..., 8 * (MARGIN + 48) :][..., :8]
    assert float((first - again).abs().max()) < 1e-3 * float(beyond.std())


def test_a_panorama_meets_itself(tmp_path: Path) -> None:
    """The edge of the saved picture differs no more than neighbouring columns do elsewhere."""
    from PIL import Image

    fields: Any = {"size": (256, 64), "steps": 10, "seed": 3}
    saved = {}
    for name, plugins in {"line": [], "ring": [Ring()]}.items():
        result = Fusion.from_pretrained("tinyworld/scenes", plugins=plugins, **fields)(
            "a photo of the sea at noon", progress=False
        )
        assert result.image.size == (256, 64)
        saved[name] = steps_between(Image.open(result.save(tmp_path / f"{name}.png")))
    between, edge = saved["ring"]
    assert edge <= between.max()
    assert saved["line"][1] > 3 * saved["line"][0].max()


# The metric


def test_a_seam_at_the_edge_of_a_ring_counts() -> None:
    views = [((0, 0, 64, 8), 1.0), ((48, 0, 144, 8), 1.0)]  # the second ends 16 beyond the edge of 128
    plain = border_shares(views, (128, 8), 16)[0]
    assert plain.tolist() == [0, 0, 1, 1, 0, 0, 0]
    ring = border_shares(views, (128, 8), 16, ring=True)[0]
    # 0, 16, 48 and 64; the last place is that between the last and the first column.
    assert ring.tolist() == [1, 0, 1, 1, 0, 0, 0, 1]
    around = 2.0 * np.abs(np.arange(128) - 64) + np.zeros((8, 1))
    assert jumps(around, views, 16, "x") == pytest.approx([2, 2])
    step = around + 40 * (np.arange(128) >= 64)  # falls back at the edge
    border, elsewhere = jumps(step, views, 16, "x")
    assert border == pytest.approx((2 + 2 + 38 + 38) / 4)
    assert elsewhere == pytest.approx(2)
    # Rows of a view that goes on at the top.
    tall = border_shares([((16, 24, 48, 40), 1.0)], (64, 32), 16, ring=False, stacked=True)
    assert tall[:8].tolist() == [[1, 0, 1]] * 8
    assert tall[24:].tolist() == [[1, 0, 1]] * 8
    assert not tall[8:24].any()


def test_the_metric_knows_a_ring_by_the_pictures_recipe(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (64, 160, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "ring.png")
    found = {}
    for name, plugins in {"ring": [Ring()], "line": []}.items():
        recipe = make_recipe(model="tinyworld/scenes", size=(160, 64), steps=2, plugins=plugins)
        picture = Picture(tmp_path / "ring.png", (160, 64), recipe=recipe)
        assert picture.wrap() == ("x" if plugins else "")
        found[name] = max(right for (_, _, right, _), _ in picture.views())
        assert Seam()._wrap(picture) == picture.wrap()
        assert Seam(wrap="y")._wrap(picture) == "y"
    assert found == {"ring": 144 + 64, "line": 160}
