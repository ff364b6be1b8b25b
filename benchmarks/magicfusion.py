"""Judges pictures that two or three models draw together: is the scene of the one there, and the expert's object too?

Each setting draws the same 100 prompts with the same seeds. What is drawn is kept, so that the command goes on where it
was interrupted; `--part 0/2` and `--part 1/2` share the work between two processes. `--table` judges the pictures with
`fusionkit_tinyworld.judge` and prints the tables; `--sheet` writes pictures of the documentation.

Run it:  python benchmarks/magicfusion.py
         python benchmarks/magicfusion.py --table
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fusionkit import Fusion, Patches, Plugin, Prompt, Stage, Step, hookimpl
from fusionkit.pictures.picture import open_picture
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_tinyworld.captions import SCENE_PHRASES, SCENES, STYLES, TIMES

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit_tinyworld.mixtures import Shown

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIDE, STEPS = 64, 20
MAIN = "scenes"
# Scenes that the expert of bold cartoons was never taught.
UNTAUGHT = ("city", "forest", "desert")


@dataclass(frozen=True)
class Case:
    """What one picture is asked for; its number is its seed."""

    number: int
    style: str
    scene: str
    time: str

    def fill(self, template: str) -> str:
        """A prompt of this case."""
        return template.format(style=self.style, scene=SCENE_PHRASES[self.scene], time=self.time)


def object_cases(count: int) -> list[Case]:
    """All scenes and times of day in turn, 18 photos and then 18 cartoons of them."""
    return [Case(n, STYLES[n // 18 % 2], SCENES[n % 6], TIMES[n // 6 % 3]) for n in range(count)]


def style_cases(count: int) -> list[Case]:
    """The scenes that the expert of cartoons was never taught, as photos, at all times of day in turn."""
    return [Case(n, "photo", UNTAUGHT[n % 3], TIMES[n // 3 % 3]) for n in range(count)]


class Averaged(Plugin):
    """What blending is compared with: the mean of all models' guided predictions."""

    prompts: Mapping[str, str]
    negative: str | None = None

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """The mean, with equal weights."""
        import torch

        main = next(iter(stage.infos))

        def asked(name: str) -> Patches:
            prompt = Prompt(self.prompts[name], None if name == main else self.negative)
            return replace(patches, prompts=[prompt] * len(patches.views))

        return torch.stack([stage.models[name].predict(stage, at, asked(name)) for name in self.prompts]).mean(0)

    @hookimpl
    def forward_passes(self, patches: Patches) -> int:
        """With and without the prompt, for each model."""
        return 2 * len(self.prompts) * len(patches.views)


@dataclass(frozen=True)
class Setting:
    """One row of a table: models and the templates of their prompts, the main one first, and how they work together."""

    label: str
    prompts: Mapping[str, str]
    plugins: Callable[[Mapping[str, str], str | None], list[Plugin]] = lambda prompts, negative: []
    negative: str | None = None
    """The template of the experts' negative prompt."""


@dataclass(frozen=True)
class Comparison:
    """A table: its cases, its settings, and the fields of what a picture shows that say that the experts took part."""

    cases: Callable[[int], list[Case]]
    expert: Mapping[str, Any]
    settings: Mapping[str, Setting]


SCENE = "a landscape {style} of {scene} at {time}"
FULL = SCENE + " with a "
SKY = "a {style} of the sky at {time}"
PHOTO, CARTOON = "a landscape photo of {scene} at {time}", "a landscape cartoon of {scene} at {time}"


def averaged(prompts: Mapping[str, str], negative: str | None) -> list[Plugin]:
    """The mean of the predictions."""
    return [Averaged(prompts=prompts, negative=negative)]


def blended(k: float, **options: Any) -> Callable[[Mapping[str, str], str | None], list[Plugin]]:
    """Blending with a factor k of the experts; the main model's is 1."""

    def plugins(prompts: Mapping[str, str], negative: str | None) -> list[Plugin]:
        main, *experts = prompts
        roles = {name: {"prompt": prompts[name], "negative_prompt": negative, "k": k} for name in experts}
        return [SaliencyNoiseBlending.model_validate({"models": {main: {}, **roles}, **options})]

    return plugins


