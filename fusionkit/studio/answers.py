"""What the studio answers the page: plain values in, plain values out, without a web server."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from fusionkit.errors import FusionError
from fusionkit.pictures.files import write_whole
from fusionkit.studio import forms
from fusionkit.studio.drafts import Draft, Problem, in_order, new_seeds, opened, typed
from fusionkit.studio.drawing import Drawing
from fusionkit.studio.folder import PICTURES, Folder
from fusionkit.studio.jobs import DONE, Job, Jobs
from fusionkit.studio.looking import checked, model_key, planned

Body = Mapping[str, Any]
_MOST = 64
_RECIPES = (".yaml", ".yml")


class Studio:
    """A folder with its jobs and the process that draws them.

    Args:
        folder: The folder; it is the working folder, too.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.jobs = Jobs(folder)
        self.drawing = Drawing(folder, self.jobs)
        self._planning = threading.Lock()

    @cached_property
    def about(self) -> dict[str, Any]:
        """What does not change while the studio runs: what is installed, and the forms of all of it."""
        from fusionkit.models.embedded import embedded_models
        from fusionkit.recipe.assemble import bundled_recipes

        models = {
            name: {"about": each.summary, "prompt": each.example_prompt, "words": sorted(each.words)}
            for name, each in embedded_models().items()
        }
        return {
            "version": version("fusionkit"),
            "folder": self.folder.path.name,
            "recipes": [{"name": name, "about": _about(path)} for name, path in bundled_recipes().items()],
            "models": models,
            "fields": forms.recipe_fields(),
            "plugins": forms.plugins(),
        }

    def state(self, body: Body) -> dict[str, Any]:
        """The jobs and the pictures."""
        return {
            "jobs": [self._shown(job) for job in self.jobs],
            "pictures": self.folder.pictures(),
            "recipes": [each.name for each in self.folder.named(_RECIPES)],
            "models-loaded": self.drawing.holds_models,
        }

    def open(self, body: Body) -> dict[str, Any]:
        """A recipe to change: of a bundled name, of a file or a picture of the folder, or of a text.

        Raises:
            FusionError: There is none, or it is broken.
        """
        if "text" in body:
            draft = typed(str(body["text"]))
        elif "file" in body:
            draft = opened(str(self.folder.file(str(body["file"]), suffixes=(*PICTURES, *_RECIPES)).name))
        else:
            draft = opened(str(body["recipe"]))
        return {"recipe": self._ordered(draft.recipe), "careful": draft.careful, "yaml": self._yaml(draft)}

    def check(self, body: Body) -> dict[str, Any]:
        """What is wrong with a draft, at its controls; its notes; and the recipe as YAML."""
        draft = _draft(body)
        problems, notes = checked(draft)
        try:
            text = self._yaml(draft)
        except FusionError:
            text = ""
        return {"problems": _told(problems), "notes": notes, "yaml": text}

    def plan(self, body: Body) -> dict[str, Any]:
        """What a draft takes: passes, memory, and seconds by what such runs took in this folder."""
        # One at a time: several threads that import a library at once may see it half imported.
        with self._planning:
            problems, plan = planned(_draft(body))
        if plan:
            plan["seconds"] = self._seconds(plan["model"], plan["window"], plan["forward-passes"])
        return {"problems": _told(problems), "plan": plan}

    def draw(self, body: Body) -> dict[str, Any]:
        """Let a draft be drawn; a prompt of several texts makes one picture for each.

        With a `count` above 1 so many seeds are drawn, from the recipe's on, but for those that are there already.
        """
        draft = _draft(body)
        problems, _ = checked(draft)
        if problems:
            return {"problems": _told(problems)}
        recipe = draft.plain()
        count = max(1, min(int(body.get("count", 1)), _MOST))
        prompts = recipe.get("prompt")
        several = [{**recipe, "prompt": each} for each in prompts] if isinstance(prompts, list) else [recipe]
        there = self._there() if count > 1 else []
        recipes = [each for one in several for each in islice(new_seeds(one, there), count)]
        group = secrets.token_hex(4) if len(recipes) > 1 else ""
        jobs = [self.jobs.add(Job(each, draft.careful, group)) for each in recipes]
        self.drawing.wake()
        return {"jobs": [job.id for job in jobs], "group": group}

    def cancel(self, body: Body) -> dict[str, Any]:
        """End jobs, of an id or of a group."""
        # What waits first, so that none of it begins meanwhile.
        for job in sorted(self._named(body), key=lambda each: each.state == "drawing"):
            self.drawing.cancel(job)
        return {}

    def again(self, body: Body) -> dict[str, Any]:
        """Go on with jobs that ended early."""
        for job in self._named(body):
            self.jobs.again(job)
        self.drawing.wake()
        return {}

    def forget(self, body: Body) -> dict[str, Any]:
        """Drop jobs that have ended."""
        for job in self._named(body):
            self.jobs.forget(job)
        return {}

    def free(self, body: Body) -> dict[str, Any]:
        """Free the memory of the models that are kept for the next picture."""
        self.drawing.free()
        return {}

    def save(self, body: Body) -> dict[str, Any]:
        """Write a draft's recipe into the folder; an existing file is kept, and the new one gets a number.

        Raises:
            FusionError: It can't be written, or is no recipe.
        """
        name = Path(str(body["name"])).name.removesuffix(".yaml") or "recipe"
        text = f"# Run it:  fusionkit run {name}.yaml\n{self._yaml(_draft(body))}"
        return {"name": write_whole(self.folder.path / f"{name}.yaml", text, replace=False).name}

    def upload(self, name: str, data: bytes) -> dict[str, Any]:
        """Keep a picture that somebody brings, or has painted, in the folder.

        Raises:
            FusionError: It is no picture, or can't be written.
        """
        from fusionkit.pictures.picture import open_picture

        plain = Path(name).name
        if Path(plain).suffix.lower() not in PICTURES or plain.startswith("."):
            raise FusionError(f"'{plain[:60]}' is no picture: give a name that ends in {', '.join(PICTURES)}")
        written = write_whole(self.folder.path / plain, data, replace=False)
        try:
            open_picture(written)
        except FusionError:
            written.unlink()
            raise
        return {"name": written.name}

    def remove(self, body: Body) -> dict[str, Any]:
        """Put a picture where removed ones are, and answer its name there.

        Raises:
            FusionError: There is none, or it can't be moved.
        """
        return {"removed": self.folder.remove(str(body["name"]))}

    def restore(self, body: Body) -> dict[str, Any]:
        """Put a picture that was removed back.

        Raises:
            FusionError: There is none, or it can't be moved.
        """
        return {"name": self.folder.restore(str(body["removed"]))}

    def picture(self, body: Body) -> dict[str, Any]:
        """The recipe and the seed that a picture carries, and what it took; None where it carries none."""
        from fusionkit.pictures.metadata import read_metadata

        path = self.folder.file(str(body["name"]))
        try:
            told = read_metadata(path)
        except FusionError:
            return {"recipe": None, "seed": None, "seconds": None, "forward-passes": None}
        # The latest: a picture that was removed may have had the same name.
        job = next((job for job in reversed(list(self.jobs)) if job.picture == path.name), None)
        took = (None, None) if job is None else (job.seconds, job.passes)
        return {"recipe": told["recipe"], "seed": told.get("seed"), "seconds": took[0], "forward-passes": took[1]}

    def _seconds(self, model: str, window: Sequence[int], passes: int) -> float | None:
        """How long a run takes, by the latest of the same model; None where there was none."""
        for job in reversed(list(self.jobs)):
            if job.state == DONE and job.passes and model_key(job.recipe) == model:
                return job.seconds / job.passes * passes
        return None

    def _there(self) -> list[Mapping[str, Any]]:
        """The recipes whose pictures are in the folder, or will be."""
        names = {each.name for each in self.folder.named(PICTURES)}
        return [job.recipe for job in self.jobs if job.is_open or (job.state == DONE and job.picture in names)]

    def _named(self, body: Body) -> list[Job]:
        if "group" in body:
            return [job for job in self.jobs if job.group == body["group"]]
        return [self.jobs.get(str(body["id"]))]

    def _shown(self, job: Job) -> dict[str, Any]:
        told = asdict(job)
        recipe = told.pop("recipe")
        return {
            **told,
            "seed": recipe.get("seed", 0),
            "prompt": recipe.get("prompt", ""),
            "kept": not job.is_open and self.jobs.checkpoint(job).is_file(),
        }

    def _ordered(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        return in_order(recipe, [each["name"] for each in self.about["fields"]])

    def _yaml(self, draft: Draft) -> str:
        return Draft(self._ordered(draft.plain())).yaml()


def _draft(body: Body) -> Draft:
    recipe = body.get("recipe")
    if not isinstance(recipe, dict):
        raise FusionError("a draft is a mapping")
    return Draft(recipe, bool(body.get("careful")))


def _told(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [{"at": list(each.at), "line": each.line} for each in problems]


def _about(path: Path) -> str:
    """What a bundled recipe says of itself below its command, but for what the command line would change."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    said = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
    return " ".join(part for part in re.split(r"(?<=[.;]) +", said) if "--set" not in part).rstrip(";")
