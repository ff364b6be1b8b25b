"""Who draws which picture: claims, which one process alone can make, on any file system that several machines share."""

from __future__ import annotations

import json
import os
import platform
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import sleep, time
from typing import Any

from fusionkit.errors import FusionError
from fusionkit.pictures.claiming import claim as give_name
from fusionkit.pictures.claiming import clear_leftovers, temporary_file
from fusionkit.pictures.files import write_whole

CLAIMS = ".claims"
"""The folder of claims, inside a comparison's."""
BEAT = 10.0
"""Seconds between two signs of life."""
PATIENCE = 300.0
"""Seconds without a sign of life after which a process on another machine counts as dead. A file server that does not
answer for a minute, and what machines keep of its answers, must fit into it."""
_CLAIM = re.compile(r"[^.].*\.\d+")
_LARGEST = 4096


@dataclass(frozen=True)
class Claim:
    """What is noted of a claim.

    Args:
        host: The machine's name.
        pid: The process.
        place: Where process numbers mean the same: this machine, since it was started, in this container.
        time: When it was made, in seconds since 1970, by the machine's own clock.
        ended: The process is done with it, or gave it up.
    """

    host: str
    pid: int
    place: str
    time: float
    ended: bool = False

    @property
    def who(self) -> str:
        """`process 4711 on node-3`."""
        return f"process {self.pid} on {self.host}"


class Claims:
    """The claims of one process in a folder that others work in, too; within `with`, it gives signs of life.

    The first claim of a name is a file with the number 1. Who finds that its process is dead, or gave up, makes the
    file with the next number, and so on: of several that do so at once a single one succeeds, since making a file that
    must not exist is the one thing that all file systems do for one alone. The last number has the name. No file is
    deleted before the work is done, so that nobody who looks late can take what has been taken.

    Args:
        folder: Where the claims are; it need not exist.
        beat: Seconds between two signs of life.
        patience: Seconds without one after which a process counts as dead; one of this machine that has ended does at
            once.
    """

    def __init__(self, folder: Path, *, beat: float = BEAT, patience: float = PATIENCE) -> None:
        self.folder, self.beat, self.patience = folder, beat, patience
        self._held: dict[str, Path] = {}
        self._place = _place()
        self._end = threading.Event()

    def __enter__(self) -> Claims:
        self._end.clear()
        threading.Thread(target=self._live, name="claims", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for name in list(self._held):
            self.end(name)

    def take(self, name: str) -> bool:
        """Whether this process has a name now, which nobody alive had.

        Args:
            name: A path inside the folder.

        Raises:
            FusionError: Claims can't be written.
        """
        number = self._last(name)
        if number and self._alive(self._path(name, number)) is not False:
            return False
        path = self._path(name, number + 1)
        if not self._make(path):  # somebody was faster
            return False
        self._held[name] = path
        return True

    def holds(self, name: str) -> bool:
        """Whether this process still has a name: one that was asleep for long may have lost it."""
        path = self._held.get(name)
        return path is not None and path.exists() and self._last(name) == int(path.name.rpartition(".")[2])

    def end(self, name: str) -> None:
        """Leave a name to others: what was to be done is done, or is not."""
        path = self._held.pop(name, None)
        # Where all was done, another process may have cleared up.
        if path is not None and path.exists():
            with suppress(FusionError):
                write_whole(path, json.dumps({**asdict(self._mine()), "ended": True}))

    def holder(self, name: str) -> Claim | None:
        """The living process that has a name."""
        number = self._last(name)
        path = self._path(name, number)
        return _read(path) if number and self._alive(path) else None

    @contextmanager
    def waiting(self, name: str, every: float = 1.0) -> Iterator[None]:
        """Have a name for a block, as soon as no other process has it; asked every so many seconds."""
        while not self.take(name):
            sleep(every)
        try:
            yield
        finally:
            self.end(name)

    def anybody(self) -> Claim | None:
        """A living process that has a name here, and is not this one."""
        held = (self.holder(name) for name in sorted(self._names() - {*self._held}))
        return next((claim for claim in held if claim is not None), None)

    def clear(self, names: Iterable[str]) -> None:
        """Delete the claims of names whose work is done, this process' own among them, and nothing else."""
        for name in names:
            self._held.pop(name, None)
            for number in range(1, (self._last(name) or 0) + 1):
                self._path(name, number).unlink(missing_ok=True)
        for where, _, _ in os.walk(self.folder, topdown=False):
            clear_leftovers(Path(where))
            with suppress(OSError):  # something is in it
                os.rmdir(where)

    def clear_all(self) -> None:
        """Delete all claims, which nobody has."""
        self.clear(self._names())

    def _names(self) -> set[str]:
        found = (Path(where, name) for where, _, names in os.walk(self.folder) for name in names)
        claims = (path.relative_to(self.folder).as_posix() for path in found if _CLAIM.fullmatch(path.name))
        return {name.rpartition(".")[0] for name in claims}

    def _path(self, name: str, number: int) -> Path:
        return self.folder / f"{name}.{number}"

    def _last(self, name: str) -> int:
        """The highest number that a name has; 0 where nobody has claimed it yet."""
        number = 0
        while self._path(name, number + 1).exists():
            number += 1
        return number

    def _make(self, path: Path) -> bool:
        """Make a claim, if it is not there: with its content, so that nobody reads half of it."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary_file(path.parent) as (temporary, file):
                file.write(json.dumps(asdict(self._mine())).encode())
                file.flush()
                if os.name == "nt":
                    file.close()  # an open file can't be renamed there
                return give_name(temporary, path)
        except FileNotFoundError:  # somebody cleared up
            return False
        except OSError as error:
            raise FusionError(f"'{path}' can't be written: {error.strerror or error}") from error

    def _mine(self) -> Claim:
        return Claim(platform.node(), os.getpid(), self._place, time())

    def _alive(self, path: Path) -> bool | None:
        """Whether the process of a claim is at it, by the file server's clock; None where the claim is gone."""
        claim = _read(path)
        if claim is not None and (claim.ended or (claim.place == self._place and not _runs(claim.pid))):
            return False
        try:
            # An opened file is asked for anew, where the system remembers what it once was told.
            with path.open("rb") as file, temporary_file(self.folder) as (_, now):
                return os.fstat(now.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime < self.patience
        except OSError:
            return None

    def _live(self) -> None:
        while not self._end.wait(self.beat):
            for path in list(self._held.values()):
                with suppress(OSError):
                    os.utime(path)


def _read(path: Path) -> Claim | None:
    """What a claim says; None where it can't be read."""
    try:
        with path.open("rb") as file:
            told: Any = json.loads(file.read(_LARGEST))
        return Claim(
            str(told["host"]), int(told["pid"]), str(told["place"]), float(told["time"]), bool(told.get("ended"))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _runs(pid: int) -> bool:
    """Whether a process of this machine is at work; one that was killed and not buried yet is not."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _place() -> str:
    """What tells this machine, since it was started, and this container from all others."""
    told = [platform.node()]
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        told.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(told)
