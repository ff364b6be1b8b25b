"""A prompt's tokens: which letters each covers, its weight, and the chunk that it goes into. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from fusionkit.errors import ModelError
from fusionkit.loop.model import TextToken
from fusionkit.models.silence import quiet_loading
from fusionkit.recipe.prompt_syntax import Parsed, parse

# What a tokenizer that does not know its encoder's length says is larger than that.
_ANY = 1_000_000
_CLIP = 77
# SentencePiece's mark of a space, and its pieces of one byte.
_SPACE, _BYTE = "\u2581", re.compile("<0x([0-9A-F]{2})>")

MOST_CHUNKS = 64
"""Chunks of the longest prompt that is encoded."""


@dataclass(frozen=True)
class Token:
    """One token of a prompt.

    Args:
        id: Its number in the vocabulary.
        start: Its first letter in the prompt's words.
        end: The letter after its last.
        weight: What its embedding is multiplied by.
        word: Number of the piece that the tokenizer took as a word.
    """

    id: int
    start: int
    end: int
    weight: float
    word: int


@dataclass(frozen=True)
class Frame:
    """How a tokenizer frames a chunk.

    Args:
        length: Tokens of a chunk altogether; 77 for CLIP.
        before: Tokens before the words, such as CLIP's start.
        after: Tokens after them, such as its end.
        pad: What fills the rest.
    """

    length: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    pad: int

    @property
    def room(self) -> int:
        """Tokens of words that a chunk has room for; 75 for CLIP."""
        return self.length - len(self.before) - len(self.after)

    def ids(self, tokens: Sequence[Token]) -> list[int]:
        """A chunk's tokens with all that frames them."""
        framed = [*self.before, *(token.id for token in tokens), *self.after]
        return framed + [self.pad] * (self.length - len(framed))


def frame_of(tokenizer: Any, positions: int | None = None) -> Frame:
    """How a tokenizer frames what an encoder of so many positions reads; None is as many as the tokenizer says."""
    bare, framed = _ids(tokenizer, "a", False), _ids(tokenizer, "a", True)
    begin = next((n for n in range(len(framed)) if framed[n : n + len(bare)] == bare), 0)
    end = begin + len(bare)
    pad = getattr(tokenizer, "pad_token_id", None)
    length = int(tokenizer.model_max_length) if tokenizer.model_max_length <= _ANY else positions or _CLIP
    length = min(length, positions or length)
    after = tuple(framed[end:])
    return Frame(length, tuple(framed[:begin]), after, pad if pad is not None else (after or (0,))[-1])


def chunks_of(
    prompt: Parsed | str, tokenizer: Any, frame: Frame, convert: Callable[[str], str] = str
) -> list[list[Token]]:
    """A prompt's tokens, in the chunks that are encoded one by one; at least one, which is empty for an empty prompt.

    Words are kept whole, as far as a chunk has room for them. `BREAK` begins a chunk.

    Args:
        prompt: The prompt.
        tokenizer: One of transformers.
        frame: How it frames a chunk.
        convert: What the pipeline does to a prompt before it is tokenized (textual inversion).

    Raises:
        ModelError: The prompt is too long.
    """
    parsed = parse(prompt) if isinstance(prompt, str) else prompt
    chunks: list[list[Token]] = [[]]
    breaks = list(parsed.breaks)
    for word in _words(tokens_of(parsed, tokenizer, convert)):
        broken = False
        while breaks and word[0].start >= breaks[0]:
            breaks.pop(0)
            broken = True
        if chunks[-1] and (broken or (len(word) <= frame.room < len(chunks[-1]) + len(word))):
            chunks.append([])
        for token in word:
            if len(chunks[-1]) == frame.room:
                chunks.append([])
            chunks[-1].append(token)
    if len(chunks) > MOST_CHUNKS:
        raise ModelError(
            f"the prompt '{parsed.source[:30]}...' needs {len(chunks)} chunks of {frame.room} tokens, and at most "
            f"{MOST_CHUNKS} are encoded; make it shorter"
        )
    return chunks


def tokens_of(parsed: Parsed, tokenizer: Any, convert: Callable[[str], str] = str) -> list[Token]:
    """The tokens of a prompt's words, with the letters that each covers."""
    with quiet_loading():  # transformers warns of lengths that chunks are for
        text, letters = _converted(parsed.text, convert)
        located = _located(tokenizer, text)
    found = []
    for number, (id_, start, end) in enumerate(located):
        inner = letters[start:end] or letters[start : start + 1] or [(len(parsed.text), len(parsed.text))]
        first, last = inner[0][0], inner[-1][1]
        weight = parsed.weights[first] if first < len(parsed.weights) else 1.0
        found.append(Token(id_[0], first, last, weight, id_[1] if id_[1] is not None else number))
    return found


def text_tokens(
    prompt: str, tokenizer: Any, convert: Callable[[str], str] = str, length: int | None = None
) -> list[TextToken]:
    """A prompt's tokens with their places in the encoder's input, chunk after chunk.

    Args:
        prompt: The prompt.
        tokenizer: The (first) tokenizer of the model.
        convert: What the pipeline does to a prompt before it is tokenized (textual inversion).
        length: How many tokens the encoder reads at once; None is what the tokenizer says.
    """
    frame = frame_of(tokenizer, length)
    return [
        _told(tokenizer, chunk * frame.length + len(frame.before) + number, token)
        for chunk, tokens in enumerate(chunks_of(parse(prompt), tokenizer, frame, convert))
        for number, token in enumerate(tokens)
    ]


