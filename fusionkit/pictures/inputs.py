"""The files that a recipe reads: what tells them apart, and where they are when a picture is made again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice, product
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from fusionkit.errors import RecipeError
from fusionkit.pictures.opening import PictureError
from fusionkit.pictures.picture import has_more
from fusionkit.recipe.nodes import Node
from fusionkit.trust import refusal

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe

# A LoRA or a picture is read as a whole; of the gigabytes of a model, parts tell two apart in a moment.
_WHOLE, _SAMPLES, _SAMPLE = 512 * 2**20, 64, 2**16
_OF_A_FOLDER = (".safetensors", ".json", ".txt", ".model")
_WITH_FRAMES = (".gif", ".png", ".webp", ".tif", ".tiff", ".avif")
# What may be looked into, of folders that somebody else filled.
_FOLDERS, _MOST_BESIDE, _MOST_BYTES = 4, 200, 2**31
_NO_PATHS = ("prompt", "negative-prompt", "name")


def files_of(recipe: Recipe) -> list[str]:
    """What a recipe names that lies on this machine, as the recipe writes it: models, LoRAs, and plugins' files.

    Of a plugin's options, whatever is a path or a text that names something there counts.
    """
    named = [text for spec in recipe.specs.values() for text in (*spec.sources, *(lora.path for lora in spec.loras))]
    return [text for text in dict.fromkeys([*named, *named_by_plugins(recipe)]) if _exists(text)]


def named_by_plugins(recipe: Recipe) -> list[str]:
    """What in the options of a recipe's plugins may name a file, or a model: paths, and texts that look like one."""
    return [text for plugin in recipe.plugins for text in _texts(plugin)]


def is_read(recipe: Recipe, path: Path) -> bool:
    """Whether a file is one that a recipe reads, by whatever name or link it is called."""
    if not os.path.exists(path):
        return False
    for text in files_of(recipe):
        with suppress(OSError):
            if not refusal(text) and os.path.samefile(path, _expanded(text)):
                return True
    return False


def notes_on(recipe: Recipe) -> list[str]:
    """One line for each picture that a recipe reads, and that holds more than is read of it."""
    lines = []
    for text in files_of(recipe):
        if Path(text).suffix.lower() in _WITH_FRAMES:
            with suppress(PictureError):
                if has_more(_expanded(text)):
                    lines.append(f"'{text}' has several frames or pages; the first one counts")
    return lines


def fingerprints(recipe: Recipe) -> dict[str, str]:
    """For each of `files_of`, what tells it from others: a SHA-256 of it, or of parts of it where it is large."""
    return {text: found for text in files_of(recipe) if (found := fingerprint(_expanded(text)))}


def fingerprint(path: Path) -> str:
    """What tells a file from others, or the files of a model's folder; empty where it can't be read."""
    try:
        # A model's folder has one level of folders for its components.
        within = sorted(each for depth in ("*", "*/*") for each in path.glob(depth) if each.suffix in _OF_A_FOLDER)
        files = within if path.is_dir() else [path]
        each = [(str(file.relative_to(path)), _of_file(file, *_version(file))) for file in files if file.is_file()]
    except OSError:
        return ""
    if path.is_dir():
        if not each:
            return ""
        return "sha256-of-files:" + hashlib.sha256(repr(each).encode(errors="surrogateescape")).hexdigest()
    return each[0][1] if each else ""


