"""The pictures of a comparison: which there are to be, and whether their recipes make sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from fusionkit.comparison.spec import Comparison, Setting
from fusionkit.errors import FusionError, RecipeError
from fusionkit.pictures.finished import fingerprint_of
from fusionkit.recipe.fields import weights_of
from fusionkit.recipe.recipe import Recipe
from fusionkit.runs.checks import Checked, check_file
from fusionkit.runs.plan import completed


@dataclass(frozen=True)
class Job:
    """One picture that is to be drawn.

    Args:
        setting: What draws it.
        prompt: Which of the prompts, from 0.
        seed: The seed.
        recipe: Its recipe, completed with the model's defaults.
    """

    setting: Setting
    prompt: int
    seed: int
    recipe: Recipe

    @property
    def file(self) -> str:
        """Its path inside the comparison's folder."""
        return f"{self.setting_folder}/{self.stem}.png"

    @property
    def where(self) -> str:
        """What errors about it begin with."""
        return f"setting '{self.setting.name}', picture {self.file}"

    @property
    def setting_folder(self) -> str:
        """The folder of its setting's pictures, inside the comparison's."""
        return "reference" if self.setting.name == "reference" else f"pictures/{self.setting.name}"

    @property
    def thumbnail(self) -> str:
        """The path of its small copy, inside the comparison's folder."""
        return f"thumbnails/{self.setting.name}/{self.stem}.webp"

    @property
    def stem(self) -> str:
        """What pictures of one prompt and seed are called in every setting."""
        return f"p{self.prompt:03}-s{self.seed}"

    @cached_property
    def fingerprint(self) -> str:
        """What decides the picture, in short."""
        return fingerprint_of(self.recipe)

    @property
    def weights(self) -> str:
        """Which loaded models can draw it: jobs with equal ones share them."""
        return weights_of(self.recipe)


def jobs_of(comparison: Comparison, checked: Mapping[str, Checked] | None = None) -> list[Job]:
    """All pictures: those of a seed and prompt one after the other, so that an early end leaves all settings alike.

    Settings that need other weights come later, so that models are loaded once; the reference comes last.

    Args:
        comparison: The comparison.
        checked: As from `checked_settings`; None asks it.

    Raises:
        RecipeError: A setting's recipe can't be run; all problems of all settings.
    """
    known = checked_settings(comparison) if checked is None else checked

    def drawn(setting: Setting, seeds: Sequence[int]) -> list[Job]:
        info = next(iter(known[setting.name].infos.values()))
        whole = [completed(recipe, info) for recipe in setting.file.recipes]
        return [
            Job(setting, prompt, seed, recipe.model_copy(update={"seed": seed}))
            for seed in seeds
            for prompt, recipe in enumerate(whole)
        ]

    together = zip(*(drawn(setting, comparison.seeds) for setting in comparison.settings), strict=True)
    of_settings = [job for jobs in together for job in jobs]
    first = {weights: number for number, weights in enumerate(dict.fromkeys(job.weights for job in of_settings))}
    of_settings.sort(key=lambda job: first[job.weights])  # stable: the order within one model stays
    reference = comparison.reference
    return of_settings + (drawn(reference, comparison.reference_seeds) if isinstance(reference, Setting) else [])


def checked_settings(comparison: Comparison) -> dict[str, Checked]:
    """What is known of each setting, by the settings' names, once all of their recipes are found right.

    Raises:
        RecipeError: A setting's recipe can't be run; all problems of all settings.
    """
    known: dict[str, Checked] = {}
    problems: list[str] = []
    settings = [*comparison.settings, *([comparison.reference] if isinstance(comparison.reference, Setting) else [])]
    for setting in settings:
        try:
            known[setting.name] = check_file(setting.file)
        except RecipeError as error:
            problems += [f"{line} (setting '{setting.title}')" for line in error.problems]
        except FusionError as error:
            problems += [f"{line} (setting '{setting.title}')" for line in str(error).splitlines()]
    if problems:
        raise RecipeError(_once(problems))

    return known


def notes_of_settings(comparison: Comparison, checked: Mapping[str, Checked]) -> list[str]:
    """What can be drawn of settings and is hardly what is meant: each thing once, with its place and a setting."""
    return _once(
        [
            f"{setting.file.located(note)} (setting '{setting.title}')"
            for setting in comparison.settings
            for note in checked[setting.name].notes
        ]
    )


def count_of(comparison: Comparison) -> int:
    """How many pictures there are to be, the reference's included."""
    drawn = len(comparison.settings) * len(comparison.prompts) * len(comparison.seeds)
    is_drawn = isinstance(comparison.reference, Setting)
    return drawn + (len(comparison.prompts) * len(comparison.reference_seeds) if is_drawn else 0)


def _once(lines: Sequence[str]) -> list[str]:
    """Lines that say the same of several settings, once."""
    seen: dict[str, str] = {}
    for line in lines:
        seen.setdefault(line.rpartition(" (setting ")[0], line)
    return list(seen.values())
