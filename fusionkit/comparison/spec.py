"""What is compared: settings, each a recipe with changes, over the same prompts and seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count, product
from math import prod
from pathlib import Path
from typing import Any

from fusionkit.comparison.ranges import parse_seeds, parse_values
from fusionkit.errors import RecipeError
from fusionkit.recipe import limits
from fusionkit.recipe.assemble import Change, find_recipe, parse_change, parse_value, shown_path
from fusionkit.recipe.document import read_text
from fusionkit.recipe.nodes import Node, Place
from fusionkit.recipe.recipe import Recipe
from fusionkit.recipe.recipe_file import RecipeFile, recipe_reader
from fusionkit.recipe.texts import unfit_text

SEEDS = "0-3"
"""The seeds of a comparison that names none."""


@dataclass(frozen=True)
class Setting:
    """One way to draw, the same for every prompt and seed.

    Args:
        name: Unique in the comparison, and a folder's name.
        title: What people call it.
        file: Its recipes, one for each prompt, all else equal.
        changes: What it changes in its recipe, by key.
    """

    name: str
    title: str
    file: RecipeFile
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """Its recipe, with the first prompt."""
        return self.file.recipes[0]


@dataclass(frozen=True)
class Comparison:
    """Settings, and what each of them draws.

    Args:
        title: The page's heading.
        settings: In the order of the tables; differences are to the first.
        prompts: What every setting draws.
        seeds: With each prompt; the same seed gives the same starting noise.
        reference: The model's own pictures, of one window each, that scores such as FID compare with: a setting to
            draw them, a folder that has them, or None.
        reference_seeds: The seeds of a reference that is drawn.
        metrics: Names, or names with options, as in a recipe's list of plugins; None is all that can be computed.
        features: The network that looks at the pictures, by name; None is the evaluation's default.
        notes: What a reader should know of how the settings were put together.
    """

    title: str
    settings: Sequence[Setting]
    prompts: Sequence[str]
    seeds: Sequence[int]
    reference: Setting | Path | None = None
    reference_seeds: Sequence[int] = ()
    metrics: Sequence[Any] | None = None
    features: str | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Source:
    """A recipe before it is varied.

    Args:
        name: What it is called.
        title: What people call it, where that is more than its name.
        read: Reads it with changes.
        changes: Its own changes, before those that are varied.
    """

    name: str
    read: Any
    title: str = ""
    changes: Sequence[Change] = ()


def compared(
    recipes: Sequence[str],
    *,
    sets: Sequence[str] = (),
    device: str | None = None,
    vary: Sequence[str] = (),
    prompts: Path | None = None,
    seeds: str = SEEDS,
    reference: Path | None = None,
    reference_seeds: str | None = None,
    metrics: Sequence[str] | None = None,
    features: str | None = None,
) -> Comparison:
    """The comparison of a command line.

    Args:
        recipes: Files or names of bundled recipes.
        sets: Changes to all of them, such as `steps=30`.
        device: Where to compute.
        vary: Such as `plugins.style-alignment.alpha=0:1:0.1`; several are combined.
        prompts: A text file, one prompt a line; None keeps the first recipe's.
        seeds: Such as `0-9`.
        reference: A folder of the model's own pictures.
        reference_seeds: Seeds of such pictures, to be drawn.
        metrics: Names of metrics.
        features: Name of the features.

    Raises:
        RecipeError: All problems.
    """
    problems: list[str] = []
    sources = []
    for name in recipes:
        try:
            path = find_recipe(name)
        except RecipeError as error:
            problems += error.problems
        else:
            sources.append(Source(path.stem, recipe_reader(path)))
    changes = collected(problems, lambda: parse_changes(sets, device)) or []
    varied = collected(problems, lambda: parse_vary(vary)) or []
    numbers = collected(problems, lambda: named(parse_seeds, seeds, "--seeds"))
    reference_numbers: list[int] = []
    if reference_seeds is not None:
        reference_numbers = collected(problems, lambda: named(parse_seeds, reference_seeds, "--reference-seeds")) or []
        if reference is not None:
            problems.append(
                "--reference and --reference-seeds: give a folder of pictures, or seeds to draw them; not both"
            )
    texts = None if prompts is None else collected(problems, lambda: read_prompts(prompts))
    if problems:
        raise RecipeError(problems)
    comparison = put_together(
        " and ".join(dict.fromkeys(source.name for source in sources)), sources, varied, changes, texts, numbers or []
    )
    return replace(
        comparison,
        reference=reference if reference_seeds is None else drawn_reference(comparison.settings[0], reference_numbers),
        reference_seeds=reference_numbers,
        metrics=metrics,
        features=features,
    )


def collected(problems: list[str], ask: Any) -> Any:
    """What a function answers; where it raises, its problems are added to the others and None is answered."""
    try:
        return ask()
    except RecipeError as error:
        problems += error.problems
        return None


def named(parse: Any, text: str, what: str) -> Any:
    """What a function reads from a text, with the text's origin in front of what it complains of.

    Raises:
        RecipeError: The text is wrong.
    """
    try:
        return parse(text)
    except ValueError as error:
        raise RecipeError([f"{what} {error}"]) from None


def parse_changes(sets: Sequence[str], device: str | None = None) -> list[Change]:
    """Changes such as `steps=30`, and the device.

    Raises:
        RecipeError: One is not KEY=VALUE; all problems.
    """
    problems: list[str] = []
    found = [collected(problems, lambda text=text: parse_change(text)) for text in sets]
    if device is not None:
        place = Place("--device")
        found.append(("device", Node(device, place, place)))
    if problems:
        raise RecipeError(problems)
    return found


def parse_vary(vary: Sequence[str]) -> list[list[Change]]:
    """The values of each varied key, as changes.

    Raises:
        RecipeError: A text is not KEY=VALUES, or a key is given twice; all problems.
    """
    problems: list[str] = []
    varied: dict[str, list[Change]] = {}
    for text in vary:
        key, equals, values = text.partition("=")
        key = key.strip()
        if not equals or not key:
            problems.append(f"--vary {text}: write it as KEY=VALUES, such as plugins.style-alignment.alpha=0:1:0.1")
        elif key in varied:
            problems.append(f"--vary {key}: is given twice; give all its values at once")
        else:
            place = Place(f"--vary {key}")
            found = collected(problems, lambda text=values, place=place: named(parse_values, text, str(place)))
            varied[key] = [(key, parse_value(key, value, place)) for value in found or ()]
    if problems:
        raise RecipeError(problems)
    return list(varied.values())


def read_prompts(path: Path) -> list[str]:
    """The prompts of a text file, one a line; empty lines and those that begin with # are left out.

    Raises:
        RecipeError: The file can't be read, or has no prompt.
    """
    lines = read_text(path, shown_path(path)).splitlines()
    prompts = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not prompts:
        raise RecipeError([f"{shown_path(path)}: has no prompt; write one a line"])
    if len(prompts) > limits.PROMPTS:
        raise RecipeError([f"{shown_path(path)}: has {len(prompts):,} prompts; the most are {limits.PROMPTS:,}"])
    if problem := next((found for each in prompts if (found := unfit_text(each))), None):
        raise RecipeError([f"{shown_path(path)}: a prompt {problem}"])
    return list(dict.fromkeys(prompts))


def put_together(
    title: str,
    sources: Sequence[Source],
    varied: Sequence[Sequence[Change]],
    sets: Sequence[Change],
    prompts: Sequence[str] | None,
    seeds: Sequence[int],
) -> Comparison:
    """Every source with every combination of the varied values, over the same prompts and seeds.

    Args:
        title: The page's heading.
        sources: What is varied.
        varied: The values of each key.
        sets: Changes to all.
        prompts: None keeps the first source's.
        seeds: With each prompt.

    Raises:
        RecipeError: All problems of all settings.
    """
    problems: list[str] = []
    settings: list[Setting] = []
    notes: list[str] = []
    if (count := len(sources) * prod(map(len, varied))) > limits.SETTINGS:
        raise RecipeError([f"a comparison of {count:,} settings; the most are {limits.SETTINGS}: vary less"])
    given = [] if prompts is None else [("prompt", _texts(prompts))]
    for source in sources:
        for combination in product(*varied):
            changes = [*source.changes, *combination]
            file = collected(problems, lambda s=source, c=changes: s.read([*sets, *c, *given]))
            if file is None:
                continue
            told = {key: node.plain() for key, node in changes}
            own = {key: node.plain() for key, node in combination}
            settings.append(Setting("", _title(source, own, alone=len(sources) == 1), file, told))
    if problems:
        raise RecipeError(dict.fromkeys(problems))
    pictures = len(settings) * len(seeds) * len(settings[0].file.recipes if prompts is None else prompts)
    check_pictures("a comparison", pictures)
    if prompts is None:
        prompts = [recipe.prompt for recipe in settings[0].file.recipes]
    if any([recipe.prompt for recipe in each.file.recipes] != list(prompts) for each in settings):
        notes.append(f"every setting draws the first one's {'prompts' if len(prompts) > 1 else 'prompt'}")
        settings = [replace(each, file=_with_prompts(each.file, prompts)) for each in settings]
    if len({each.recipe.size for each in settings if "size" in each.recipe.model_fields_set}) > 1:
        notes.append("the settings differ in size, so that one seed does not give them the same starting noise")
    return Comparison(title, _with_names(settings), list(prompts), list(seeds), notes=notes)


def check_pictures(what: str, count: int) -> None:
    """Refuse more pictures than a comparison may have.

    Args:
        what: What they are, as the error begins: "a comparison".
        count: How many.

    Raises:
        RecipeError: They are too many.
    """
    if count > limits.PICTURES:
        raise RecipeError([f"{what} of {count:,} pictures; the most are {limits.PICTURES:,}: use fewer seeds"])


def drawn_reference(setting: Setting, seeds: Sequence[int]) -> Setting:
    """The model's own pictures for a setting's prompts and some seeds: one window, no plugins, all else equal.

    Raises:
        RecipeError: They are too many.
    """
    check_pictures("a reference", len(seeds) * len(setting.file.recipes))
    recipes = [_alone(recipe) for recipe in setting.file.recipes]
    return Setting("reference", "the model's own pictures", replace(setting.file, recipes=recipes))


def _alone(recipe: Recipe) -> Recipe:
    """What the main model draws by itself, in one window, for a recipe's prompt."""
    left_out = {"plugins", "size", "preview_every", "models"}
    fields = {name: getattr(recipe, name) for name in recipe.model_fields_set - left_out}
    if recipe.models:
        fields |= dict(next(iter(recipe.models.values())))
    if recipe.window is not None:
        fields["size"] = recipe.window
    return Recipe.model_validate(fields)


