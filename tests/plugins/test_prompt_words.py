"""The words of a prompt, and which of them a view gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusionkit_accdiffusion.words import CONNECTIVES, Choice, tokens_of, words_of

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(CHECKPOINTS / "tiny-sdxl", subfolder="tokenizer", local_files_only=True)


# Words.


def test_words_are_written_as_the_prompt_has_them_and_hold_all_their_tokens(tokenizer: Any) -> None:
    words = words_of("Astronaut on  Mars during sunset.", tokenizer)
    assert [word.text for word in words] == ["Astronaut", "on", "Mars", "during", "sunset."]
    # "during" is three tokens; the full stop, position 8, is none of its word's.
    assert [word.positions for word in words] == [(1,), (2,), (3,), (4, 5, 6), (7,)]
    assert [token.text for token in tokens_of("mars during sunset.", tokenizer)] == [
        "mars",
        "du",
        "r",
        "ing",
        "sunset",
        ".",
    ]


@pytest.mark.parametrize(
    ("prompt", "heads"),
    [
        ("a cat and the red dog", ["cat", "cat", "and", "red", "red", "dog"]),
        ("the the cat", ["cat", "cat", "cat"]),
        ("cat - a dog", ["cat", "cat", "dog", "dog"]),
        (", cat", ["cat", "cat"]),
        ("cat a", ["cat", "a"]),
        ("the", ["the"]),
    ],
)
def test_articles_go_with_the_next_word_and_lone_punctuation_with_the_one_before(
    tokenizer: Any, prompt: str, heads: list[str]
) -> None:
    words = words_of(prompt, tokenizer)
    assert [words[word.head].text for word in words] == heads


def test_words_that_the_encoder_cuts_off_have_no_tokens(tokenizer: Any) -> None:
    prompt = " ".join(["cat"] * 74 + ["during", "sunset"])
    words = words_of(prompt, tokenizer)
    assert (words[73].positions, words[74].positions, words[75].positions) == ((74,), (75,), ())
    assert len(tokens_of(prompt, tokenizer)) == 75
    shown = Choice(0.3, "prompt").prompt(prompt, words, [1.0] * 10 + [0.0] * 66)
    assert shown == " ".join(["cat"] * 10)
    assert Choice(0, "prompt").prompt(prompt, words, [0.0] * 76) == prompt


def test_a_tokenizer_that_joins_words_is_refused() -> None:
    class Joins:
        model_max_length = 77

        def __call__(self, text: str, **_: Any) -> Any:
            return type("Encoded", (), {"input_ids": [len(text)]})

        def decode(self, tokens: list[int]) -> str:
            return "x"

    with pytest.raises(ValueError, match="Joins joins words across spaces; use unit: token"):
        words_of("a cat", Joins())


# What a view gets.

PROMPT = "A photo of  a cat, on the lawn!"
SHARES = {"A": 0, "photo": 0.2, "of": 0.9, "cat,": 0.5, "on": 0.1, "lawn!": 0.31}


def chosen(tokenizer: Any, shares: dict[str, float], **options: Any) -> str:
    words = words_of(PROMPT, tokenizer)
    choice = Choice(**{"threshold": 0.3, "empty": "best", "idle": CONNECTIVES, **options})
    return choice.prompt(PROMPT, words, [shares.get(word.text, 0.0) for word in words])


def test_words_stay_in_order_and_as_written(tokenizer: Any) -> None:
    assert chosen(tokenizer, SHARES) == "of a cat, the lawn!"
    assert chosen(tokenizer, SHARES, threshold=0.31) == "of a cat, the lawn!"
    assert chosen(tokenizer, SHARES, threshold=0.32) == "of a cat,"
    assert chosen(tokenizer, SHARES, threshold=0) == PROMPT
    assert chosen(tokenizer, dict.fromkeys(SHARES, 1.0), threshold=1) == PROMPT


def test_words_to_keep_and_to_drop(tokenizer: Any) -> None:
    assert chosen(tokenizer, SHARES, keep=["Photo"]) == "A photo of a cat, the lawn!"
    assert chosen(tokenizer, SHARES, keep=["boat"]) == "of a cat, the lawn!"
    assert chosen(tokenizer, SHARES, drop=["cat"]) == "of the lawn!"
    assert chosen(tokenizer, SHARES, threshold=0, drop=["lawn"]) == "A photo of a cat, on"


@pytest.mark.parametrize(
    ("empty", "low", "none"),
    [("best", "A photo", "A photo a cat, the lawn!"), ("prompt", PROMPT, PROMPT), ("nothing", "", "")],
)
def test_a_view_without_words(tokenizer: Any, empty: str, low: str, none: str) -> None:
    assert chosen(tokenizer, {"photo": 0.2, "lawn!": 0.1}, empty=empty) == low
    # Words such as "of" say nothing alone.
    assert chosen(tokenizer, {"photo": 0.2, "of": 0.9, "on": 0.5}, empty=empty) == low
    assert chosen(tokenizer, {}, empty=empty) == none


def test_dropped_words_do_not_come_back_into_an_empty_view(tokenizer: Any) -> None:
    assert chosen(tokenizer, {}, empty="prompt", drop=["photo"]) == "of a cat, on the lawn!"
    assert chosen(tokenizer, {"photo": 0.2, "cat,": 0.1}, drop=["photo"]) == "a cat,"


def test_in_token_units_connectives_count(tokenizer: Any) -> None:
    assert chosen(tokenizer, {"of": 0.9}, empty="nothing", idle=()) == "of"
