"""Makes pictures for `run` and `replay`: progress, previews, a summary, and a clean end on Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionkit.cli.common import aside, counted
from fusionkit.cli.keeping import NOT_KEPT, Keeping, forget_checkpoint, note_of_checkpoint
from fusionkit.cli.signals import interrupts_later
from fusionkit.errors import Cancelled, FusionError, OutOfMemory, RecipeError, UnfinishedError
from fusionkit.foreign import printable
from fusionkit.pictures.files import clear_leftovers
from fusionkit.pictures.finished import drawn_already
from fusionkit.pictures.image import free_path, metadata_of, output_path, save_image, save_or_keep
from fusionkit.pictures.inputs import is_read, notes_on
from fusionkit.pictures.names import beside
from fusionkit.runs.plan import completed

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit.fusion import Fusion
    from fusionkit.loop.stage import Stage, Step
    from fusionkit.pictures.result import Result
    from fusionkit.recipe.recipe import Recipe
    from fusionkit.recipe.recipe_file import RecipeFile


@dataclass
class Kept:
    """What a run has written, how far it came, and where that is kept, for when somebody ends it."""

    files: list[Path] = field(default_factory=list)
    step: str = "before the first step"
    checkpoint: str = ""

    def __str__(self) -> str:
        return f"interrupted {self.step}; {self.written}"

    @property
    def written(self) -> str:
        """What was written, in words."""
        kept = ", ".join([*map(str, self.files), *([self.checkpoint] if self.checkpoint else [])])
        return f"kept: {kept}" if kept else "nothing was written"


@dataclass(frozen=True)
class Drawn:
    """A picture of a run.

    Args:
        path: Where it is.
        recipe: The recipe, as its file has it.
        result: What was drawn; None where it was there already.
        maps: The plugins' pictures beside it.
    """

    path: Path
    recipe: Recipe
    result: Result | None = None
    maps: Sequence[Path] = ()


def make_pictures(
    file: RecipeFile,
    quiet: bool,
    save_maps: bool = False,
    batch_size: int | None = None,
    batches: Mapping[str, Mapping[tuple[int, int], int]] | None = None,
    *,
    skip_existing: bool = False,
    keeping: Keeping = NOT_KEPT,
    say: Callable[[str], object] = click.echo,
    preview: Path | None = None,
    fusion: Fusion | None = None,
) -> list[Drawn]:
    """Make and write one picture for each of a file's recipes, with the plugins' maps if they are wanted.

    What plugins print goes to standard error: standard output tells of pictures alone.

    Args:
        file: The recipes.
        quiet: Print the pictures' paths and nothing else.
        save_maps: Write the plugins' maps.
        batch_size: Views in one forward pass where the recipe does not say; None chooses.
        batches: What is to be chosen then: for models by name, and (height, width) in latent pixels of their views.
        skip_existing: Leave out the pictures that are there, whole, and drawn from the same recipe.
        keeping: How the runs are kept, and whether they go on.
        say: Told where each picture is, and what it took.
        preview: The file of a live preview, in place of previews beside the pictures.
        fusion: The models, where they are loaded already, or will be for others as well.

    Returns:
        The pictures, in the recipes' order.

    Raises:
        RecipeError: Something makes no sense; with its place in the file.
        UnfinishedError: A run could not go on; says what was kept.
        Cancelled: Ctrl-C, or a signal that does the same; says what was kept.
    """
    from fusionkit.fusion import Fusion

    kept, drawn = Kept(), list[Drawn]()
    try:
        for note in () if quiet else notes_on(file.recipes[0]):
            click.echo(f"note: {note}", err=True)
        fusion = fusion or Fusion.from_recipe(file.recipes[0])
        fusion.batch_size, fusion.batches = batch_size, batches or {}
        ours: set[Path] = set()
        for index, recipe in enumerate(file.recipes, 1):
            # Asked before each of them: another process may draw the same list.
            if (skip_existing or keeping.resume) and (
                found := drawn_before(recipe, index, fusion, ours, len(file.recipes))
            ):
                ours.add(found)
                say(str(found) if quiet else f"{found}\n  was there, whole, and drawn from the same recipe")
                drawn.append(Drawn(found, recipe))
                continue
            result = aside(make, fusion, recipe, index, kept, quiet, save_maps, keeping, preview)
            with interrupts_later():
                to = output_path(result.recipe, index)
                path = save_or_keep(result.image, to, metadata_of(result), overwrite=recipe.overwrite)
                kept.files.append(path)
                ours.add(path)
                result.forget_checkpoint()
            say(str(path) if quiet else summary(path, result))
            # After the picture is safe: drawing them may fail.
            maps = write_maps(path, result, kept, quiet, say) if save_maps else []
            drawn.append(Drawn(path, recipe, result, maps))
    except RecipeError as error:
        raise RecipeError(file.located(problem) for problem in error.problems) from error
    except UnfinishedError as error:
        written = f"; {kept.written}" if error.checkpoint is None else "".join(f", {path}" for path in kept.files)
        raise type(error)(f"{error}{written}") from error
    except KeyboardInterrupt as interrupt:
        kept.checkpoint = getattr(interrupt, "kept", "")
        raise Cancelled(str(kept)) from None
    return drawn


def drawn_before(recipe: Recipe, index: int, fusion: Fusion, ours: Collection[Path], count: int) -> Path | None:
    """Where a recipe's picture is, if it is there, whole; says why a file of its name is not.

    Args:
        recipe: The recipe.
        index: Which of the file's it is, from 1.
        fusion: Knows what the model's defaults are.
        ours: The file's pictures that are there already.
        count: How many recipes the file has.
    """
    whole = completed(recipe, fusion.info)
    to = output_path(whole, index)
    found, reason = drawn_already(to, whole, ours, gaps=count)
    if found is not None:
        # Nothing may be written here any more, which would do so.
        clear_leftovers(to.parent)
        forget_checkpoint(to, whole)
    if reason:
        instead = "is replaced" if recipe.overwrite else "is kept: the new one gets a number"
        click.echo(printable(f"note: '{to}' {reason}, and {instead}"), err=True)
    return found


def write_maps(
    path: Path, result: Result, kept: Kept, quiet: bool, say: Callable[[str], object] = click.echo
) -> list[Path]:
    """Write a result's maps beside its picture, and say which, or that there are none."""
    maps = aside(lambda: result.maps)
    if not maps:
        click.echo("no plugin of this recipe has maps to save", err=True)
    written: list[Path] = []
    for name, image in maps.items():
        with interrupts_later():
            to = beside(path, f"-{name}", ".png")
            written.append(save_image(image, to, {}, overwrite=_replaces(result.recipe, to)))
            kept.files.append(written[-1])
    if written and not quiet:
        say(f"  {counted(len(written), 'map')} beside it: {', '.join(each.name for each in written)}")
    return written