def tokens_in(
    template: str, prompt: str, tokenizer: Any, cut: int, length: int, mend: Callable[[str], str] = str
) -> list[TextToken]:
    """The tokens of a prompt in a template that are encoded as one piece.

    Args:
        template: With {} where the prompt goes.
        prompt: The prompt.
        tokenizer: One of transformers.
        cut: How many tokens in front are left out of the encoder's answer.
        length: Tokens of that answer; what is beyond them is left out.
        mend: What the pipeline makes of the prompt's words first.
    """
    parsed = parse(prompt)
    text = mend(parsed.text)
    letters = _aligned(text, parsed.text)
    before, _, after = template.partition("{}")
    frame = frame_of(tokenizer)
    with quiet_loading():
        located = _located(tokenizer, before + text + after)
    begin = len(frame.before) - cut
    if getattr(tokenizer, "padding_side", "right") == "left":
        # What fills the text up to its length comes first.
        begin += max(0, length - (begin + len(located) + len(frame.after)))
    found = []
    for number, ((id_, word), start, end) in enumerate(located):
        inner = letters[max(0, start - len(before)) : max(0, end - len(before))]
        if inner and 0 <= begin + number < length:
            first, last = inner[0], inner[-1] + 1
            token = Token(id_, first, last, parsed.weights[first], number if word is None else word)
            found.append(_told(tokenizer, begin + number, token))
    return found


def _aligned(made: str, text: str) -> list[int]:
    """For each letter of what was made of a text, the letter of the text that it is, or that it is nearest to."""
    if made == text or not text:
        return list(range(len(made)))
    ours, theirs = ([letter.lower() for letter in each] for each in (made, text))
    alike = SequenceMatcher(a=ours, b=theirs, autojunk=False).get_matching_blocks()
    places: list[int] = []
    at = 0
    for begin, place, size in alike:
        places += [min(at, len(text) - 1)] * (begin - len(places))
        places += range(place, place + size)
        at = place + size
    return places[: len(made)]


def _told(tokenizer: Any, place: int, token: Token) -> TextToken:
    return TextToken(place, token.start, token.end, tokenizer.decode([token.id]).strip(), token.weight)


def _located(tokenizer: Any, text: str) -> list[tuple[tuple[int, int | None], int, int]]:
    """Each token's number and word, and where in the text it is."""
    if getattr(tokenizer, "is_fast", False):
        read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        pieces = zip(read.input_ids, read.word_ids(), read.offset_mapping, strict=True)
        return [((id_, word), start, end) for id_, word, (start, end) in pieces]
    # Those written in Python do not tell.
    ids, spans = _ids(tokenizer, text, False), _pieces(tokenizer, text)
    if spans is not None and len(spans) == len(ids):
        return [((id_, word), start, end) for id_, (word, start, end) in zip(ids, spans, strict=True)]
    # What stands between spaces is taken as one.
    located: list[tuple[tuple[int, int | None], int, int]] = []
    at = 0
    for number, word in enumerate(text.split()):
        start = text.index(word, at)
        at = start + len(word)
        located += [((id_, number), start, at) for id_ in _ids(tokenizer, word, False)]
    if [id_ for (id_, _), _, _ in located] == ids:
        return located
    return [((id_, number), 0, len(text)) for number, id_ in enumerate(ids)]


def _pieces(tokenizer: Any, text: str) -> list[tuple[int, int, int]] | None:
    """The word, begin and end of each of SentencePiece's pieces; None where they do not spell the text.

    A piece that begins a word has a mark in place of the space before it, and so has the first one, which may have
    none. What is in no piece comes as bytes, each of which stands for its whole letter.
    """
    spans: list[tuple[int, int, int]] = []
    at, word, raw = 0, 0, b""
    for number, piece in enumerate(tokenizer.tokenize(text)):
        if found := _BYTE.fullmatch(piece):
            raw += bytes.fromhex(found[1])
            spans.append((word, at, at + 1))
            if text[at : at + 1].encode() == raw:
                at, raw = at + 1, b""
            continue
        letters = piece.replace(_SPACE, " ")
        word += piece.startswith(_SPACE)
        if number == 0 and not text.startswith(" "):
            letters = letters.removeprefix(" ")
        if raw or not text.startswith(letters, at):
            return None
        spans.append((word, at + len(letters) - len(letters.lstrip()), at + len(letters)))
        at += len(letters)
    return spans if at == len(text) and not raw else None


def _converted(text: str, convert: Callable[[str], str]) -> tuple[str, list[tuple[int, int]]]:
    """A text as the pipeline changes it, and for each of its letters those of the text that it stands for."""
    if convert(text) == text:
        return text, [(index, index + 1) for index in range(len(text))]
    made, letters, at = [], [], 0
    for word in text.split():
        start = text.index(word, at)
        letters += [(index, index + 1) for index in range(at, start)]
        made.append(text[at:start])
        at = start + len(word)
        changed = convert(word)
        same = changed == word
        letters += [(start + n, start + n + 1) if same else (start, at) for n in range(len(changed))]
        made.append(changed)
    return "".join(made), letters


def _words(tokens: Sequence[Token]) -> list[list[Token]]:
    words: list[list[Token]] = []
    for token in tokens:
        if words and words[-1][-1].word == token.word:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _ids(tokenizer: Any, text: str, framed: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=framed, verbose=False).input_ids)
