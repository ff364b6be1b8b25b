"""What of a prompt is words and what is syntax: weights, `BREAK`, escapes; and what only web UIs know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

LONGEST = 20_000
"""Letters of the longest prompt."""
HEAVIEST = 10.0
"""The largest weight of words, either way."""

_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*")
_BREAK = re.compile(r"(?<![\w\\])BREAK(?!\w)")
_ESCAPED = "()[]"
_EXTRA = re.compile(r"<(lora|lyco|hypernet|embedding):([^<>:]{1,100})(?::([^<>]{0,100}))?>", re.IGNORECASE)
_AND = re.compile(r"(?<=\s)AND(?=\s)")
_CHOICE = re.compile(r"\{[^{}]{0,200}\|[^{}]{0,200}\}")
_WILDCARD = re.compile(r"(?<!\w)__\w[\w/-]{0,100}__(?!\w)")


@dataclass(frozen=True)
class Parsed:
    """A prompt's words, and what its syntax says of them.

    Args:
        source: The prompt as written.
        text: Its words, without the syntax.
        places: For each character of the text, its place in the source.
        weights: For each character of the text, its weight.
        breaks: Places in the text at which a new chunk begins.
        loose: Pairs of brackets in the source that are taken as written: where they open and end.
    """

    source: str
    text: str
    places: tuple[int, ...]
    weights: tuple[float, ...]
    breaks: tuple[int, ...]
    loose: tuple[tuple[int, int], ...]

    @property
    def weighted(self) -> bool:
        """Whether some words have another weight than 1."""
        return any(weight != 1 for weight in self.weights)


@lru_cache(maxsize=256)
def parse(source: str) -> Parsed:
    """A prompt's words with their weights.

    `(words:1.3)` gives words a weight, also nested, where weights multiply; a bracket after a backslash is a bracket;
    `BREAK`, in capitals and by itself, begins a new chunk. All else is taken as written, plain brackets as well.
    """
    groups, loose, escapes = _groups(source)
    text: list[str] = []
    places: list[int] = []
    weights: list[float] = []
    breaks: list[int] = []
    product, index = [1.0], 0
    words = {found.start() for found in _BREAK.finditer(source)}
    while index < len(source):
        if index in groups:  # where a weighted group opens, and after its words, where it closes
            colon, weight, close = groups[index]
            if index == colon:
                product.pop()
                index = close + 1
            else:
                product.append(product[-1] * weight)
                index += 1
        elif index in words:
            breaks.append(len(text))
            index += len("BREAK")
        elif index in escapes:
            index += 1
            _keep(source, index, product[-1], text, places, weights)
            index += 1
        else:
            _keep(source, index, product[-1], text, places, weights)
            index += 1
    return Parsed(source, "".join(text), tuple(places), tuple(weights), tuple(breaks), tuple(loose))


def words_alone(prompt: str) -> str:
    """A prompt's words without any syntax, as those want them who compare a picture with what was asked for."""
    return parse(prompt).text if _has_syntax(prompt) else prompt


def prompt_problems(prompt: str) -> list[str]:
    """What makes a prompt impossible, in lines that read on from the option's name; none for most."""
    if len(prompt) > LONGEST:
        return [f"has {len(prompt):,} letters; at most {LONGEST:,} are encoded"]
    problems = [_belongs(found) for found in _EXTRA.finditer(prompt)]
    if _has_syntax(prompt):
        parsed = parse(prompt)
        heavy = [index for index, weight in enumerate(parsed.weights) if abs(weight) > HEAVIEST]
        if heavy:
            word = prompt[parsed.places[heavy[0]] :][:20].split(")")[0]
            problems.append(
                f"has the weight {parsed.weights[heavy[0]]:g} at '{word}'; a weight is between -{HEAVIEST:g} and "
                f"{HEAVIEST:g}, and brackets that are meant as such are written \\( and \\)"
            )
    return problems


def prompt_notes(prompt: str) -> list[str]:
    """One line for each piece of a prompt that has a meaning in web UIs only and is taken as written; none for most."""
    notes: list[str] = []
    if _has_syntax(prompt):
        inside = 0
        for start, end in parse(prompt).loose:
            if start >= inside:
                notes += _of_brackets(_short(prompt[start:end]))
                inside = end
    # Where all is in capitals, the word is one of them.
    mixed = prompt != prompt.upper()
    if mixed and _AND.search(prompt):
        notes.append(_taken("AND", "web UIs draw two prompts at once by it, which is not done here"))
    notes += [
        _taken(_short(found[0]), "for one picture of each, give several prompts in a list: prompt: [..., ...]")
        for pattern in (_CHOICE, _WILDCARD)
        for found in pattern.finditer(prompt)
    ]
    return list(dict.fromkeys(notes))[:5]


