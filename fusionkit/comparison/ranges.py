"""Ranges as people write them: seeds `0-9,12`, values `0:1:0.1` or `16,32,48`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from itertools import chain

from fusionkit.recipe import limits
from fusionkit.recipe.problems import shown

MOST_VALUES = 1000
"""More values than this are taken for a slip of the keyboard."""

_MOST_DIGITS = 30


def parse_seeds(text: str) -> list[int]:
    """Seeds such as `0-9,12`, each once, in the order given.

    Raises:
        ValueError: The text is anything else.
    """
    ranges = [_seeds(part.strip(), text) for part in text.split(",")]
    if (count := sum(map(len, ranges))) > limits.SEEDS:
        raise ValueError(f"has {count:,} seeds; the most are {limits.SEEDS:,}")
    return list(dict.fromkeys(chain.from_iterable(ranges)))


def _seeds(part: str, text: str) -> range:
    found = re.fullmatch(r"(\d{1,19})(?:-(\d{1,19}))?", part)
    if found is None:
        raise ValueError(f"must be seeds such as 0-9 or 1,2,5, not {shown(text)}")
    first, last = int(found[1]), int(found[2] or found[1])
    if last >= 2**63:
        raise ValueError(f"must be seeds below 2^63, not {last}")
    if last < first:
        raise ValueError(f"must count upwards: {last}-{first}, not {part}")
    if last - first >= 10**6:
        raise ValueError(f"has more than a million seeds: {part}")
    return range(first, last + 1)


def parse_values(text: str) -> list[str]:
    """The values of `a:b:step`, both ends included, or of `a,b,c`, as texts that YAML reads.

    Commas inside brackets, braces and quotes do not part values.

    Raises:
        ValueError: There are none, or the range makes no sense.
    """
    if (found := re.fullmatch(r"\s*([^:,\s]+):([^:,\s]+):([^:,\s]+)\s*", text)) is not None:
        try:
            first, last, step = (Decimal(each) for each in found.groups())
        except InvalidOperation:
            first = last = step = Decimal("nan")
        if all(each.is_finite() for each in (first, last, step)):
            return _steps(first, last, step, text)
    values = [value.strip() for value in _parts(text)]
    if not all(values):
        raise ValueError(f"must be values such as 0:1:0.1 or 16,32,48, not {shown(text)}")
    if len(values := list(dict.fromkeys(values))) > MOST_VALUES:
        raise ValueError(f"has more than {MOST_VALUES} values")
    return values


def _steps(first: Decimal, last: Decimal, step: Decimal, text: str) -> list[str]:
    # Decimals, so that 0:1:0.1 has eleven values and none of them is 0.30000000000000004.
    if any(abs(each.adjusted()) + len(each.as_tuple().digits) > _MOST_DIGITS for each in (first, last, step)):
        raise ValueError(f"has numbers of more than {_MOST_DIGITS} digits: {shown(text)}")
    if step == 0 or (last - first) * step < 0:
        raise ValueError(f"must be first:last:step with a step that leads from the first to the last, not '{text}'")
    if (last - first) / step >= MOST_VALUES:
        raise ValueError(f"has more than {MOST_VALUES} values: '{text}'")
    return [f"{first + step * n:f}" for n in range(int((last - first) / step) + 1)]


def _parts(text: str) -> Iterator[str]:
    depth, quote, start = 0, "", 0
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]
