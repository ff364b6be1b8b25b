"""Several pictures from Python: prompts and seeds, one sheet, one template."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionkit import Fusion, Gallery, RecipeError


def test_prompts_with_seeds() -> None:
    fusion = Fusion.from_recipe("r.yaml", steps=1, size=(128, 128))
    gallery = fusion.many(["a hill", "a lake"], seeds=range(4, 6), progress=False)
    assert [(each.recipe.prompt, each.seed) for each in gallery] == [
        ("a hill", 4), ("a hill", 5), ("a lake", 4), ("a lake", 5),
    ]  # fmt: skip
    assert gallery[3].latents_hash == fusion("a lake", seed=5, progress=False).latents_hash
    assert gallery.sheet().size[0] == 2 * (128 + 8) + 8, "a row for each prompt"
    assert len(gallery[1:]) == 3
    assert (gallery._repr_png_() or b"")[1:4] == b"PNG"
    assert repr(gallery) == "Gallery of 4 pictures"
    assert gallery.save("g/{index}-{seed}.png") == [Path(f"g/{n}.png") for n in ("1-4", "2-5", "3-4", "4-5")]
    assert [each.seed for each in fusion.many(progress=False)] == [0]
    with pytest.raises(RecipeError, match=r"'g/\{nonsense\}.png' has no name"):
        gallery.save("g/{nonsense}.png")
    assert fusion.many(["a hill"], seeds=[], progress=False)._repr_png_() is None
    with pytest.raises(ValueError, match="has no sheet"):
        Gallery([]).sheet()


def test_one_and_several_are_not_mixed_up() -> None:
    fusion = Fusion.from_recipe("r.yaml")
    with pytest.raises(RecipeError, match=r"'prompt' is one text; fusion.many\(\[...\]\) draws"):
        fusion(["a hill", "a lake"])  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="'prompts' is a list of texts"):
        fusion.many("a hill")
    with pytest.raises(RecipeError, match="'seed' must be at least 0"):
        fusion.many(["a hill"], seeds=[1, -1])
