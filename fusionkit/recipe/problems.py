"""Says pydantic's complaints in one line each: what is wrong, with which option, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusionkit.errors import did_you_mean
from fusionkit.recipe.other_names import meant, meant_value

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

Location = tuple[int | str, ...]

RECIPE = "a recipe"
ALL_KEYS = "; 'fusionkit schema' tells all that it has"

_WHOLE, _NUMBER, _BOOL = "must be a whole number", "must be a number", "must be true or false"
_TEXT, _LIST, _MAPPING = "must be text", "must be a list", "must be a mapping of options"

# How fusionkit's own validators begin what they raise, so that it reads on from the option's name.
_VERBS = ("must ", "has ", "is ", "are ", "begins ", "holds ", "takes ")

_PHRASES = {
    "bool_parsing": _BOOL,
    "bool_type": _BOOL,
    "dict_type": _MAPPING,
    "finite_number": _NUMBER,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_type": _WHOLE,
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": _LIST,
    "model_attributes_type": _MAPPING,
    "model_type": _MAPPING,
    "path_type": _TEXT,
    "string_type": _TEXT,
    "too_long": "has {actual_length} entries; the most are {max_length}",
    "too_short": "has too few entries: at least {min_length}",
    "tuple_type": _LIST,
}


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong: where, whether its key (rather than its value) is meant, and a line that says it."""

    location: Location
    is_key: bool
    line: str


def complaints(
    error: ValidationError, model: type[BaseModel], owner: str = RECIPE, *, python: bool = False
) -> Iterator[Complaint]:
    """Each complaint of a validation.

    Args:
        error: What pydantic raised.
        model: The class that was validated, for near misses.
        owner: Whose options they are: a recipe's, or a plugin's, by its name.
        python: Whether they were given in Python, whose names have underscores.
    """
    for detail in error.errors(include_url=False):
        location = _location(detail)
        is_empty = location != () and detail["input"] is None and detail["type"] not in ("missing", "extra_forbidden")
        if is_empty:
            yield Complaint(location, True, f"{_whose(location, owner)} is empty; give it a value, or leave it out")
            continue
        # A validator may raise several problems at once, one a line.
        for line in _phrase(detail, location, model, owner, python).split("\n"):
            yield Complaint(location, detail["type"] == "extra_forbidden", line)


def problems_of(
    error: ValidationError, model: type[BaseModel], owner: str = RECIPE, *, python: bool = False
) -> list[str]:
    """One line for each complaint of a validation of a model's fields."""
    return list(dict.fromkeys(each.line for each in complaints(error, model, owner, python=python)))


def options_of(model: type[BaseModel]) -> list[str]:
    """The names of a model's options, as YAML spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def shown(value: Any, most: int = 40) -> str:
    """A value for an error message, in one line of at most so many characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes out no number of more than 4,300 digits
        text = "a very long number"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def spelled(location: Location) -> str:
    """A location as its reader would name it: `loras.2.scale`, counted from 1."""
    return ".".join(str(part + 1 if isinstance(part, int) else part) for part in location)


def _phrase(detail: ErrorDetails, location: Location, model: type[BaseModel], owner: str, python: bool) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    name = spelled(location)
    if kind == "extra_forbidden":
        holder = f"'{spelled(location[:-1])}' of {owner}" if len(location) > 1 else owner
        known = _known(model, location[:-1])
        word = str(location[-1])
        if holder == RECIPE:
            return f"{RECIPE} has no option '{word}'{meant(word, known, python=python) or ALL_KEYS}"
        hint = did_you_mean(word, known) or "; it has: " + ", ".join(known)
        return f"{holder} has no option '{word}'{hint if known else ''}"
    whose = _whose(location, owner)
    if kind == "missing":
        return f"{whose} is missing"
    if kind in ("value_error", "assertion_error"):
        text = str(context.get("error", detail["msg"]))
        if location == ("plugins",):
            return text
        subject = owner if not name else whose
        joint = " " if text.startswith(_VERBS) else ": "
        return "\n".join(f"{subject}{joint}{line}" for line in text.split("\n"))
    if kind in ("literal_error", "enum"):
        hint = did_you_mean(meant_value(detail["input"]), _words(context))
        return f"{whose} must be {context['expected']}, not {shown(detail['input'])}{hint}"
    phrase = _PHRASES.get(kind)
    if phrase is None:
        return f"{whose}: {detail['msg'][:1].lower()}{detail['msg'][1:]}; found {shown(detail['input'])}"
    limits = {key: f"{limit:g}" for key, limit in context.items() if isinstance(limit, float)}
    if kind in ("too_long", "too_short"):
        return f"{whose} {phrase.format(**context)}"
    return f"{whose} {phrase.format(**{**context, **limits})}, not {shown(detail['input'])}"


def _whose(location: Location, owner: str) -> str:
    return f"'{spelled(location)}'" if owner == RECIPE else f"'{spelled(location)}' of {owner}"


def _location(detail: ErrorDetails) -> Location:
    """Without pydantic's own names for the branches of a union or a validator, such as `function-before[...]`."""
    return tuple(part for part in detail["loc"] if isinstance(part, int) or "[" not in part)


def _words(context: Mapping[str, Any]) -> list[str]:
    return [word.strip("'\" ") for part in str(context["expected"]).split(",") for word in part.split(" or ")]


def _known(model: type[BaseModel], holder: Location) -> list[str]:
    """The options at a place: of the model itself, or of the model in one of its fields."""
    from typing import get_args

    from pydantic import BaseModel

    if not holder:
        return options_of(model)
    for name, field in model.model_fields.items():
        if holder[0] in (name, field.alias):
            inner = [a for a in (field.annotation, *get_args(field.annotation)) if isinstance(a, type)]
            return next((options_of(a) for a in inner if issubclass(a, BaseModel)), [])
    return []