def _version(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=256)
def _of_file(path: Path, changed: int, size: int) -> str:
    if size <= _WHOLE:
        hashed = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(2**20):
                hashed.update(block)
        return f"sha256:{hashed.hexdigest()}"
    hashed = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek((size - _SAMPLE) * number // (_SAMPLES - 1))
            hashed.update(file.read(_SAMPLE))
    return f"sha256-of-parts:{hashed.hexdigest()}"


@dataclass
class Inputs:
    """The files of a picture's recipe, looked for where the recipe says, and else beside the picture.

    A file of the content that it had is preferred, wherever it is, also in the folders around the picture's own, and
    under another name beside it; then one of its name.

    Args:
        known: What the picture says of them: its `fingerprints`.
        image: The picture.
        places: For each that is elsewhere than the recipe says, where it is.
        differing: Those of another content than when the picture was drawn.
        source: What errors call the picture's recipe; of a document, only what is from there counts. None: all of it.
    """

    known: Mapping[str, str]
    image: Path
    places: dict[str, str] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    source: str | None = None

    def placed(self, tree: Node) -> Node:
        """A recipe's document with the places of now.

        Raises:
            RecipeError: A file is nowhere; one line for each.
        """
        # A picture may name any file of this machine; what its recipe does not read is not looked at.
        read = set(self._scalars(tree))
        missing = [text for text in self.known if text in read and not self._found(text)]
        if missing:
            lines = [
                f"'{text}', which its recipe reads, is missing; put it beside the picture, or into the working folder"
                for text in missing
            ]
            raise RecipeError(f"{self.image}: {line}" for line in (*lines, *self._others()))
        return self._replaced(tree)

    def notes(self) -> list[str]:
        """One line for each that is not where it was, or not what it was."""
        lines = [f"'{text}' is read from '{place}'" for text, place in self.places.items()]
        return lines + self._others()

    def _others(self) -> list[str]:
        return [f"'{text}' is not the file that the picture was drawn with" for text in self.differing]

    def _found(self, text: str) -> bool:
        if refusal(text):
            return True  # whoever wants to read it says why it can't be
        path, beside, known = _expanded(text), self.image.parent, self.known[text]
        same = next((each for each in self._places(path) if os.path.exists(each) and fingerprint(each) == known), None)
        by_name = [each for each in (path, beside / path, beside / path.name) if os.path.exists(each)]
        if same is None and not by_name:
            return False
        if (best := same or by_name[0]) != path:
            self.places[text] = str(best)
        if same is None:
            self.differing.append(text)
        return True

    def _places(self, path: Path) -> Iterator[Path]:
        """Where a file may be: in its place; in folders that went with the picture; under another name beside it."""
        yield path
        parts = [each for each in path.parts if each not in (path.anchor, "..")]
        folders = [self.image.parent, *self.image.absolute().parents[1:_FOLDERS]]
        for folder, length in product(folders, range(min(len(parts), _FOLDERS), 0, -1)):
            yield folder / Path(*parts[-length:])
        if not path.suffix:
            return
        with suppress(OSError):
            alike = (each for each in sorted(self.image.parent.iterdir()) if each.suffix == path.suffix)
            room = _MOST_BYTES
            for each in islice((each for each in alike if each.is_file()), _MOST_BESIDE):
                if (room := room - each.stat().st_size) > 0:
                    yield each

    def _replaced(self, node: Node, key: str = "") -> Node:
        value: Any = node.value
        if isinstance(value, dict):
            value = {name: self._replaced(each, name) for name, each in value.items()}
        elif isinstance(value, list):
            value = [self._replaced(each, key) for each in value]
        elif isinstance(value, str) and key not in _NO_PATHS and self._is_ours(node):
            value = self.places.get(value, value)
        return Node(value, node.place, node.key)

    def _is_ours(self, node: Node) -> bool:
        return self.source is None or node.place.source == self.source

    def _scalars(self, node: Node, key: str = "") -> Iterator[str]:
        if isinstance(node.value, dict):
            for name, each in node.value.items():
                yield from self._scalars(each, name)
        elif isinstance(node.value, list):
            for each in node.value:
                yield from self._scalars(each, key)
        elif isinstance(node.value, str) and key not in _NO_PATHS and self._is_ours(node):
            yield node.value


def _texts(value: Any) -> Iterator[str]:
    """All texts and paths within a plugin's options."""
    if isinstance(value, PurePath) or (isinstance(value, str) and _looks_like_a_path(value)):
        yield str(value)
    elif isinstance(value, BaseModel):
        for _, each in value:
            yield from _texts(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from _texts(each)


def _looks_like_a_path(text: str) -> bool:
    """Whether a text can be meant as a path: `previous` or `canny` are words, even where a file is called so."""
    return bool(PurePath(text).suffix) or os.sep in text or "/" in text


def _exists(text: str) -> bool:
    return os.path.exists(_expanded(text))


def _expanded(text: str) -> Path:
    return Path(os.path.expanduser(text))
