"""What values the configuration files of models may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from fusionkit.models.files.reading import NUMBER_LIMIT
from fusionkit.models.files.sources import classes_in, keys_in
from fusionkit.recipe.problems import shown

SIDE_LIMIT = 4_096
"""Latent pixels of a model's own window, along a side."""

LAYER_LIMIT = 200
"""Layers of a text encoder, or of one block of a denoiser."""

BLOCK_LIMIT = 12
"""Blocks of a denoiser or an autoencoder: each halves the side."""

CHANNEL_LIMIT = 65_536
"""Channels of a layer, or numbers of a token."""

# Where the libraries name the functions between layers.
_ACTIVATIONS = {
    "diffusers": ("models/activations.py", "(?:ACT2CLS|ACTIVATION_FUNCTIONS)"),
    "transformers": ("activations.py", "ACT2CLS"),
}


def _one(least: int, most: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number, not {shown(value)}")
        if not least <= value <= most:
            raise ValueError(f"must be {least:,} to {most:,}, not {shown(value)}")
        return value

    return check


def _many(least: int, most: int, *, alone: bool, deep: bool = False) -> Callable[[Any], Any]:
    """A list of whole numbers, or nothing; if `alone`, one of them will do; if `deep`, lists of them as well."""
    one = _one(least, most)

    def check(value: Any) -> Any:
        if value is None:
            return value
        if isinstance(value, list) and 0 < len(value) <= LAYER_LIMIT:
            return [check(each) if deep and each is not None else one(each) for each in value]
        if alone:
            return one(value)
        raise ValueError(f"must be a list of whole numbers, not {shown(value)}")

    return check


def whole(least: int, most: int) -> BeforeValidator:
    """A whole number within limits, both included."""
    return BeforeValidator(_one(least, most))


def each_of(least: int, most: int, *, alone: bool, deep: bool = False) -> BeforeValidator:
    """A list of whole numbers within limits, or nothing; perhaps one of them `alone`, or lists of lists, if `deep`."""
    return BeforeValidator(_many(least, most, alone=alone, deep=deep))


def perhaps(least: int, most: int) -> BeforeValidator:
    """A whole number within limits, or nothing."""
    one = _one(least, most)
    return BeforeValidator(lambda value: value if value is None else one(value))


def _numbers(value: Any) -> Any:
    if value is None:
        return value
    if not isinstance(value, list) or len(value) > CHANNEL_LIMIT:
        raise ValueError(f"must be a list of numbers, not {shown(value)}")
    return [_number(each) for each in value]


def _number(value: Any) -> Any:
    # The limit is that of all numbers, and no number is as large as infinity.
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= NUMBER_LIMIT
    ):
        raise ValueError(f"must be a number, not {shown(value)}")
    return value


def _above_0(value: Any) -> Any:
    if value is None or _number(value) <= 0:
        raise ValueError(f"must be a number above 0, not {shown(value)}")
    return value


def activation(package: str) -> AfterValidator:
    """The name of a function between layers that a library, "diffusers" or "transformers", has."""

    def check(value: str | None) -> str | None:
        known = keys_in(package, *_ACTIVATIONS[package])
        if value is not None and known and value.lower() not in known:
            raise ValueError(f"must be one of {', '.join(known)}, not {shown(value)}")
        return value

    return AfterValidator(check)


def _blocks(direction: str) -> AfterValidator:
    """Names of diffusers' kinds of blocks of one direction."""

    def check(value: list[str] | None) -> list[str] | None:
        known = [each for each in classes_in("diffusers", "models/unets/unet_2d_blocks.py") if direction in each]
        for each in value or ():
            # Old files begin these names otherwise.
            if known and each.removeprefix("UNetRes") not in known:
                raise ValueError(f"must name blocks that diffusers has, such as {known[0]}, not {shown(each)}")
        return value

    return AfterValidator(check)


def misfit_groups(groups: int | None, widths: Sequence[int]) -> str:
    """Why a number of groups is none for channels that are normalised together; empty if it is one."""
    wrong = next((each for each in widths if groups is not None and each % groups), None)
    return f"must have levels that its norm_num_groups {groups} divide, not {wrong}" if wrong else ""


def _texts(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"must be a list of names, not {shown(value)}")
    return value


Count = Annotated[int, whole(1, CHANNEL_LIMIT)]
Layers = Annotated[Any, each_of(0, LAYER_LIMIT, alone=True, deep=True)]
Widths = Annotated[list[int] | None, each_of(1, CHANNEL_LIMIT, alone=False)]
Number = Annotated[float | None, BeforeValidator(_number)]
Numbers = Annotated[list[float] | None, BeforeValidator(_numbers)]
Texts = Annotated[list[str], BeforeValidator(_texts)]
Above0 = Annotated[float, BeforeValidator(_above_0)]
Groups = Annotated[int | None, perhaps(1, CHANNEL_LIMIT)]
DownBlocks = Annotated[list[str], BeforeValidator(_texts), _blocks("Down")]
UpBlocks = Annotated[list[str], BeforeValidator(_texts), _blocks("Up")]
Activation = Annotated[str, activation("diffusers")]
