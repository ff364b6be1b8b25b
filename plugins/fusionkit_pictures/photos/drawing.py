"""Photos, checked before anything loads, then drawn one after the other by one model; one that fails ends none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import click

from fusionkit.cli.as_json import of_run, print_json
from fusionkit.cli.common import aside, table, tell_notes
from fusionkit.cli.from_picture import escaped
from fusionkit.cli.keeping import Keeping
from fusionkit.errors import Cancelled, FusionError, ModelError, RecipeError
from fusionkit.models.embedded import embedded_models
from fusionkit.pictures.picture import picture_problems, picture_size
from fusionkit.recipe.assemble import Reader, own_entries
from fusionkit.recipe.recipe_file import RecipeFile
from fusionkit.runs.checks import NO_MODEL, check_file, inspected
from fusionkit_pictures.photos.folder import Photo
from fusionkit_pictures.photos.recipes import Enlarging, photo_file

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.runs.plan import RunPlan


@dataclass(frozen=True)
class Job:
    """A photo that can be enlarged, with its recipe.

    Args:
        photo: The photo.
        file: The recipe.
        infos: What is known of its models.
        before: (width, height) of the photo.
        after: That of the new picture.
        notes: What was noted of the recipe.
    """

    photo: Photo
    file: RecipeFile
    infos: Mapping[str, ModelInfo]
    before: tuple[int, int]
    after: tuple[int, int]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        sizes = ("{}x{}".format(*size) for size in (self.before, self.after))
        return f"{self.photo.path}: {' -> '.join(sizes)}"


@dataclass
class Found:
    """Photos that can be enlarged, and what is wrong with the others.

    Args:
        jobs: Those that can.
        unfit: For each that can't, or that failed: why, a line or more.
    """

    jobs: list[Job]
    unfit: dict[str, list[str]] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """What is wrong with those that can't be enlarged, each line once."""
        return list(dict.fromkeys(line for lines in self.unfit.values() for line in lines))


class _NoModelError(RecipeError):
    """No photo can be enlarged, since there is no model."""


def jobs_of(photos: Sequence[Photo], how: Enlarging) -> Found:
    """Photos with their recipes, checked before anything loads.

    Raises:
        RecipeError: None of them can be enlarged, for all of their reasons; or the model can't be found.
    """
    found = Found([])
    # A model of the hub is asked for once, and not for each photo.
    models: dict[str, ModelInfo] = {}
    # So is the recipe read once.
    read = lru_cache(own_entries)
    for photo in photos:
        try:
            found.jobs.append(aside(_job, photo, how, models, read))
        except _NoModelError:
            raise
        except FusionError as error:
            found.unfit[str(photo.path)] = str(error).splitlines()
    if not found.jobs:
        raise RecipeError(found.lines)
    return found


def _job(photo: Photo, how: Enlarging, models: dict[str, ModelInfo], read: Reader) -> Job:
    if problems := picture_problems(photo.path, "photo"):
        raise RecipeError(problems)
    how = replace(how, options={**how.options, "output": escaped(photo.output)})
    prompt = photo.prompt if how.options.get("prompt") is None else None
    infos: dict[str, ModelInfo] = {}

    def known(plain: RecipeFile) -> tuple[ModelInfo, tuple[int, int]]:
        specs = plain.recipes[0].specs
        if not specs:
            raise _NoModelError([NO_MODEL])
        for spec in specs.values():
            if str(spec) in models:
                continue
            try:
                models[str(spec)] = inspected(spec)
            except ModelError as error:
                raise _NoModelError(plain.located(line, ("model",)) for line in str(error).splitlines()) from error
        infos.update({name: models[str(spec)] for name, spec in specs.items()})
        main = next(iter(infos.values()))
        return main, plain.recipes[0].window or main.window

    file = photo_file(photo.path, how, known, prompt, read)
    notes = check_file(file, skip_existing=True, known=infos).notes
    before = picture_size(photo.path)
    return Job(photo, file, infos, before, how.size(before), notes)


