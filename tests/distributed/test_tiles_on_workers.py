"""A picture whose tiles several workers decode, on the disk and in memory: it is one process' to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionkit import Fusion, Recipe
from fusionkit.pictures.on_disk import PictureOnDisk

TINY = Path(__file__).parents[1] / "golden" / "checkpoints" / "tiny-sd"


@pytest.mark.parametrize("plugins", [[], ["ring"]])
def test_tiles_are_decoded_by_all(plugins: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(
        model=str(TINY), prompt="a hill", size=(448, 160), window=(256, 256), steps=1, batch_size=2, vae_tiling=True,
        plugins=plugins, output=tmp_path / "a.tif",
    )  # fmt: skip
    one = Fusion.from_recipe(recipe).run(progress=False)
    asked: list[int] = []
    run = "fusionkit.distributed.tasks.DecodeTile.__call__"
    from fusionkit.distributed.tasks import DecodeTile

    before = DecodeTile.__call__

    def counted(self: DecodeTile, worker: object) -> object:
        asked.append(self.tile.shape[-1])
        return before(self, worker)  # type: ignore[arg-type]

    monkeypatch.setattr(run, counted)
    several = Fusion.from_recipe(recipe, devices=["cpu", "cpu"], canvas="disk").run(progress=False)
    assert several.latents.equal(one.latents)
    assert isinstance(several.image, PictureOnDisk)
    assert (np.asarray(several.image) == np.asarray(one.image)).all()
    assert len(asked) == (10 if not plugins else 16)
