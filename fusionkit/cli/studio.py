"""`fusionkit studio`: a page in the browser where recipes are changed, drawn and looked at."""

from __future__ import annotations

import os
from pathlib import Path

import click

HOST = "127.0.0.1"


@click.command("studio", short_help="Change, draw and look at recipes in the browser.")
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--port", default=7860, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--browser/--no-browser", default=True, help="Whether the page is opened in the browser.")
def command(folder: Path, port: int, browser: bool) -> None:
    """Change, draw and look at recipes in the browser.

    Pictures and recipes are in FOLDER, by default the current one, and no file outside of it is shown. The page is for
    this machine alone, and for whoever has its address, token and all: no other machine can open it, and it asks no
    other one. Ctrl-C ends it; what is being drawn is kept, and goes on when the studio is started again.
    """
    from fusionkit.errors import RecipeError

    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        line = f"the studio needs the package '{error.name}', which is not installed; install it: "
        raise RecipeError([f"{line}pip install 'fusionkit[studio]'"]) from None
    from fusionkit.studio.serve import serve

    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    serve(folder, HOST, port, browser, click.echo)
