"""What can be run and will hardly make what is meant, told before the run: a line each. Imports no torch itself."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from typing import TYPE_CHECKING

from fusionkit.errors import RecipeWarning
from fusionkit.loop.stage import SCENE, Stage
from fusionkit.models.memory import IN_STRIPS
from fusionkit.pictures.picture import picture_size
from fusionkit.pictures.pillow import OPENED_AT_MOST
from fusionkit.recipe.prompt_syntax import parse, prompt_notes
from fusionkit.recipe.said import prompts_of

if TYPE_CHECKING:
    from fusionkit.loop.manager import Manager
    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import Recipe

LARGER = 2.0
"""From so many times the model's own size, in both directions, one view has its things several times."""
FREE = 0.8
"""Up to this strength a stage keeps the composition of the picture that it begins with."""

CROPPED = 0.98
"""From this share of a side on, what is cut off a picture is the rounding of sizes."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_MOST_WORDS, _NEAR = 6, 0.75


def notes_of(
    recipes: Sequence[Recipe], infos: Mapping[str, ModelInfo], stages: Sequence[Stage], hooks: Manager
) -> list[str]:
    """All that is to be said of a run before it, whoever asks: of its prompts, its canvas, its picture, and words.

    Args:
        recipes: A file's, which have been checked and differ in their prompts alone.
        infos: What is known of their models, by the recipes' names.
        stages: The stages.
        hooks: The plugins.

    Raises:
        PluginError: A plugin failed, or asks for more of a stage than is there.
    """
    taken = [f"{where}: {note}" for where, text in prompts_of(recipes) for note in prompt_notes(text)]
    of_stages = [*composition_notes(stages, hooks), *picture_notes(stages), *output_notes(recipes[0], stages)]
    return list(dict.fromkeys([*taken, *of_stages, *word_notes(recipes, infos)]))


def composition_notes(stages: Iterable[Stage], hooks: Manager) -> list[str]:
    """A line where a canvas is so large that it would be drawn as several pictures, and no plugin keeps it one.

    A stage that begins with a picture, and not with noise alone, has that one's composition; where top and bottom meet
    there is none.
    """
    for stage in stages:
        held = stage.has_previous and stage.plan.strength is not None and stage.plan.strength <= FREE
        line = "" if held or "y" in stage.wrap else _too_large(stage)
        if line and not any(hooks.ask("keeps_composition", stage=stage)):
            return [line]
    return []


def picture_notes(stages: Sequence[Stage]) -> list[str]:
    """A line where a run begins with a picture that is cropped for it, or made smaller."""
    first = stages[0]
    (width, height), path = first.begun_at, first.plan.picture
    if path is None:
        return []
    across, down = picture_size(path)
    scale, token = max(width / across, height / down), first.info.token
    kept = min(across, round(width / scale)), min(down, round(height / scale))
    # What is less than a token is left out of a picture, which then keeps its pixels.
    if 0 <= across - width < token and 0 <= down - height < token:
        return []
    lost = [f"cropped to {kept[0]}x{kept[1]}"] if min(kept[0] / across, kept[1] / down) < CROPPED else []
    lost += [f"made smaller, {width}x{height}"] if scale < 1 else []
    if not lost:
        return []
    # A first of several stages has a size of its own.
    own = f"leave 'size' out and add exact-size: {{from: {path}}}"
    instead = own if len(stages) == 1 else "begin with it in one stage (image-to-image), or use 'fusionkit upscale'"
    return [f"picture '{path}' of {across}x{down} pixels is {' and '.join(lost)}; to keep all of it, {instead}"]


def output_notes(recipe: Recipe, stages: Sequence[Stage]) -> list[str]:
    """A line where a picture is so large that many programs can't open its file, and there is another kind of file."""
    (width, height), suffix = stages[-1].frame, recipe.output.suffix.lower()
    if width * height <= OPENED_AT_MOST or suffix in IN_STRIPS:
        return []
    return [
        f"output '{recipe.output}': the picture has {width * height / 1e6:,.0f} megapixels, and programs that read by "
        f"Pillow refuse more than {OPENED_AT_MOST / 1e6:.0f}; use .tif or .dzi, which are read in parts"
    ]


def word_notes(recipes: Sequence[Recipe], infos: Mapping[str, ModelInfo]) -> list[str]:
    """A line for the words of all prompts that none of the models knows; nothing where one knows any word.

    Args:
        recipes: A file's.
        infos: What is known of their models.
    """
    taught = [spec for spec in recipes[0].specs.values() if spec.loras]
    if taught or not infos or not all(info.words for info in infos.values()):
        return []
    known = frozenset(chain.from_iterable(info.words for info in infos.values()))
    unknown: dict[str, str] = {}
    for where, text in prompts_of(recipes):
        for word in _WORD.findall(parse(text).text.lower()):
            if word not in known:
                unknown.setdefault(word, where)
    if not unknown:
        return []
    names = " and ".join(dict.fromkeys(info.name for info in infos.values()))
    verb = "does" if len({info.name for info in infos.values()}) == 1 else "do"
    return [
        f"{_places(unknown)}: {names} {verb} not know {_listed(unknown, known)}; 'fusionkit models' lists its words"
    ]


def warn_of(notes: Iterable[str]) -> None:
    """Warn whoever called fusionkit from Python: a `RecipeWarning` each, at that caller's line."""
    level, frame = 2, sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "fusionkit":
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    for note in notes:
        warnings.warn(note, RecipeWarning, stacklevel=level)


def _too_large(stage: Stage) -> str:
    """What is to be said of a stage's size, unless a plugin keeps one composition; empty where nothing is."""
    (width, height), (own_width, own_height) = stage.plan.size, stage.info.window
    across, down = stage.recipe.window or stage.info.window
    if stage.is_high(stage.canvas[0]):
        both = width >= SCENE * across
        times = f"{_number(height / down)} times as high as a window of {across}x{down}"
        drawn = "a scene may be drawn in each window" if both else "scenes may be stacked on each other"
        return (
            f"size {width}x{height} is {times}, and no plugin keeps one composition: {drawn}; enlarge one picture "
            f"(--set plugins.progressive-upscaling=true), give parts of the height prompts of their own (regions), "
            f"begin with a picture (image-to-image), or make it no higher than the window"
        )
    if across >= LARGER * own_width and down >= LARGER * own_height and width > own_width and height > own_height:
        return (
            f"window {across}x{down} is larger than {own_width}x{own_height}, which the model was trained at, and no "
            f"plugin keeps one composition: things may be drawn several times; use a plugin that does (re-dilation), "
            f"or enlarge one picture (--set window=null --set plugins.progressive-upscaling=true)"
        )
    return ""


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _places(unknown: Mapping[str, str]) -> str:
    return " and ".join(list(dict.fromkeys(unknown.values()))[:3])


def _listed(unknown: Mapping[str, str], known: Iterable[str]) -> str:
    words = list(unknown)
    named = []
    for word in words[:_MOST_WORDS]:
        near = get_close_matches(word, sorted(known), n=1, cutoff=_NEAR)
        named.append(f"'{word}'" + (f" (near: '{near[0]}')" if near else ""))
    more = [f"{len(words) - _MOST_WORDS} more"] if len(words) > _MOST_WORDS else []
    *first, last = [*named, *more]
    return f"{', '.join(first)} and {last}" if first else last
