"""The studio's folder: what may be read and written there, by name; nothing outside of it is served."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.errors import FusionError
from fusionkit.pictures.claiming import claim
from fusionkit.pictures.files import write_whole
from fusionkit.pictures.names import numbered

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
OWN = ".studio"
"""Where the studio keeps what are no pictures of the user's: jobs, previews, maps, thumbnails."""

LOG = "worker.log"
"""What the process that draws says, among the studio's own files."""

REMOVED = "removed"
"""Where pictures go that somebody removes."""

THUMBNAIL = 320


class NotHereError(FusionError):
    """There is no such file in the folder, or it may not be served."""


@dataclass(frozen=True)
class Folder:
    """A folder with pictures.

    Args:
        path: Where it is, absolute.
    """

    path: Path

    @property
    def own(self) -> Path:
        """Where the studio's own files are."""
        return self.path / OWN

    def file(self, name: str, *, suffixes: tuple[str, ...] = PICTURES, within: str = "") -> Path:
        """The file of a name.

        Args:
            name: The file's name alone, without folders.
            suffixes: What it may end in.
            within: The folder that it lies in, from the studio's.

        Raises:
            NotHereError: It is not there, is a link out of the folder, or is a name of anything else.
        """
        folder = self.path / within
        path = folder / name
        plain = name == Path(name).name and not name.startswith(".") and "\0" not in name
        if not plain or path.suffix.lower() not in suffixes or not path.is_file():
            raise NotHereError(f"no file '{name}' in the studio's folder")
        if path.resolve().parent != folder.resolve():
            raise NotHereError(f"'{name}' leads out of the studio's folder")
        return path

    def named(self, suffixes: tuple[str, ...]) -> list[Path]:
        """Its files that end so, the newest first."""
        found = [each for each in self.path.iterdir() if each.suffix.lower() in suffixes and each.is_file()]
        return sorted(found, key=lambda each: (-each.stat().st_mtime_ns, each.name))

    def pictures(self) -> list[dict[str, Any]]:
        """Its pictures, the newest first, each with the names of its maps."""
        return [
            {"name": each.name, "changed": each.stat().st_mtime_ns // 1_000_000, "maps": self.maps_of(each.name)}
            for each in self.named(PICTURES)
            if not each.name.startswith(".")
        ]

    def maps_of(self, picture: str) -> list[str]:
        """The names of a picture's maps."""
        folder = self.maps_folder(picture)
        return sorted(each.stem for each in folder.glob("*.png")) if folder.is_dir() else []

    def maps_folder(self, picture: str) -> Path:
        """Where a picture's maps are."""
        return self.own / "maps" / picture

    def remove(self, name: str) -> str:
        """Put a picture, with its maps, where removed ones are; answers its name there.

        Raises:
            FusionError: There is no such picture, or it can't be moved.
        """
        moved = _moved(self.file(name), self.path / REMOVED)
        (self.own / "thumbnails" / f"{name}.webp").unlink(missing_ok=True)
        _folder_moved(self.maps_folder(name), self.own / "removed-maps" / moved)
        return moved

    def restore(self, name: str) -> str:
        """Put a picture that was removed back, with its maps; answers its name in the folder.

        Raises:
            FusionError: There is no such picture, or it can't be moved.
        """
        moved = _moved(self.file(name, within=REMOVED), self.path)
        _folder_moved(self.own / "removed-maps" / name, self.maps_folder(moved))
        return moved

    def thumbnail(self, name: str) -> Path:
        """A small version of a picture, made where there is none yet.

        Raises:
            NotHereError: There is no such picture.
            PictureError: It is none.
        """
        from io import BytesIO

        from fusionkit.pictures.picture import open_picture

        picture = self.file(name)
        small = self.own / "thumbnails" / f"{name}.webp"
        if not small.is_file() or small.stat().st_mtime_ns < picture.stat().st_mtime_ns:
            image = open_picture(picture)
            image.thumbnail((2 * THUMBNAIL, THUMBNAIL))
            written = BytesIO()
            image.save(written, "WEBP", quality=85)
            write_whole(small, written.getvalue())
        return small


def _moved(picture: Path, to: Path) -> str:
    """Move a picture into a folder, where nothing is replaced: it gets a number if there is one of its name."""
    try:
        to.mkdir(exist_ok=True)
        target = next(each for each in numbered(to / picture.name) if claim(picture, each))
        picture.unlink(missing_ok=True)
    except OSError as error:
        raise FusionError(f"'{picture.name}' can't be moved to '{to.name}': {error.strerror or error}") from None
    return target.name


def _folder_moved(folder: Path, to: Path) -> None:
    """Move what belongs to a picture, if there is any; what another one of its name has left there goes."""
    shutil.rmtree(to, ignore_errors=True)
    with suppress(OSError):
        to.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(to)


def studio_folder(path: Path) -> Folder:
    """The folder of a path, made where it is not there yet.

    Raises:
        FusionError: It can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / OWN).mkdir(exist_ok=True)
    except OSError as error:
        raise FusionError(f"the studio's folder '{path}' can't be made: {error.strerror or error}") from None
    return Folder(path.resolve())
