"""The studio's folder: what may be read and written there, by name; nothing outside of it is served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.errors import FusionError
from fusionkit.pictures.files import write_whole

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
OWN = ".studio"
"""Where the studio keeps what are no pictures of the user's: jobs, previews, maps, thumbnails."""

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
