"""Words of a prompt, with the text tokens that each is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

ARTICLES = frozenset({"a", "an", "the"})
_CONNECTIVES = (
    "about above across after against along among and around as at before behind below beneath beside between beyond "
    "but by down during for from in inside into near next of off on onto or out outside over past through to toward "
    "towards under until up upon with within without"
)
CONNECTIVES = frozenset(_CONNECTIVES.split())
"""Words that show nothing by themselves: a view that has these alone counts as one in which no word passes."""


@dataclass(frozen=True)
class Word:
    """A word as the prompt has it.

    Args:
        text: As written, with its punctuation.
        positions: Places of its tokens in the text encoder's input, those of punctuation left out; empty for a word of
            punctuation alone, and for words that the encoder cuts off.
        head: Number of the word whose fate it shares; its own but for articles and lone punctuation.
    """

    text: str
    positions: tuple[int, ...]
    head: int

    @property
    def bare(self) -> str:
        """The word in small letters, without the punctuation around it."""
        return bare(self.text)


def bare(text: str) -> str:
    """A text in small letters, without what is no letter or digit at its ends."""
    kept = [index for index, character in enumerate(text) if character.isalnum()]
    return text[kept[0] : kept[-1] + 1].casefold() if kept else ""


def words_of(prompt: str, tokenizer: Any, convert: Callable[[str], str] = str) -> list[Word]:
    """What stands between spaces, each with its tokens; articles go with the next word that is none.

    Args:
        prompt: The prompt.
        tokenizer: The (first) tokenizer of the model.
        convert: What the pipeline does to a prompt before it is tokenized (textual inversion).

    Raises:
        ValueError: The tokenizer joins words across spaces, so that tokens can't be told apart by word.
    """
    words: list[Word] = []
    ids: list[int] = []
    for text in prompt.split():
        tokens = _ids(tokenizer, convert(text))
        places = range(len(ids) + 1, len(ids) + 1 + len(tokens))  # position 0 is the start token
        ids += tokens
        lettered = [place for place, token in zip(places, tokens, strict=True) if bare(tokenizer.decode([token]))]
        positions = tuple(place for place in lettered if place < tokenizer.model_max_length - 1)
        words.append(Word(text, positions, len(words)))
    if ids != _ids(tokenizer, convert(prompt)):
        raise ValueError(f"the tokenizer {type(tokenizer).__name__} joins words across spaces; use unit: token")
    return [replace(word, head=_head(words, number)) for number, word in enumerate(words)]


def tokens_of(prompt: str, tokenizer: Any, convert: Callable[[str], str] = str) -> list[Word]:
    """Each token as a word of its own, as the reference code has it."""
    ids = _ids(tokenizer, convert(prompt))[: tokenizer.model_max_length - 2]
    return [Word(tokenizer.decode([token]).strip(), (place + 1,), place) for place, token in enumerate(ids)]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)


def _head(words: Sequence[Word], number: int) -> int:
    """The word that decides: of an article the next one, of punctuation that stands alone the one before it."""
    content = [index for index, word in enumerate(words) if word.bare and word.bare not in ARTICLES]
    if number in content or not content:
        return number
    if words[number].bare:
        return next((index for index in content if index > number), number)
    return next((index for index in reversed(content) if index < number), content[0])


@dataclass(frozen=True)
class Choice:
    """Which words a view's prompt has.

    Args:
        threshold: The share of the view that a word's mask must cover, 0..1.
        empty: "prompt", "nothing" or "best": what a view gets where no word passes.
        idle: Words that do not count there, such as `CONNECTIVES`.
        keep: Words, without punctuation, that always pass.
        drop: Words that never do.
    """

    threshold: float
    empty: str
    idle: Collection[str] = ()
    keep: Collection[str] = ()
    drop: Collection[str] = ()

    def prompt(self, prompt: str, words: Sequence[Word], shares: Sequence[float]) -> str:
        """The prompt of a view, from the share of it that each word's mask covers.

        The words stand as written and in the prompt's order; where none is missing it is the prompt itself.
        """
        keep, drop = {bare(word) for word in self.keep}, {bare(word) for word in self.drop}
        allowed = [number for number, word in enumerate(words) if word.bare not in drop or not word.bare]
        judged = [number for number in allowed if words[number].head == number]
        passing = [
            number
            for number in judged
            if words[number].bare in keep
            or self.threshold == 0
            or (words[number].positions and shares[number] >= self.threshold)
        ]
        if all(words[number].bare in self.idle for number in passing):
            passing = self._instead(words, shares, judged)
        chosen = set(passing)
        # A dropped noun takes its article along, since its number is in no choice.
        kept = [number for number in allowed if words[number].head in chosen]
        return prompt if len(kept) == len(words) else " ".join(words[number].text for number in kept)

    def _instead(self, words: Sequence[Word], shares: Sequence[float], judged: Iterable[int]) -> list[int]:
        if self.empty == "prompt":
            return list(judged)
        known = [number for number in judged if words[number].positions and words[number].bare not in self.idle]
        if self.empty == "nothing" or not known:
            return []
        best = max(shares[number] for number in known)
        return [number for number in known if shares[number] == best]
