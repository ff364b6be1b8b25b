"""Words of a prompt, with the text tokens that each is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from unicodedata import category, normalize

from fusionkit.recipe.prompt_syntax import escaped, joined, parse

if TYPE_CHECKING:
    from fusionkit.loop.model import TextToken

ARTICLES = frozenset({"a", "an", "the"})
_CONNECTIVES = (
    "about above across after against along among and around as at before behind below beneath beside between beyond "
    "but by down during for from in inside into near next of off on onto or out outside over past through to toward "
    "towards under until up upon with within without"
)
CONNECTIVES = frozenset(_CONNECTIVES.split())
"""Words that show nothing by themselves: a view that has these alone counts as one in which no word passes."""


# Scripts without spaces: an ideograph is a word of its own, and so is a run of kana; punctuation goes with them.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_PIECE = re.compile(rf"[{_HAN}][^\w\s]*|[{_KANA}]+[^\w\s]*|[^\s{_HAN}{_KANA}]+")


@dataclass(frozen=True)
class Word:
    """A word as the prompt has it.

    Args:
        text: As written, with its punctuation.
        positions: Places of its tokens in the text encoder's input, chunk after chunk, those of punctuation left out;
            empty for a word of punctuation alone.
        head: Number of the word whose fate it shares; its own but for articles and lone punctuation.
        weight: The weight that the prompt gives it.
        spaced: Whether there is a space before it.
        fresh: Whether a chunk begins with it, by `BREAK`.
    """

    text: str
    positions: tuple[int, ...]
    head: int
    weight: float = 1.0
    spaced: bool = True
    fresh: bool = False

    @property
    def bare(self) -> str:
        """The word in small letters, without the punctuation around it."""
        return bare(self.text)


def bare(text: str) -> str:
    """A text in small letters, without the punctuation at its ends."""
    text = normalize("NFC", text)
    kept = [index for index, character in enumerate(text) if _is_letter(character)]
    return text[kept[0] : kept[-1] + 1].casefold() if kept else ""


def _is_letter(character: str) -> bool:
    """Whether it shows something: letters and digits, marks on them, and pictures such as emoji."""
    return character.isalnum() or category(character) in ("Mn", "Mc", "Me", "So", "Sk")


def words_of(prompt: str, tokens: Sequence[TextToken]) -> list[Word]:
    """What stands between spaces, each with the tokens that cover its letters; articles go with the next other word.

    Ideographs, which have no spaces between them, are words one by one.

    Args:
        prompt: The prompt.
        tokens: Its tokens, as the model reads it.

    Raises:
        ValueError: The tokenizer joins words across spaces, so that tokens can't be told apart by word.
    """
    parsed = parse(prompt)
    pieces = [(found.start(), found.end()) for found in _PIECE.finditer(parsed.text)]
    positions: list[list[int]] = [[] for _ in pieces]
    first = 0
    for token in tokens:
        while first < len(pieces) and pieces[first][1] <= token.start:
            first += 1
        covered = []
        for number in range(first, len(pieces)):
            start, end = pieces[number]
            if start >= token.end:
                break
            if any(map(_is_letter, parsed.text[max(start, token.start) : min(end, token.end)])):
                positions[number].append(token.place)
                covered.append(number)
        if covered and " " in " ".join(parsed.text[pieces[covered[0]][0] : pieces[covered[-1]][1]].split()):
            raise ValueError("the model's tokenizer joins words across spaces; use unit: token")
    words, before = [], 0
    for number, ((start, end), places) in enumerate(zip(pieces, positions, strict=True)):
        spaced = number == 0 or pieces[number - 1][1] < start
        fresh = any(before < at <= start for at in parsed.breaks)
        before = start
        words.append(
            Word(
                parsed.text[start:end],
                tuple(places),
                number,
                parsed.weights[start],
                spaced or fresh,
                fresh and number > 0,
            )
        )
    return [replace(word, head=_head(words, number)) for number, word in enumerate(words)]


def tokens_of(tokens: Sequence[TextToken]) -> list[Word]:
    """Each token as a word of its own, as the reference code has it."""
    return [Word(token.text, (token.place,), number, token.weight) for number, token in enumerate(tokens)]


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

        The words stand as written, with their weights, in the prompt's order; where none is missing it is the prompt.
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
        return prompt if len(kept) == len(words) else spelled(words, kept)

    def _instead(self, words: Sequence[Word], shares: Sequence[float], judged: Iterable[int]) -> list[int]:
        if self.empty == "prompt":
            return list(judged)
        known = [number for number in judged if words[number].positions and words[number].bare not in self.idle]
        if self.empty == "nothing":
            return []
        if not known:  # punctuation alone, or words that only connect: no view is told nothing by accident
            return list(judged)
        best = max(shares[number] for number in known)
        return [number for number in known if shares[number] == best]


def spelled(words: Sequence[Word], kept: Sequence[int]) -> str:
    """Some of a prompt's words as a prompt, with the weights that they have."""
    parts = _parts(words, kept, str)
    plain = "".join(text for text, _ in parts)
    read = parse(prompt := joined(parts))
    # What is left of a prompt may look like a weight where the prompt had none.
    right = read.text == plain and not any(word.fresh for word in words)
    if right and all(weight == 1 for _, weight in parts) and not read.weighted:
        return prompt
    return joined(_parts(words, kept, escaped))


def _parts(words: Sequence[Word], kept: Sequence[int], write: Callable[[str], str]) -> list[tuple[str, float]]:
    """Texts with their weights: neighbours of one weight together."""
    parts: list[tuple[str, float]] = []
    last = -1
    for number in kept:
        word, between = words[number], words[last + 1 : number + 1]
        if last >= 0:
            gap = " BREAK " if any(each.fresh for each in between) else " " * any(each.spaced for each in between)
            if word.weight != 1 and parts[-1][1] == word.weight and gap.strip() == "":
                parts[-1] = parts[-1][0] + gap, word.weight
            else:
                parts.append((gap, 1.0))
        if parts and parts[-1][1] == word.weight:
            parts[-1] = parts[-1][0] + write(word.text), word.weight
        else:
            parts.append((write(word.text), word.weight))
        last = number
    return parts
