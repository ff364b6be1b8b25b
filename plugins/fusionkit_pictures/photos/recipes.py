"""The recipe that enlarges a photo: `upscale-photo`, or one's own, with what is particular to the photo put in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, log2
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fusionkit.errors import RecipeError
from fusionkit.models.embedded import embedded_controlnets
from fusionkit.pictures.picture import picture_size
from fusionkit.recipe.assemble import Change, Reader, assembled, find_recipe, own_entries, plugin_name
from fusionkit.recipe.fields import RecipeFields, takes
from fusionkit.recipe.nodes import Node, Place
from fusionkit.recipe.recipe_file import RecipeFile, read_recipe
from fusionkit_pictures.image_to_image import ImageToImage

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import Recipe

RECIPE = "upscale-photo"
"""The bundled recipe that photos are enlarged by."""
SCALE = 2.0
"""How many times as wide and high a photo becomes where nobody says it."""
STRENGTH = 0.35
COLOUR_LEVELS = 5
"""What is larger than 2^5 pixels is colour and light, and no detail."""
Keep = Literal["details", "colours", "nothing"]
"""What stays the photo's."""
Known = Callable[[RecipeFile], tuple["ModelInfo", tuple[int, int]]]
"""What is known of a recipe's main model, and the window, (width, height) in pixels."""

# What says of a model where it is and what is put on it: said anew, all of it is.
_OF_THE_MODEL = ("models", "base", "revision", "variant", "loras")
# Beyond it the VAE works in tiles: bytes of its decoder's maps, of which there are so many of 4 bytes a number.
_DECODED_AT_ONCE, _MAPS = 8 * 2**30, 8 * 4