def weighted_parts(prompt: str) -> list[tuple[str, float]]:
    """The words of a prompt that have another weight than 1, with it, in their order."""
    parts: list[tuple[str, float]] = []
    parsed = parse(prompt)
    last = 1.0
    for letter, weight in zip(parsed.text, parsed.weights, strict=True):
        if weight != 1:
            if weight == last:
                parts[-1] = parts[-1][0] + letter, weight
            else:
                parts.append((letter, weight))
        last = weight
    return [(text.strip(), weight) for text, weight in parts if text.strip()]


def escaped(text: str) -> str:
    """A text whose brackets are brackets, whatever stands beside them."""
    return re.sub(r"([()\[\]])", r"\\\1", text)


def _has_syntax(prompt: str) -> bool:
    return any(mark in prompt for mark in ("(", "[", "\\", "BREAK", ")", "]"))


def _keep(source: str, index: int, weight: float, text: list[str], places: list[int], weights: list[float]) -> None:
    text.append(source[index])
    places.append(index)
    weights.append(weight)


def _groups(source: str) -> tuple[dict[int, tuple[int, float, int]], list[tuple[int, int]], set[int]]:
    """Weighted groups by where they open, and again by their colon; other brackets; and escapes."""
    groups: dict[int, tuple[int, float, int]] = {}
    loose: list[tuple[int, int]] = []
    escapes: set[int] = set()
    stack: list[tuple[str, int]] = []
    colons: list[int] = [-1]  # the last one, at each depth
    index = 0
    while index < len(source):
        letter = source[index]
        if letter == "\\" and source[index + 1 : index + 2] in tuple(_ESCAPED):
            escapes.add(index)
            index += 1
        elif letter in "([":
            stack.append((letter, index))
            colons.append(-1)
        elif letter == ":":
            colons[-1] = index
        elif letter in ")]" and stack and stack[-1][0] == ("(" if letter == ")" else "["):
            _, start = stack.pop()
            colon = colons.pop()
            if letter == ")" and _is_weight(source, start, colon, index):
                weight = float(source[colon + 1 : index])
                groups[start] = groups[colon] = (colon, weight, index)
            else:
                loose.append((start, index + 1))
        index += 1
    loose += [(start, len(source)) for kind, start in stack if kind == "(" and _unclosed(source, start)]
    return groups, sorted(loose), escapes


def _is_weight(source: str, start: int, colon: int, end: int) -> bool:
    """Whether what stands between brackets is words, a colon and a number."""
    if colon < 0 or end - colon > 40 or not _NUMBER.fullmatch(source[colon + 1 : end]):
        return False
    # "(16:9)" and ":-)" are no words. Letters, and signs such as emoji, are.
    return any(letter.isalpha() or ord(letter) > 0x2000 for letter in source[start + 1 : colon])


def _unclosed(source: str, start: int) -> bool:
    return re.match(r"\([^()\[\]]{1,200}:\s*\d", source[start : start + 220]) is not None


def _of_brackets(piece: str) -> Iterator[str]:
    inner = piece[1:-1]
    if not any(letter.isalpha() for letter in inner):
        return
    if piece[0] == "[" and re.search(r"[:|]", inner):
        yield _taken(piece, "web UIs change the prompt between steps by it, which is not done here")
    elif piece[0] == "(" and re.search(r":\s*\d", piece) and not piece.endswith(")"):
        yield _taken(piece, "its bracket is not closed; a weight is written (word:1.3)")
    else:
        like = "(word:1.1)" if piece[0] == "(" else "(word:0.9)"
        yield _taken(piece, f"such brackets are a weight in web UIs, which is written {like} here; \\( is a bracket")


def _taken(piece: str, why: str) -> str:
    return f"'{piece}' is taken as written: {why}"


def _short(piece: str) -> str:
    piece = " ".join(piece.split())
    return piece if len(piece) <= 40 else f"{piece[:30]}...{piece[-7:]}"


def _belongs(found: re.Match[str]) -> str:
    kind, name, rest = found[1].lower(), found[2].strip(), (found[3] or "").partition(":")[0].strip()
    if kind in ("lora", "lyco"):
        scale = rest if _NUMBER.fullmatch(rest) else "1"
        return (
            f"holds {found[0]!r}; a LoRA belongs to the recipe's loras: [{{path: {name}.safetensors, scale: {scale}}}]"
        )
    return f"holds {found[0]!r}, which is of web UIs and has no meaning here; leave it out"


def joined(parts: Sequence[tuple[str, float]]) -> str:
    """Words with their weights, as a prompt that gives them just these."""
    pieces = []
    for text, weight in parts:
        pieces.append(text if weight == 1 else f"({text}:{weight:.6g})")
    return "".join(pieces)
