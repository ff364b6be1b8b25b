"""A comparison's folder: what is in it, whose it is, and what is drawn already."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.comparison.claims import CLAIMS, Claims
from fusionkit.comparison.drawn import Condition, condition_of, run_in
from fusionkit.comparison.jobs import Job
from fusionkit.comparison.tables import FORMATS
from fusionkit.comparison.written import LIST, Written, files_below
from fusionkit.errors import FusionError, RecipeError
from fusionkit.pictures.files import clear_leftovers, write_whole
from fusionkit.pictures.image import free_path, output_problems, read_metadata, save_or_keep
from fusionkit.recipe.problems import shown

if TYPE_CHECKING:
    from PIL.Image import Image

MANIFEST = "comparison.json"
MADE = ("report.json", "scores.csv", "pictures.csv", "costs.csv", *FORMATS, "index.html")
"""What is made anew from the pictures each time; the page is the last."""
FOLDERS = ("pictures", "reference", "recipes", "thumbnails", ".features")
"""The folders that are a comparison's own."""
_LARGEST_MANIFEST = 256 << 20
KEPT = "kept"
"""Where pictures go that somebody put in the place of drawn ones; never deleted."""
# The cache's files: names that nobody else gives.
_CACHED = re.compile(r"\.?[0-9a-f]{64}(\.\d+)?\.npy")


