"""Where a LoRA's file is: a file, one of a folder's, or one of the hub's; only safetensors. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fusionkit.errors import ModelError
from fusionkit.models.files.hub import cached_file, hub_file, hub_listing
from fusionkit.models.lora.names import named
from fusionkit.trust import refusal

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Lora

_SAFE = ".safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_PICKLED = "is pickled, which can run any code and is refused; convert it to .safetensors"
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def called(lora: Lora) -> str:
    """How errors call a LoRA: by its file as far as the recipe names it."""
    path = Path(lora.path).expanduser()
    return f"LoRA '{path / lora.weight_name if path.is_dir() and lora.weight_name else lora.path}'"


def find_lora(lora: Lora, *, download: bool) -> Path | None:
    """The file of a LoRA, as `find_file` finds it; errors read on from `called`."""
    return find_file(lora.path, lora.weight_name, download=download)


def find_file(source: str, name: str | None, *, download: bool, what: str = "LoRA") -> Path | None:
    """A file of weights; None of one on the hub that is not on this machine yet, where nothing is to be downloaded.

    What a path names is looked for on this machine alone if anything is there.

    Args:
        source: A file, a folder or a hub id.
        name: The file's name within it; None where there is one alone.
        download: Fetch it from the hub.
        what: What it is, as the hub's errors call it.

    Raises:
        ModelError: There is none, there are several, or it is no safetensors file; reads on from its name.
    """
    path = Path(source).expanduser()
    if name is not None:
        _check_name(name)
    if reason := refusal(source):
        if is_hub_id(source):
            return _on_hub(source, name, download, what)
        raise ModelError(reason)
    if path.is_dir():
        return _in_folder(path, name)
    if path.suffix in _PICKLES:
        raise ModelError(_PICKLED)
    if path.exists():
        if path.suffix != _SAFE:
            raise ModelError("is neither a folder nor a .safetensors file")
        if name is not None and name != path.name:
            raise ModelError(f"is a file, and has no weight-name '{name}' in it")
        return path
    if path.suffix == _SAFE or not is_hub_id(source):
        raise ModelError("no such file or folder")
    return _on_hub(source, name, download, what)


def is_hub_id(source: str) -> bool:
    """Whether a text can be an `owner/name` of the hub."""
    return _HUB_ID.fullmatch(source) is not None and ".." not in source


def _check_name(name: str) -> None:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.suffix in _PICKLES:
        raise ModelError(_PICKLED)
    if pure.suffix != _SAFE:
        raise ModelError(f"has the weight-name '{name}', which is no .safetensors file")
    if pure.is_absolute() or ".." in pure.parts or ":" in name:
        raise ModelError(f"has the weight-name '{name}', which is outside of it")


def _in_folder(folder: Path, name: str | None) -> Path:
    if name is not None:
        if not (folder / name).is_file():
            raise ModelError("no such file or folder")
        return folder / name
    return folder / _only([file.name for file in folder.glob(f"*{_SAFE}") if file.is_file()])


def _on_hub(hub_id: str, name: str | None, download: bool, what: str) -> Path | None:
    if name is None:
        files = _listed(hub_id)
        if not files:
            if not download:
                return None
            hub_file(hub_id, f"pytorch_lora_weights{_SAFE}", None, what=what)
        name = _only([each for each in files if "/" not in each and each.endswith(_SAFE)])
    if (found := cached_file(hub_id, name)) is not None:
        return found
    there = [each for each in _listed(hub_id) if each.endswith(_SAFE)]
    if there and name not in there:
        raise ModelError(f"has no file '{name}'; it has {named(sorted(there), 8)}")
    return hub_file(hub_id, name, None, what=what) if download else None


def _listed(hub_id: str) -> list[str]:
    """The names of the hub's files, or of those in its cache where the hub does not tell."""
    if files := [file.as_posix() for file in hub_listing(hub_id, "main")]:
        return files
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):
        return []
    return [file.name for file in folder.glob("*") if file.is_file()]


def _only(names: Sequence[str]) -> str:
    if not names:
        raise ModelError(f"has no {_SAFE} file")
    if len(names) > 1:
        raise ModelError(f"has {len(names)} {_SAFE} files; say which by weight-name: {named(sorted(names), 8)}")
    return names[0]
