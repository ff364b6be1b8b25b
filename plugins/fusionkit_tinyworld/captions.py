"""What a landscape may contain, and how a caption says it: the closed vocabulary of the embedded world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

STYLES = ("photo", "cartoon")
SCENES = ("mountains", "city", "beach", "forest", "desert", "sea")
TIMES = ("noon", "twilight", "night")
OBJECTS = ("sun", "moon", "balloon", "boat", "house")

SCENE_PHRASES = {
    "mountains": "mountains",
    "city": "a city",
    "beach": "a beach",
    "forest": "a forest",
    "desert": "a desert",
    "sea": "the sea",
}
SKY_PHRASE = "the sky"
COLOURS = {
    "sun": ("red", "yellow"),
    "moon": (None,),
    "balloon": ("red", "yellow", "blue"),
    "boat": ("red", "yellow", "blue"),
    "house": ("red", "yellow", "blue"),
}
WATER_SCENES = ("city", "beach", "sea")
GROUND_SCENES = ("mountains", "beach", "forest", "desert")

# A window names the scene from this share of its pixels on, and the object from this share of the object's area on.
SCENE_VISIBLE_FROM = 0.06
OBJECT_VISIBLE_FROM = 0.40

_FUNCTION_WORDS = frozenset({"a", "of", "the", "at", "with"})


@dataclass(frozen=True)
class Landscape:
    """The content of one picture: a style, a scene, a time of day and at most one object.

    `thing` is None (no object) or one of `OBJECTS`; `colour` is None for the moon and where there is no object.
    """

    style: str
    scene: str
    time: str
    thing: str | None = None
    colour: str | None = None


def things_of(scene: str, time: str) -> tuple[str, ...]:
    """The objects that a scene can hold at a time of day: no sun at night, no boat without water."""
    things = ["balloon"]
    if time != "night":
        things.append("sun")
    if time != "noon":
        things.append("moon")
    if scene in WATER_SCENES:
        things.append("boat")
    if scene in GROUND_SCENES:
        things.append("house")
    return tuple(things)


def all_landscapes() -> Iterator[Landscape]:
    """Every content that the vocabulary can say, those without an object included, in a fixed order."""
    for style in STYLES:
        for scene in SCENES:
            for time in TIMES:
                yield Landscape(style, scene, time)
                for thing in things_of(scene, time):
                    for colour in COLOURS[thing]:
                        yield Landscape(style, scene, time, thing, colour)


def random_landscape(rng: np.random.Generator) -> Landscape:
    """A content at random: style, scene and time uniform; an object in 75 % of the pictures, its colour uniform."""
    style, scene, time = (str(rng.choice(words)) for words in (STYLES, SCENES, TIMES))
    if rng.random() >= 0.75:
        return Landscape(style, scene, time)
    things = things_of(scene, time)
    thing = things[rng.integers(len(things))]
    colours = COLOURS[thing]
    return Landscape(style, scene, time, thing, colours[rng.integers(len(colours))])


def object_phrase(landscape: Landscape) -> str:
    """The object with its article and colour, such as "a red boat"; empty without an object."""
    if landscape.thing is None:
        return ""
    return f"a {landscape.colour} {landscape.thing}" if landscape.colour else f"a {landscape.thing}"


def caption(landscape: Landscape, whole: bool = True) -> str:
    """The full caption: "a landscape photo of mountains at twilight with a red sun".

    The word "landscape" says that the picture shows the whole scene (`whole`); without it a window may be a close-up.
    """
    kind = f"landscape {landscape.style}" if whole else landscape.style
    text = f"a {kind} of {SCENE_PHRASES[landscape.scene]} at {landscape.time}"
    return f"{text} with {object_phrase(landscape)}" if landscape.thing else text


def window_caption(
    landscape: Landscape, zoom: int, scene_share: float, object_share: float, rng: np.random.Generator
) -> str:
    """A caption of what one window of the picture shows, as training varies it.

    `zoom` is 1 for the whole picture and 2 or 4 for close-ups; `scene_share` is the share of the window's pixels
    that the scene covers (the rest is sky) and `object_share` the share of the object's area inside the window.
    Invisible words are never said. Of the whole pictures 65 % say "landscape". A quarter of the close-ups'
    captions are the full caption with the invisible words struck out, the form that a method which edits a prompt
    word by word arrives at; some of them lose function words too. 6 % of the captions drop the style or the time.
    """
    scene_visible = scene_share >= SCENE_VISIBLE_FROM
    visible = (
        landscape
        if landscape.thing is None or object_share >= OBJECT_VISIBLE_FROM
        else Landscape(landscape.style, landscape.scene, landscape.time)
    )
    if zoom > 1 and rng.random() < 0.25:
        return _struck_out(landscape, scene_visible, visible.thing is not None, rng)
    text = caption(visible, whole=zoom == 1 and rng.random() < 0.65)
    if not scene_visible:
        text = text.replace(SCENE_PHRASES[landscape.scene], SKY_PHRASE, 1)
    dropped = rng.random()
    if dropped < 0.03:
        return text.split(" of ", 1)[1]
    if dropped < 0.06:
        return text.replace(f" at {landscape.time}", "", 1)
    return text


def _struck_out(landscape: Landscape, scene_visible: bool, object_visible: bool, rng: np.random.Generator) -> str:
    """The full caption without the words for what the window does not show."""
    invisible: set[str | None] = set()
    if not scene_visible:
        invisible.add(landscape.scene)
    if not object_visible:
        invisible |= {landscape.thing, landscape.colour}
    words = [word for word in caption(landscape, whole=False).split() if word not in invisible]
    if rng.random() < 0.4:
        words = [word for word in words if word not in _FUNCTION_WORDS or rng.random() < 0.4]
    return " ".join(words)


def vocabulary() -> tuple[str, ...]:
    """All words that captions use, sorted."""
    texts = [caption(landscape) for landscape in all_landscapes()] + [SKY_PHRASE]
    return tuple(sorted({word for text in texts for word in text.split()}))