@dataclass(frozen=True)
class Enlarging:
    """How photos are enlarged.

    Args:
        scale: How many times as wide and high, from 1; None is 2.
        long_side: In its place: pixels of the longer side.
        strength: The share of the steps that are taken; None is the recipe's, or 0.35 where it has none.
        doubling: Draw scales above 2 in stages, each twice the one before, in place of one.
        controlnet: A ControlNet that is shown the photo itself.
        network: A super-resolution network by which the photo is enlarged before it is drawn.
        keep: What stays the photo's: all that it shows (details), what is coarse (colours), or nothing.
        source: The recipe: a path, or a bundled one's name.
        sets: Changes of the recipe, as of `--set`.
        options: Values of the recipe's keys, by their YAML names; None leaves the recipe's.
    """

    scale: float | None = None
    long_side: int | None = None
    strength: float | None = None
    doubling: bool = False
    controlnet: str | None = None
    network: str | None = None
    keep: Keep = "details"
    source: str = RECIPE
    sets: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """What makes no sense whatever the photo is, a line each."""
        problems = []
        if self.scale is not None and self.long_side is not None:
            problems.append("--scale and --long-side: give one of them")
        elif self.scale is not None and not 1 <= self.scale <= 64:
            problems.append(f"--scale {self.scale:g}: a photo is never made smaller; use a scale from 1 to 64")
        if self.strength is not None and not 0 < self.strength <= 1:
            problems.append(f"--strength {self.strength:g}: use a number above 0, up to 1; 0.2 to 0.5 keep the photo")
        return problems

    @property
    def annotator(self) -> str:
        """What the ControlNet is shown of the photo: of one that fusionkit carries what it knows, else the photo."""
        embedded = embedded_controlnets().get(self.controlnet or "")
        return (embedded.annotator if embedded is not None else "") or "none"

    def times(self, size: tuple[int, int]) -> float:
        """How many times as large a photo of (width, height) becomes."""
        return (self.scale or SCALE) if self.long_side is None else self.long_side / max(size)

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) in pixels that a photo of (width, height) gets."""
        width, height = (max(1, round(side * self.times(size))) for side in size)
        return width, height


def photo_file(
    photo: Path, how: Enlarging, ask: Known, prompt: str | None = None, read: Reader = own_entries
) -> RecipeFile:
    """The recipe that enlarges a photo.

    Args:
        photo: The photo.
        how: How it is enlarged.
        ask: Answers what is known of the main model of the recipe, and the window, (width, height) in pixels.
        prompt: What the photo shows; None is what the recipe says, or nothing.
        read: Reads the entries of a recipe's file.

    Raises:
        RecipeError: All problems, each with its place.
        PictureError: The photo can't be used.
    """
    tree = assembled(find_recipe(how.source), read=read)
    entries = tree["plugins"].value if "plugins" in tree and isinstance(tree["plugins"].value, list) else []
    there = {plugin_name(each) for each in entries}
    changes = [*_of_models(how, tree), *_of_plugins(photo, how, there)]
    told = {**how.options} if prompt is None else {**how.options, "prompt": prompt}
    if how.source == RECIPE and (told.get("prompt") or told.get("negative-prompt")):
        # With something said, the model's own guidance counts.
        changes.append(_change("guidance-scale", None, "--prompt"))
    plain = read_recipe(how.source, [*changes, *how.sets], told, read)
    stages = _of_stages(photo, how, *ask(plain), plain.recipes[0])
    return read_recipe(how.source, [*changes, *stages, *how.sets], told, read) if stages else plain


def _of_models(how: Enlarging, tree: Mapping[str, Node]) -> list[Change]:
    if how.options.get("model") is None:
        return []
    return [_change(key, None, "--model") for key in _OF_THE_MODEL if key in tree and how.options.get(key) is None]


def _of_plugins(photo: Path, how: Enlarging, there: set[str | None]) -> list[Change]:
    size = picture_size(photo)
    if how.long_side is not None and how.long_side < max(size):
        raise RecipeError(
            [f"--long-side {how.long_side}: '{photo}' has {size[0]}x{size[1]} pixels, and is never made smaller"]
        )
    begin: dict[str, Any] = {"from": str(photo)}
    if how.strength is not None or "image-to-image" not in there:
        begin["strength"] = STRENGTH if how.strength is None else how.strength
    if how.network is not None:
        begin["network"] = how.network
    exact = {"from": str(photo), "times": how.times(size)}
    if "exact-size" not in there:
        exact["canvas"] = "window"
    changes = [_change("plugins.image-to-image", begin, str(photo)), _change("plugins.exact-size", exact, str(photo))]
    if how.controlnet is not None:
        net = {"model": how.controlnet, "annotator": how.annotator, "from": str(photo)}
        changes.append(_change("plugins.controlnet", net, "--controlnet"))
    if how.keep != "nothing":
        # What is larger than a pixel of the photo can be seen in it.
        levels = min(max(1, round(log2(how.times(size)))), 8) if how.keep == "details" else COLOUR_LEVELS
        match = {"by": "wavelet", "to": str(photo), "levels": levels}
        changes.append(_change("plugins.colour-match", match, "--keep"))
    elif "colour-match" in there:
        changes.append(_change("plugins.colour-match", False, "--keep"))
    return changes


def _of_stages(photo: Path, how: Enlarging, info: ModelInfo, window: tuple[int, int], recipe: Recipe) -> list[Change]:
    """By way of doublings, where that is wanted, and in tiles where the whole would be decoded at once."""
    size = picture_size(photo)
    times, width, height = how.times(size), *how.size(size)
    changes = []
    if _MAPS * info.vae_channels * width * height > _DECODED_AT_ONCE:
        changes.append(_change("vae-tiling", True, str(photo)))
    doublings = ceil(log2(times)) - 1 if times > 2 and how.doubling else 0
    if doublings:
        # The first canvas is that of the photo at so many times less, and each other one twice that before it.
        token, share = info.token, times / 2**doublings
        sides = (max(-(-side * share // token) * token, least) for side, least in zip(size, window, strict=True))
        first = "x".join(str(int(side)) for side in sides)
        stages = {
            "times": 2**doublings,
            "strength": next((each.strength for each in recipe.plugins if isinstance(each, ImageToImage)), STRENGTH),
            "enlarge": "pixels",
            "skip-residual": "off",
            "anchor": False,
        }
        if doublings > 1:
            stages["stages"] = [2**each for each in range(1, doublings)]
        changes += [
            _change("size", first, str(photo)),
            _change("plugins.progressive-upscaling", stages, str(photo)),
        ]
    return changes


def _change(key: str, value: Any, source: str) -> Change:
    return key, Node.of(value, Place(source))


@takes(RecipeFields)
def photo_recipe(
    photo: str | Path,
    scale: float | None = None,
    *,
    long_side: int | None = None,
    strength: float | None = None,
    doubling: bool = False,
    controlnet: str | None = None,
    network: str | Path | None = None,
    keep: Keep = "details",
    recipe: str | Path = RECIPE,
    **fields: Unpack[RecipeFields],
) -> Recipe:
    """The recipe that enlarges a photo, as `fusionkit upscale` does: to exactly `scale` times its size.

    Args:
        photo: A picture's file.
        scale: How many times as wide and high, from 1; by default 2.
        long_side: In its place: pixels of the longer side.
        strength: The share of the steps that are taken: a small one keeps the photo.
        doubling: Draw scales above 2 in stages, each twice the one before, in place of one.
        controlnet: A ControlNet that is shown the photo itself.
        network: A super-resolution network by which the photo is enlarged before it is drawn.
        keep: What stays the photo's: all that it shows (details), what is coarse (colours), or nothing.
        recipe: Another recipe than `upscale-photo`.
        fields: Any field of a recipe: `model="vista/scenes"`, `prompt="a red fox"`, `steps=30`, ...

    Raises:
        RecipeError: Something makes no sense; all of it.
        PictureError: The photo can't be used.
        ModelError: The model can't be found.
    """
    from fusionkit.recipe.made import changed
    from fusionkit.runs.checks import inspected

    path = Path(photo)
    given: dict[str, Any] = dict(fields)
    model, prompt = given.pop("model", None), given.pop("prompt", None)
    how = Enlarging(
        scale=scale,
        long_side=long_side,
        strength=strength,
        doubling=doubling,
        controlnet=controlnet,
        network=None if network is None else str(network),
        keep=keep,
        source=str(recipe),
        options={"model": model, "negative-prompt": given.pop("negative_prompt", None)},
    )
    if problems := how.problems():
        raise RecipeError(problems)

    def known(file: RecipeFile) -> tuple[ModelInfo, tuple[int, int]]:
        recipe = changed(file.recipes[0], given)
        info = inspected(next(iter(recipe.specs.values())))
        return info, recipe.window or info.window

    return changed(photo_file(path, how, known, prompt).recipes[0], given)
