"""The parts of a recipe that have keys of their own: a scheduler, a LoRA, one of several models."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from fusionkit.plugin import kebab
from fusionkit.recipe import limits
from fusionkit.recipe.offered import known_preset
from fusionkit.recipe.problems import shown
from fusionkit.recipe.values import Name, Number, OptionalName, Source


class Part(BaseModel):
    """What a recipe and its parts have in common: kebab-case in YAML, nothing unknown, nothing changed later."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=kebab,
        populate_by_name=True,
    )


class SchedulerSpec(Part):
    """A scheduler by a short name or its class name, with options for its configuration or its steps.

    In YAML `ddpm`, or `ddim: {eta: 1.0}`.
    """

    name: Name = Field(description="A short name such as ddim, or a class of diffusers such as DDIMScheduler.")
    options: dict[str, Any] = Field(
        default={}, description="What is changed in its configuration, or given to its steps."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and "name" not in value:
            if len(value) != 1:
                raise ValueError(
                    f"must be a name, or one name with its options, such as ddim: {{eta: 1.0}}, not {shown(value)}"
                )
            ((name, options),) = value.items()
            if options is not None and not isinstance(options, dict):
                raise ValueError(f"must have a mapping of options, such as ddim: {{eta: 1.0}}, not {shown(options)}")
            return {"name": str(name), "options": options or {}}
        if not isinstance(value, (dict, cls)):
            raise ValueError(
                f"must be a name, or one name with its options, such as ddim: {{eta: 1.0}}, not {shown(value)}"
            )
        return value

    @model_serializer
    def _to_yaml(self) -> str | dict[str, Any]:
        return {self.name: dict(self.options)} if self.options else self.name


class Lora(Part):
    """One LoRA: a hub id, a folder or a file, and how strongly it acts."""

    path: Source = Field(description="A hub id, a folder, or a .safetensors file.")
    weight_name: OptionalName = Field(
        default=None, description="The file's name, where the folder or the hub has several."
    )
    scale: Number = Field(default=1.0, description="1 is its full strength, 0 none.")


class Cache(Part):
    """A step cache of diffusers: what a transformer's layers added in a step is added again in the next ones."""

    first_block: Number = Field(
        gt=0,
        le=10,
        description="How much the first layer's answer may change, as a share of itself, for the others to be skipped; "
        "0.05 to 0.15 are usual.",
    )


BASE = (
    "For a .safetensors file: a folder or hub id of a model in diffusers' layout, whose configuration it has, and with "
    "whose other parts it is used."
)
"""What `base` is for, of a recipe and of one of several models."""

Loras = Annotated[list[Lora], Field(max_length=limits.LORAS)]


class PresetChoice(Part):
    """A preset by its name, and the keys that it may replace though the recipe gives them.

    In YAML its name alone, or `{name: fast, over: [scheduler, plugins.multidiffusion.stride]}`.
    """

    name: Name = Field(description="The preset.")
    over: list[Name] = Field(
        default=[],
        description="Keys of the recipe that the preset may replace, as --set has them; where the command line names "
        "the preset, all that it does not say itself.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        told = {"name": value} if isinstance(value, str) else value
        if isinstance(told, dict) and isinstance(told.get("name"), str):
            known_preset(told["name"])
        return told

    @model_serializer(mode="wrap")
    def _to_yaml(self, handler: Any) -> Any:
        return handler(self) if self.over else self.name


class ModelSpec(Part):
    """One model of a recipe that names several: where it is, and what is put on it.

    In YAML its source alone, or `{model: source, loras: [...]}`.
    """

    model: Source = Field(
        description="A hub id, a folder, a .safetensors file, or an embedded model such as vista/scenes."
    )
    base: Source | None = Field(default=None, description=BASE)
    revision: OptionalName = Field(default=None, description="Branch, tag or commit of a model from the hub.")
    variant: OptionalName = Field(default=None, description="Variant of the weights' files, such as fp16.")
    loras: Loras = Field(default=[], description="LoRAs to put on the model, in order.")

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @property
    def sources(self) -> list[str]:
        """Where its parts come from: the model and, if there is one, its base."""
        return [self.model, *([] if self.base is None else [self.base])]

    @model_serializer(mode="wrap")
    def _to_yaml(self, handler: Any) -> Any:
        given = {name: value for name, value in handler(self).items() if value not in (None, [])}
        return self.model if set(given) == {"model"} else given


def check_model_names(models: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
    """Names by which plugins and files can call models.

    Raises:
        ValueError: One can't be used.
    """
    for name in models:
        if not re.fullmatch(r"[\w-]+", name):
            raise ValueError(f"has the name {shown(name)}; use letters, digits and -")
    if len(models) > limits.MODELS:
        raise ValueError(f"are {len(models)}; the most are {limits.MODELS}")
    return models
