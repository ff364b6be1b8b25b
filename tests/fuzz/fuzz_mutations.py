"""Changes to trees and to texts, all from one source of randomness, and trees written as YAML that may be none."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from fuzz_material import Raw, odd_value

Holder = Any
"""A mapping or a list of a tree."""


def spots(tree: Any) -> list[tuple[Holder, Any]]:
    """Every place of a tree: what holds it, and its key or number there."""
    found: list[tuple[Holder, Any]] = []
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        found += [(tree, key), *spots(value)]
    return found


def mutated(tree: Any, dice: random.Random, insert: Callable[[random.Random], tuple[str, Any]] | None = None) -> Any:
    """A tree with one to four changes.

    Args:
        tree: Mappings, lists and scalars.
        dice: What decides.
        insert: A key with a value that the outermost mapping might have.
    """
    tree = deepcopy(tree)
    for _ in range(dice.choice((1, 1, 2, 3, 4))):
        places = spots(tree)
        if insert is not None and isinstance(tree, dict) and dice.random() < 0.4:
            key, value = insert(dice)
            tree[key] = value
        elif places:
            _change(*dice.choice(places), places, dice)
    return tree


def _change(holder: Holder, key: Any, places: list[tuple[Holder, Any]], dice: random.Random) -> None:
    what = dice.randrange(7)
    if what <= 2:
        holder[key] = odd_value(dice)
    elif what == 3:
        del holder[key]
    elif what == 4:
        other, place = dice.choice(places)
        holder[key], other[place] = deepcopy(other[place]), deepcopy(holder[key])
    elif what == 5 and isinstance(holder, dict):
        name = dice.choice(
            (f"{key}s", str(key).upper(), str(key).replace("-", "_"), "", "a b", "k" * 300, "\ud800", "a.b")
        )
        holder[name] = holder.pop(key)
    elif isinstance(holder, list):
        holder.extend(deepcopy(holder[key]) for _ in range(dice.choice((1, 1, 2, 200))))
    else:
        holder[key] = [deepcopy(holder[key])] * dice.choice((1, 2, 3))


def written(value: Any, dice: random.Random) -> str:
    """A tree as YAML in one line, with pieces that are written as they are."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        pairs = [f"{json.dumps(str(key))}: {written(each, dice)}" for key, each in value.items()]
        if pairs and dice.random() < 0.01:
            pairs.append(pairs[0])
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(each, dice) for each in value) + "]"
    return json.dumps(value)


def written_in_lines(value: Any, dice: random.Random) -> str:
    """A tree as YAML, each entry of the outermost mapping on its line, so that places differ."""
    if not isinstance(value, dict):
        return written(value, dice)
    return "".join(f"{json.dumps(str(key))}: {written(each, dice)}\n" for key, each in value.items())


PIECES = (
    *(
        "\0",
        "\x01",
        "\x1b",
        "\t",
        "\r\n",
        "\ufeff",
        "\u2028",
        "\ud800",
        "&a ",
        "*a",
        "!!pairs ",
        "<<: *a\n",
        "---\n",
        "...\n",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "? ",
        "| ",
        "> ",
        "# ",
        "'",
        '"',
        "%YAML 1.1\n",
        "@",
        "`",
        "é",
        "\U0001f600",
        "  ",
    ),
)


def scrambled(text: str, dice: random.Random) -> bytes:
    """A text with a few letters or lines changed, as bytes that may be no UTF-8."""
    for _ in range(dice.choice((1, 1, 2, 4, 8))):
        lines, place = text.split("\n"), dice.randrange(len(text) + 1)
        number, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        what = dice.randrange(6)
        if what == 0:
            text = text[:place] + dice.choice(PIECES) + text[place:]
        elif what == 1:
            text = text[:place] + text[place + dice.randint(1, 9) :]
        elif what == 2:
            lines.insert(other, lines[number])
            text = "\n".join(lines)
        elif what == 3:
            lines[number], lines[other] = lines[other], lines[number]
            text = "\n".join(lines)
        elif what == 4:
            lines[number] = " " * dice.randint(1, 4) + lines[number].lstrip()
            text = "\n".join(lines)
        else:
            text = text[:place] if dice.random() < 0.3 else text.replace("\n", "\r\n")
    raw = text.encode("utf-8", "surrogatepass")
    how = dice.randrange(12)
    return b"\xef\xbb\xbf" + raw if how == 0 else text.encode("utf-16", "surrogatepass") if how == 1 else raw


def bomb(dice: random.Random) -> str:
    """A small text that would be large, or slow, if it were believed."""
    letter, count = dice.choice("abc"), dice.choice((3, 9, 30))
    return dice.choice(
        (
            "prompt: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"k{n}: &b{n} [{','.join(['*a'] * 9)}]\n" for n in range(99)),
            "a0: &a0 [x,x]\n"
            + "".join(f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * count)}]\n" for n in range(count)),
            "a0: &a0 {x: 1}\n" + "".join(f"a{n + 1}: &a{n + 1} {{<<: *a{n}, y{n}: *a{n}}}\n" for n in range(count)),
            f"# {letter}\n" * dice.choice((1000, 50_000, 400_000)) + "steps: 3\n",
            "prompt: " + dice.choice("[{") * dice.choice((40, 2000, 20_000)),
            "- " * dice.choice((40, 20_000)),
            f"prompt: {letter * dice.choice((10_000, 1_000_000, 2_000_000))}\n",
            "prompt: [" + f"{letter}," * dice.choice((9000, 30_000, 200_000)) + "]\nmodel: tinyworld/scenes\n",
            "model: tinyworld/scenes\nplugins: [" + "guided-fusion," * dice.choice((50, 5000)) + "]\n",
            f"steps: {'9' * dice.choice((19, 99, 5000))}\nmodel: tinyworld/scenes\n",
            f"size: {'9' * dice.choice((5, 7, 4400))}x{dice.choice((64, 999, 99999))}\nmodel: tinyworld/scenes\n"
            f"plugins: [progressive-upscaling, dilated-sampling]\nsteps: {dice.choice((1, 50, 1000, 10**6))}\n",
            f"size: {dice.choice((640, 2048, 6400))}x{dice.choice((64, 640, 2048))}\nmodel: tinyworld/scenes\n"
            f"steps: {dice.choice((3, 100, 1000))}\nplugins: [{{multidiffusion: {{stride: {dice.choice((4, 8, 32))}, "
            f"jitter: {dice.choice((0, 4, 8))}}}}}]\n",
        )
    )
