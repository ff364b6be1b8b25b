"""`fusionkit vista draw`: the drawer at the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fusionkit_vista.drawer import Spec


class Size(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """Width and height in pixels, such as 1024x128."""

    name = "WxH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The two numbers of the text."""
        if isinstance(value, tuple):
            return (value[0], value[1])
        width, _, height = str(value).partition("x")
        if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= 16384 and 0 < int(height) <= 16384):
            self.fail(
                f"{value!r} is no size; it is written as WxH, such as 1024x128, of at most 16384 a side", param, ctx
            )
        return (int(width), int(height))


class Words(click.Command):
    """A command whose help ends with the words that a prompt may have."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The vocabulary, a line each kind."""
        from fusionkit_vista.drawer.words import EXTRA_STYLES, NUMBERS, SCENES, STYLES, THINGS, TIMES, WEATHERS

        many = [
            f"{name}, {' or '.join(list(NUMBERS.values())[1 : kind.most])} {name}s" if kind.most > 1 else name
            for name, kind in THINGS.items()
        ]
        with formatter.section("Words"):
            formatter.write_dl(
                [
                    ("STYLE", ", ".join((*STYLES, *EXTRA_STYLES))),
                    ("SCENE", ", ".join(SCENES)),
                    ("TIME", ", ".join(TIMES)),
                    ("WEATHER", ", ".join(WEATHERS)),
                    ("THING", ", ".join(many)),
                ]
            )


@click.group("vista", short_help="Draw what the embedded models of vista were trained on.")
def vista() -> None:
    """Draw what the embedded models of vista were trained on."""


@vista.command("draw", cls=Words, short_help="Draw pictures as a prompt says.")
@click.argument("prompt", required=False, default="")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("drawing.png"),
    show_default=True,
    help="The file; PNG, JPEG or WebP by its name. Of several pictures, each gets a number.",
)
@click.option(
    "--size",
    type=Size(),
    default="512x512",
    show_default=True,
    help="Width and height in pixels; a wide one shows more, not larger things.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides what the prompt leaves open."
)
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many pictures.")
@click.option("--overwrite", is_flag=True, help="Replace files; otherwise a number is added to the new one's name.")
def draw_command(prompt: str, output: Path, size: tuple[int, int], seed: int, count: int, overwrite: bool) -> None:
    """Draw pictures as PROMPT says, or at random without one.

    \b
    fusionkit vista draw "a poster of the sea at sunset with two sailboats" -o sea.png
    fusionkit vista draw "a woodcut of mountains at dawn in mist" --size 2048x256 --count 4

    A prompt has the form "a [landscape] STYLE of SCENE TIME WEATHER with a|two|three THING", of which any part may be
    left out. Needs skia-python: pip install 'fusionkit[vista]'.
    """  # noqa: D301 - click wants the character
    from fusionkit.errors import FusionError, RecipeError
    from fusionkit_vista.draw import skia_problem

    problems = []
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        problems.append(f"--output '{output}': pictures are written as .png, .jpg or .webp")
    try:
        specs = [_spec(prompt, seed, number, size) for number in range(count)]
    except ValueError as error:
        problems.append(f"prompt '{prompt}': {error}")
    if problems:
        raise RecipeError(problems)
    if problem := skia_problem():
        raise FusionError(problem)
    for number, spec in enumerate(specs, 1):
        path = output if count == 1 else output.with_stem(f"{output.stem}-{number}")
        _draw(spec, size, path, overwrite)


def _spec(prompt: str, seed: int, number: int, size: tuple[int, int]) -> Spec:
    """What the picture with a number shows.

    Raises:
        ValueError: The prompt is not understood, or what it names doesn't go together.
    """
    import numpy as np

    from fusionkit_vista.drawer import parse, sample_spec

    asked = parse(prompt) if prompt.strip() else {}
    return sample_spec(np.random.default_rng((seed, number)), width=size[0] / size[1], **asked)


def _draw(spec: Spec, size: tuple[int, int], path: Path, overwrite: bool) -> None:
    from PIL import Image

    from fusionkit.pictures.files import write_file
    from fusionkit_vista.drawer import caption, draw

    kind = {".png": "PNG", ".webp": "WEBP"}.get(path.suffix.lower(), "JPEG")
    picture = Image.fromarray(draw(spec, size=size))
    written = write_file(path, lambda file: picture.save(file, kind, quality=95), replace=overwrite)
    click.echo(f"{written}: {caption(spec)}")


if __name__ == "__main__":
    vista()
