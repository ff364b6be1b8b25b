"""A recipe: everything that decides a picture, checked before any model loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    model_validator,
)
from pydantic_core import to_jsonable_python

from fusionkit.errors import FusionError, PluginError
from fusionkit.plugin import Plugin
from fusionkit.recipe import limits
from fusionkit.recipe.parts import BASE, Loras, check_model_names
from fusionkit.recipe.parts import Cache as Cache
from fusionkit.recipe.parts import Lora as Lora
from fusionkit.recipe.parts import ModelSpec as ModelSpec
from fusionkit.recipe.parts import Part as Part
from fusionkit.recipe.parts import PresetChoice as PresetChoice
from fusionkit.recipe.parts import SchedulerSpec as SchedulerSpec
from fusionkit.recipe.problems import problems_of as problems_of
from fusionkit.recipe.problems import shown
from fusionkit.recipe.values import OUTPUT_NAMES as OUTPUT_NAMES
from fusionkit.recipe.values import Count as Count
from fusionkit.recipe.values import Interval, Name, OptionalName, Source, check_device, check_output, parse_devices
from fusionkit.recipe.values import Number as Number
from fusionkit.recipe.values import PromptText as PromptText
from fusionkit.recipe.values import Side as Side
from fusionkit.recipe.values import Size as Size
from fusionkit.recipe.values import finite as finite
from fusionkit.recipe.values import parse_size as parse_size
from fusionkit.recipe.values import refuse_bool as refuse_bool

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fusionkit.recipe.fields import RecipeFields


def parse_plugin(entry: Any) -> Plugin:
    """One entry of a recipe's list: a `Plugin`, a name, or a name with its options.

    Raises:
        PluginError: No package offers the name, its class can't be imported, or breaks while it takes its options.
        ValidationError: The options do not fit the plugin.
        ValueError: The entry is none of the three.
    """
    from fusionkit.registry import load

    if isinstance(entry, Plugin):
        return entry
    name, options = plugin_entry(entry)
    return with_options(load(name), options)


def with_options(kind: type[Plugin], options: Mapping[str, Any]) -> Plugin:
    """A plugin of a class, with its options.

    Raises:
        ValidationError: They do not fit it.
        PluginError: Its own code broke over them.
    """
    from pydantic import ValidationError

    from fusionkit.foreign import owner_of, told

    try:
        return kind.model_validate(options)
    except (ValidationError, FusionError, KeyboardInterrupt):
        raise
    except BaseException as error:
        # What ends programs is among it: a command must not end early as if all had gone well.
        whose = f"plugin '{kind.plugin_name}' can't take its options"
        raise PluginError(f"{whose}: {told(error)}{owner_of(error)}") from error


def plugin_entry(entry: Any) -> tuple[str, dict[str, Any]]:
    """The name and the options of one entry of a recipe's list.

    Raises:
        ValueError: It is no plugin entry.
    """
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, options),) = entry.items()
        if options is None or isinstance(options, dict):
            return str(name), options or {}
        raise ValueError(f"options of '{name}' must be a mapping, such as {name}: {{...}}, not {shown(options)}")
    raise ValueError(f"a plugin is a name, or one name with its options, such as name: {{...}}, not {shown(entry)}")


def _parse_plugins(value: Any) -> Any:
    """All entries, with all their problems at once."""
    from pydantic import ValidationError

    if not isinstance(value, (list, tuple)):
        return value
    plugins, problems = [], []
    for entry in value:
        try:
            plugins.append(parse_plugin(entry))
        except ValidationError as error:
            name, _ = plugin_entry(entry)
            from fusionkit.registry import load

            problems += problems_of(error, load(name), name)
        except (ValueError, FusionError) as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return plugins


class Recipe(Part):
    """Everything that decides a picture.

    What a recipe leaves out, the model's own defaults decide, and then those that stand here.
    """

    name: Name = Field(
        default="recipe", description="What {recipe} stands for in `output`; by default the file's name."
    )
    model: Source | None = Field(
        default=None,
        description="A hub id, a folder, a .safetensors file, or an embedded model such as vista/scenes.",
    )
    models: Annotated[dict[str, ModelSpec], AfterValidator(check_model_names)] = Field(
        default={},
        description="In place of `model`, where several draw one picture: sources by name, or mappings with `model`, "
        "`base`, `revision`, `variant` and `loras`. The first is the main one: its size, scheduler, defaults and VAE "
        "count.",
    )
    base: Source | None = Field(default=None, description=BASE)
    revision: OptionalName = Field(default=None, description="Branch, tag or commit of a model from the hub.")
    variant: OptionalName = Field(default=None, description="Variant of the weights' files, such as fp16.")
    loras: Loras = Field(default=[], description="LoRAs to put on the model, in order.")
    prompt: PromptText = Field(default="", description="What the picture shows.")
    negative_prompt: PromptText = Field(default="", description="What to steer away from.")
    size: Size = Field(
        default=(512, 512),
        description="Width x height of the picture in pixels; by default the size the model was trained at.",
    )
    window: Size | None = Field(
        default=None, description="Width x height of one view in pixels; by default the size the model was trained at."
    )
    scheduler: SchedulerSpec | None = Field(
        default=None,
        description="A short name such as ddim, a class of diffusers, or either with options: ddim: {eta: 1.0}. "
        "By default the model's own.",
    )
    steps: Count = Field(default=50, le=limits.STEPS, description="Sampling steps.")
    guidance_scale: Number = Field(
        default=7.5, ge=0, description="How strongly the prompt counts; 1 or less: no guidance."
    )
    guidance_interval: Interval = Field(
        default=(0.0, 1.0),
        description="Where in a stage's steps guidance begins and ends, as shares: [0, 0.6] guides in the first 60 %. "
        "Other steps run without it, once a view.",
    )
    clip_skip: Count | None = Field(
        default=None, le=100, description="How many last layers of the text encoder to leave out."
    )
    seed: Annotated[int, BeforeValidator(refuse_bool)] = Field(
        default=0, ge=0, lt=2**63, description="The same seed gives the same picture, on any device."
    )
    plugins: Annotated[list[SerializeAsAny[Plugin]], BeforeValidator(_parse_plugins)] = Field(
        default=[], description="The methods, in order of application: names, or names with options."
    )
    preset: PresetChoice | None = Field(
        default=None,
        description="Values for what the recipe leaves open, by a name such as fast or best: what the recipe says "
        "wins over the preset, and that over the model's own defaults.",
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        default="auto", description="Type of the model's weights; auto is float32 on a CPU and float16 on a GPU."
    )
    device: Annotated[str, AfterValidator(check_device)] = Field(
        default="auto",
        description="auto, cpu, mps, cuda, xpu, or one of several: cuda:1. auto is a GPU where there is one.",
    )
    devices: Annotated[tuple[str, ...] | None, BeforeValidator(parse_devices)] = Field(
        default=None,
        description="In place of device, several that predict the views of one picture together, each with the model "
        "on it: [cuda:0, cuda:1].",
    )
    offload: Literal["none", "model", "group", "sequential"] = Field(
        default="none",
        description="Keeps the model in the CPU's memory: whole components; a denoiser's blocks, the next one coming "
        "while one computes; or (slow) layer by layer.",
    )
    cache: Cache | None = Field(
        default=None, description="Skips most of a transformer's layers in steps that change little."
    )
    vae_tiling: bool = Field(default=False, description="Decodes the picture in tiles, to need less memory.")
    canvas: Literal["auto", "memory", "disk"] = Field(
        default="auto",
        description="Where the picture, and on a CPU the canvas, are: in memory, or in temporary files beside the "
        "picture; auto: in files where they take more than half of the free memory.",
    )
    compile: bool = Field(default=False, description="Compiles the denoiser: a slow start, then quicker steps.")
    channels_last: bool = Field(default=False, description="Keeps the denoiser's weights in channels-last order.")
    batch_size: Count | None = Field(
        default=None,
        le=limits.BATCH,
        description="Views predicted in one forward pass, for speed and memory; pixels may differ by one grey level.",
    )
    output: Annotated[Path, AfterValidator(check_output)] = Field(
        default=Path("out/{recipe}-{seed}.png"),
        description=f"Where the picture goes; {', '.join(f'{{{name}}}' for name in OUTPUT_NAMES)} are filled in.",
    )
    overwrite: bool = Field(
        default=False, description="Replaces an existing file instead of adding a number to the name."
    )
    preview_every: Count | None = Field(
        default=None, description="Writes a preview beside the picture every so many steps."
    )

    if TYPE_CHECKING:
        # What a field is made of, and not only what it is made into.
        def __init__(self, **fields: Unpack[RecipeFields]) -> None: ...

    @model_validator(mode="after")
    def _one_way_to_name_models(self) -> Recipe:
        if self.models:
            for name in ("model", "base", "revision", "variant", "loras"):
                if name in self.model_fields_set and getattr(self, name):
                    where = "name it there" if name == "model" else f"give each model its own: models.NAME.{name}"
                    raise ValueError(f"has both 'models' and '{name}'; {where}")
        return self

    @model_validator(mode="after")
    def _one_way_to_name_devices(self) -> Recipe:
        if self.devices is not None and self.device != "auto":
            raise ValueError(f"has both 'device' and 'devices'; leave out 'device: {self.device}'")
        return self

    @property
    def specs(self) -> dict[str, ModelSpec]:
        """The models by their names, the main one first; a recipe with one `model` calls it that."""
        if self.models or self.model is None:
            return dict(self.models)
        kept = {name: getattr(self, name) for name in ("model", "base", "revision", "variant", "loras")}
        one = ModelSpec(**kept)
        return {"model": one}

    def dump(self) -> dict[str, Any]:
        """All that decides the picture, by YAML names, plugins with all their options; where it goes is left out."""
        dumped: dict[str, Any] = _jsonable(self, exclude_none=True)
        for name in ("output", "overwrite", "preview-every"):
            dumped.pop(name, None)
        # Without their names, and without those options whose absence means something, plugins could not be read back.
        dumped["plugins"] = [
            {each.plugin_name: options} if (options := _jsonable(each)) else each.plugin_name for each in self.plugins
        ]
        return {name: value for name, value in dumped.items() if value not in ([], {})}

    def to_yaml(self) -> str:
        """`dump` as YAML, which reads back as an equal recipe."""
        from fusionkit.recipe.document import dump_yaml

        return dump_yaml(self.dump())


def _jsonable(value: Any, exclude_none: bool = False) -> Any:
    # What only Python can hold, such as a tensor, is named: such a recipe can be read but not run again.
    return to_jsonable_python(
        value, by_alias=True, exclude_none=exclude_none, fallback=lambda other: f"<{type(other).__name__}>"
    )
