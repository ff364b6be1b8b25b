"""The list of what a comparison wrote into its folder: it alone may be replaced or deleted there."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from fusionkit.errors import FusionError
from fusionkit.pictures.files import write_whole

LIST = ".written"
"""What the lists' names begin with: each machine has one, since two that write at the end of one file overwrite each
other's lines on a network's file systems."""
_LARGEST = 64 << 20


class Written:
    """What fusionkit wrote into a folder, by path and content, in files that only grow.

    A file is noted before it takes its name. So one that is not noted, or has another content than any that was noted
    for it, is somebody else's or was changed by somebody else. Several processes, on several machines, may note at the
    same time.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._own = f"{LIST}-{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}"
        self._known: tuple[list[tuple[int, int]], dict[str, set[str]]] | None = None

    def note(self, path: Path, content: bytes) -> None:
        """Note a file that is about to be written.

        Raises:
            FusionError: The list can't be written.
        """
        # A line of its own, also after one that a killed process wrote half of.
        line = f"\n{hashlib.sha256(content).hexdigest()}  {self._name(path)}\n".encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lists()
            with open(self.folder / self._own, "ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise FusionError(f"'{self.folder / self._own}' can't be written: {error.strerror or error}") from error

    def write(self, path: Path, content: str | bytes) -> Path:
        """Write a file, whole or not at all, in place of one that is ours or says the same.

        Raises:
            FusionError: Somebody else's file is there, or it can't be written.
        """
        data = content.encode() if isinstance(content, str) else content
        if path.is_symlink() or (path.exists() and not self.is_ours(path) and path.read_bytes() != data):
            raise FusionError(f"{path}: {self.why_foreign(path)}; move it away, or delete it")
        self.note(path, data)
        return write_whole(path, data)

    def is_ours(self, path: Path) -> bool:
        """Whether a file is one that was noted, as it was noted."""
        if path.is_symlink() or not path.is_file():
            return False
        known = self.known().get(self._name(path))
        return known is not None and _hash(path) in known

    def was_ours(self, path: Path) -> bool:
        """Whether a file of this name was ever noted."""
        return self._name(path) in self.known()

    def why_foreign(self, path: Path) -> str:
        """Why a file that is there does not count as ours, in words."""
        if path.is_symlink():
            return "is a link, which fusionkit never makes"
        return "was changed since fusionkit wrote it" if self.was_ours(path) else "was not written by fusionkit"

    def known(self) -> dict[str, set[str]]:
        """The hashes that were noted, by path inside the folder; lines that make no sense are passed over."""
        lists = self.lists()
        try:
            lists = [path for path in lists if path.is_file() and path.stat().st_size <= _LARGEST]
            version = [(stat.st_mtime_ns, stat.st_size) for stat in (path.stat() for path in lists)]
            if self._known is not None and self._known[0] == version:
                return self._known[1]
            lines = [line for path in lists for line in path.read_bytes().splitlines()]
        except OSError:
            return {}
        found: dict[str, set[str]] = {}
        for line in lines:
            digest, _, name = line.decode("utf-8", "surrogateescape").partition("  ")
            if len(digest) == 64 and name:
                found.setdefault(name, set()).add(digest)
        self._known = version, found
        return found

    def lists(self) -> list[Path]:
        """The lists of all machines.

        Raises:
            FusionError: One of them is a link.
        """
        paths = sorted(self.folder.glob(f"{LIST}*"))
        if links := [path for path in paths if path.is_symlink()]:
            raise FusionError(f"{links[0]}: is a link, which fusionkit never makes; delete it")
        return paths

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder and its folders, links among them; no link is followed."""
    if folder.is_symlink():
        yield folder
        return
    for where, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(where) / name).is_symlink()]
        yield from (Path(where) / name for name in sorted([*names, *linked]))


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
