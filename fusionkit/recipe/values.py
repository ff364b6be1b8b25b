"""The kinds of values that a recipe and its plugins' options take, each checked in words that read on from its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from string import Formatter
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from fusionkit.errors import did_you_mean
from fusionkit.recipe import limits
from fusionkit.recipe.problems import shown
from fusionkit.recipe.prompt_syntax import prompt_problems
from fusionkit.recipe.texts import PICTURES, unfit_line, unfit_path, unfit_text

OUTPUT_NAMES = ("index", "model", "prompt", "recipe", "seed", "size")
OUTPUT_FORMATS = PICTURES


def parse_size(value: Any) -> Any:
    """`3584x512` or [3584, 512] as (width, height).

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, str):
        # More digits than any size has are no size, and no number that Python would read.
        found = re.fullmatch(r"\s*(\d{1,20})\s*[xX\u00d7]\s*(\d{1,20})\s*", value)
        if found is not None:
            return int(found[1]), int(found[2])
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return value
    raise ValueError(f"must be width x height in pixels, such as 3584x512, not {shown(value)}")


def refuse_bool(value: Any) -> Any:
    """A number that is not `true` or `false`, which Python would count as 1 and 0.

    Raises:
        ValueError: It is.
    """
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


def finite(value: Any) -> Any:
    """A number that is neither `true` nor `false`, infinite or not a number.

    Raises:
        ValueError: It is.
    """
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"must be a number, not {value}")
    return refuse_bool(value)


def parse_interval(value: Any) -> Any:
    """Two shares, 0..1, the smaller first.

    Raises:
        ValueError: It is anything else.
    """
    expected = "must be two numbers from 0 to 1, the smaller first, such as [0, 0.6]"
    numbers = list(value) if isinstance(value, (list, tuple)) else []
    if len(numbers) != 2 or any(isinstance(each, bool) or not isinstance(each, (int, float)) for each in numbers):
        raise ValueError(f"{expected}, not {shown(value)}")
    begin, end = numbers
    if not 0 <= begin < end <= 1:
        raise ValueError(f"{expected}, not [{begin:g}, {end:g}]")
    return float(begin), float(end)


def refused_where(problem: Callable[[str], str]) -> AfterValidator:
    """A validator of texts, of which a function tells why one can't be; empty where it can.

    The validator raises a ValueError that says so.
    """

    def check(text: str) -> str:
        if said := problem(text):
            raise ValueError(said)
        return text

    return AfterValidator(check)


def nothing_as_none(value: Any) -> Any:
    """None for an empty text."""
    return None if value == "" else value


def check_output(path: Path) -> Path:
    """A path template whose names are known and whose format can be written.

    Raises:
        ValueError: One is not.
    """
    template = str(path)
    try:
        names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
        if names <= set(OUTPUT_NAMES):
            _check_formats(template)
            filled = template.format_map({name: 1 if name in ("index", "seed") else "text" for name in OUTPUT_NAMES})
            if problem := unfit_path(filled):
                raise ValueError(problem)
    except (ValueError, OverflowError) as error:
        ours = str(error).startswith(("begins ", "has ", "must "))
        raise ValueError(str(error) if ours else f"is no path template: {error}") from None
    for name in sorted(names - set(OUTPUT_NAMES)):
        known = ", ".join(f"{{{each}}}" for each in OUTPUT_NAMES)
        raise ValueError(f"has no name '{{{name}}}'{did_you_mean(name, OUTPUT_NAMES) or f'; there are {known}'}")
    if path.suffix.lower() not in OUTPUT_FORMATS:
        raise ValueError(f"must end in {', '.join(OUTPUT_FORMATS)}, not '{path.suffix}'")
    return path


def _check_formats(template: str) -> None:
    """Refuse widths that would fill the memory, and fields inside of formats."""
    for _, name, form, _ in Formatter().parse(template):
        if name is not None and form and ("{" in form or re.search(r"\d{3}", form)):
            raise ValueError(f"the format '{form}' of {{{name}}} is too wide")


_DEVICES = {"gpu": "cuda", "nvidia": "cuda", "rocm": "cuda", "metal": "mps", "apple": "mps", "intel": "xpu"}


def check_device(device: str) -> str:
    """A device that torch may know; whether this machine has it is asked when the model loads.

    Raises:
        ValueError: There is no such device.
    """
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:[0-9]{1,3})?", device):
        meant = _DEVICES.get(re.sub(r"[\W_]*\d*$", "", device.lower()), device)
        hint = did_you_mean(meant, ("auto", "cpu", "cuda", "mps", "xpu"))
        raise ValueError(
            f"must be auto, cpu, cuda, mps, xpu, or one of several such as cuda:1, not {shown(device)}{hint}"
        )
    return device


def parse_devices(value: Any) -> Any:
    """Devices as a list, or as a text with commas; one may be named several times, for as many workers.

    Raises:
        ValueError: There are none, or too many, or one is none.
    """
    if value is None:
        return None
    named = [each.strip() for each in value.split(",")] if isinstance(value, str) else value
    if not isinstance(named, (list, tuple)) or not named or not all(isinstance(each, str) for each in named):
        raise ValueError(f"must be a list of devices, such as [cuda:0, cuda:1], not {shown(value)}")
    if len(named) > limits.DEVICES:
        raise ValueError(f"must be at most {limits.DEVICES} devices, not {len(named)}")
    return tuple(check_device(each) for each in named)


Side = Annotated[int, BeforeValidator(refuse_bool), Field(ge=1, le=limits.SIDE)]
Size = Annotated[
    tuple[Side, Side],
    BeforeValidator(parse_size),
    PlainSerializer(lambda size: f"{size[0]}x{size[1]}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+ ?x ?\d+$", "examples": ["3584x512"]}),
]
Interval = Annotated[
    tuple[float, float],
    BeforeValidator(parse_interval),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 2,
            "maxItems": 2,
            "examples": [[0.0, 0.6]],
        }
    ),
]
Count = Annotated[int, BeforeValidator(refuse_bool), Field(ge=1)]
Number = Annotated[float, BeforeValidator(finite)]
Text = Annotated[str, refused_where(unfit_text)]
IS_PROMPT = "a prompt"
"""By which a type tells that its text is said to models."""
# Weights and brackets are told in `fusionkit.recipe.prompt_syntax`.
PromptText = Annotated[Text, refused_where(lambda prompt: "\n".join(prompt_problems(prompt))), IS_PROMPT]
Name = Annotated[str, refused_where(unfit_line)]
OptionalName = Annotated[Name | None, BeforeValidator(nothing_as_none)]
# A path, a hub id or an embedded model's name.
Source = Annotated[str, refused_where(lambda text: unfit_path(text) or ("" if text.strip() else "is empty"))]