def told_of(found: Found) -> None:
    """Say of an embedded model that it is a toy, of prompts what they can't mean, and what is left out, on stderr."""
    toys = embedded_models()
    names = dict.fromkeys(spec.model for job in found.jobs for spec in job.file.recipes[0].specs.values())
    for name in names:
        if name in toys:
            click.echo(
                f"note: '{name}' is a toy for this: it knows drawn landscapes, and no photos; use SDXL, or another "
                f"model that was trained on photos",
                err=True,
            )
    said = set[tuple[str, str]]()
    for job in found.jobs:
        recipe = job.file.recipes[0]
        if (key := (recipe.prompt, recipe.negative_prompt)) not in said:
            said.add(key)
            tell_notes(job.file, job.notes)
    for line in found.lines:
        click.echo(f"note: left out: {line}", err=True)


def print_of(found: Found) -> str:
    """The recipe of the one photo.

    Raises:
        RecipeError: There are several.
    """
    if len(found.jobs) != 1:
        raise RecipeError([f"--recipe prints the recipe of one photo, and there are {len(found.jobs)}; name one"])
    from fusionkit.recipe.document import dump_yaml

    (job,) = found.jobs
    return dump_yaml(job.file.tree.plain())


def show(found: Found, as_json: bool) -> None:
    """Say what would be drawn, and what it needs: of one photo all that `plan` says, of several a line each."""
    from fusionkit.cli.plan import describe, document
    from fusionkit.pictures.image import in_bytes
    from fusionkit.runs.shown import needs_of

    plans = [(job, aside(_planned, job)) for job in found.jobs]
    if as_json:
        told = [{"photo": str(job.photo.path), **aside(document, plan, job.file.recipes, ())} for job, plan in plans]
        print_json({"photos": told, "failed": _failures(found)})
    elif len(plans) == 1 and not found.unfit:
        click.echo(aside(describe, plans[0][1], plans[0][0].file.recipes))
    else:
        rows = [
            [
                str(job),
                f"{plan.forward_passes:,} passes",
                in_bytes(needs_of(plan).total),
                str(job.photo.output),
            ]
            for job, plan in plans
        ]
        passes = sum(plan.forward_passes for _, plan in plans)
        click.echo(table([["photo", "of the denoiser", "memory", "output"], *rows]))
        click.echo(f"{len(plans)} photos, {passes:,} passes in all")


def _planned(job: Job) -> RunPlan:
    from fusionkit.runs.run import prepare

    return prepare(job.file.recipes[0], next(iter(job.infos.values())), infos=job.infos, to_look_at=True)


def draw(found: Found, *, keeping: Keeping, quiet: bool, as_json: bool) -> None:
    """Draw all photos by one model; what fails is added to `found.unfit`.

    Raises:
        Cancelled: Somebody ended it.
    """
    from fusionkit.cli.pictures import make_pictures
    from fusionkit.fusion import Fusion

    fusion = Fusion.from_recipe(found.jobs[0].file.recipes[0])
    told: list[dict[str, Any]] = []
    for number, job in enumerate(found.jobs, 1):
        if not quiet:
            click.echo(f"{number} of {len(found.jobs)}: {job}", err=True)
        say = (lambda _: None) if as_json else click.echo
        try:
            drawn = make_pictures(
                job.file, quiet, skip_existing=True, keeping=_kept(job, keeping), say=say, fusion=fusion
            )
        except Cancelled as end:
            done = f"; {number - 1} of {len(found.jobs)} photos were done" if number > 1 else ""
            raise Cancelled(f"{end}{done}; the same command goes on from there") from None
        except FusionError as error:
            lines = [f"'{job.photo.path}': {line}" for line in str(error).splitlines()]
            found.unfit[str(job.photo.path)] = lines
            if not quiet:
                click.echo("\n".join(lines), err=True)
            continue
        told += [{"photo": str(job.photo.path), **each} for each in of_run(drawn)["pictures"]]
    if as_json:
        print_json({"pictures": told, "failed": _failures(found)})


def _kept(job: Job, keeping: Keeping) -> Keeping:
    """Goes on with what an earlier command has kept of the same picture, and of no other one."""
    from fusionkit.pictures.image import output_path
    from fusionkit.runs.checkpoints.checkpoint import checkpoint_path
    from fusionkit.runs.checkpoints.resume import find_checkpoint
    from fusionkit.runs.plan import completed

    recipe = completed(job.file.recipes[0], next(iter(job.infos.values())))
    with suppress(FusionError):
        if find_checkpoint(checkpoint_path(output_path(recipe)), recipe) is not None:
            return replace(keeping, resume=True)
    return keeping


def _failures(found: Found) -> list[dict[str, Any]]:
    return [{"photo": photo, "problems": lines} for photo, lines in found.unfit.items()]
