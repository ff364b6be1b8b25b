"""Where the windows of a picture's last stage were: planned again from its recipe, or from a window and a stride."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from operator import gt
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fusionkit.errors import FusionError, ModelError, RecipeError
from fusionkit.foreign import told
from fusionkit.loop.views import View, Wrap, windows
from fusionkit.trust import named_by_a_picture

if TYPE_CHECKING:
    from pathlib import Path

    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import ModelSpec, Recipe

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels; right and bottom are the first pixels outside."""

Views = Sequence[tuple[Box, float]]


class Layout(NamedTuple):
    """Where the windows of a picture were, and along which axes it is a ring."""

    views: Views
    wrap: Wrap = ""


ADVICE = "--trust opens it"
_WINDOW = "window"
_MOST = 4096
_known: dict[tuple[str, int | None], Layout | RecipeError] = {}
_moving: set[str] = set()


class Tiled(Protocol):
    """A picture, as far as it tells where its windows were."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""

    @property
    def recipe(self) -> Recipe | None:
        """What made it."""

    @property
    def crop(self) -> tuple[int, int] | None:
        """(width, height) in pixels of the size that the model was trained at."""

    @property
    def stride(self) -> int | None:
        """Pixels from one view to the next, where they are given by hand."""

    @property
    def trusted(self) -> bool:
        """Whether what the recipe names is opened."""


def layout_of(picture: Tiled, last: float = 1.0) -> Layout:
    """The windows of a picture's last stage in pixels, and the share of the steps, 0..1, in which each was there.

    Those of a ring begin on the picture, and may end beyond its edge. A stride that was given by hand, with the model's
    window, comes before the recipe.

    Args:
        picture: The picture.
        last: The share of the steps, the last ones, that are looked at; one step at least.

    Raises:
        RecipeError: Neither tells, or the recipe can't be planned here.
    """
    if picture.stride is None and picture.recipe is not None:
        return _of_recipe(picture.recipe, picture, last)
    if picture.crop is None or picture.stride is None:
        raise RecipeError([f"{picture.path}: where its windows were is not known; give --crop WxH and --stride N"])
    (width, height), (across, down) = picture.size, picture.crop
    views = windows((height, width), (down, across), (picture.stride, picture.stride))
    return Layout([(_box(view, 1, picture.size), 1.0) for view in views])


def window_of(recipe: Recipe, *, trusted: bool = True) -> tuple[int, int] | None:
    """(width, height) in pixels of a recipe's window, its own or the main model's; None for a recipe without a model.

    Args:
        recipe: The recipe.
        trusted: Whether the paths that it names may be opened, and the hub be asked.

    Raises:
        ModelError: The model can't be found, or is not looked for.
    """
    if recipe.window is not None or not recipe.specs:
        return recipe.window
    with allowed(trusted):
        return _info(next(iter(recipe.specs.values())), trusted).window


def factor_of(recipe: Recipe, *, trusted: bool = True) -> int | None:
    """Pixels of a recipe's picture along one side of a latent pixel; None for a recipe without a model.

    Args:
        recipe: The recipe.
        trusted: Whether the paths that it names may be opened, and the hub be asked.

    Raises:
        ModelError: The model can't be found, or is not looked for.
    """
    with allowed(trusted):
        return _info(next(iter(recipe.specs.values())), trusted).factor if recipe.specs else None


def allowed(trusted: bool) -> AbstractContextManager[object]:
    """While a recipe is planned: that of a stranger's picture opens no file, and no recipe here asks the hub."""
    return nullcontext() if trusted else named_by_a_picture(paths=ADVICE, downloads="")


