"""Opens the files of a model that somebody else made: what they are and how large is asked before they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import inf, isnan
from pathlib import Path
from typing import Any

from fusionkit.errors import ModelError
from fusionkit.recipe.texts import odd_kind

CONFIG_LIMIT = 4_000_000
"""Bytes that a configuration file may have."""

TABLE_LIMIT = 32_000_000
"""Bytes that a tokenizer's file, or an index of weights, may have."""

NUMBER_LIMIT = 10_000_000
"""What no number of a configuration may exceed."""

_DEPTH, _ENTRIES = 20, 20_000

# The folders of a model's parts.
_PART = re.compile(r"unet|transformer|vae|scheduler|(text_encoder|tokenizer)(_\d)?")


def size_of(path: Path, what: str) -> int:
    """The bytes of a regular file; anything else, such as a pipe or a device, is refused and not opened.

    Args:
        path: The file; a link is followed, as the hub's cache consists of them.
        what: Whose it is, as errors begin: "model 'name'".

    Raises:
        FileNotFoundError: It is not there.
        ModelError: It is no file.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ModelError(f"{what}: {inner(path)} can't be read: {_reason(error)}") from error
    if kind := odd_kind(found.st_mode):
        raise ModelError(f"{what}: {inner(path)} is {kind}, not a file")
    return found.st_size


def read_json(path: Path, what: str, limit: int = CONFIG_LIMIT) -> dict[str, Any]:
    """A configuration file.

    Args:
        path: The file.
        what: Whose it is, as errors begin: "model 'name'".
        limit: The most bytes that it may have.

    Raises:
        ModelError: It is missing, too large, can't be read, or is no configuration.
    """
    try:
        size = size_of(path, what)
        if size > limit:
            raise ModelError(f"{what}: {inner(path)} has {size:,} bytes; {limit:,} are the most that are read")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{what} is no whole diffusers folder: it has no {inner(path)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{what}: {inner(path)} can't be read: {_reason(error)}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{what}: {inner(path)} holds no configuration")
    return content


def excesses(content: Any, place: str = "", depth: int = 0) -> Iterator[str]:
    """Why a configuration would cost too much or can't be meant, each as a line that reads on from its file's name."""
    named = f"'{place}'" if place else "it"
    if isinstance(content, (dict, list)):
        if depth > _DEPTH or len(content) > _ENTRIES:
            yield f"{named} is nested too deeply" if depth > _DEPTH else f"{named} has over {_ENTRIES:,} entries"
            return
        pairs = content.items() if isinstance(content, dict) else enumerate(content, 1)
        for key, value in pairs:
            yield from excesses(value, f"{place}.{key}" if place else str(key)[:40], depth + 1)
    elif isinstance(content, float) and isnan(content):
        yield f"{named} must be a number, not {content}"
    elif isinstance(content, (int, float)) and content not in (inf, -inf) and abs(content) > NUMBER_LIMIT:
        yield f"{named} must be at most {NUMBER_LIMIT:,}"


def inner(path: Path) -> str:
    """A file as errors name it: with its component's folder, where it is in one."""
    in_part = _PART.fullmatch(path.parent.name) and path.suffix != ".safetensors"
    return f"{path.parent.name}/{path.name}" if in_part else path.name


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON (line {error.lineno}: {error.msg})"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else "a number in it has too many digits"