def object_settings(thing: str, more: Mapping[str, tuple[str, Any, str | None]]) -> dict[str, Setting]:
    """The rows of an expert that draws an object."""
    own = f"a {{style}} of a {thing} at {{time}}"
    both = {MAIN: SCENE, thing: own}
    settings = {
        "scenes": Setting(f"`{MAIN}` alone, its own prompt", {MAIN: SCENE}),
        "scenes-full": Setting(f"`{MAIN}` alone, its prompt names the {thing} too", {MAIN: FULL + thing}),
        "expert": Setting(f"`{thing}` alone, its own prompt", {thing: own}),
        "expert-full": Setting(f"`{thing}` alone, its prompt names the scene too", {thing: FULL + thing}),
        "averaged": Setting("averaged predictions", both, averaged),
        "averaged-sky": Setting("averaged predictions, negative prompt", both, averaged, SKY),
    }
    return settings | {name: Setting(label, both, plugins, sky) for name, (label, plugins, sky) in more.items()}


def fusion_of(setting: Setting) -> Fusion:
    """A setting's models, ready to draw, with the guidance scale that they ship with."""
    names = list(setting.prompts)
    models = {name: f"tinyworld/{name}" for name in names} if len(names) > 1 else f"tinyworld/{names[0]}"
    return Fusion.from_pretrained(models, size=(SIDE, SIDE), steps=STEPS, scheduler="ddim")


def draw(folder: Path, setting: Setting, cases: Sequence[Case]) -> None:
    """Draw what is not there yet of one setting."""
    missing = [case for case in cases if not (folder / f"{case.number:03}.png").exists()]
    fusion = fusion_of(setting) if missing else None
    began = perf_counter()
    for case in missing:
        assert fusion is not None
        prompts = {name: case.fill(template) for name, template in setting.prompts.items()}
        plugins = setting.plugins(prompts, setting.negative and case.fill(setting.negative))
        result = fusion(next(iter(prompts.values())), seed=case.number, plugins=plugins, progress=False)
        result.save(folder / f"{case.number:03}.png")
    if missing:
        print(f"{folder.name}: {len(missing)} pictures in {perf_counter() - began:.0f} s", flush=True)


def pictures(folder: Path, cases: Sequence[Case]) -> NDArray[np.uint8] | None:
    """The pictures (n, 64, 64, 3) of a setting; None where one is missing."""
    paths = [folder / f"{case.number:03}.png" for case in cases]
    if not all(path.exists() for path in paths):
        return None
    return np.stack([np.asarray(open_picture(path)) for path in paths])


def judged(comparison: Comparison, cases: Sequence[Case], seen: Sequence[Shown]) -> dict[str, list[bool]]:
    """For each picture: whether the scene at its time of day is there, the expert's part, and both."""
    scene = [(s.scene, s.time) == (case.scene, case.time) for s, case in zip(seen, cases, strict=True)]
    expert = [all(getattr(s, name) == value for name, value in comparison.expert.items()) for s in seen]
    return {"scene": scene, "expert": expert, "both": [a and b for a, b in zip(scene, expert, strict=True)]}


def figures_of(
    out: Path, comparison: Comparison, settings: Sequence[str], cases: Sequence[Case]
) -> dict[str, dict[str, list[bool]]]:
    """What `judged` answers, for each setting that is complete."""
    from fusionkit_tinyworld.judge import load_judge

    judge, figures = load_judge(), {}
    for name in settings:
        if (drawn := pictures(out / name, cases)) is not None:
            figures[name] = judged(comparison, cases, judge(drawn))
    return figures


