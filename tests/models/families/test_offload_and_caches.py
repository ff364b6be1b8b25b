"""Weights in groups, and step caches: what they change, which is nothing where nothing is skipped."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from on_families import apart, model_of, run, stage_on
from tiny_parts import Case

from fusionkit import Plugin, Recipe
from fusionkit.models.load import enable_cache, wrap_pipeline
from fusionkit.models.offers import has_cache
from fusionkit.models.sharing import place
from fusionkit.models.suits import unsuitable_options
from fusionkit.recipe import Cache
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_regions import Box, Regions

Passes = list[int]


def panorama(
    model: Any, steps: int = 3, jitter: int = 0, scheduler: str | None = None, more: Sequence[Plugin] = ()
) -> torch.Tensor:
    stage = stage_on(model, scheduler, size=(192, 64), steps=steps, batch_size=2)
    return run(stage, MultiDiffusion(stride=32, jitter=jitter), *more)


def test_groups_draw_the_same(family: Case) -> None:
    plain = panorama(model_of(family, (64, 64)), steps=2)
    pipe = copy.deepcopy(family.make())
    place([pipe], torch.device("cpu"), "group")
    model: Any = wrap_pipeline(pipe)
    assert model.device == torch.device("cpu")
    model.info = model_of(family, (64, 64)).info
    assert panorama(model, steps=2).equal(plain)
    assert model.decode(plain).size == (192, 64)


def test_families_say_whether_they_have_caches(family: Case) -> None:
    model = model_of(family)
    known = has_cache(model.family)
    assert not known or hasattr(model.denoiser, "enable_cache")
    recipe = Recipe(prompt="a boat", cache=Cache(first_block=0.1))
    problems = unsuitable_options(recipe, {"model": model.info})
    if known:
        assert problems == []
    else:
        title, name = model.family.title, model.info.name
        assert problems == [
            f"cache: diffusers has no step cache for {title}, as which model '{name}' draws; leave it out"
        ]


def whole_passes(model: Any) -> Passes:
    """Counts how often what is in the last layer is run, from now on."""
    counted: Passes = []
    layers = [each for each in model.denoiser.children() if isinstance(each, torch.nn.ModuleList)]
    for part in layers[-1][-1].modules():
        if isinstance(part, torch.nn.Linear):
            part.register_forward_hook(lambda *_: counted.append(1))
    return counted


@pytest.mark.parametrize("jitter", [0, 8])
def test_a_cache_skips_what_changes_little_of_the_same_views_alone(family: Case, jitter: int) -> None:
    plain_model = model_of(family, (64, 64))
    if not has_cache(plain_model.family):
        pytest.skip("diffusers has no step cache for the family")
    if jitter and family.kind != "qwen-image":
        pytest.skip("one family shows what is kept of views that move")
    plain = panorama(plain_model, jitter=jitter)

    def cached(threshold: float) -> tuple[torch.Tensor, torch.Tensor, int]:
        pipe = copy.deepcopy(family.make())
        enable_cache(pipe.transformer, Cache(first_block=threshold))
        model: Any = wrap_pipeline(pipe)
        model.info = plain_model.info
        counted = whole_passes(model)
        return panorama(model, jitter=jitter), panorama(model, jitter=jitter), len(counted)

    first, second, whole = cached(1e-9)
    assert first.equal(plain)
    assert second.equal(plain), "nothing is left from one run to the next"
    first, second, passes = cached(10)
    assert first.equal(second)
    assert apart(first, plain) > 1e-4
    # Of three steps, the first; and views that have moved are new.
    assert passes > whole // 3 if jitter else 3 * passes == whole


def test_a_cache_tells_views_of_one_place_apart_that_hear_two_prompts(family: Case) -> None:
    if family.kind != "qwen-image":
        pytest.skip("one family shows what is kept of such views")
    boxes = {name: Box(box=(0, 0, 1, 1), prompt=f"a {name}") for name in ("boat", "hill")}
    pipe = copy.deepcopy(family.make())
    enable_cache(pipe.transformer, Cache(first_block=10))
    model: Any = wrap_pipeline(pipe)
    model.info = model_of(family, (64, 64)).info
    counted = whole_passes(model)
    panorama(model, steps=2, more=[Regions(boxes=boxes)])
    cached = len(counted)
    pipe.transformer.disable_cache()
    panorama(model, steps=2, more=[Regions(boxes=boxes)])
    # The first of two steps.
    assert 2 * cached == len(counted) - cached > 0
