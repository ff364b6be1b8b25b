"""Names of files that every file system takes: short enough in bytes, and never cut through a letter."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from itertools import count, product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe

# What the longest name that is made of an output's takes beside it: previews, maps, numbers.
_ROOM = len("-stage10-step1000-1000")
_USUAL_NAME, _USUAL_PATH = 255, 4096
_LETTERS = 60
_LEAST_BYTES = 16
# Devices on Windows, whatever follows the dot.
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def output_path(recipe: Recipe, index: int = 1) -> Path:
    """Where a recipe's picture is to go, its template filled in.

    What is filled in is shortened where the whole would be longer than the file system takes, the prompt first.

    Args:
        recipe: The recipe.
        index: Which of the file's prompts it is, counted from 1.
    """
    template = str(recipe.output)
    width, height = recipe.size
    texts = {
        "model": "+".join(Path(spec.model).name for spec in recipe.specs.values()) or "pipeline",
        "prompt": recipe.prompt,
        "recipe": recipe.name,
    }
    slugs = {name: slug(text) for name, text in texts.items()}
    fixed = {"index": index, "seed": recipe.seed, "size": f"{width}x{height}"}

    def filled(limits: dict[str, int]) -> Path:
        cut = {name: cut_to(text, limits.get(name, _USUAL_NAME)) for name, text in slugs.items()}
        return _made_safe(template, Path(os.path.expanduser(template.format_map({**fixed, **cut}))))

    path = filled({})
    limits = range(_LETTERS * 4, _LEAST_BYTES - 1, -1)
    # Where all of it does not fit together with what goes beside it, the picture's own name still may.
    for room, names, limit in product((_ROOM, 0), (("prompt",), tuple(slugs)), limits):
        if not name_problem(path, room):
            break
        path = filled(dict.fromkeys(names, limit))
    return path


def name_problem(path: Path, room: int = 0) -> str:
    """Why no file can have a path, as what follows it; empty where one can.

    Args:
        path: The path; its folder need not exist.
        room: Bytes by which names that are made of it are longer.
    """
    try:
        if "\0" in str(path):
            raise ValueError
        if str(path).startswith("~"):
            return "begins with a user that this machine does not have"
        most = _most(path)
        for part, extra in ((path.name, room), *((each, 0) for each in path.parent.parts)):
            if (size := len(os.fsencode(part)) + extra) > most:
                return f"has the name '{_shown(part)}' of {size} bytes; at most {most} are possible there"
        whole = len(os.fsencode(path.absolute())) + room
    except ValueError:
        return "holds a character that no file's name can have"
    except FileNotFoundError:
        return "lies in the working folder, which was deleted"
    return f"is a path of {whole} bytes; at most {_USUAL_PATH} are possible" if whole > _USUAL_PATH else ""


def slug(text: str) -> str:
    """A text as a part of a file's name: its letters and digits, of any script, and at most 60 of them.

    Marks stay with their letters, composed where Unicode has it so. No device of Windows is named.
    """
    whole = unicodedata.normalize("NFC", text)
    kept = ""
    for each in whole:
        # A mark of what is not kept, such as the one that colours a heart, goes with it.
        stays = kept[-1:].strip() != "" if _is_mark(each) else _is_kept(each)
        kept += each if stays else "" if each in _JOINERS else " "
    short = re.sub(" +", "-", kept).strip("-.")
    return _unreserved(_cut(short, _LETTERS).strip("-.") or "picture")


def cut_to(text: str, size: int) -> str:
    """The beginning of a text that takes at most so many bytes, cut between letters; all of it where it is short."""
    if len(_encoded(text)) <= size:
        return text
    end = min(len(text), size)
    while len(_encoded(text[:end])) > size:
        end -= 1
    return _cut(text, end).rstrip("-.")


def beside(path: Path, addition: str, suffix: str | None = None) -> Path:
    """The name of what goes beside a file: `a.png` with `-2` is `a-2.png`; where it would be too long, `a` is cut.

    Args:
        path: The file.
        addition: What follows its stem.
        suffix: Another suffix than the file's, with its dot.
    """
    end = addition + (path.suffix if suffix is None else suffix)
    room = _most(path) - len(os.fsencode(end))
    return path.with_name((cut_to(path.stem, room) if room > 0 else path.stem) + end)


def numbered(path: Path) -> Iterator[Path]:
    """The path itself, and then with the numbers from 2: `a.png`, `a-2.png`, `a-3.png`, ..."""
    yield path
    for number in count(2):
        yield beside(path, f"-{number}")


def free_path(path: Path) -> Path:
    """The path itself, or with the first number from 2 that makes it free: `a.png`, `a-2.png`, `a-3.png`."""
    return next(each for each in numbered(path) if not os.path.lexists(each))


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((each for each in (folder, *folder.parents) if os.path.exists(each)), Path())


def leads_nowhere(folder: Path) -> str:
    """What of a folder's path is a link to nothing, or to itself, in one line; empty where nothing is."""
    broken = next(
        (each for each in (folder, *folder.parents) if os.path.islink(each) and not os.path.exists(each)), None
    )
    return "" if broken is None else f"'{broken}' is a link that leads nowhere"


_JOINERS = "\u200c\u200d"


def _is_kept(letter: str) -> bool:
    return letter.isalnum() or letter in "_.+-" or _is_mark(letter)


def _is_mark(letter: str) -> bool:
    """Whether a character belongs to the letter before it: marks, and the later parts of a Korean syllable."""
    return unicodedata.category(letter).startswith("M") or "\u1160" <= letter <= "\u11ff"


def _cut(text: str, end: int) -> str:
    """At most so many characters, without a letter that its marks were cut off."""
    while 0 < end < len(text) and _is_mark(text[end]):
        end -= 1
    return text[:end]


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _unreserved(name: str) -> str:
    stem, dot, rest = name.partition(".")
    return f"{stem}_{dot}{rest}" if stem.lower() in _RESERVED else name


def _made_safe(template: str, path: Path) -> Path:
    """The path, where filling in has not made a device's name of it: `com{seed}` and seed 1."""
    names = [_unreserved(each) if each not in template else each for each in path.parts]
    return Path(*names)


def _most(path: Path) -> int:
    """How many bytes a name may have in the folder of a path, or in the nearest that is there."""
    ask = getattr(os, "pathconf", None)
    if ask is None or sys.platform == "win32":
        return _USUAL_NAME
    try:
        return min(int(ask(existing(path.parent), "PC_NAME_MAX")), _USUAL_NAME)
    except (OSError, ValueError):
        return _USUAL_NAME


def _shown(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:30]}...{name[-6:]}"
