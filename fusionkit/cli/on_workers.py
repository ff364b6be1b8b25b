"""Makes pictures of `run` on workers: each draws whole ones, and this process writes what comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from fusionkit.cli.pictures import Drawn, Kept, drawn_before, make_pictures, summary, write_maps
from fusionkit.cli.signals import interrupts_later
from fusionkit.cli.workers import Workers, as_document, summary_of
from fusionkit.drawing.drawn import Drawn as Answered
from fusionkit.drawing.many import draw_many
from fusionkit.drawing.tasks import Batches, Draw
from fusionkit.errors import Cancelled, FusionError, RecipeError
from fusionkit.fusion import Fusion
from fusionkit.pictures.image import metadata_of, output_path, save_or_keep
from fusionkit.runs.bars import progress_bar
from fusionkit.runs.plan import completed

if TYPE_CHECKING:
    from pathlib import Path

    from fusionkit.cli.keeping import Keeping
    from fusionkit.distributed.pool import Pool
    from fusionkit.recipe.recipe_file import RecipeFile


def make_on(
    workers: Workers,
    file: RecipeFile,
    quiet: bool,
    save_maps: bool,
    together: tuple[int | None, Batches],
    keeping: Keeping,
    preview: Path | None,
    how: Mapping[str, Any],
) -> tuple[list[Drawn], dict[str, Any]]:
    """Make the pictures of a file on workers, sharing what is to be shared, and say what the workers did.

    Args:
        workers: What is asked for.
        file: The recipes.
        quiet: As for `make_pictures`.
        save_maps: As for `make_pictures`.
        together: Its batch size and batches.
        keeping: How runs are kept, where views are shared.
        preview: The file of a live preview, likewise.
        how: What else `make_pictures` is told.

    Returns:
        The pictures, in the recipes' order, and what a JSON document tells of the workers.
    """
    with workers.pool(file.recipes[0].device) as pool:
        if workers.shares(len(file.recipes), pool.size) == "pictures":
            fusion = Fusion.from_recipe(file.recipes[0])
            drawn = make_pictures_on(pool, file, fusion, quiet, save_maps, *together, **how)
        else:
            fusion = Fusion.from_recipe(file.recipes[0], pool=pool)
            drawn = make_pictures(
                file, quiet, save_maps, *together, keeping=keeping, preview=preview, fusion=fusion, **how
            )
        if not quiet:
            how["say"](f"  {summary_of(pool)}")
        return drawn, {"workers": as_document(pool)}


def make_pictures_on(
    pool: Pool,
    file: RecipeFile,
    fusion: Fusion,
    quiet: bool,
    save_maps: bool = False,
    batch_size: int | None = None,
    batches: Batches | None = None,
    *,
    skip_existing: bool = False,
    say: Callable[[str], object] = click.echo,
) -> list[Drawn]:
    """Make and write one picture for each of a file's recipes, as `make_pictures` does, on workers.

    Pictures are written as they come; where several would have one name, in the recipes' order.

    Args:
        pool: The workers.
        file: The recipes.
        fusion: Knows the models' defaults; its weights are not loaded.
        quiet: Print the pictures' paths and nothing else.
        save_maps: Write the plugins' maps.
        batch_size: As for `make_pictures`.
        batches: As for `make_pictures`.
        skip_existing: As for `make_pictures`.
        say: As for `make_pictures`.

    Raises:
        RecipeError: Something makes no sense; with its place in the file.
        Cancelled: Ctrl-C; says what was kept.
    """
    kept, found = Kept(step="before the first picture"), dict[int, Drawn]()
    ours: set[Path] = set()
    for index, recipe in enumerate(file.recipes, 1) if skip_existing else ():
        if path := drawn_before(recipe, index, fusion, ours, len(file.recipes)):
            ours.add(path)
            say(str(path) if quiet else f"{path}\n  was there, whole, and drawn from the same recipe")
            found[index] = Drawn(path, file.recipes[index - 1])
    missing = [index for index in range(1, len(file.recipes) + 1) if index not in found]
    names = [output_path(completed(file.recipes[index - 1], fusion.info), index) for index in missing]
    waiting: dict[int, Answered] = {}
    bar = None if quiet else progress_bar(total=len(missing), unit="picture")

    def write(index: int, answered: Answered) -> None:
        recipe, result = file.recipes[index - 1], answered.result()
        with interrupts_later():
            to = output_path(result.recipe, index)
            path = save_or_keep(result.image, to, metadata_of(result), overwrite=recipe.overwrite)
            kept.files.append(path)
        say(str(path) if quiet else summary(path, result))
        maps = write_maps(path, result, kept, quiet, say) if save_maps else []
        found[index] = Drawn(path, recipe, result, maps)
        kept.step = f"after {len(kept.files)} of {len(missing)} pictures"
        if bar is not None:
            bar.update()

    def come(number: int, answered: Answered) -> None:
        waiting[missing[number]] = answered
        in_turn = len(set(names)) == len(names)
        for index in sorted(waiting):
            if in_turn or all(each in found for each in missing if each < index):
                write(index, waiting.pop(index))

    try:
        pictures = [
            Draw(
                file.recipes[index - 1],
                f"picture {index}",
                f"picture {index}" if len(file.recipes) > 1 else "",
                batches or {},
                batch_size,
                save_maps,
            )
            for index in missing
        ]
        if pictures:
            draw_many(pool, pictures, come)
    except RecipeError as error:
        raise RecipeError(file.located(problem) for problem in error.problems) from error
    except FusionError as error:
        raise type(error)(f"{error}; {kept.written}") from error
    except KeyboardInterrupt:
        raise Cancelled(str(kept)) from None
    finally:
        if bar is not None:
            bar.close()
    return [found[index] for index in sorted(found)]
