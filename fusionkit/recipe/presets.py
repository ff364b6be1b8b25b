"""Presets: values that a recipe gets where it says nothing, chosen by rules over the recipe and its model.

They are data, a YAML file each. What is particular to a method or to a kind of model stands in these files alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Protocol

from pydantic import AfterValidator, Field, ValidationError

from fusionkit.errors import FusionError, RecipeError, did_you_mean
from fusionkit.plugin import Plugin, kebab
from fusionkit.recipe.document import read_yaml
from fusionkit.recipe.offered import known_preset as known_preset
from fusionkit.recipe.offered import presets as presets
from fusionkit.recipe.parts import Part
from fusionkit.recipe.problems import problems_of
from fusionkit.recipe.values import Count
from fusionkit.registry import load

if TYPE_CHECKING:
    from fusionkit.recipe.recipe import Recipe

PLUGINS = "plugins"
SHARE = "share-of-window"
_MAY_SET = frozenset(
    {"scheduler", "steps", "guidance-scale", "guidance-interval", "negative-prompt", "cache", "clip-skip", PLUGINS}
)
"""The keys that say how a picture is drawn. What is drawn, by which model, where, and how large, is the recipe's."""

Clash = Callable[[type[Plugin], Sequence[Plugin]], bool]
"""Whether a plugin can't be in one recipe with others."""


def _checked_keys(values: Mapping[str, Any]) -> Mapping[str, Any]:
    if strange := [key for key in values if key not in _MAY_SET]:
        hint = did_you_mean(strange[0], _MAY_SET) or f"; it may set {', '.join(sorted(_MAY_SET))}"
        raise ValueError(f"has '{strange[0]}', which a preset can't set{hint}")
    plugins = values.get(PLUGINS, {})
    if not isinstance(plugins, dict) or not all(isinstance(each, (dict, bool)) for each in plugins.values()):
        raise ValueError("must have 'plugins' as a mapping from names to options, true or false")
    return values


class Rule(Part):
    """Values that apply together, and when they do: where every condition holds."""

    with_: list[str] = Field(default=[], alias="with", description="Plugins, all of which the recipe has.")
    without: list[str] = Field(default=[], description="Plugins, of which it has none.")
    unless: list[str] = Field(default=[], description="Keys, none of which are said beside the preset.")
    open: list[str] = Field(default=[], description="Keys, none of which the recipe gives, wherever it does.")
    predicts: list[str] = Field(
        default=[], description="What the model predicts: epsilon, v_prediction, sample or flow_prediction."
    )
    own_steps_from: Count = Field(
        default=1, description="The fewest steps that the model asks for by itself: few-step models are left alone."
    )
    set: Annotated[dict[str, Any], AfterValidator(_checked_keys)] = Field(
        description="Keys of a recipe with their values; plugins as a mapping, of which false takes one out."
    )


class Preset(Part):
    """What a preset's file says."""

    summary: str = Field(description="What it is for, in one line.")
    rules: list[Rule] = Field(description="In order: the first rule that says a key decides it.")


class Known(Protocol):
    """What a preset asks of a model."""

    @property
    def prediction_type(self) -> str:
        """What it predicts."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The recipe's fields that suit it, by their YAML names."""

    @property
    def window(self) -> tuple[int, int]:
        """(width, height) in pixels."""

    @property
    def token(self) -> int:
        """Pixels of which a view's sides are whole numbers."""


class Filled(NamedTuple):
    """What a preset made of a recipe.

    Args:
        fields: The recipe's fields by their YAML names, the preset's among them.
        told: What the preset said, by keys as `--set` has them.
    """

    fields: dict[str, Any]
    told: dict[str, Any]


