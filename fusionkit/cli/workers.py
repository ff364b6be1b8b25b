"""Workers on the command line: how many, where, what they share, and what is told of them in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from fusionkit.cli.common import counted

if TYPE_CHECKING:
    from fusionkit.distributed.ray_pool import RayPool
    from fusionkit.recipe.recipe import Recipe

F = TypeVar("F", bound=Callable[..., Any])
Share = Literal["pictures", "views"]


class _Count(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A number from 1, or `all`, which is 0."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "all" or isinstance(value, int):
            return 0 if value == "all" else value
        try:
            count = int(value)
        except ValueError:
            count = 0
        if count < 1:
            self.fail(f"'{value}' is no number of workers from 1, and not 'all'", param, ctx)
        return count


def workers_options(command: F) -> F:
    """The options of a command whose pictures, or their views, several processes or machines can share."""
    decorate = click.option(
        "--share",
        type=click.Choice(["pictures", "views"]),
        help="What workers share: whole pictures, by default where there are enough, or each picture's views.",
    )
    return pool_options(decorate(command))


def pool_options(command: F) -> F:
    """The options of a command whose work several processes, or machines, can share; see docs/workers.md."""
    for decorate in (
        click.option("--open-cluster", is_flag=True, help="Use a cluster even if it asks for no token."),
        click.option(
            "--cluster",
            metavar="ADDRESS",
            help="A Ray cluster that runs already: HOST:PORT, or auto for the one of this machine.",
        ),
        click.option(
            "--workers",
            type=_Count(),
            metavar="N|all",
            help="So many processes, each with a GPU, or a part of the cores; all: one for each. Needs fusionkit[ray].",
        ),
    ):
        command = decorate(command)
    return command


@dataclass(frozen=True)
class Workers:
    """What the options ask for.

    Args:
        count: How many workers; 0 is as many as there is room for.
        cluster: The cluster's address; None starts Ray on this machine.
        share: What is shared; None is decided by how much there is to do.
        insecure: Whether a cluster may be open to everybody.
    """

    count: int
    cluster: str | None = None
    share: Share | None = None
    insecure: bool = False

    @contextmanager
    def pool(self, device: str) -> Iterator[RayPool]:
        """Within the block the workers are there; they are ended with it.

        Args:
            device: What they compute on, as a recipe names it.

        Raises:
            RecipeError: Ray is not there, or the cluster can't be used, or there is no room for so many.
        """
        from fusionkit.distributed.ray_pool import RayPool

        pool = RayPool(self.count or None, cluster=self.cluster, device=device, insecure=self.insecure, told=_told)
        try:
            yield pool
        finally:
            pool.close()

    def shares(self, missing: int, size: int) -> Share:
        """What is shared, where so many pictures are missing, and there are so many workers."""
        return self.share or ("pictures" if missing >= size else "views")


def asked_workers(
    workers: int | None,
    cluster: str | None,
    open_cluster: bool,
    share: Share | None = None,
    *,
    recipes: Sequence[Recipe] = (),
    device: str = "auto",
) -> Workers | None:
    """What the options ask for; None where they ask for no workers.

    Args:
        workers: `--workers`.
        cluster: `--cluster`.
        open_cluster: `--open-cluster`.
        share: `--share`.
        recipes: What the workers are for.
        device: What they compute on, where there are no recipes.

    Raises:
        RecipeError: They make no sense together, or with the recipes, or Ray is not installed; all problems.
    """
    from fusionkit.errors import RecipeError

    if workers is None and cluster is None:
        given = {"--share": share, "--open-cluster": open_cluster}
        if named := [name for name, each in given.items() if each]:
            raise RecipeError(f"{name}: is about workers; give --workers or --cluster, too" for name in named)
        return None
    problems = []
    if open_cluster and cluster is None:
        problems.append("--open-cluster: is about a cluster; give --cluster, too")
    for name in dict.fromkeys([device, *(recipe.device for recipe in recipes)]):
        if ":" in name:
            problems.append(f"{_flag(workers)}: each worker has a device of its own; write '{name}' without its number")
    for recipe in recipes:
        if recipe.devices:
            problems.append(
                f"{_flag(workers)}: recipe '{recipe.name}' has devices of its own; leave out one of the two"
            )
    try:
        from fusionkit.distributed.ray_session import check_ray

        check_ray()
    except RecipeError as error:
        problems += error.problems
    if problems:
        raise RecipeError(dict.fromkeys(problems))
    return Workers(workers or 0, cluster, share, open_cluster)


def only_views(given: Mapping[str, Any], share: Share | None) -> Share | None:
    """What is shared where options are given for which a picture has to be drawn here.

    Args:
        given: These options, by their names; those that are not given are false.
        share: What was asked for.

    Raises:
        RecipeError: Whole pictures were.
    """
    from fusionkit.errors import RecipeError

    names = [name for name, value in given.items() if value]
    if names and share == "pictures":
        raise RecipeError(
            [f"{', '.join(names)}: a picture that a worker draws as a whole can't be followed from here; --share views"]
        )
    return "views" if names else share


def summary_of(pool: RayPool) -> str:
    """What workers did, in one line."""
    lost = f"; {pool.lost} died, {counted(pool.repeated, 'task')} given again" if pool.lost or pool.repeated else ""
    return f"{counted(pool.size, 'worker')}, {counted(pool.given, 'call')}{lost}"


def as_document(pool: RayPool) -> dict[str, Any]:
    """The same for `--json`."""
    return {"size": pool.size, "given": pool.given, "lost": pool.lost, "repeated": pool.repeated}


def _flag(workers: int | None) -> str:
    return "--cluster" if workers is None else "--workers"


def _told(line: str) -> None:
    click.echo(f"note: {line}", err=True)