class Folder:
    """The folder of one comparison.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = Written(path)
        self._conditions: dict[Path, tuple[tuple[int, int], Condition]] = {}

    def file(self, job: Job) -> Path:
        """Where a picture goes."""
        return self.path / job.file

    def has(self, job: Job) -> bool:
        """Whether a picture is drawn, and whole."""
        return self.condition(job).drawn

    def has_now(self, job: Job) -> bool:
        """The same, also where another machine has drawn it this moment: what this one remembers is asked for anew."""
        with suppress(OSError):
            os.listdir(self.file(job).parent)
        return self.has(job)

    def claims(self) -> Claims:
        """Who draws what of it: of a picture by its `Job.file`."""
        return Claims(self.path / CLAIMS)

    def is_measured(self, jobs: Sequence[Job]) -> bool:
        """Whether all pictures are drawn, and the page was made after the last of them."""
        page = self.path / MADE[-1]
        try:
            made = page.stat().st_mtime_ns
            return self.written.is_ours(page) and all(
                self.has(job) and self.file(job).stat().st_mtime_ns <= made for job in jobs
            )
        except OSError:
            return False

    def condition(self, job: Job) -> Condition:
        """Whether a picture is drawn, and what is wrong with the file that is in its place."""
        path = self.file(job)
        try:
            stat = path.lstat()
        except OSError:
            return Condition()
        version = (stat.st_mtime_ns, stat.st_size)
        if path not in self._conditions or self._conditions[path][0] != version:
            self._conditions[path] = version, condition_of(path, job.fingerprint, self.written)
        return self._conditions[path][1]

    def damaged(self, jobs: Sequence[Job]) -> list[Path]:
        """The pictures that were drawn and can't be read any more."""
        return [self.file(job) for job in jobs if self.condition(job).damaged]

    def changed(self, jobs: Sequence[Job]) -> list[Path]:
        """The pictures in whose place another one is."""
        return [self.file(job) for job in jobs if self.condition(job).changed]

    def problems(self, jobs: Sequence[Job], *, replace: bool = False) -> list[str]:
        """Why pictures can't go here: the folder holds something else, or can't be written; one line each.

        Args:
            jobs: All pictures.
            replace: Another comparison that is there will be cleared away.
        """
        if self.path.is_symlink() and not self.path.exists():
            return [f"{self.path}: is a link that leads nowhere; delete it, or give another folder: --out DIR"]
        if self.path.exists() and not self.path.is_dir():
            return [f"{self.path}: is a file; give a folder: --out DIR"]
        if self.path.is_dir() and (problem := self._other(jobs, replace)):
            return [problem]
        # Nothing behind a link is even looked at.
        if problems := self._links(jobs) or self._foreign(jobs):
            return problems
        largest = max((job.recipe.size for job in jobs), key=lambda size: size[0] * size[1])
        missing = [self.file(job) for job in jobs if not self.has(job)]
        return output_problems(missing, largest) if missing else []

    def _links(self, jobs: Sequence[Job]) -> list[str]:
        """One line for each link that would lead out of the folder."""
        of_jobs = ["pictures", *(job.setting_folder for job in jobs)]
        lists = (path.name for path in self.path.glob(f"{LIST}*"))
        names = dict.fromkeys([*FOLDERS, KEPT, CLAIMS, MANIFEST, *lists, *MADE, *of_jobs])
        names |= dict.fromkeys(f"{CLAIMS}/{name}" for name in of_jobs)
        paths = [self.path / name for name in names]
        return [f"{path}: is a link, which fusionkit never makes; delete it" for path in paths if path.is_symlink()]

    def _foreign(self, jobs: Sequence[Job]) -> list[str]:
        """One line for each file of somebody else's that stands where something is to be written."""
        made = {f"recipes/{job.setting.name}.yaml" for job in jobs} | {job.thumbnail for job in jobs}
        paths = [self.path / name for name in (*MADE, *sorted(made))]
        problems = [
            f"{path}: {self.written.why_foreign(path)}; move it away, or delete it to have it written again"
            for path in paths
            if path.exists() and not self.written.is_ours(path)
        ]
        for job in jobs:
            if reason := self.condition(job).foreign:
                problems.append(f"{self.file(job)}: {reason}; move it away, or delete it to have it drawn again")
        return problems

    def _other(self, jobs: Sequence[Job], replace: bool) -> str:
        """What is in the folder already that is not of these pictures."""
        if not (self.path / MANIFEST).exists():
            names = sorted(each.name for each in self.path.iterdir() if each.name != CLAIMS)
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
        differ = f"{len(strange)} of its {len(pictures)} pictures are not in this one"
        return (
            f"{self.path}: holds another comparison, {shown(held['title'])} ({differ}); give another folder: "
            f"--out DIR, or --replace to delete its pictures"
        )

    def manifest(self) -> dict[str, Any]:
        """What the folder says it holds.

        Raises:
            FusionError: It can't be read.
        """
        path = self.path / MANIFEST
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_MANIFEST:
                raise ValueError("it is no ordinary file of such a size")
            found = json.loads(path.read_text(encoding="utf-8"))
            return {"title": str(found["title"]), "pictures": dict(found["pictures"])}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise FusionError(
                f"{self.path / MANIFEST}: can't be read as a comparison: {_unread(error)}; give another --out"
            ) from None

    def claim(self, title: str, jobs: Sequence[Job]) -> None:
        """Make the folder, and note in it what it is to hold.

        Raises:
            FusionError: It can't be written.
        """
        pictures = {job.file: job.fingerprint for job in jobs}
        content = json.dumps({"title": title, "pictures": pictures}, indent=1) + "\n"
        path = self.path / MANIFEST
        with suppress(OSError, ValueError):
            if path.read_text(encoding="utf-8") == content:
                return
        write_whole(path, content)

    def write(self, path: Path, content: str | bytes) -> Path:
        """Write a file that belongs to the comparison.

        Raises:
            FusionError: Somebody else's file is there, or it can't be written.
        """
        return self.written.write(path, content)

    def save(self, image: Image, job: Job, metadata: Mapping[str, Any]) -> None:
        """Write a picture, in place of a damaged one; another picture that is there is kept aside.

        Raises:
            FusionError: It can't be written.
        """
        path = self.file(job)
        if self.condition(job).changed:
            self._keep_aside(path)
        # Noted before it takes its name: what is there under that name is noted, whenever this process is killed.
        save_or_keep(
            image, path, metadata, overwrite=True, before=lambda whole: self.written.note(path, whole.read_bytes())
        )

    def _keep_aside(self, path: Path) -> None:
        to = free_path(self.path / KEPT / path.relative_to(self.path))
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            path.rename(to)
        except OSError as error:
            raise FusionError(f"'{path}' can't be kept as '{to}': {error.strerror or error}") from error

    def clear(self) -> list[Path]:
        """Delete what fusionkit wrote for the comparison that is in the folder, and return what else is kept.

        A file that was changed since is kept, too.
        """
        if not (self.path / MANIFEST).exists():
            return []
        self.tidy()
        kept = []
        below = [path for name in FOLDERS for path in files_below(self.path / name)]
        for path in [*below, *(self.path / name for name in MADE)]:
            cached = path.parent == self.path / ".features" and _CACHED.fullmatch(path.name)
            if self.written.is_ours(path) or (cached and not path.is_symlink()):
                path.unlink(missing_ok=True)
            elif path.is_symlink() or path.exists():
                kept.append(path)
        for name in FOLDERS:
            self._remove_empty(self.path / name)
        for path in self.written.lists():
            path.unlink(missing_ok=True)
        return kept

    def _remove_empty(self, folder: Path) -> None:
        if folder.is_symlink():
            return
        for where, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):  # something is in it
                os.rmdir(where)

    def tidy(self) -> None:
        """Delete what killed processes left behind that were writing pictures."""
        for name in FOLDERS:
            if (self.path / name).is_symlink():
                continue
            for folder, _, _ in os.walk(self.path / name):
                clear_leftovers(Path(folder))

    def told(self, job: Job) -> dict[str, Any] | None:
        """What a picture's file says of its run; None where the picture is not drawn yet.

        Raises:
            RecipeError: The file is not one that a comparison wrote.
        """
        if not self.has(job):
            return None
        path = self.file(job)
        if run_in(told := read_metadata(path)) is None:
            raise RecipeError([f"{path}: does not say what its run cost; delete it to have it drawn again"])
        return told


def _unread(error: Exception) -> str:
    """Why a comparison's own file can't be read, in our words."""
    if isinstance(error, OSError):
        return error.strerror or "the system refuses"
    if isinstance(error, (KeyError, TypeError)):
        return "it has no title and pictures"
    return str(error) if str(error).startswith("it is no") else "it is damaged"
