"""Captions, windows and the tokenizer: a closed vocabulary that names only what is visible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionkit_tinyworld.captions import (
    OBJECT_VISIBLE_FROM,
    OBJECTS,
    SCENE_VISIBLE_FROM,
    SCENES,
    Landscape,
    all_landscapes,
    caption,
    vocabulary,
    window_caption,
)
from fusionkit_tinyworld.data import CLOSE_UPS, LATENT, choose_windows
from fusionkit_tinyworld.drawing import draw_seed
from fusionkit_vista.tokenizer import CONTEXT_LENGTH, build_tokenizer, token_ids

RED_SUN = Landscape("photo", "mountains", "twilight", "sun", "red")


@pytest.mark.parametrize(
    ("landscape", "whole", "text"),
    [
        (RED_SUN, True, "a landscape photo of mountains at twilight with a red sun"),
        (RED_SUN, False, "a photo of mountains at twilight with a red sun"),
        (Landscape("cartoon", "sea", "noon", "boat", "red"), False, "a cartoon of the sea at noon with a red boat"),
        (Landscape("photo", "city", "night", "moon"), True, "a landscape photo of a city at night with a moon"),
        (Landscape("photo", "desert", "noon"), True, "a landscape photo of a desert at noon"),
    ],
)
def test_captions_read_as_documented(landscape: Landscape, whole: bool, text: str) -> None:
    assert caption(landscape, whole) == text


def test_the_vocabulary_has_342_contents_and_no_impossible_ones() -> None:
    everything = list(all_landscapes())
    assert len(everything) == len(set(everything)) == 342
    assert not any(item.thing == "sun" and item.time == "night" for item in everything)
    assert not any(item.thing == "boat" and item.scene in ("desert", "forest", "mountains") for item in everything)


def captions_of(scene_share: float, object_share: float, zoom: int) -> set[str]:
    rng = np.random.default_rng(0)
    return {window_caption(RED_SUN, zoom, scene_share, object_share, rng) for _ in range(400)}


def words_of(texts: set[str]) -> set[str]:
    return {word for text in texts for word in text.split()}


@pytest.mark.parametrize("zoom", [1, 2, 4])
def test_no_caption_names_what_the_window_does_not_show(zoom: int) -> None:
    nothing = words_of(captions_of(SCENE_VISIBLE_FROM - 0.01, OBJECT_VISIBLE_FROM - 0.01, zoom))
    assert not nothing & {"mountains", "sun", "red"}
    scene_only = words_of(captions_of(SCENE_VISIBLE_FROM, 0.0, zoom))
    assert "mountains" in scene_only
    assert not scene_only & {"sky", "sun", "red"}
    object_only = words_of(captions_of(0.0, OBJECT_VISIBLE_FROM, zoom))
    assert {"sun", "red", "sky"} <= object_only
    assert "mountains" not in object_only


def test_only_whole_pictures_are_called_landscapes() -> None:
    assert "landscape" in words_of(captions_of(1.0, 1.0, 1))
    assert "landscape" not in words_of(captions_of(1.0, 1.0, 2) | captions_of(1.0, 1.0, 4))
    assert "mountains at twilight with a red sun" in captions_of(1.0, 1.0, 1)
    assert "a photo of mountains with a red sun" in captions_of(1.0, 1.0, 2)


def test_captions_of_drawn_windows_name_the_object_only_where_it_is() -> None:
    named = unnamed = 0
    for index in range(60):
        drawing, rng = draw_seed((5, 0, index))
        windows = choose_windows(drawing, rng, CLOSE_UPS)
        assert [window.zoom for window in windows] == [1] + [2] * CLOSE_UPS + [4] * CLOSE_UPS
        for window in windows:
            side, step = 256 // window.zoom, 256 // (LATENT * window.zoom)
            rows = slice(window.row * step, window.row * step + side)
            columns = slice(window.column * step, window.column * step + side)
            share = drawing.object_mask[rows, columns].sum() / max(1, drawing.object_mask.sum())
            mentioned = set(window.caption.split()) & set(OBJECTS)
            assert mentioned == ({drawing.landscape.thing} if share >= OBJECT_VISIBLE_FROM else set())
            named += bool(mentioned)
            unnamed += not mentioned
            scenes = set(window.caption.split()) & set(SCENES)
            visible = (drawing.scene_mask | drawing.object_mask)[rows, columns].mean() >= SCENE_VISIBLE_FROM
            assert visible or not scenes
    assert named > 50
    assert unnamed > 50


def test_every_word_is_one_token_and_the_longest_caption_fits(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(vocabulary(), tmp_path)
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    seen = set()
    for word in vocabulary():
        first, token, *rest = token_ids(tokenizer, [word])[0]
        assert (first, set(rest)) == (start, {end})
        seen.add(token)
    assert len(seen) == len(vocabulary())
    longest = max((caption(item) for item in all_landscapes()), key=lambda text: len(text.split()))
    ids = token_ids(tokenizer, [longest])[0]
    assert len(ids) == CONTEXT_LENGTH
    assert ids.index(end) == len(longest.split()) + 1
