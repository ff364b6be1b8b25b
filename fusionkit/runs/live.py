"""A live preview: one small picture of how far a run is, which is replaced again and again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr, field_validator

from fusionkit.errors import FusionError, NumericalError, RecipeError
from fusionkit.loop.finite import place
from fusionkit.loop.hookspecs import hookimpl
from fusionkit.loop.stage import Fused, Stage, Step
from fusionkit.pictures.image import output_problems, save_image
from fusionkit.pictures.inputs import is_read
from fusionkit.pictures.metadata import text_in
from fusionkit.pictures.opening import PictureError
from fusionkit.plugin import Plugin
from fusionkit.recipe import Count, Number

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.recipe.recipe import Recipe

# What the file of a preview says in place of a recipe: it may be replaced.
_OURS = {"preview": True}


class LivePreview(Plugin):
    """Show a small picture of the clean estimate while a run lasts; it changes nothing of it.

    The picture is the estimate's latents, reduced and decoded: `Stage.glimpse`. What can't be decoded, or written, is
    left out, and `told` why in one line.
    """

    to: Path | str | Callable[..., None] | None = Field(
        default=None,
        description="Where it goes: a file that is replaced, whole each time; or a function of the picture, the stage "
        "and the step. By default a notebook shows it, in place.",
    )
    every: Count = Field(default=1, description="How many steps from one to the next; the last of a stage is shown.")
    size: Count = Field(default=256, le=4096, description="It has about as many pixels as a square of this side.")
    share: Number = Field(
        default=0.05,
        gt=0,
        le=1,
        description="The part of the run's time that previews may take: what would come sooner is left out. 1 leaves "
        "none out.",
    )
    overwrite: bool = Field(default=False, description="Replace a file that is no preview, too.")
    told: Callable[[str], None] = partial(print, file=sys.stderr)

    _show: Any = PrivateAttr(None)
    _next: float = PrivateAttr(0.0)
    _said: set[str] = PrivateAttr(default_factory=set)

    @field_validator("to", mode="before")
    @classmethod
    def _as_path(cls, value: Any) -> Any:
        return Path(value) if isinstance(value, str) else value

    def model_post_init(self, context: Any) -> None:
        """Look for the notebook, where one is to show it."""
        if self.to is None:
            self._show = _in_notebook()
        elif isinstance(self.to, Path):
            self._show = self._write
        else:
            self._show = self.to

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A file that can't be written, or that must not be replaced."""
        if stage.index > 0 or not isinstance(self.to, Path):
            return []
        return [f"{self.plugin_name}: {line}" for line in file_problems(self.to, stage.recipe, self.overwrite)]

    @hookimpl
    def step_done(self, stage: Stage, at: Step, latents: Tensor, fused: Fused) -> None:
        """Show it, where it is time."""
        began = time.perf_counter()
        due = (at.index + 1) % self.every == 0 and began >= self._next
        if not (due or at.is_last):
            return
        try:
            picture = stage.glimpse(latents if fused.denoised is None else fused.denoised, self.size)
        except NumericalError as error:
            self._tell(f"no preview at {place(stage, at)}: {error}")
            return
        self._show(picture, stage, at)
        ended = time.perf_counter()
        self._next = ended + (ended - began) * (1 / self.share - 1)

    def _write(self, picture: Image, stage: Stage, at: Step) -> None:
        assert isinstance(self.to, Path)
        try:
            save_image(picture, self.to, _OURS, overwrite=True)
        except FusionError as error:  # the picture itself may still find a place
            self._tell(f"no preview: {error}")

    def _tell(self, line: str) -> None:
        """Once, however often it is so."""
        if line not in self._said:
            self._said.add(line)
            self.told(line)


def live_preview(preview: Any, every: int | None) -> LivePreview | None:
    """A preview as a caller asks for it: the object, a file's name, or True for a notebook; None for none.

    Raises:
        RecipeError: It is anything else, or can't be.
    """
    if preview is None or preview is False:
        return None
    if isinstance(preview, LivePreview):
        if every is not None:
            raise RecipeError(["preview_every is for pictures and files; give LivePreview its own 'every'"])
        return preview
    if preview is not True and not isinstance(preview, (str, Path)):
        raise RecipeError(["preview is a file's name, True in a notebook, a LivePreview, or a function"])
    return LivePreview(to=None if preview is True else Path(preview), every=1 if every is None else every)


def file_problems(path: Path, recipe: Recipe, overwrite: bool = False) -> Iterator[str]:
    """Why a file can't be a preview's, one line for each reason.

    Args:
        path: The file.
        recipe: What is drawn.
        overwrite: Whether a file that is no preview may be replaced.
    """
    for line in output_problems([path], (512, 512)):
        yield line.removeprefix("output ")
    if not path.is_file():
        return
    if is_read(recipe, path):
        yield f"'{path}' is a file that the recipe reads; give another name"
    elif not overwrite and not is_preview(path):
        yield f"'{path}' is there already, and is no preview; give another name, or allow that it is overwritten"


def is_preview(path: Path) -> bool:
    """Whether a file is a picture that says that it was a preview."""
    with suppress(PictureError, ValueError, RecursionError):
        found = json.loads(text_in(path) or "null")
        return isinstance(found, dict) and found.get("preview") is True
    return False


def _in_notebook() -> Callable[..., None]:
    """A function that shows a picture in a notebook, in the place of the one before.

    Raises:
        RecipeError: There is no notebook.
    """
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = None
    if get_ipython is None or get_ipython() is None:
        raise RecipeError(["a preview without a file is shown in a notebook, and this is none; name one: 'live.png'"])
    shown: list[Any] = []

    def show(picture: Image, stage: Stage, at: Step) -> None:
        if shown:
            shown[0].update(picture)
        else:
            shown.append(display(picture, display_id=True))

    return show
