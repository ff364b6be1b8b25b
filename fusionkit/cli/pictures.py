"""Makes pictures for `run` and `replay`: progress, previews, a summary, and a clean end on Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionkit.cli.common import counted
from fusionkit.errors import Cancelled, FusionError, RecipeError
from fusionkit.image import free_path, metadata_of, output_path, save_image, save_or_keep
from fusionkit.inputs import notes_on
from fusionkit.names import beside

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit.fusion import Fusion, Result
    from fusionkit.recipe import Recipe
    from fusionkit.recipe_file import RecipeFile
    from fusionkit.stage import Stage, Step


@dataclass
class Kept:
    """What a run has written, and how far it came, for when somebody ends it."""

    files: list[Path] = field(default_factory=list)
    step: str = "before the first step"

    def __str__(self) -> str:
        kept = ", ".join(str(path) for path in self.files)
        return f"interrupted {self.step}; {f'kept: {kept}' if kept else 'nothing was written'}"


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Ctrl-C waits until the block is done, so that a file is written whole and noted as kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def make_pictures(file: RecipeFile, quiet: bool, save_maps: bool = False) -> list[Result]:
    """Make and write one picture for each of a file's recipes, with the plugins' maps if they are wanted.

    Raises:
        RecipeError: Something makes no sense; with its place in the file.
        Cancelled: Ctrl-C; says what was kept.
    """
    from fusionkit.fusion import Fusion

    kept, results = Kept(), []
    try:
        for note in () if quiet else notes_on(file.recipes[0]):
            click.echo(f"note: {note}", err=True)
        fusion = Fusion.from_recipe(file.recipes[0])
        for index, recipe in enumerate(file.recipes, 1):
            result = make(fusion, recipe, index, kept, quiet, save_maps)
            with interrupts_later():
                to = output_path(result.recipe, index)
                path = save_or_keep(result.image, to, metadata_of(result), overwrite=recipe.overwrite)
                kept.files.append(path)
            results.append(result)
            click.echo(str(path) if quiet else summary(path, result))
            # After the picture is safe: drawing them may fail.
            if save_maps:
                write_maps(path, result, kept, quiet)
    except RecipeError as error:
        raise RecipeError(file.located(problem) for problem in error.problems) from error
    except KeyboardInterrupt:
        raise Cancelled(str(kept)) from None
    return results


def write_maps(path: Path, result: Result, kept: Kept, quiet: bool) -> None:
    """Write a result's maps beside its picture, and say which, or that there are none."""
    if not result.maps:
        click.echo("no plugin of this recipe has maps to save", err=True)
    written: list[Path] = []
    for name, image in result.maps.items():
        with interrupts_later():
            to = beside(path, f"-{name}", ".png")
            written.append(save_image(image, to, {}, overwrite=result.recipe.overwrite))
            kept.files.append(written[-1])
    if written and not quiet:
        click.echo(f"  {counted(len(written), 'map')} beside it: {', '.join(each.name for each in written)}")


def make(fusion: Fusion, recipe: Recipe, index: int, kept: Kept, quiet: bool, maps: bool) -> Result:
    """Make one picture, with a progress bar and the recipe's previews."""
    if not quiet:
        models = " + ".join(spec.model for spec in recipe.specs.values())
        click.echo(f"{models}: {recipe.prompt}" if recipe.prompt else models, err=True)

    kept.step = "before the first step"

    def callback(stage: Stage, at: Step, latents: Any) -> None:
        kept.step = f"after step {at.index + 1} of {at.total}"

    return fusion.run(
        recipe,
        callback=callback,
        progress=not quiet,
        preview=_previews(recipe, index, kept),
        preview_every=recipe.preview_every,
        maps=maps,
    )


def _previews(recipe: Recipe, index: int, kept: Kept) -> Callable[[Image, Stage, Step], None]:
    def show(image: Image, stage: Stage, at: Step) -> None:
        # The stage's recipe is complete: its size, which a name may hold, is the model's where the file has none.
        path = free_path(output_path(stage.recipe, index))
        part = f"-stage{stage.index + 1}" if stage.index else ""
        name = beside(path, f"{part}-step{at.index + 1:03}")
        with interrupts_later():
            try:
                kept.files.append(save_image(image, name, {}))
            except FusionError as error:  # the picture itself may still find a place
                click.echo(f"note: no preview: {error}", err=True)

    return show


def summary(path: Path, result: Result) -> str:
    """Where the picture is, and what it took."""
    width, height = result.image.size
    passes = "forward pass" if result.forward_passes == 1 else "forward passes"
    return (
        f"{path}\n  {width}x{height} pixels, seed {result.seed}, {result.seconds:.1f} s; "
        f"{result.forward_share:.0%} of the denoising in the model's {result.forward_passes:,} {passes}"
    )
