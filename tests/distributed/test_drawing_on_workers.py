"""Whole pictures on workers: what they agree upon, and that a picture is that of one process."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from fusionkit import Fusion
from fusionkit.distributed.pool import Threads
from fusionkit.drawing.drawn import Drawn
from fusionkit.drawing.many import draw_many
from fusionkit.drawing.tasks import Draw, agreed, view_sizes
from fusionkit.errors import FusionError, RecipeError
from fusionkit.pictures.image import metadata_of
from fusionkit.recipe.made import changed, make_recipe

TINY = str(Path(__file__).parents[1] / "golden" / "checkpoints" / "tiny-sd")
F32, F16 = {"a": "torch.float32"}, {"a": "torch.float16"}


def test_no_more_views_go_together_than_the_smallest_worker_takes() -> None:
    mine, theirs = {"a": {(16, 16): 8, (16, 32): 4}}, {"a": {(16, 16): 6, (32, 32): 1}}
    assert agreed([(F32, mine), (F32, theirs), (F32, {})]) == {"a": {(16, 16): 6, (16, 32): 4, (32, 32): 1}}


def test_workers_of_different_types_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"^workers would compute model 'a' in float16 and float32; say which: --set"):
        agreed([(F32, {}), (F16, {})])


@pytest.fixture(scope="module")
def alone() -> Fusion:
    return Fusion.from_recipe(make_recipe(model=TINY, prompt="a hill", size=(192, 128), window=(128, 128), steps=2))


def test_the_sizes_of_a_recipes_views_are_known_before_it_is_drawn(alone: Fusion) -> None:
    height, width = (side // alone.info.factor for side in (128, 128))
    assert view_sizes(alone, alone.recipe) == {(height, width)}


def test_pictures_of_workers_are_those_of_one_process_and_can_travel(alone: Fusion) -> None:
    recipes = [changed(alone.recipe, {"seed": seed}) for seed in (3, 4, 5)]
    pool = Threads(["cpu", "cpu"])
    found: dict[int, Drawn] = {}
    try:
        draw_many(pool, [Draw(each, f"picture {each.seed}") for each in recipes], found.__setitem__)
    finally:
        pool.close()
    assert sorted(found) == [0, 1, 2]
    for number, recipe in enumerate(recipes):
        here, there = alone.run(recipe, progress=False), pickle.loads(pickle.dumps(found[number])).result()
        assert there.latents_hash == here.latents_hash
        assert there.image.tobytes() == here.image.tobytes()
        # A worker has a device of its own, which is no property of the picture.
        assert metadata_of(there) == metadata_of(here)
        assert found[number].run["forward-passes"] == here.forward_passes
        assert found[number].run["worker"].startswith("cpu (")


def test_an_error_says_which_picture_it_was(alone: Fusion) -> None:
    pool = Threads(["cpu"])
    broken = alone.recipe.model_copy(update={"steps": 0})
    try:
        with pytest.raises(FusionError, match=r"^setting 'x', picture y\.png: "):
            draw_many(pool, [Draw(broken, "picture y.png", "setting 'x', picture y.png")], lambda *_: None)
    finally:
        pool.close()
