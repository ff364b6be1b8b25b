"""What is to be drawn, is drawn and was drawn, in files that survive the process."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fusionkit.errors import FusionError
from fusionkit.pictures.files import write_whole
from fusionkit.studio.folder import Folder

WAITING, DRAWING, DONE, FAILED, CANCELLED = "waiting", "drawing", "done", "failed", "cancelled"
_KEPT = 200


@dataclass
class Job:
    """One picture.

    Args:
        recipe: What is drawn: a recipe's mapping.
        careful: Whether the recipe comes from a picture, so that nothing that it names is fetched.
        group: What several pictures that were asked for together have in common.
        id: Its name; those of later jobs sort later.
        state: One of `waiting`, `drawing`, `done`, `failed`, `cancelled`.
        resume: Whether it goes on from its checkpoint.
        done: How much of it is done, 0..1.
        step: What is being done, in words.
        left: Seconds that it takes yet, about; 0 where that is not known.
        preview: How often its preview was replaced.
        lines: Why it failed, a line each.
        picture: The name of its picture.
        seconds: What it took.
        passes: How many views went through the denoiser.
    """

    recipe: Mapping[str, Any]
    careful: bool = False
    group: str = ""
    id: str = field(default_factory=lambda: f"{time.time_ns():020}-{secrets.token_hex(3)}")
    state: str = WAITING
    resume: bool = False
    done: float = 0.0
    step: str = ""
    left: float = 0.0
    preview: int = 0
    lines: list[str] = field(default_factory=list)
    picture: str = ""
    seconds: float = 0.0
    passes: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is yet to end."""
        return self.state in (WAITING, DRAWING)


class Jobs:
    """The jobs of a folder, the oldest first; safe to use from several threads.

    Those that were open when the process ended wait again, to go on from their checkpoints.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.changed = 0
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        for path in sorted(self._folder.glob("*.json")):
            with suppress(ValueError, TypeError, OSError):
                job = read_job(path)
                self._jobs[job.id] = job
        for job in self._jobs.values():
            if job.is_open:
                job.resume = job.resume or job.state == DRAWING
                self._write(job, state=WAITING, step="")
            else:
                self.preview(job).unlink(missing_ok=True)
        self._forget_the_oldest()

    def __iter__(self) -> Iterator[Job]:
        with self._lock:
            return iter(list(self._jobs.values()))

    def get(self, name: str) -> Job:
        """The job of a name.

        Raises:
            FusionError: There is none.
        """
        with self._lock:
            if name not in self._jobs:
                raise FusionError(f"no job '{name[:60]}'")
            return self._jobs[name]

    def add(self, job: Job) -> Job:
        """Let a job wait behind the others."""
        with self._lock:
            self._jobs[job.id] = job
            self._write(job)
            return job

    def next(self) -> Job | None:
        """The job that waits longest, which is now being drawn; None where none waits."""
        with self._lock:
            job = next((each for each in self._jobs.values() if each.state == WAITING), None)
            return None if job is None else self._write(job, state=DRAWING, lines=[])

    def update(self, job: Job, *, kept: bool = True, **values: Any) -> Job:
        """Change what is known of a job.

        Args:
            job: The job.
            kept: Whether it is written; how far it is need not be.
            values: Its attributes.
        """
        with self._lock:
            return self._write(job, kept=kept, **values)

    def cancel(self, job: Job) -> bool:
        """End a job that waits; answers whether it did, and so was not being drawn."""
        with self._lock:
            if job.state != WAITING:
                return False
            self._write(job, state=CANCELLED)
            return True

    def again(self, job: Job) -> None:
        """Let a job that ended early wait again, to go on from its checkpoint."""
        with self._lock:
            if job.state in (FAILED, CANCELLED):
                self._write(job, state=WAITING, resume=True, lines=[], step="")

    def forget(self, job: Job) -> None:
        """Drop a job that has ended, with what was kept of it; its picture stays."""
        with self._lock:
            if not job.is_open:
                self._jobs.pop(job.id, None)
                self.changed += 1
                for path in (self._file(job), self.checkpoint(job), self.preview(job)):
                    path.unlink(missing_ok=True)

    def checkpoint(self, job: Job) -> Path:
        """Where a job is kept while it is drawn."""
        return self.folder.own / "checkpoints" / f"{job.id}.checkpoint.safetensors"

    def preview(self, job: Job) -> Path:
        """Where the picture of how far it is is."""
        return self.folder.own / "previews" / f"{job.id}.png"

    @property
    def _folder(self) -> Path:
        return self.folder.own / "jobs"

    def _file(self, job: Job) -> Path:
        return self._folder / f"{job.id}.json"

    def _write(self, job: Job, *, kept: bool = True, **values: Any) -> Job:
        for name, value in values.items():
            setattr(job, name, value)
        self.changed += 1
        if kept:
            # A full disk must not end the run that it is told of.
            with suppress(FusionError):
                write_whole(self._file(job), json.dumps(asdict(job), indent=1))
        return job

    def _forget_the_oldest(self) -> None:
        for job in [each for each in self._jobs.values() if not each.is_open][:-_KEPT]:
            self.forget(job)


def read_job(path: Path) -> Job:
    """A job's file.

    Raises:
        ValueError: It is none.
        TypeError: It is one of another version.
    """
    told = json.loads(path.read_text(encoding="utf-8"))
    known = {each.name for each in fields(Job)}
    return Job(**{name: value for name, value in told.items() if name in known})
