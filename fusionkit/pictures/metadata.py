"""What a picture's file says of how it was made: written beside the pixels, and read again whoever wrote it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fusionkit.errors import RecipeError
from fusionkit.foreign import version_of
from fusionkit.pictures import parameters
from fusionkit.pictures.deep_zoom import copy_of
from fusionkit.pictures.opening import PictureError, opened

if TYPE_CHECKING:
    from PIL.Image import Image

    from fusionkit.plugin import Plugin
    from fusionkit.recipe.recipe import Recipe

KEY = "fusionkit"
IMAGE_DESCRIPTION = 0x010E
"""The EXIF tag that JPEG and WebP carry the text in."""


class Made(Protocol):
    """What a picture's file says of a run."""

    @property
    def image(self) -> Image:
        """The picture."""

    @property
    def recipe(self) -> Recipe:
        """The recipe, completed with all defaults."""

    @property
    def seed(self) -> int:
        """The seed that was used."""

    @property
    def latents_hash(self) -> str:
        """SHA-256 of the latents' bytes."""

    @property
    def batch_size(self) -> int:
        """Most views that went through the denoiser together."""

    @property
    def batches(self) -> Mapping[str, Mapping[tuple[int, int], int]]:
        """How many views of a size go together, for each model by name, where nobody decided it."""

    @property
    def models(self) -> Mapping[str, str]:
        """What tells models that are no files from others of their names."""


def metadata_of(result: Made) -> dict[str, Any]:
    """What a picture's file says of how it was made: recipe, seed, versions, batch sizes, hashes.

    And what other programs read, which `image.save_image` writes apart from all else.
    """
    from fusionkit.pictures.inputs import fingerprints

    told: dict[str, Any] = {
        "recipe": result.recipe.to_yaml(),
        "model": ", ".join(spec.model for spec in result.recipe.specs.values()) or None,
        "seed": result.seed,
        "latents": result.latents_hash,
        "batch-size": result.batch_size,
        "versions": versions(result.recipe.plugins),
        parameters.KEY: parameters.parameters_of(result.recipe, result.image.size),
    }
    if result.batches:
        told["batch-sizes"] = {
            name: {f"{height}x{width}": size for (height, width), size in sizes.items()}
            for name, sizes in result.batches.items()
        }
    for what, found in (("files", fingerprints(result.recipe)), ("models", result.models)):
        if found:
            told[what] = dict(found)
    return told


def versions(plugins: Iterable[Plugin] = ()) -> dict[str, str]:
    """The versions of what draws a picture, those of the plugins' packages among them."""
    from fusionkit.registry import offered, package_of

    packages = [KEY, "torch", "diffusers", "transformers"]
    packages += [package_of(offered()[each.plugin_name]) for each in plugins if each.plugin_name in offered()]
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in dict.fromkeys(packages):
        with suppress(PackageNotFoundError):
            found[package] = version_of(package)
    return found


def read_metadata(path: Path) -> dict[str, Any]:
    """What a picture that fusionkit wrote says of how it was made; its pixels are not decoded, whatever its size.

    Of what it says, `recipe` and `latents` are texts, and `versions`, `files` and `models` map texts to texts, whoever
    wrote it.

    Raises:
        RecipeError: It is no picture, or not one of fusionkit's.
    """
    try:
        text = text_in(path)
    except PictureError as error:
        says = f"can't be read as a picture: {error.detail}" if error.detail else error.says
        raise RecipeError([f"{path}: {'no such file' if says == 'does not exist' else says}"]) from None
    try:
        found = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("recipe"), str):
        raise RecipeError([f"{path}: carries no recipe; only pictures that fusionkit wrote do"])
    if "latents" in found:
        found["latents"] = str(found["latents"])
    for name in {"versions", "files", "models"} & set(found):
        found[name] = _texts(found[name])
    return found


def text_in(path: Path) -> str | None:
    """The text of ours in a picture file, which anybody may have written; None where there is none.

    Raises:
        PictureError: It is no picture.
    """
    with opened(copy_of(path)) as image:
        text = image.info.get(KEY)
        if text is None and image.format != "PNG":  # of a PNG, Pillow would decode the pixels to look behind them
            text = image.getexif().get(IMAGE_DESCRIPTION)
    return text if isinstance(text, str) else None


def _texts(value: Any) -> dict[str, str]:
    return {name: each for name, each in value.items() if isinstance(each, str)} if isinstance(value, dict) else {}
