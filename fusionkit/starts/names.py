"""The name of a new plugin, and what is called by it: recipes, the package, its distribution and its class."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from unicodedata import normalize

from fusionkit.errors import RecipeError
from fusionkit.plugin import kebab
from fusionkit.recipe.problems import shown

PREFIX = "fusionkit"
LONGEST = 50
"""Letters of a name: with what is put around it, every file system can hold it."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_YAML_VALUES = frozenset({"false", "null", "true"})
# Windows has no files of these names, whatever their ending.
_DEVICES = re.compile(r"aux|con|nul|prn|(com|lpt)\d")


@dataclass(frozen=True)
class Names:
    """What a plugin's name makes.

    Args:
        plugin: In recipes, in kebab-case: `sky-and-sea`.
    """

    plugin: str

    @property
    def distribution(self) -> str:
        """What pip installs, in the form that PEP 503 gives every name: `fusionkit-sky-and-sea`."""
        return f"{PREFIX}-{self.plugin}"

    @property
    def package(self) -> str:
        """What Python imports: `fusionkit_sky_and_sea`."""
        return self.distribution.replace("-", "_")

    @property
    def module(self) -> str:
        """The end of the names of its own modules, such as its test's: `sky_and_sea`."""
        return self.plugin.replace("-", "_")

    @property
    def kind(self) -> str:
        """The class: `SkyAndSea`."""
        return "".join(part.capitalize() for part in self.plugin.split("-"))

    @property
    def says_its_name(self) -> bool:
        """Whether the class must say its name, since its own in kebab-case is another one, as of `AB` for `a-b`."""
        return kebab(self.kind) != self.plugin


def names_of(name: str) -> Names:
    """The names that a new plugin gets.

    Args:
        name: What recipes are to call it.

    Raises:
        RecipeError: It can't be called so, or something installed here is; all reasons.
    """
    if problems := list(_unfit(name)) or list(_taken(Names(name))):
        raise RecipeError(problems)
    return Names(name)


def suggested(name: str) -> str:
    """The same in kebab-case, without what the package's name gets by itself; empty where nothing is left."""
    ascii_letters = normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9]+", "-", kebab(ascii_letters)).strip("-")
    plain = plain.removeprefix(PREFIX).lstrip("-0123456789")
    return plain if _NAME.fullmatch(plain) and len(plain) <= LONGEST else ""


def _unfit(name: str) -> Iterator[str]:
    said = f"the name {shown(name, LONGEST)}"
    instead = suggested(name) or "sky-and-sea"
    if not _NAME.fullmatch(name):
        yield f"{said} must be small letters and digits, words joined by '-', a letter first, such as '{instead}'"
    elif len(name) > LONGEST:
        yield f"{said} has {len(name)} letters; the most are {LONGEST}"
    elif name.startswith(f"{PREFIX}-") or name == PREFIX:
        yield f"{said} begins with '{PREFIX}', which its package gets by itself; use '{instead}'"
    elif name in _YAML_VALUES or _DEVICES.fullmatch(name):
        yield f"{said} means something else to YAML, or as a file's name to Windows; use another one"
    elif keyword.iskeyword(Names(name).kind) or Names(name).kind in _public_names():
        yield f"{said} makes a class {Names(name).kind}, which Python or fusionkit has already; use another one"


def _public_names() -> set[str]:
    import fusionkit

    return {*fusionkit.__all__, "Any", "Image", "Literal", "Sequence", "Tensor"}


def _taken(names: Names) -> Iterator[str]:
    from fusionkit.registry import offered, package_of

    if (entry := offered().get(names.plugin)) is not None:
        yield f"a plugin '{names.plugin}' is installed already, by package '{package_of(entry)}'; use another name"
    elif find_spec(names.package) is not None:
        yield f"a package '{names.package}' is installed already; use another name than '{names.plugin}'"