def _of_recipe(recipe: Recipe, picture: Tiled, last: float) -> Layout:
    """The layout of a recipe; planned once for all recipes that differ in prompt and seed alone."""
    dumped = {**recipe.dump(), "prompt": None, "seed": None, "name": None}
    key = json.dumps([dumped, picture.size, picture.trusted, last], default=repr)
    found = _known.get((key, None), _known.get((key, recipe.seed)))
    if found is None:
        if len(_known) >= _MOST:
            _known.clear()
            _moving.clear()
        with allowed(picture.trusted):
            found = _planned(recipe, picture, last)
        # Windows that a plugin moves lie elsewhere with another seed; where they do, each seed is planned.
        other = recipe.model_copy(update={"seed": (recipe.seed + 1) % 2**63})
        with allowed(picture.trusted):
            if key in _moving or (isinstance(found, Layout) and found != _planned(other, picture, last)):
                _moving.add(key)
        _known[key, recipe.seed if key in _moving else None] = found
    if isinstance(found, RecipeError):
        raise RecipeError([f"{picture.path}: {found}"])
    return found


def _planned(recipe: Recipe, picture: Tiled, last: float) -> Layout | RecipeError:
    from fusionkit.loop.denoise import ask_views
    from fusionkit.runs.run import prepare

    try:
        # Plugins may enlarge what the recipe's size holds, and shrink nothing.
        if "size" in recipe.model_fields_set and any(map(gt, recipe.size, picture.size)):
            return _of_another_size(recipe.size, picture.size)
        infos = {name: _info(spec, picture.trusted) for name, spec in recipe.specs.items()}
        if not infos:
            return RecipeError(["its recipe names no model, so where its windows were is not known"])
        plan = prepare(recipe, next(iter(infos.values())), infos=infos, to_look_at=True)
        stage = plan.stages[-1]
        if stage.plan.size != picture.size:
            return _of_another_size(stage.plan.size, picture.size)
        counts: Counter[Box] = Counter()
        steps = stage.steps[-max(1, round(last * len(stage.steps))) :]
        for at in steps:
            groups = ask_views(stage, at, plan.hooks)
            views = (view for patches in groups if patches.kind == _WINDOW for view in patches.views)
            counts.update({_box(view, stage.factor, picture.size) for view in views})
    except FusionError as error:
        # One line, whatever the plugins say: a recipe that drew this picture once can't be planned any more.
        return RecipeError([f"its recipe can't be planned here: {'; '.join(str(error).splitlines())}"])
    except Exception as error:  # noqa: BLE001 - a stranger's recipe is made to find a fault: it must not end the others
        return RecipeError([f"its recipe can't be planned here: {told(error)}"])
    return Layout([(box, count / len(steps)) for box, count in sorted(counts.items())], stage.wrap)


def _of_another_size(drawn: tuple[int, int], found: tuple[int, int]) -> RecipeError:
    names = ("x".join(map(str, size)) for size in (drawn, found))
    return RecipeError(["its recipe draws {} pixels and the file has {}".format(*names)])


def _box(view: View, factor: int, size: tuple[int, int]) -> Box:
    """A view in pixels of the picture, as far as it lies on it; of a ring, it may go on beyond the edge."""
    left, top = view.left * factor, view.top * factor
    right, bottom = left + view.width * factor, top + view.height * factor
    right = right if "x" in view.wrap else min(size[0], right)
    bottom = bottom if "y" in view.wrap else min(size[1], bottom)
    return max(0, left), max(0, top), right, bottom


def _info(spec: ModelSpec, trusted: bool) -> ModelInfo:
    found = _inspected(spec.model, spec.base, spec.revision, spec.variant, trusted)
    if isinstance(found, FusionError):
        raise found
    return found


@lru_cache(maxsize=64)
def _inspected(
    model: str, base: str | None, revision: str | None, variant: str | None, trusted: bool
) -> ModelInfo | FusionError:
    """What is known of a model; a failure is remembered too, so that a missing one is looked for once."""
    from fusionkit.models.inspect import inspect_model

    try:
        return inspect_model(model, base=base, revision=revision, variant=variant)
    except FusionError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever it is, it is of one picture
        return ModelError(f"model '{model}' can't be read: {told(error)}")
