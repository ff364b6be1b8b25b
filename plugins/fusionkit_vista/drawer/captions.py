"""How a caption says what a drawing shows, and what a prompt asks for.

The grammar, in which every part but the subject may be left out:
`a [landscape] poster|woodcut of SCENE TIME WEATHER with [a|two|three] THING`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

import numpy as np

from fusionkit_vista.drawer.spec import Box, Spec, Thing
from fusionkit_vista.drawer.words import CLEAR, EXTRA_STYLES, NUMBERS, SCENES, SKY, STYLES, THINGS, TIMES, WEATHERS

SCENE_VISIBLE_FROM, THING_VISIBLE_FROM = 0.06, 0.4
"""A window names the scene from this share of its pixels on, and a thing from this share of its box on."""
EXAMPLE = "a poster of the sea at sunset with two sailboats"
"""A prompt that is understood."""


def plural(name: str, number: int) -> str:
    """The things with their number, such as "two sailboats"."""
    return f"{NUMBERS[number]} {name}{'s' if number > 1 else ''}"


def caption(spec: Spec, *, whole: bool = True) -> str:
    """The full caption: "a landscape poster of the sea at dawn in mist with two sailboats".

    The word "landscape" says that the picture shows the whole scene (`whole`); without it, it may be a close-up.
    """
    kind = f"landscape {spec.style}" if whole else spec.style
    text = f"a {kind} of {spec.scene} {spec.time} {spec.weather}"
    return f"{text} with {plural(spec.things[0].name, len(spec.things))}" if spec.things else text


def vocabulary() -> tuple[str, ...]:
    """All words that captions use, sorted."""
    texts = [*STYLES, *EXTRA_STYLES, *SCENES, *TIMES, *WEATHERS, *NUMBERS.values(), SKY, "a landscape of with"]
    texts += [*THINGS, *(f"{name}s" for name, kind in THINGS.items() if kind.most > 1)]
    return tuple(sorted({word for text in texts for word in text.split()}))


def window_caption(spec: Spec, window: Box, rng: np.random.Generator) -> str:
    """A caption of what one window (left, top, right, bottom, in heights of the picture) shows, as training varies it.

    What can't be seen is not said. Of the whole pictures 60 % say "landscape"; 45 % don't say a clear sky, 12 % not
    the weather, 5 % not the time, 5 % not the style, and 4 % neither the scene nor more than the thing.
    """
    _, top, _, bottom = window
    whole = bottom - top > 0.75
    seen = visible(spec, window)
    land = max(0.0, bottom - 0.56) / (bottom - top)
    dropped = rng.random(6)
    style = "" if dropped[0] < 0.05 else f"{'landscape ' if whole and dropped[1] < 0.6 else ''}{spec.style}"
    scene = spec.scene if land >= SCENE_VISIBLE_FROM else SKY
    time = "" if dropped[2] < 0.05 else spec.time
    weather = "" if dropped[3] < (0.45 if spec.weather == CLEAR else 0.12) else spec.weather
    things = plural(seen[0].name, len(seen)) if seen else ""
    if things and dropped[4] < 0.04:
        return f"a {style} of {things}" if style else things
    head = f"a {style} of {scene}" if style else scene
    return " ".join(part for part in (head, time, weather, f"with {things}" if things else "") if part)


def visible(spec: Spec, window: Box) -> tuple[Thing, ...]:
    """The things that a window shows, 40 % of their boxes at least."""
    return tuple(thing for thing in spec.things if _overlap(thing.box, window) >= THING_VISIBLE_FROM)


def _overlap(box: Box, window: Box) -> float:
    """The share of a box inside a window."""
    width = min(box[2], window[2]) - max(box[0], window[0])
    height = min(box[3], window[3]) - max(box[1], window[1])
    return max(0.0, width) * max(0.0, height) / ((box[2] - box[0]) * (box[3] - box[1]))


def unknown_words(unknown: Iterable[str], known: Collection[str]) -> str:
    """What is said of words that no caption has, in one line: near ones, or how a prompt reads."""
    lines, near_by = [], True
    for word in unknown:
        near = get_close_matches(word, sorted(known), n=1, cutoff=0.7)
        lines.append(f"vista has no word '{word}'" + (f"; did you mean '{near[0]}'?" if near else ""))
        near_by = near_by and bool(near)
    if not near_by:
        lines.append(f"write such as '{EXAMPLE}'; 'fusionkit vista draw --help' lists the words")
    return "; ".join(lines)


def parse(prompt: str) -> dict[str, Any]:
    """What a prompt asks for, as `sample_spec` takes it: style, scene, time, weather, thing and number.

    Parts that the prompt leaves out are missing; without "with ..." there is no thing.

    Raises:
        ValueError: If the prompt has words or parts that no caption has; the message names all of them.
    """
    text = " ".join(prompt.lower().replace(",", " ").split())
    known = set(vocabulary())
    if unknown := [word for word in text.split() if word not in known]:
        raise ValueError(unknown_words(unknown, known))
    found: dict[str, Any] = {"thing": "", "number": None}
    for part, phrases in (("weather", WEATHERS), ("time", TIMES), ("scene", SCENES)):
        matches = [match for phrase in phrases if (match := re.search(rf"\b{phrase}\b", text))]
        if matches:
            first = min(matches, key=lambda match: match.start())
            found[part] = first[0]
            text = f"{text[: first.start()]} {text[first.end() :]}"
    style = re.search(rf"\ba (?:landscape )?({'|'.join(STYLES + EXTRA_STYLES)}) of\b", text)
    if style:
        found["style"] = style[1]
        text = text.replace(style[0], " ", 1)
    thing = re.search(rf"\b(?:with )?({'|'.join(NUMBERS.values())}) ({'|'.join(THINGS)})(s?)\b", text)
    if thing:
        found["number"] = next(number for number, word in NUMBERS.items() if word == thing[1])
        found["thing"] = thing[2]
        text = text.replace(thing[0], " ", 1)
        kind, many = THINGS[thing[2]], found["number"] > 1
        if found["number"] > kind.most or many != bool(thing[3]):
            forms = ", ".join(repr(plural(thing[2], number)) for number in range(1, kind.most + 1))
            raise ValueError(f"{thing[0].removeprefix('with ')!r}: a picture holds {forms}")
    if rest := text.split():
        form = f"a [landscape] {'|'.join(STYLES + EXTRA_STYLES)} of SCENE TIME WEATHER with a|two|three THING"
        raise ValueError(f"not understood: {' '.join(rest)!r}; a prompt has the form: {form}")
    return found