def make(
    fusion: Fusion,
    recipe: Recipe,
    index: int,
    kept: Kept,
    quiet: bool,
    maps: bool,
    keeping: Keeping,
    preview: Path | None = None,
) -> Result:
    """Make one picture, with a progress bar and the recipe's previews."""
    whole = completed(recipe, fusion.info)
    to = output_path(whole, index)
    if keeping.every is not None and not keeping.resume and (note := note_of_checkpoint(to, whole)):
        click.echo(f"note: {note}", err=True)
    if not quiet:
        models = " + ".join(spec.model for spec in recipe.specs.values())
        click.echo(f"{models}: {recipe.prompt}" if recipe.prompt else models, err=True)

    kept.step = "before the first step"

    def callback(stage: Stage, at: Step, latents: Any) -> None:
        kept.step = f"after step {at.index + 1} of {at.total}"

    try:
        return fusion.run(
            recipe,
            callback=callback,
            progress=not quiet,
            **_watching(recipe, index, kept, preview),
            maps=maps,
            **keeping.options(to),
        )
    except OutOfMemory as error:
        if error.decode_in_tiles is None:
            raise
        click.echo(f"{error.args[0]}; all steps are done, so it is decoded again with vae-tiling: true", err=True)
        try:
            decoded: Result = error.decode_in_tiles()
            return decoded
        except UnfinishedError as again:
            again.checkpoint, again.kept = error.checkpoint, error.kept
            raise


def _watching(recipe: Recipe, index: int, kept: Kept, preview: Path | None) -> dict[str, Any]:
    """The previews that `Fusion.run` is asked for."""
    from fusionkit.runs.live import LivePreview

    every = recipe.preview_every
    if preview is not None:
        return {"preview": LivePreview(to=preview, every=every or 1, overwrite=recipe.overwrite)}
    return {} if every is None else {"preview": _previews(recipe, index, kept), "preview_every": every}


def _previews(recipe: Recipe, index: int, kept: Kept) -> Callable[[Image, Stage, Step], None]:
    def show(image: Image, stage: Stage, at: Step) -> None:
        # The stage's recipe is complete: its size, which a name may hold, is the model's where the file has none.
        path = output_path(stage.recipe, index)
        path = path if recipe.overwrite else free_path(path)
        part = f"-stage{stage.index + 1}" if stage.index else ""
        name = beside(path, f"{part}-step{at.index + 1:03}")
        with interrupts_later():
            try:
                # A run that was killed has left the same ones.
                kept.files.append(save_image(image, name, {}, overwrite=_replaces(recipe, name), once=True))
            except FusionError as error:  # the picture itself may still find a place
                click.echo(f"note: no preview: {error}", err=True)

    return show


def _replaces(recipe: Recipe, path: Path) -> bool:
    """Whether what goes beside a picture replaces a file: never one that the recipe reads."""
    return recipe.overwrite and not is_read(recipe, path)


def summary(path: Path, result: Result) -> str:
    """Where the picture is, and what it took."""
    width, height = result.image.size
    passes = "forward pass" if result.forward_passes == 1 else "forward passes"
    return (
        f"{path}\n  {width}x{height} pixels, seed {result.seed}, {result.seconds:.1f} s; "
        f"{result.forward_share:.0%} of the denoising in the model's {result.forward_passes:,} {passes}"
    )
