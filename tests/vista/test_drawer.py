from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusionkit_vista.drawer import (
    EXTRA_STYLES,
    STYLES,
    THINGS,
    Spec,
    boxes,
    draw,
    labels,
    sample_spec,
    things_of,
    weathers_of,
)
from fusionkit_vista.drawer.words import SCENES, TIMES

pytest.importorskip("skia", reason="drawing needs skia-python: pip install 'fusionkit[vista]'")


def sampled(*seed: int, **fixed: object) -> Spec:
    return sample_spec(np.random.default_rng(seed), **fixed)  # type: ignore[arg-type]


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(int) - b.astype(int)).max(axis=2)


@pytest.mark.parametrize("style", STYLES + EXTRA_STYLES)
def test_the_same_spec_gives_the_same_picture_and_another_seed_another(style: str) -> None:
    spec = sampled(1, style=style, scene="a mountain lake")
    picture = draw(spec)
    assert picture.shape == (128, 128, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, draw(spec))
    assert (difference(picture, draw(replace(spec, seed=spec.seed + 1))) > 8).mean() > 0.1


@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_differs_by_time_and_by_style(scene: str) -> None:
    pictures = {
        (style, time): draw(Spec(scene, time, "in clear weather", style, (), 5), size=(48, 48))
        for style in STYLES
        for time in TIMES
    }
    keys = list(pictures)
    for i, a in enumerate(keys):
        for b in keys[:i]:
            assert difference(pictures[a], pictures[b]).mean() > 6, (a, b)


@pytest.mark.parametrize("weather", ["under clouds", "in mist", "in snowfall", "in rain under a rainbow"])
@pytest.mark.parametrize("style", STYLES)
def test_every_weather_is_seen(weather: str, style: str) -> None:
    clear = Spec("mountains", "at noon", "in clear weather", style, (), 5)
    changed = difference(draw(clear), draw(replace(clear, weather=weather)))
    assert (changed > 12).mean() > 0.1


@pytest.mark.parametrize("name", THINGS)
@pytest.mark.parametrize("style", STYLES + EXTRA_STYLES)
def test_a_thing_is_seen_in_its_box_and_is_large(name: str, style: str) -> None:
    spec = sampled(2, thing=name, style=style, number=1)
    box = boxes(spec)[0]
    left, top, right, bottom = (round(v) for v in box)
    assert max(box[2] - box[0], box[3] - box[1]) >= 25
    assert left >= 0
    assert right <= 128
    assert top >= 0
    assert bottom <= 128
    bare = replace(spec, things=())
    changed = difference(draw(spec), draw(bare)) > 12
    assert changed[top:bottom, left:right].mean() > 0.3


@pytest.mark.parametrize("number", [2, 3])
def test_several_things_stand_apart(number: int) -> None:
    spec = sampled(3, thing="balloon", number=number)
    assert labels(spec)["number"] == number == len(spec.things)
    found = boxes(spec)
    for i, a in enumerate(found):
        for b in found[:i]:
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("style", STYLES + EXTRA_STYLES)
def test_a_window_of_a_wide_drawing_is_the_drawing_of_that_window(scene: str, style: str) -> None:
    spec = sampled(4, scene=scene, style=style, width=4.0)
    wide, margin = draw(spec, size=(512, 128)), 16
    window = draw(spec, view=(1.5, 0.0, 1.0), size=(128, 128), margin=margin)
    cut = wide[:, 192 - margin : 320 + margin]
    assert window.shape == (160, 160, 3)
    assert difference(window[margin:-margin], cut).mean() < 0.5


@pytest.mark.parametrize("style", STYLES)
def test_the_margin_goes_on_where_the_picture_ends(style: str) -> None:
    for seed in range(6):
        spec = sampled(5, seed, style=style)
        picture = draw(spec, margin=16).astype(float)
        across = np.abs(np.diff(picture, axis=1)).mean(axis=(0, 2))
        assert across[[15, 143]].max() < 4 * across.mean() + 1


@pytest.mark.parametrize("zoom", [2, 4])
def test_a_close_up_shows_the_same_drawing_larger(zoom: int) -> None:
    spec = sampled(6, scene="the sea", thing="sailboat")
    x, y = 0.25, 0.45
    near = draw(spec, view=(x, y, zoom), size=(128, 128)).astype(float)
    whole = draw(spec, size=(512, 512))[round(y * 512) :, round(x * 512) :][: 512 // zoom, : 512 // zoom].astype(float)
    step = zoom * len(whole) // 128 // zoom
    small = whole.reshape(128, step, 128, step, 3).mean(axis=(1, 3)) if step > 1 else whole
    assert np.abs(near - small).mean() < 4


def test_a_sampled_spec_holds_together() -> None:
    counts = {True: 0, False: 0}
    for seed in range(300):
        spec = sampled(7, seed)
        counts[bool(spec.things)] += 1
        assert spec.weather in weathers_of(spec.scene, spec.time)
        assert all(t.name in things_of(spec.scene, spec.time, spec.weather) for t in spec.things)
        assert len(spec.things) <= (THINGS[spec.things[0].name].most if spec.things else 0)
        assert all(b[0] >= 0 and b[2] <= 1 and b[1] >= 0 and b[3] <= 1 for b in (t.box for t in spec.things))
    assert 0.68 < counts[True] / 300 < 0.82


def test_extras_are_drawn_only_where_they_are_asked_for() -> None:
    specs = [sampled(9, seed) for seed in range(300)]
    assert {spec.style for spec in specs} == set(STYLES)
    assert {spec.thing for spec in specs} == {None, *(name for name, kind in THINGS.items() if not kind.extra)}
    asked = sampled(9, style="watercolour", thing="dragon")
    assert (asked.style, asked.thing) == ("watercolour", "dragon")


def test_parts_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="'a city' and 'whale' don't go together"):
        sampled(8, scene="a city", thing="whale")
    with pytest.raises(ValueError, match="a picture holds at most 2 of 'whale', not 3"):
        sampled(8, thing="whale", number=3)
    with pytest.raises(ValueError, match="no room for 3 sailboats"):
        sampled(8, thing="sailboat", number=3, width=0.4)