def read_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        RecipeError: There is none, or its file is not one; all problems.
    """
    try:
        path = presets()[known_preset(name)]
    except ValueError as error:
        raise RecipeError([f"'preset' {error}"]) from None
    try:
        return Preset.model_validate(read_yaml(path, str(path)).plain())
    except ValidationError as error:
        lines = problems_of(error, Preset, f"preset '{name}'")
        raise RecipeError([f"{path}: {line}" for line in lines]) from None


def filled(recipe: Recipe, info: Known, clash: Clash) -> Filled:
    """A recipe's fields with those of its preset, where the recipe leaves them open.

    Args:
        recipe: The recipe, with a preset or without.
        info: What is known of its main model.
        clash: Whether a plugin can't be in one recipe with others; such a one is not added.

    Raises:
        RecipeError: The preset's file is none, or what it says fits no recipe.
    """
    fields = {kebab(name): getattr(recipe, name) for name in recipe.model_fields_set}
    choice = fields.pop("preset", None)
    if choice is None:
        return Filled(fields, {})
    work = _Work(fields, frozenset(choice.over), info, clash)
    for rule in read_preset(choice.name).rules:
        work.follow(rule, choice.name)
    return Filled(work.fields, work.told)


class _Work:
    """A recipe that is being filled, rule by rule."""

    def __init__(self, fields: dict[str, Any], over: frozenset[str], info: Known, clash: Clash) -> None:
        self.fields, self.over, self.info, self.clash = fields, over, info, clash
        self.said = set(fields) - over
        self.told: dict[str, Any] = {}
        self.plugins: list[Plugin] = list(fields.get(PLUGINS, ()))
        options = (
            f"{PLUGINS}.{each.plugin_name}.{kebab(name)}" for each in self.plugins for name in each.model_fields_set
        )
        self.given = {*fields, *options}

    def follow(self, rule: Rule, name: str) -> None:
        """Take what a rule says, if it applies."""
        there = {plugin.plugin_name for plugin in self.plugins}
        own_steps = int(self.info.defaults.get("steps", 50))
        applies = (
            there.issuperset(rule.with_)
            and there.isdisjoint(rule.without)
            and self.said.isdisjoint(rule.unless)
            and self.given.isdisjoint(rule.open)
            and (not rule.predicts or self.info.prediction_type in rule.predicts)
            and own_steps >= rule.own_steps_from
        )
        if not applies:
            return
        for key, value in rule.set.items():
            if key != PLUGINS and key not in self.said and key not in self.told:
                self.fields[key] = self.told[key] = value
        for plugin, options in rule.set.get(PLUGINS, {}).items():
            try:
                self._plugin(plugin, options)
            except ValidationError as error:
                lines = problems_of(error, load(plugin), plugin)
                raise RecipeError([f"preset '{name}': {line}" for line in lines]) from None
            except FusionError as error:
                raise RecipeError([f"preset '{name}': {line}" for line in str(error).splitlines()]) from None
        if self.plugins or PLUGINS in self.fields:
            self.fields[PLUGINS] = self.plugins

    def _plugin(self, name: str, options: Any) -> None:
        key = f"{PLUGINS}.{name}"
        at = next((index for index, each in enumerate(self.plugins) if each.plugin_name == name), None)
        if options is False:
            if at is not None and key in self.over:
                del self.plugins[at]
                self.told[key] = False
            return
        asked = {} if options is True else {each: self._value(value) for each, value in options.items()}
        if at is None:
            kind = load(name)
            if not self.clash(kind, self.plugins):
                self.plugins.append(kind.model_validate(asked))
                self.told |= {f"{key}.{each}": value for each, value in asked.items()} or {key: True}
            return
        own = {kebab(each): getattr(self.plugins[at], each) for each in self.plugins[at].model_fields_set}
        new = {
            each: value
            for each, value in asked.items()
            if f"{key}.{each}" not in self.told and (each not in own or f"{key}.{each}" in self.over)
        }
        if new:
            self.plugins[at] = type(self.plugins[at]).model_validate({**own, **new})
            self.told |= {f"{key}.{each}": value for each, value in new.items()}

    def _value(self, value: Any) -> Any:
        """An option's value; of a share of the window, its pixels, in whole tokens."""
        if not (isinstance(value, dict) and set(value) == {SHARE}):
            return value
        share, token = Fraction(str(value[SHARE])), self.info.token
        window = self.fields.get("window") or self.info.window
        across, down = (max(token, int(side * share) // token * token) for side in window)
        return across if across == down else f"{across}x{down}"


def outranked(given: Iterable[str], plugins: Iterable[tuple[str, Iterable[str]]], said: Iterable[str]) -> list[str]:
    """The keys that a preset may replace: those that a recipe gives, but for what is said where the preset is named.

    Args:
        given: The keys that the recipe gives.
        plugins: Its plugins by name, each with the options that it gives them.
        said: Keys that are said beside the preset, as `--set` has them.
    """
    keys = [key for key in given if key in _MAY_SET - {PLUGINS}]
    for name, options in plugins:
        keys += [f"{PLUGINS}.{name}", *(f"{PLUGINS}.{name}.{option}" for option in options)]
    # What is said of a part keeps the whole: a plugin one of whose options is said is not taken out.
    own = list(said)
    return [key for key in keys if not any(f"{key}.".startswith(f"{s}.") or f"{s}.".startswith(f"{key}.") for s in own)]
