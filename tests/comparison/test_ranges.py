"""Ranges: seeds and values as people write them."""

from __future__ import annotations

import pytest

from fusionkit.comparison.ranges import parse_seeds, parse_values


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-3", [0, 1, 2, 3]), ("7", [7]), ("5, 1-2,5", [5, 1, 2]), ("0-0", [0])],
    ids=["range", "one", "list", "one-long"],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("3-1", "must count upwards: 1-3, not 3-1"),
        ("a", "must be seeds such as 0-9 or 1,2,5, not 'a'"),
        ("1,,2", "must be seeds such as 0-9 or 1,2,5, not '1,,2'"),
        ("-1", "must be seeds such as 0-9 or 1,2,5, not '-1'"),
        ("", "must be seeds such as 0-9 or 1,2,5, not ''"),
        ("0-9999999", "has more than a million seeds: 0-9999999"),
    ],
    ids=["backwards", "word", "hole", "negative", "empty", "too-many"],
)
def test_seeds_that_make_no_sense(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"seeds|upwards") as error:
        parse_seeds(text)
    assert str(error.value) == complaint


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0:1:0.1", ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]),
        ("16:48:16", ["16", "32", "48"]),
        ("0:1:0.4", ["0.0", "0.4", "0.8"]),
        ("1:0:-0.5", ["1.0", "0.5", "0.0"]),
        ("16,32", ["16", "32"]),
        ("ddim", ["ddim"]),
        ("{eta: 1, x: [1, 2]},'a,b'", ["{eta: 1, x: [1, 2]}", "'a,b'"]),
        ("a:b:c", ["a:b:c"]),
        ("1,1", ["1"]),
    ],
    ids=["tenths", "whole", "short-of-the-end", "down", "list", "word", "nested", "no-numbers", "twice"],
)
def test_values(text: str, values: list[str]) -> None:
    assert parse_values(text) == values


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0:1:-1", "a step that leads from the first to the last, not '0:1:-1'"),
        ("0:1:0", "a step that leads from the first to the last, not '0:1:0'"),
        ("0:1:0.0001", "has more than 1000 values: '0:1:0.0001'"),
        ("1,,2", "must be values such as 0:1:0.1 or 16,32,48, not '1,,2'"),
        ("", "must be values such as 0:1:0.1 or 16,32,48, not ''"),
    ],
    ids=["away", "no-step", "too-many", "hole", "empty"],
)
def test_values_that_make_no_sense(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"values|step") as error:
        parse_values(text)
    assert str(error.value).endswith(complaint)
