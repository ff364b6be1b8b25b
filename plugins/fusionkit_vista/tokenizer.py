"""A CLIP tokenizer with a vocabulary of its own, in which every word of the captions is one token."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

Tokenizer: TypeAlias = Any
"""A `transformers.CLIPTokenizer`."""

CONTEXT_LENGTH = 20
"""Tokens in a caption, the start and end tokens included."""
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_alphabet() -> list[str]:
    """The 256 printable characters by which byte-level BPE writes the 256 bytes, in CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = len(set(range(256)) - set(printable))
    return [chr(code) for code in printable] + [chr(256 + index) for index in range(others)]


def learn_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, the most frequent pair first, until every word is a single token."""
    spellings = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges = []
    while pairs := Counter(pair for s in spellings for pair in pairwise(s)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        spellings = [_merge(spelling, best) for spelling in spellings]
    return merges


def _merge(spelling: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in spelling:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def build_tokenizer(words: Iterable[str], folder: Path) -> Tokenizer:
    """Write a tokenizer for the words into a folder (vocab.json, merges.txt and the configuration) and load it."""
    alphabet = byte_alphabet()
    merges = learn_merges(sorted(words))
    tokens = [*alphabet, *(symbol + "</w>" for symbol in alphabet), *(a + b for a, b in merges), START, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": CONTEXT_LENGTH,
        "do_lower_case": True,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return import_module("transformers").CLIPTokenizer.from_pretrained(folder)


def token_ids(tokenizer: Tokenizer, captions: list[str]) -> list[list[int]]:
    """Token ids (len(captions), CONTEXT_LENGTH), padded with the end token."""
    ids = tokenizer(captions, padding="max_length", max_length=CONTEXT_LENGTH, truncation=True)["input_ids"]
    return [list(row) for row in ids]
