"""A view that is larger than a denoiser's table of places is refused before anything loads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from on_families import model_of
from tiny_aura_flow import CASES as AURA
from tiny_chroma import CASES as CHROMA
from tiny_lumina2 import CASES as LUMINA
from tiny_parts import Case
from tiny_sd3 import CASES as SD3

from fusionkit.models.suits import unsuitable_options
from fusionkit.recipe import Recipe


@pytest.mark.parametrize(("tiny", "most"), [(AURA[0], 256), (SD3[0], 768), (LUMINA[0], 1024)], ids=str)
def test_windows_beyond_the_table(tiny: Case, most: int) -> None:
    infos = {"model": replace(model_of(tiny).info, name="it")}
    recipe = Recipe(prompt="a", size=(most, most), window=(2 * most, 128))
    assert not unsuitable_options(recipe, infos)
    assert unsuitable_options(recipe.model_copy(update={"size": (2 * most, most)}), infos) == [
        f"model 'it' has places for views of at most {most} pixels a side, not of {2 * most}x128; set the window"
    ]


def test_places_that_are_computed_have_no_end() -> None:
    infos = {"model": model_of(CHROMA[0]).info}
    assert not unsuitable_options(Recipe(prompt="a", size=(65536, 128), window=(65536, 128)), infos)
