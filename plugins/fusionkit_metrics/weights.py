"""Published weights: a local file where one is given, the torch hub's cache, or a download into it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError

from fusionkit.errors import ModelError

PATIENCE = 20.0
"""Seconds without an answer after which a download is given up."""
_unreachable: dict[str, str] = {}


@dataclass(frozen=True)
class Weights:
    """A file of weights that is published.

    Args:
        name: As `--weights NAME=FILE` calls it.
        what: Whose weights they are.
        url: Where they come from.
        size: Of the file, in MB.
        hashed: Whether the file's name ends in the beginning of its SHA-256, so that a download can be checked.
    """

    name: str
    what: str
    url: str
    size: int
    hashed: bool = False

    @property
    def filename(self) -> str:
        """The file's own name, by which the cache knows it."""
        return self.url.rsplit("/", 1)[-1]

    def file(self, local: Mapping[str, Path], download: bool = True) -> Path:
        """The file: the local one of this name, or the cached one, or the downloaded one.

        Args:
            local: Local files of weights by name.
            download: Whether it may be downloaded.

        Raises:
            ModelError: A local file that is not there, or no local file and no download.
        """
        if (given := local.get(self.name)) is not None:
            if not given.is_file():
                raise ModelError(f"weights {self.name}: no such file '{given}'; it is {self.filename} of {self.url}")
            return given
        cached = _cache() / self.filename
        if not cached.is_file():
            if not download:
                raise ModelError(
                    f"{self.what} ({self.filename}, {self.size} MB) is not on this machine; name the metric to have it "
                    f"downloaded from {self.url}, or give the file: --weights {self.name}=FILE"
                )
            self._download(cached)
        return cached

    def _download(self, to: Path) -> None:
        """Fetch the file; a place that did not answer is not asked again in this process."""
        import torch

        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            raise self._missing("HF_HUB_OFFLINE forbids downloads")
        if self.url in _unreachable:
            raise self._missing(_unreachable[self.url])
        patience = socket.getdefaulttimeout()
        socket.setdefaulttimeout(PATIENCE)
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            prefix = torch.hub.HASH_REGEX.search(self.filename) if self.hashed else None
            print(f"Downloading {self.what}, {self.size} MB, from {self.url}", file=sys.stderr)
            torch.hub.download_url_to_file(self.url, str(to), prefix[1] if prefix else None, progress=True)
        except (URLError, OSError, RuntimeError) as error:
            reason = " ".join(str(getattr(error, "reason", "") or error).split()) or type(error).__name__
            _unreachable[self.url] = reason
            raise self._missing(reason) from error
        finally:
            socket.setdefaulttimeout(patience)

    def _missing(self, reason: str) -> ModelError:
        return ModelError(
            f"{self.what} ({self.filename}, {self.size} MB) can't be downloaded from {self.url}: {reason}; fetch the "
            f"file elsewhere and give it: --weights {self.name}=FILE"
        )

    def state(self, path: Path) -> dict[str, Any]:
        """The tensors of such a file, by name.

        Raises:
            ModelError: It holds something else.
        """
        import pickle

        import torch

        try:
            # Tensors alone: a pickle of somebody else's may run code.
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
            raise ModelError(self.misfit(path)) from error
        if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise ModelError(self.misfit(path))
        return state

    def misfit(self, path: Path) -> str:
        """One line that says that a file holds other weights, or none."""
        return f"weights {self.name}: '{path}' does not hold {self.what}; the file is {self.filename} of {self.url}"

    @contextmanager
    def in_hub(self, path: Path) -> Iterator[None]:
        """While a library loads these weights by itself: it finds this file in what it takes for the hub's cache."""
        import torch

        usual = torch.hub.get_dir()
        if path == _cache() / self.filename:
            yield
            return
        with TemporaryDirectory() as folder:
            (Path(folder) / "checkpoints").mkdir()
            (Path(folder) / "checkpoints" / self.filename).symlink_to(path.resolve())
            torch.hub.set_dir(folder)
            try:
                yield
            finally:
                torch.hub.set_dir(usual)


def _cache() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"