def _texts(texts: Iterable[str]) -> Node:
    place = Place("--prompts")
    return Node([Node(text, place, place) for text in texts], place, place)


def _with_prompts(file: RecipeFile, prompts: Sequence[str]) -> RecipeFile:
    return replace(file, recipes=[file.recipes[0].model_copy(update={"prompt": prompt}) for prompt in prompts])


def _title(source: Source, changes: Mapping[str, Any], alone: bool) -> str:
    """`panorama, alpha 0.4`; the values alone where there is one recipe."""
    tails = [_tail(key, changes) for key in changes]
    parts = [f"{tail} {_shown(value)}" for tail, value in zip(tails, changes.values(), strict=True)]
    if source.title or not (alone and parts):
        parts.insert(0, source.title or source.name)
    return ", ".join(parts)


def _tail(key: str, keys: Iterable[str]) -> str:
    """The shortest end of a dotted key that no other key has."""
    others = [each.split(".") for each in keys if each != key]
    parts = key.split(".")
    for length in range(1, len(parts)):
        if all(other[-length:] != parts[-length:] for other in others):
            return " ".join(parts[-length:])
    return key


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _with_names(settings: Sequence[Setting]) -> list[Setting]:
    """The settings with names that a folder can have, each its own."""
    taken: set[str] = {"reference"}
    answer = []
    for setting in settings:
        slug = re.sub(r"[^a-z0-9.]+", "-", setting.title.lower()).strip("-.")[:80].strip("-.") or "setting"
        name = next(each for each in chain([slug], (f"{slug}-{n}" for n in count(2))) if each not in taken)
        taken.add(name)
        answer.append(replace(setting, name=name))
    return answer
