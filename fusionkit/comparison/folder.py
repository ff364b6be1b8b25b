"""A comparison's folder: what is in it, whose it is, and what is drawn already."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fusionkit.comparison.jobs import Job
from fusionkit.errors import FusionError, RecipeError
from fusionkit.files import clear_leftovers, write_whole
from fusionkit.image import output_problems, read_metadata

MANIFEST = "comparison.json"
MADE = ("report.json", "scores.csv", "pictures.csv", "costs.csv", "index.html")
"""What is made anew from the pictures each time."""
FOLDERS = ("pictures", "reference", "recipes", "thumbnails", ".features")
"""The folders that are a comparison's own."""


class Folder:
    """The folder of one comparison.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, job: Job) -> Path:
        """Where a picture goes."""
        return self.path / job.file

    def problems(self, jobs: Sequence[Job], *, replace: bool = False) -> list[str]:
        """Why pictures can't go here: the folder holds something else, or can't be written; one line each.

        Args:
            jobs: All pictures.
            replace: Another comparison that is there will be cleared away.
        """
        if self.path.exists() and not self.path.is_dir():
            return [f"{self.path}: is a file; give a folder: --out DIR"]
        if self.path.is_dir() and (problem := self._other(jobs, replace)):
            return [problem]
        largest = max((job.recipe.size for job in jobs), key=lambda size: size[0] * size[1])
        missing = [self.file(job) for job in jobs if not self.file(job).exists()]
        return output_problems(missing, largest) if missing else []

    def _other(self, jobs: Sequence[Job], replace: bool) -> str:
        """What is in the folder already that is not of these pictures."""
        if not (self.path / MANIFEST).exists():
            names = sorted(each.name for each in self.path.iterdir() if not each.name.startswith(".lock"))
            there = f"{names[0]}, ..." if len(names) > 1 else "".join(names)
            return (
                f"{self.path}: holds other files ({there}), no comparison; give another folder: --out DIR"
                if names
                else ""
            )
        if replace:
            return ""
        held = self.manifest()
        wanted = {job.file: job.fingerprint for job in jobs}
        pictures: Mapping[str, str] = held["pictures"]
        strange = [name for name, print_ in pictures.items() if wanted.get(name) != print_]
        if not strange:
            return ""
        return (
            f"{self.path}: holds another comparison, '{held['title']}' ({len(strange)} of its {len(pictures)} pictures "
            f"are not in this one); give another folder: --out DIR, or --replace to delete its pictures"
        )

    def manifest(self) -> dict[str, Any]:
        """What the folder says it holds.

        Raises:
            FusionError: It can't be read.
        """
        try:
            found = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
            return {"title": str(found["title"]), "pictures": dict(found["pictures"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FusionError(
                f"{self.path / MANIFEST}: can't be read as a comparison: {error}; give another --out"
            ) from None

    def claim(self, title: str, jobs: Sequence[Job]) -> None:
        """Make the folder, and note in it what it is to hold.

        Raises:
            FusionError: It can't be written.
        """
        pictures = {job.file: job.fingerprint for job in jobs}
        write_whole(self.path / MANIFEST, json.dumps({"title": title, "pictures": pictures}, indent=1) + "\n")

    def clear(self) -> None:
        """Delete what belongs to the comparison that is in the folder, and nothing else."""
        if not (self.path / MANIFEST).exists():
            return
        for name in FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (*MADE, MANIFEST):
            (self.path / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Delete what killed processes left behind that were writing pictures."""
        for name in ("pictures", "reference"):
            for folder, _, _ in os.walk(self.path / name):
                clear_leftovers(Path(folder))

    def told(self, job: Job) -> dict[str, Any] | None:
        """What a picture's file says of its run; None where the picture is not drawn yet.

        Raises:
            RecipeError: The file is not one that a comparison wrote.
        """
        path = self.file(job)
        if not path.exists():
            return None
        told = read_metadata(path)
        if not isinstance(told.get("run"), dict):
            raise RecipeError([f"{path}: was not drawn by this comparison; move it away"])
        return told

    @contextmanager
    def locked(self, part: str = "") -> Iterator[None]:
        """Nobody else draws the same pictures meanwhile; the lock ends with the process, however that ends.

        Raises:
            FusionError: Somebody else does.
        """
        from filelock import FileLock, Timeout

        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / f".lock{part}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise FusionError(
                f"{self.path}: another process is drawing into it; wait for it, or share the work: --part 1/2"
            ) from None
        try:
            yield
        finally:
            lock.release()
