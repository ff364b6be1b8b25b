"""The base of every plugin: a frozen pydantic model whose fields are the plugin's options."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from fusionkit.keeping import Kept


def kebab(name: str) -> str:
    """`StyleAlignment` or `style_alignment` as YAML spells it: `style-alignment`; Python's `from_` is `from`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", "-", name.rstrip("_")).lower()


class Plugin(BaseModel):
    """A method, as an object whose fields are its options and whose hook implementations are its behaviour.

    Options are given as in YAML (`skip-below`) or as in Python (`skip_below`); an unknown one is refused. Two plugins
    are equal only if they are one object, since each is registered on its own.

    A subclass is known in recipes by its own name in kebab-case (`StyleAlignment`: `style-alignment`), or by the one
    it gives: `class MultiDiffusion(Plugin, name="multidiffusion")`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=kebab,
        populate_by_name=True,
        arbitrary_types_allowed=True,
        validate_default=True,
        ignored_types=(Kept,),
    )

    plugin_name: ClassVar[str] = "plugin"

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.plugin_name = name or kebab(cls.__name__)

    @classmethod
    def __pydantic_init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @property
    def other_models(self) -> Collection[str] | None:
        """The names of the recipe's models that it tells views to ask, empty for none.

        None where it can't say: then one that answers `noise_prediction` may ask any, and others ask none.
        """
        return None

    @property
    def networks(self) -> Mapping[str, int]:
        """How many weights each network has that it loads beside the recipe's models and keeps, by the network's name.

        For estimates of memory before anything loads: what is not known yet is left out. Two plugins that name one
        network share it.
        """
        return {}

    def steers(self, stage: Any, at: Any, patches: Any) -> Collection[str]:
        """What it adds to a group at a step of a stage that steers the prediction: "controls" and "image_prompts".

        Names of the fields of `Patches`; empty for nothing. Known before the run, so that a plugin with which those do
        not go can say so in time, by `refuse_steered`.
        """
        return frozenset()

    def options(self) -> dict[str, Any]:
        """The options that differ from their defaults, by their YAML names, ready for a recipe."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
