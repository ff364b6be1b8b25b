from __future__ import annotations

import numpy as np
import pytest

from fusionkit_vista.drawer import Spec, Thing, caption, labels, parse, sample_spec, visible, vocabulary, window_caption

BOAT = Thing("sailboat", 0.3, 0.8, 0.2)
SPEC = Spec("the sea", "at dawn", "in mist", "poster", (BOAT, Thing("sailboat", 0.7, 0.75, 0.18)))


def test_a_caption_says_all() -> None:
    assert caption(SPEC) == "a landscape poster of the sea at dawn in mist with two sailboats"
    bare = Spec("a forest", "under northern lights", "in clear weather", "woodcut")
    assert caption(bare, whole=False) == "a woodcut of a forest under northern lights in clear weather"


def test_what_a_caption_says_is_what_is_drawn_from_it() -> None:
    for seed in range(300):
        spec = sample_spec(np.random.default_rng((1, seed)))
        asked = parse(caption(spec))
        again = sample_spec(np.random.default_rng((2, seed)), **asked)
        assert labels(again) == labels(spec)


def test_all_captions_are_of_the_vocabulary_and_fit_the_context() -> None:
    known = set(vocabulary())
    assert len(known) < 64
    longest = 0
    for seed in range(2000):
        rng = np.random.default_rng((3, seed))
        spec = sample_spec(rng)
        span = float(rng.choice([1, 0.5, 0.25]))
        x, y = rng.uniform(0, 1 - span, 2)
        for text in (caption(spec), window_caption(spec, (x, y, x + span, y + span), rng)):
            assert set(text.split()) <= known, text
            assert text
            longest = max(longest, len(text.split()))
    assert longest <= 18


def test_a_window_says_what_it_shows() -> None:
    texts = {window_caption(SPEC, (0.0, 0.0, 0.5, 0.5), np.random.default_rng(seed)) for seed in range(40)}
    assert "a poster of the sky at dawn in mist" in texts
    assert not any("sea" in text or "sailboat" in text or "landscape" in text for text in texts)
    around = (0.1, 0.45, 0.6, 0.95)
    assert visible(SPEC, around) == (BOAT,)
    texts = {window_caption(SPEC, around, np.random.default_rng(seed)) for seed in range(40)}
    assert "a poster of the sea at dawn in mist with a sailboat" in texts
    assert not any("two" in text for text in texts)


def test_captions_leave_out_parts_now_and_then() -> None:
    whole = (0.0, 0.0, 1.0, 1.0)
    texts = [window_caption(SPEC, whole, np.random.default_rng(seed)) for seed in range(1000)]
    for part, share in (
        ("landscape", 0.55),
        ("poster", 0.95),
        ("at dawn", 0.91),
        ("in mist", 0.84),
        ("sailboats", 1.0),
    ):
        assert abs(np.mean([part in text for text in texts]) - share) < 0.05, part


def test_a_prompt_may_leave_out_any_part() -> None:
    assert parse("a poster of the sea at sunset with two sailboats") == {
        "style": "poster",
        "scene": "the sea",
        "time": "at sunset",
        "thing": "sailboat",
        "number": 2,
    }
    assert parse("a snowy forest, in rain under a rainbow") == {
        "scene": "a snowy forest",
        "weather": "in rain under a rainbow",
        "thing": "",
        "number": None,
    }
    assert parse("a whale")["thing"] == "whale"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (
            "a poster of the sea with a red unicorn",
            "vista has no word 'red'; vista has no word 'unicorn'; write such as 'a poster of the sea",
        ),
        ("with three whales", "'three whales': a picture holds 'a whale', 'two whales'"),
        ("with two sailboat", "'two sailboat': a picture holds 'a sailboat', 'two sailboats', 'three sailboats'"),
        ("a poster of the sea at noon at night", "not understood: 'at night'; a prompt has the form"),
        ("a poster", "not understood: 'a poster'"),
    ],
)
def test_a_prompt_that_is_not_understood_is_refused_in_one_line(prompt: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        parse(prompt)
    assert "\n" not in str(caught.value)
