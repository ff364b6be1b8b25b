"""Writes the tables of the documentation from the code, so that the two can't drift apart.

Run it:  python docs/tables.py

A page holds a table between `<!-- table: WHAT -->` and `<!-- end of table -->`; a test fails where one is out of date.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from safetensors import safe_open
from tabled.markdown import rows, written
from tabled.schemas import cache, lora, model, options, recipe

from fusionkit.errors import FusionError
from fusionkit.pictures.files import write_whole

DOCS = Path(__file__).resolve().parent
MARKED = re.compile(r"(<!-- table: (?P<what>[\w -]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def pages() -> list[Path]:
    """The README and every page of the documentation."""
    return [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def hooks() -> str:
    """Every hook with its signature and its purpose."""
    from fusionkit.loop.hookspecs import Hookspecs

    return rows(
        ["hook", "answers", "purpose"],
        [
            [f"[`{name}({', '.join(arguments)})`](#{name})", answer, purpose]
            for name, arguments, answer, purpose in described(Hookspecs)
        ],
    )


def described(specs: type) -> Iterator[tuple[str, list[str], str, str]]:
    """The hooks of a class, in their order: name, arguments, answer, first sentence."""
    for name, function in vars(specs).items():
        if name.startswith("_"):
            continue
        signature = inspect.signature(function)
        answer = str(signature.return_annotation).strip("'")
        first = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        yield name, [p for p in signature.parameters if p != "self"], "" if answer == "None" else f"`{answer}`", first


def plugins(page: Path) -> str:
    """The plugins of this distribution, with their first sentence and a link from the page."""
    from fusionkit.registry import load, offered

    folder = os.path.relpath(DOCS / "plugins", page.parent)
    return rows(
        ["plugin", "what it does"],
        [
            [f"[`{name}`]({folder}/{name}.md)", first_line(load(name))]
            for name, entry in offered().items()
            if entry.dist is not None and entry.dist.name == "fusionkit"
        ],
    )


def schedulers() -> str:
    """The short names of schedulers: class, options, and whether their steps draw noise."""
    from diffusers.utils import dummy_torch_and_scipy_objects

    from fusionkit.models.inspect import inspect_model
    from fusionkit.models.schedulers.by_name import SHORT_NAMES
    from fusionkit.models.schedulers.make import make_scheduler
    from fusionkit.recipe import SchedulerSpec

    info = inspect_model("tinyworld/scenes")

    def draws(name: str, cls: str) -> str:
        if hasattr(dummy_torch_and_scipy_objects, cls):
            return "no; needs scipy"

        def stochastic(options: dict[str, Any]) -> bool:
            return make_scheduler(info, SchedulerSpec(name=name, options=options), 4, "cpu").stochastic

        if stochastic({}):
            return "yes"
        try:
            return "no, with `eta`: yes" if stochastic({"eta": 1.0}) else "no"
        except FusionError:
            return "no"

    return rows(
        ["name", "class", "options it stands for", "draws noise"],
        [
            [
                f"`{name}`",
                f"`{cls}`",
                _options(fixed),
                draws(name, cls),
            ]
            for name, (cls, fixed) in SHORT_NAMES.items()
        ],
    )


def _options(fixed: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}: {written(value)}`" for key, value in fixed.items())


def flow_schedulers() -> str:
    """The names of schedulers for flow-matching models: class, options, and whether their steps draw noise."""
    from dataclasses import replace

    from fusionkit.models.inspect import inspect_model
    from fusionkit.models.schedulers.by_name import FLOW, FLOW_NAMES, FLOW_OR_NOISE, SHORT_NAMES
    from fusionkit.models.schedulers.make import make_scheduler
    from fusionkit.recipe import SchedulerSpec

    euler, _ = FLOW_NAMES["flow-euler"]
    info = replace(inspect_model("tinyworld/scenes"), prediction_type=FLOW, scheduler=euler, scheduler_config={})

    def draws(name: str) -> str:
        def how(options: dict[str, Any]) -> str:
            made = make_scheduler(info, SchedulerSpec(name=name, options=options), 4, "cpu")
            return ("all of it anew" if made.resamples else "yes") if made.stochastic else "no"

        found = how({})
        try:
            return f"{found}, with `stochastic-sampling`: {how({'stochastic_sampling': True})}"
        except FusionError:
            return found

    both = {name: offer for name, offer in SHORT_NAMES.items() if offer[0] in FLOW_OR_NOISE}
    return rows(
        ["name", "class", "options it stands for", "draws noise"],
        [
            [
                f"`{name}`",
                f"`{cls}`",
                _options(fixed),
                draws(name),
            ]
            for name, (cls, fixed) in {**FLOW_NAMES, **both}.items()
        ],
    )


def families() -> str:
    """The families of models: pipelines, window, text, what suits them, ControlNets, LoRAs and step caches."""
    from fusionkit.models.families import FAMILIES
    from fusionkit.models.offers import has_cache, takes_controlnets, takes_loras

    def row(family: Any) -> list[str]:
        (most,) = family.reads.values() or (None,)
        named = [f"`{name}`" for name in family.pipelines]
        suits = ", ".join(f"`{key}: {written(value)}`" for key, value in family.defaults.items())
        extras = {"ControlNet": takes_controlnets(family), "LoRA": takes_loras(family), "cache": has_cache(family)}
        return [
            family.title,
            ", ".join(named),
            f"{family.window[0]} px",
            f"{most} tokens" if most else "any length",
            family.prediction.removesuffix("_prediction"),
            suits,
            ", ".join(name for name, has in extras.items() if has),
        ]

    header = ["family", "pipeline of diffusers", "window", "reads", "predicts", "where a recipe is silent", "takes"]
    own = [each for each in FAMILIES.values() if type(each).__module__.startswith("fusionkit.")]
    return rows(header, [row(family) for family in sorted(own, key=lambda family: family.title)])


def single_files() -> str:
    """The families of which diffusers reads single files: which parts they may hold, and a base that fits."""
    from fusionkit.models.families import FAMILIES

    def row(family: Any) -> list[str]:
        parts = ", ".join([family.denoiser, *family.in_file.parts])
        return [family.title, parts, f"`{family.in_file.base}`"]

    own = [each for each in FAMILIES.values() if type(each).__module__.startswith("fusionkit.") and each.in_file]
    header = ["family", "what is taken from the file", "a base that fits"]
    return rows(header, [row(family) for family in sorted(own, key=lambda family: family.title)])


def commands() -> str:
    """The commands of the command line, with their first sentence."""
    from fusionkit.cli import main

    context = click.Context(main)
    lines = []
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        lines.append([f"`fusionkit {name}`", (command.help or "").split("\n\n")[0].replace("\n", " ")])
    return rows(["command", "what it does"], lines)


def vocabulary() -> str:
    """The words that the embedded model knows."""
    from fusionkit_tinyworld import captions

    things = [
        " or ".join(f"a {colour} {thing}" if colour else f"a {thing}" for colour in captions.COLOURS[thing])
        for thing in captions.OBJECTS
    ]
    lists = {
        "STYLE": captions.STYLES,
        "SCENE": [captions.SCENE_PHRASES[scene] for scene in captions.SCENES],
        "TIME": captions.TIMES,
        "OBJECT": things,
    }
    return rows(["word", "one of"], [[word, ", ".join(values)] for word, values in lists.items()])


def vista_vocabulary() -> str:
    """The words that the drawer of vista knows."""
    from fusionkit_vista import drawer

    more = {1: "", 2: " or two", 3: ", two or three"}
    lists = {
        "STYLE": [*drawer.STYLES, *drawer.EXTRA_STYLES],
        "SCENE": drawer.SCENES,
        "TIME": drawer.TIMES,
        "WEATHER": drawer.WEATHERS,
        "THING": ["; ".join(f"a {name}{more[kind.most]}" for name, kind in drawer.THINGS.items())],
    }
    return rows(["word", "one of"], [[word, ", ".join(values)] for word, values in lists.items()])


def gpu() -> str:
    """What SDXL costs on a GPU, as far as one has measured it."""
    sys.path.insert(0, str(DOCS.parent / "benchmarks"))
    from on_gpu.report import table

    return table()


def side_by_side() -> str:
    """What recipes take beside the same work done otherwise, as `fusionkit bench --json` has measured it."""
    lines, about = [], {}
    for path in sorted((DOCS.parent / "benchmarks" / "side-by-side").glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        about = told["about"]
        for other in told["contestants"][1:]:
            takes, of_cpu = other["recipe-takes"], other["recipe-takes-cpu"]["mean"]
            cells = [told["recipe"]["name"], other["name"].replace("forward-passes", "forward passes alone, the floor")]
            cells.append(f"{of_cpu['value']:.2f} ({of_cpu['low']:.2f} to {of_cpu['high']:.2f})")
            cells.append(f"{takes['mean']['value']:.2f} ({takes['mean']['low']:.2f} to {takes['mean']['high']:.2f})")
            lines.append([*cells, str(told["runs"])])
    versions = ", ".join(f"{name} {about['versions'][name]}" for name in ("python", "torch", "diffusers"))
    machine = f"{about['device']}, {about['dtype']}, {about['threads']} thread; {versions}.\n\n"
    header = ["recipe", "against", "of the processors' time", "of the time", "rounds"]
    return machine + rows(header, lines)


def weights() -> str:
    """The files of the embedded model: parameters and size."""
    from fusionkit.models.embedded import embedded_models

    folder = embedded_models()["tinyworld/scenes"].folder
    lines = []
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, "numpy") as file:
            count = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        lines.append([f"`{path.parent.name}`", f"{count / 1e6:.2f} million", f"{path.stat().st_size / 1e6:.1f} MB"])
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return rows(["part", "parameters", "size"], [*lines, ["all files", "", f"{size / 1e6:.1f} MB"]])


def first_line(documented: Any) -> str:
    """The first sentence of a docstring."""
    return (inspect.getdoc(documented) or "").split("\n\n")[0].replace("\n", " ")


def house() -> str:
    """The rooms of the package and which of them import which."""
    sys.path.insert(0, str(DOCS))
    from house import drawn

    return drawn()


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "families": families,
    "flow-schedulers": flow_schedulers,
    "gpu": gpu,
    "house": house,
    "hooks": hooks,
    "cache": cache,
    "lora": lora,
    "model": model,
    "recipe": recipe,
    "schedulers": schedulers,
    "side by side": side_by_side,
    "single files": single_files,
    "vista-vocabulary": vista_vocabulary,
    "vocabulary": vocabulary,
    "weights": weights,
}


def table(what: str, page: Path) -> str:
    """The table of a name, for a page: `recipe`, `plugins`, `options PLUGIN`, `options PLUGIN OPTION`, ..."""
    if what == "plugins":
        return plugins(page)
    return options(*what.split()[1:]) if what.startswith("options ") else TABLES[what]()


def updated(page: Path) -> str:
    """A page's text with its tables written anew."""
    text = page.read_text(encoding="utf-8")
    return MARKED.sub(lambda found: f"{found[1]}{table(found['what'], page)}{found[3]}", text)


def main() -> None:
    """Bring every page up to date and name those that changed."""
    for page in pages():
        if (text := updated(page)) != page.read_text(encoding="utf-8"):
            write_whole(page, text)
            print(page.relative_to(DOCS.parent))


if __name__ == "__main__":
    main()
