"""A new plugin's package: all of its files, from templates, into a folder of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fusionkit.errors import RecipeError
from fusionkit.starts.names import Names
from fusionkit.starts.templating import SUFFIX, environment, templates_in

FIRST_HOOK = "prompt_per_patch"
"""The hook of the example that the documentation tells of."""


def hooks() -> list[str]:
    """The hooks for which there is a small plugin to begin with."""
    return templates_in("hooks")


def package_files(names: Names, hook: str = FIRST_HOOK) -> Mapping[str, str]:
    """The files of a package with one plugin: their texts by their paths in the package's folder.

    Args:
        names: What things are called.
        hook: Which hook the plugin implements, one of `hooks()`.
    """
    # What a hook's plugin is made of stands in its template, which the files' templates import.
    known = {
        "names": names,
        "hook": hook,
        "this": environment().get_template(f"hooks/{hook}{SUFFIX}").make_module({"names": names}),
    }
    found = {
        _path(name, names): environment().get_template(f"plugin/{name}{SUFFIX}").render(known)
        for name in templates_in("plugin")
    }
    return {**found, f"{names.package}/py.typed": ""}


def _path(template: str, names: Names) -> str:
    """Where a template's file goes: `package/` and `NAME` stand for the plugin's own names."""
    folder, _, file = template.rpartition("/")
    file = file.replace("NAME", names.plugin if folder == "docs" else names.module)
    return "/".join(part for part in (folder.replace("package", names.package), file) if part)


def write_package(folder: Path, files: Mapping[str, str]) -> None:
    """Write a package's files, all or none, into a folder that is new or empty.

    Raises:
        RecipeError: Something is there, or nothing can be written.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise RecipeError([f"'{folder}' is there already, and is not changed; give another place: -o FOLDER"])
    made: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".fusionkit-", dir=folder.parent))
        whole = made / folder.name
        for name, text in files.items():
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            (whole / name).write_text(text, encoding="utf-8", newline="\n")
        if folder.exists():
            folder.rmdir()  # which is refused where something has come into it meanwhile
        whole.rename(folder)
    except OSError as error:
        raise RecipeError([f"'{folder}' can't be written: {error.strerror or error}"]) from error
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
