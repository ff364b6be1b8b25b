"""Finds the families that the installed packages offer, and of which of them a model is. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from fusionkit.errors import PluginError
from fusionkit.models.families.base import Family
from fusionkit.registry import Group, public

GROUP: Group[Family] = Group("fusionkit.families", "family", Family)
"""The entry point group: each entry is a subclass of `Family`, and its name is the family's `kind`."""


class _Families(Mapping[str, Family]):
    """The families by their kind, fusionkit's own first; each is imported with the first question."""

    def __getitem__(self, kind: str) -> Family:
        return _loaded()[0][kind]

    def __iter__(self) -> Iterator[str]:
        return iter(_loaded()[0])

    def __len__(self) -> int:
        return len(_loaded()[0])

    @property
    def broken(self) -> list[str]:
        """One line for each family that can't be used."""
        return list(_loaded()[1].values())


FAMILIES = _Families()
"""The families by their kind."""


@lru_cache
def _loaded() -> tuple[dict[str, Family], dict[str, str]]:
    classes, broken = GROUP.load_all()
    found: dict[str, Family] = {}
    for name, cls in classes.items():
        kind = getattr(cls, "kind", None)
        if kind != name:
            broken[name] = str(
                PluginError(f"family '{name}': its class {public(cls)} calls itself {kind!r}; both must have one name")
            )
        elif lacking := [each for each in ("title", "pipelines") if not getattr(cls, each, None)]:
            broken[name] = f"family '{name}': its class {public(cls)} has no {' and no '.join(lacking)}"
        else:
            found[name] = cls()
    own = {kind: family for kind, family in found.items() if type(family).__module__.startswith("fusionkit.")}
    return {**own, **found}, broken


def forget() -> None:
    """Look at the installed packages again with the next question."""
    GROUP.forget()
    _loaded.cache_clear()


def family_of_pipeline(*names: str) -> Family | None:
    """The family that has a pipeline's class, by its name or by those of the classes that it is made of."""
    return next((each for name in names for each in FAMILIES.values() if name in each.pipelines), None)


def family_of_denoiser(pipeline: str, part: str, config: Mapping[str, Any]) -> Family | None:
    """The family of a model's folder: by the pipeline that it names, unless its denoiser tells otherwise.

    Args:
        pipeline: The pipeline's class, as `model_index.json` tells it.
        part: The denoiser's part: "unet" or "transformer".
        config: The denoiser's configuration.
    """
    alike = [each for each in FAMILIES.values() if each.denoiser == part]
    named = (each for each in alike if pipeline in each.pipelines and each.suits(config))
    return next(named, None) or next((each for each in alike if each.guesses(config)), None)
