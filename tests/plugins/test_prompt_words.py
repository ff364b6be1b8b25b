"""The words of a prompt, and which of them a view gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusionkit.loop.model import TextToken
from fusionkit.models.prompts.tokens import text_tokens
from fusionkit_accdiffusion.words import CONNECTIVES, Choice, Word, bare, spelled, tokens_of, words_of

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(CHECKPOINTS / "tiny-sdxl", subfolder="tokenizer", local_files_only=True)


def read(prompt: str, tokenizer: Any, length: int | None = None) -> list[Word]:
    return words_of(prompt, text_tokens(prompt, tokenizer, length=length))


# Words.


def test_words_are_written_as_the_prompt_has_them_and_hold_all_their_tokens(tokenizer: Any) -> None:
    words = read("Astronaut on  Mars during sunset.", tokenizer)
    assert [word.text for word in words] == ["Astronaut", "on", "Mars", "during", "sunset."]
    # "during" is three tokens; the full stop, position 8, is none of its word's.
    assert [word.positions for word in words] == [(1,), (2,), (3,), (4, 5, 6), (7,)]
    assert [token.text for token in tokens_of(text_tokens("mars during sunset.", tokenizer))] == [
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
    words = read(prompt, tokenizer)
    assert [words[word.head].text for word in words] == heads


def test_words_beyond_the_encoders_length_are_in_the_next_chunk(tokenizer: Any) -> None:
    prompt = " ".join(["cat"] * 74 + ["during", "sunset"])
    words = read(prompt, tokenizer)
    # "during" is three tokens, for which the first chunk has no room.
    assert (words[73].positions, words[74].positions, words[75].positions) == ((74,), (78, 79, 80), (81,))
    assert read(prompt, tokenizer, length=40)[38].positions == (41,)
    assert len(tokens_of(text_tokens(prompt, tokenizer))) == 78
    shown = Choice(0.3, "prompt").prompt(prompt, words, [1.0] * 10 + [0.0] * 66)
    assert shown == " ".join(["cat"] * 10)
    assert Choice(0, "prompt").prompt(prompt, words, [0.0] * 76) == prompt


def test_a_tokenizer_that_joins_words_is_refused() -> None:
    with pytest.raises(ValueError, match="the model's tokenizer joins words across spaces; use unit: token"):
        words_of("a cat", [TextToken(1, 0, 5, "a cat")])


# What a view gets.

PROMPT = "A photo of  a cat, on the lawn!"
SHARES = {"A": 0, "photo": 0.2, "of": 0.9, "cat,": 0.5, "on": 0.1, "lawn!": 0.31}


def chosen(tokenizer: Any, shares: dict[str, float], **options: Any) -> str:
    words = read(PROMPT, tokenizer)
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


# Letters are not bytes, and syntax is no word.


@pytest.mark.parametrize(
    ("prompt", "texts", "counts"),
    [
        ("붉은 고양이", ["붉은", "고양이"], [6, 9]),
        ("חתול אדום", ["חתול", "אדום"], [8, 8]),
        ("κόκκινη γάτα", ["κόκκινη", "γάτα"], [14, 8]),
        ("红猫\uff0c在山", ["红", "猫\uff0c", "在", "山"], [3, 3, 3, 3]),
        ("ネコが山に", ["ネコが", "山", "に"], [9, 3, 3]),
        ("🐱 sea", ["🐱", "sea"], [4, 1]),
        ("👩\u200d👩\u200d👧 sea", ["👩\u200d👩\u200d👧", "sea"], [12, 1]),
        ("cafe\u0301 sea", ["cafe\u0301", "sea"], [4, 1]),
        ("SUNSET, Mars!", ["SUNSET,", "Mars!"], [1, 1]),
    ],
)
def test_a_words_tokens_are_those_that_cover_its_letters(
    tokenizer: Any, prompt: str, texts: list[str], counts: list[int]
) -> None:
    words = read(prompt, tokenizer)
    assert [word.text for word in words] == texts
    assert [len(word.positions) for word in words] == counts
    places = [place for word in words for place in word.positions]
    assert places == sorted(set(places))
    # Whatever view it is: something is said.
    for low in range(len(words)):
        shares = [0.1 if number == low else 0.0 for number in range(len(words))]
        assert bare(Choice(0.3, "best").prompt(prompt, words, shares)) == words[low].bare != ""


def test_words_without_spaces_are_joined_without_them(tokenizer: Any) -> None:
    prompt = "红猫\uff0c在山 sea"
    words = read(prompt, tokenizer)
    assert Choice(0.3, "best").prompt(prompt, words, [1, 0, 0, 1, 1]) == "红山 sea"


def test_words_keep_their_weights_and_chunks(tokenizer: Any) -> None:
    prompt = r"a (red hat:1.3), (big (cat:1.5):0.5) BREAK sea \(blue\) (old)"
    words = read(prompt, tokenizer)
    assert [word.text for word in words] == ["a", "red", "hat,", "big", "cat", "sea", "(blue)", "(old)"]
    assert [word.weight for word in words] == [1, 1.3, 1.3, 0.5, 0.75, 1, 1, 1]
    assert [word.positions[0] for word in words[-3:]] == [78, 80, 83]
    assert spelled(words, range(len(words))) == r"a (red hat,:1.3) (big:0.5) (cat:0.75) BREAK sea \(blue\) \(old\)"
    assert spelled(words, [2, 4, 6]) == r"(hat,:1.3) (cat:0.75) BREAK \(blue\)"
    assert spelled(words, [3]) == "(big:0.5)"


def test_what_is_left_of_a_prompt_is_no_weight_by_accident(tokenizer: Any) -> None:
    words = read("(cat in) a ratio:3)", tokenizer)
    assert spelled(words, [0, 2, 3]) == r"\(cat a ratio:3\)"
    assert spelled(words, [0, 1]) == "(cat in)"


@pytest.mark.parametrize("prompt", ["???", "of with", "- , -"])
def test_a_prompt_without_words_that_show_something_stays_as_it_is(tokenizer: Any, prompt: str) -> None:
    words = read(prompt, tokenizer)
    assert Choice(0.3, "best", CONNECTIVES).prompt(prompt, words, [0.0] * len(words)) == prompt


def test_tokenizers_that_strip_accents_and_letters_case(tmp_path: Path) -> None:
    from transformers import BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cafe", "sea", "红", "猫", ",", "a", "##b"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    bert = BertTokenizerFast(str(tmp_path / "vocab.txt"), model_max_length=8)
    words = read("CAFÉ, sea ab 红猫", bert)
    found = [(word.text, word.positions) for word in words]
    # Three chunks of six tokens at most; "ab" is two tokens.
    assert found == [("CAFÉ,", (1,)), ("sea", (3,)), ("ab", (4, 5)), ("红", (6,)), ("猫", (9,))]
