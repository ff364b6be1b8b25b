"""Writes the page: a template, its style and its scripts, and the report's data, in one file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.comparison.tables import FORMATS, table_of
from fusionkit.pictures.files import write_whole
from fusionkit.pictures.pages import shared_style

if TYPE_CHECKING:
    from jinja2 import Template

SCRIPTS = (
    "dom.js",
    "data.js",
    "kept.js",
    "state.js",
    "copying.js",
    "scores.js",
    "tables.js",
    "scales.js",
    "plot.js",
    "larger.js",
    "favourites.js",
    "filters.js",
    "pictures.js",
    "seeds.js",
    "zoom.js",
    "slider.js",
    "viewer.js",
    "page.js",
)
"""The page's scripts in the order in which they build on each other; together they are one module."""
STYLES = ("page.css", "scores.css", "plot.css", "pictures.css", "favourites.css", "viewer.css")


def write_page(folder: Path, report: Mapping[str, Any], write: Callable[[Path, str], Path] = write_whole) -> Path:
    """Write `index.html`, which shows a comparison in any browser, from disk and without a network.

    Pictures and thumbnails are referred to by their relative paths; all else is in the file. A picture that is not in
    the folder is shown as not drawn, and one without a thumbnail is shown by itself. So a page can be written at any
    time while a comparison is drawn. It is written whole or not at all, and an older one is replaced.

    Args:
        folder: The comparison's folder, which the report's paths are relative to.
        report: What is in the comparison's `report.json`.
        write: Writes a file whole.

    Returns:
        Where the page is.

    Raises:
        FusionError: The page can't be written.
    """
    shown = {**report, "pictures": [_found(folder, each) for each in report["pictures"] if _is_there(folder, each)]}
    planned = len(report["settings"]) * len(report["prompts"]) * len(report["seeds"])
    finite = _finite(shown)
    text = _template().render(
        report=finite,
        tables={name: table_of(finite, form).as_json() for name, form in FORMATS.items()},
        planned=planned,
        missing=planned - len(shown["pictures"]),
        varied=sorted({key for setting in report["settings"] for key in setting.get("changes") or {}}),
        style="\n".join([shared_style(), *(_source(name) for name in STYLES)]),
        script="\n".join(_source(name) for name in SCRIPTS),
    )
    return write(folder / "index.html", text)


def _is_there(folder: Path, picture: Mapping[str, Any]) -> bool:
    return bool(picture.get("file")) and (folder / picture["file"]).is_file()


def _found(folder: Path, picture: Mapping[str, Any]) -> dict[str, Any]:
    """A picture whose thumbnail is sure to be there; a missing file would be an error in the browser's console."""
    thumbnail = picture.get("thumbnail")
    if not thumbnail or not (folder / thumbnail).is_file():
        thumbnail = picture["file"]
    return {**picture, "thumbnail": thumbnail}


def _finite(value: Any) -> Any:
    """The same with null for NaN and the infinities, which JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value


def _source(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # The texts of a comparison (titles, prompts) are anybody's: all of them are escaped.
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.jinja")
