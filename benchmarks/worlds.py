"""The embedded worlds, as far as upscaling is counted in them: what is drawn, how, and how its things are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionkit_tinyworld.captions import Landscape, all_landscapes
from fusionkit_tinyworld.captions import caption as tinyworld_caption


@dataclass(frozen=True)
class Case:
    """A prompt with one thing in it; its number is its first seed.

    Args:
        number: Its number.
        prompt: What is to be drawn.
        count: How many of the thing a picture (h, w, 3) shows.
    """

    number: int
    prompt: str
    count: Callable[[NDArray[np.uint8]], int]


@dataclass(frozen=True)
class World:
    """An embedded world.

    Args:
        name: As the command line has it.
        model: Its model.
        window: Pixels of a window's side.
        zoom: Sides of the enlargement to those of a window.
        scheduler: The scheduler.
        steps: Steps of each stage.
        stride: Pixels from one window to the next.
        jitter: How far windows move, in pixels.
        keep: Words that say how, which every view has.
        drop: Words that name the whole, which no view of an enlargement has.
        levels: Where the denoiser's attention is read; None where its model's own default is meant.
        tokens: Which tokens' attention is a word's.
        canny: Its ControlNet, if there is one.
        stages: Stages between the first and the last.
        cases: So many prompts.
    """

    name: str
    model: str
    window: int
    zoom: int
    scheduler: str
    steps: int
    stride: int
    jitter: int
    keep: tuple[str, ...]
    drop: tuple[str, ...]
    levels: tuple[int, ...] | None
    tokens: Literal["own", "all"]
    canny: str | None
    stages: tuple[float, ...]
    cases: Callable[[int], list[Case]]

    @property
    def side(self) -> int:
        """Pixels of an enlargement's side."""
        return self.window * self.zoom


def tinyworld_cases(count: int) -> list[Case]:
    """Contents with one object each: the kinds in turn, at other scenes, times, styles and colours each.

    Balloons and suns are counted best. Yellow ones in a city after noon are left out: the counter takes lit windows for
    them.
    """
    by_thing = {thing: [each for each in all_landscapes() if each.thing == thing] for thing in ("balloon", "sun")}
    rng = np.random.default_rng(0)
    shuffled = {thing: [there[number] for number in rng.permutation(len(there))] for thing, there in by_thing.items()}
    in_turn = [each for turn in zip(*shuffled.values(), strict=False) for each in turn]
    lit = [each.scene == "city" and each.colour == "yellow" and each.time != "noon" for each in in_turn]
    chosen = [(number, each) for number, each in enumerate(in_turn) if not lit[number]][:count]
    return [Case(number, tinyworld_caption(each), _tinyworld_count(each)) for number, each in chosen]


def _tinyworld_count(landscape: Landscape) -> Callable[[NDArray[np.uint8]], int]:
    def count(picture: NDArray[np.uint8]) -> int:
        from fusionkit_tinyworld.counter import count_objects

        # Of the size that the counter is made for.
        enlarged = np.asarray(Image.fromarray(picture).resize((256, 256), Image.Resampling.BICUBIC))
        return count_objects(enlarged, str(landscape.thing), landscape.colour)

    return count


VISTA_THINGS: Sequence[str] = ("balloon", "sailboat", "castle", "lighthouse")
"""What is drawn well and counted well."""


def vista_cases(count: int) -> list[Case]:
    """Captions of drawings with one thing each, the kinds in turn, all else at random."""
    from fusionkit_vista.drawer import caption, sample_spec

    things = [VISTA_THINGS[number % len(VISTA_THINGS)] for number in range(count)]
    specs = [
        sample_spec(np.random.default_rng((7, number)), thing=thing, number=1) for number, thing in enumerate(things)
    ]
    return [Case(number, caption(spec), _vista_count(str(spec.thing))) for number, spec in enumerate(specs)]


def _vista_count(thing: str) -> Callable[[NDArray[np.uint8]], int]:
    def count(picture: NDArray[np.uint8]) -> int:
        from fusionkit_vista.counter import count_things

        return count_things(picture, thing)

    return count


WORLDS = {
    "tinyworld": World(
        name="tinyworld",
        model="tinyworld/scenes",
        window=64,
        zoom=4,
        scheduler="ddim",
        steps=12,
        stride=48,
        jitter=8,
        keep=("photo", "cartoon"),
        drop=("landscape",),
        levels=(1, 2),
        tokens="own",
        canny="tinyworld/canny",
        stages=(2,),
        cases=tinyworld_cases,
    ),
    "vista": World(
        name="vista",
        model="vista/scenes",
        window=128,
        zoom=2,
        scheduler="dpm++-2m",
        steps=12,
        stride=96,
        jitter=16,
        keep=("poster", "woodcut"),
        drop=("landscape",),
        levels=(1, 2),
        tokens="all",
        canny="vista/canny",
        stages=(),
        cases=vista_cases,
    ),
}
WORLDS["vista-flow"] = replace(
    WORLDS["vista"],
    name="vista-flow",
    model="vista/flow",
    scheduler="flow-euler",
    steps=16,
    levels=None,
    tokens="own",
    canny=None,
)
