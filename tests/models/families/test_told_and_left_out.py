"""Views that are told something, that are left out, or that are guided in some steps: counted exactly, by transformers.

Of each kind of guidance one family: the scale as an input, plainly, brought back to a length, and with texts that must
be of one length.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from on_families import LONG, apart, model_of, stage_on
from tiny_flux import CASES as FLUX
from tiny_lumina2 import CASES as LUMINA2
from tiny_parts import Case
from tiny_qwen_image import CASES as QWEN

from fusionkit import Plugin, Prompt, Told
from fusionkit.loop.canvas import gather
from fusionkit.loop.stage import Patches
from fusionkit.loop.told import passes_of
from fusionkit.loop.views import View

TOLD = (Told(Prompt("two cats"), guidance_scale=1.0), Told(), Told(Prompt(LONG, "dog"), guidance_scale=2.5), Told())
ASKED = [True, False, True, True]
SIZE = (320, 128)


class Sparing(Plugin):
    """Leaves views out."""


@pytest.mark.parametrize("of", [FLUX[0], FLUX[1], LUMINA2[0], QWEN[0]], ids=str)
def test_each_view_costs_and_gives_what_it_is_told_in_any_company(of: Case) -> None:
    model, group = model_of(of), grouped(of)
    stage = stage_on(model, size=SIZE, guidance_interval=(0.0, 0.5), batch_size=3)
    some = group.narrowed(ASKED, Sparing())
    # One view is told no guidance; beyond the middle no view is guided.
    inside, outside = ((4, 3), (4, 3)) if model.info.takes_guidance else ((7, 5), (4, 3))
    for at, counts in ((stage.steps[1], inside), (stage.steps[2], outside)):
        found = []
        for patches, count in zip((group, some), counts, strict=True):
            before = model.forward_passes
            found.append(model.predict(stage, at, patches))
            assert model.forward_passes - before == passes_of(stage, at, patches) == count
        assert found[1][1].isnan().all()
        for number in some.asked:
            alone = model.predict(stage, at, group.picked([number]))
            assert all(apart(each[number : number + 1], alone) <= 1e-4 for each in found)


@pytest.mark.parametrize("of", [FLUX[0], QWEN[0]], ids=str)
def test_what_is_told_as_the_recipe_says_it_changes_no_bit(of: Case) -> None:
    model, group = model_of(of), replace(grouped(of), told=())
    stage, whole = (stage_on(model, size=SIZE, **fields) for fields in ({}, {"guidance_interval": (0.0, 1.0)}))
    plain = model.predict(stage, stage.steps[3], group)
    assert plain.equal(model.predict(whole, whole.steps[3], group))
    assert plain.equal(model.predict(stage, stage.steps[3], replace(group, told=(Told(),) * 4)))
    half = stage_on(model, size=SIZE, guidance_interval=(0.0, 0.5))
    assert apart(plain, model.predict(half, half.steps[3], group)) > 1e-3


def grouped(of: Case) -> Any:
    """Four views, of which two are told something."""
    views = tuple(View(0, 8 * number, 16, 16) for number in range(4))
    latents = gather(stage_on(model_of(of), size=SIZE).noise("init"), views)
    prompts = [told.prompt or Prompt("a red boat") for told in TOLD]
    return Patches(views, latents=latents, prompts=prompts, told=TOLD)