def interval(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score."""
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def share(values: Sequence[bool]) -> str:
    """A share with its interval."""
    low, high = interval(sum(values), len(values))
    return f"{sum(values) / len(values):.0%} ({low * 100:.0f} to {high * 100:.0f})"


def table(comparison: Comparison, figures: Mapping[str, Mapping[str, Sequence[bool]]]) -> str:
    """The figures of one comparison as a table in Markdown."""
    part = " and the ".join(name if value is True else str(value) for name, value in comparison.expert.items())
    lines = [f"| setting | the scene | the {part} | both |", "| --- | --- | --- | --- |"]
    for name, values in figures.items():
        cells = [share(values[column]) for column in ("scene", "expert", "both")]
        lines.append(f"| {comparison.settings[name].label} | {' | '.join(cells)} |")
    return "\n".join(lines)


Row = tuple[str, Any, "str | None"]


def factors(values: Sequence[float], negative: str | None, name: str, what: str, **options: Any) -> dict[str, Row]:
    """A row for each k."""
    return {f"{name}{k:g}": (f"{what}, k = {k:g}", blended(k, **options), negative) for k in values}


PLAIN, WITH_SKY = "blending", "blending, negative prompt"
ROCKET = {
    **factors((1, 2, 4, 8, 16, 32), None, "k", PLAIN),
    **factors((1, 4, 16), None, "rough-k", f"{PLAIN}, no smoothing", smoothing=False),
    **factors((1, 4, 8, 16, 32), SKY, "sky-k", WITH_SKY),
    **factors((4,), SKY, "sky-rough-k", f"{WITH_SKY}, no smoothing", smoothing=False),
    **factors((16,), SKY, "sky-shared-k", f"{WITH_SKY}, `baseline: shared`", baseline="shared"),
    **factors((16,), SKY, "sky-late-k", f"{WITH_SKY}, `blend: {{from: 0.8}}`", blend={"from": 0.8}),
    **factors((16,), SKY, "sky-half-k", f"{WITH_SKY}, `blend: {{from: 0.5}}`", blend={"from": 0.5}),
    **factors((16,), SKY, "sky-early-k", f"{WITH_SKY}, `blend: {{to: 0.5}}`", blend={"to": 0.5}),
}
FLOWER = {
    **factors((4, 16), None, "k", PLAIN),
    **factors((4,), None, "rough-k", f"{PLAIN}, no smoothing", smoothing=False),
    **factors((4, 16, 32), SKY, "sky-k", WITH_SKY),
    **factors((4,), SKY, "sky-rough-k", f"{WITH_SKY}, no smoothing", smoothing=False),
}
STYLE = {
    "averaged": ("averaged predictions", averaged, None),
    "averaged-photo": ("averaged predictions, negative prompt", averaged, PHOTO),
    **factors((1, 4), None, "rough-k", f"{PLAIN}, no smoothing", smoothing=False),
    **factors((0.5, 1, 2), PHOTO, "photo-rough-k", f"{WITH_SKY}, no smoothing", smoothing=False),
    **factors((1,), PHOTO, "photo-k", WITH_SKY),
}
THREE = {
    "averaged": ("averaged predictions", averaged, None),
    "averaged-sky": ("averaged predictions, negative prompt", averaged, SKY),
    **factors((16,), None, "k", PLAIN),
    **factors((16,), SKY, "sky-k", WITH_SKY),
    **factors((4,), SKY, "sky-rough-k", f"{WITH_SKY}, no smoothing", smoothing=False),
}


def style_settings() -> dict[str, Setting]:
    """The rows of the expert of bold cartoons, beside photos of scenes that it was never taught."""
    both = {MAIN: PHOTO, "cartoon": CARTOON}
    settings = {
        "scenes": Setting(f"`{MAIN}` alone, a photo", {MAIN: PHOTO}),
        "scenes-full": Setting(f"`{MAIN}` alone, a cartoon", {MAIN: CARTOON}),
        "expert-photo": Setting("`cartoon` alone, a photo", {"cartoon": PHOTO}),
        "expert": Setting("`cartoon` alone, a cartoon", {"cartoon": CARTOON}),
    }
    return settings | {name: Setting(label, both, plugins, not_) for name, (label, plugins, not_) in STYLE.items()}


def three_settings() -> dict[str, Setting]:
    """The rows of three models in one picture."""
    prompts = {MAIN: SCENE} | {thing: f"a {{style}} of a {thing} at {{time}}" for thing in ("rocket", "flower")}
    return {name: Setting(label, prompts, plugins, sky) for name, (label, plugins, sky) in THREE.items()}


COMPARISONS: Mapping[str, Comparison] = {
    "rocket": Comparison(object_cases, {"rocket": True}, object_settings("rocket", ROCKET)),
    "flower": Comparison(object_cases, {"flower": True}, object_settings("flower", FLOWER)),
    "cartoon": Comparison(style_cases, {"style": "bold cartoon"}, style_settings()),
    "three": Comparison(object_cases, {"rocket": True, "flower": True}, three_settings()),
}
# Pictures of the documentation: their rows, each a setting of a table; the columns are the cases of these numbers.
SHEETS: Mapping[str, Sequence[str]] = {
    "magicfusion": (
        *("rocket/scenes-full", "rocket/expert-full", "rocket/averaged", "rocket/k16"),
        *("rocket/averaged-sky", "rocket/sky-k16", "flower/sky-k16", "three/sky-k16"),
    ),
    "magicfusion-cartoon": (
        *("cartoon/scenes", "cartoon/expert", "cartoon/averaged", "cartoon/rough-k1"),
        *("cartoon/averaged-photo", "cartoon/photo-rough-k0.5"),
    ),
    "tinyworld-experts": (
        *("rocket/expert", "rocket/expert-full", "flower/expert", "flower/expert-full"),
        *("cartoon/expert", "cartoon/expert-photo"),
    ),
}
# All scenes, times of day and styles are among them.
COLUMNS = (0, 7, 14, 3, 22, 29, 30, 21)


def sheet(out: Path, rows: Sequence[str], path: Path) -> None:
    """Pictures of several settings (rows), with their labels, for some of the cases (columns)."""
    gap, label, side = 4, 20, 2 * SIDE
    whole = Image.new("RGB", (len(COLUMNS) * (side + gap) - gap, len(rows) * (side + label + gap) - gap), "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(14)
    for row, name in enumerate(rows):
        top, (table_name, setting) = row * (side + label + gap), name.split("/")
        text = COMPARISONS[table_name].settings[setting].label.replace("`", "")
        pen.text((2, top), f"{table_name}: {text}", fill="black", font=font)
        for column, number in enumerate(COLUMNS):
            one = open_picture(out / name / f"{number:03}.png")
            whole.paste(one.resize((side, side), Image.Resampling.LANCZOS), (column * (side + gap), top + label))
    whole.quantize(256).convert("RGB").save(path, lossless=True, quality=100, method=6)


def main() -> None:
    """Draw, or judge what was drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/magicfusion"), help="folder of the pictures")
    parser.add_argument("--pictures", type=int, default=100, help="how many prompts, each with its own seed")
    parser.add_argument("--compare", nargs="*", choices=COMPARISONS, default=list(COMPARISONS), help="which tables")
    parser.add_argument("--only", nargs="*", help="settings to draw or show, by their folders' names")
    parser.add_argument("--part", default="0/1", help="which part of the pictures this process draws, such as 0/2")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    parser.add_argument("--table", action="store_true", help="judge, and print the tables")
    parser.add_argument("--sheet", choices=SHEETS, help="write this picture of the documentation")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    if options.sheet:
        sheet(options.out, SHEETS[options.sheet], IMAGES / f"{options.sheet}.webp")
        return
    for name in options.compare:
        comparison = COMPARISONS[name]
        chosen = {key: each for key, each in comparison.settings.items() if not options.only or key in options.only}
        cases = comparison.cases(options.pictures)
        if options.table:
            figures = figures_of(options.out / name, comparison, list(chosen), cases)
            (options.out / f"{name}.json").write_text(json.dumps(figures))
            print(f"\n{name}, {len(cases)} pictures\n\n{table(comparison, figures)}")
            continue
        part, parts = map(int, options.part.split("/"))
        for key, setting in chosen.items():
            draw(options.out / name / key, setting, [case for case in cases if case.number % parts == part])


if __name__ == "__main__":
    main()
