"""`fusionkit compare`: draw every combination, measure it, and put it on one page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from fusionkit.cli.workers import workers_options


class PartType(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """`1/2`: the first of two parts; of an array of jobs that begins at 0, `0/2`."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The part and the number of parts."""
        found = re.fullmatch(r"(\d*)/(\d*)", str(value))
        if found is None:
            self.fail(f"must be a part such as 1/2, not '{value}'", param, ctx)
        if not (found[1] and found[2]):
            lacks = "which part it is" if not found[1] else "how many parts there are"
            self.fail(f"'{value}' lacks {lacks}, as where a variable is not set; it must be such as 1/2", param, ctx)
        part, parts = int(found[1]), int(found[2])
        if part > parts or parts == 0:
            self.fail(f"must count from 0 or from 1 up to the number of parts, such as 1/2, not '{value}'", param, ctx)
        return part, parts


@click.command("compare", short_help="See which recipe or value is better, and what it costs.")
@click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...")
@click.option("--seeds", metavar="RANGE", help="Such as 0-9 or 1,2,5; by default 0-3.")
@click.option("--prompts", type=click.Path(path_type=Path), metavar="FILE", help="A text file, one prompt a line.")
@click.option(
    "--vary",
    multiple=True,
    metavar="KEY=VALUES",
    help="Try values, as often as needed: plugins.style-alignment.alpha=0:1:0.1, plugins.multidiffusion.stride=16,32.",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change all recipes, as for 'run'.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder; by default out/compare/NAME.")
@click.option("--reference", type=click.Path(path_type=Path), metavar="DIR", help="Pictures that scores compare with.")
@click.option("--reference-seeds", metavar="RANGE", help="Draw that reference: the model's own pictures, one window.")
@click.option("--metrics", metavar="NAMES", help="Such as fid,seam; by default all that can be computed.")
@click.option(
    "--features", metavar="NAME", help="The network that looks at the pictures: inception, vista, tinyworld, ..."
)
@click.option("--weights", multiple=True, metavar="NAME=FILE", help="Local weights, for what can't be downloaded.")
@click.option("--device", metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1, mps, ...")
@click.option(
    "--part",
    type=PartType(),
    help="Share the drawing with other processes that have the same folder: this is part K of N.",
)
@workers_options
@click.option("--show", is_flag=True, help="Draw nothing more: measure what every setting has drawn, and show it.")
@click.option("--replace", "clear", is_flag=True, help="Delete another comparison that is in the folder.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no tables; print the page's path and nothing else.")
def command(recipes: tuple[str, ...], **options: Any) -> None:
    """Draw every combination of recipes, values, prompts and seeds, measure it, and put it on one page.

    RECIPE is a file or the name of a bundled recipe; or one comparison file, such as papers/table-1-tinyworld (see
    'fusionkit recipes'). All settings draw the same prompts from the same starting noise. Ended at any moment, the same
    command goes on where it was.
    """
    from fusionkit.cli.comparing import compare

    compare(recipes, **options)
