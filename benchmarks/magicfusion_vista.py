"""Judges pictures that vista's two models draw together: is the scene of the one there, and the other's dragon too?

The table of `benchmarks/magicfusion.py` on the models of `vista`, with prompts of its vocabulary and its judge. Each
setting draws the same prompts with the same seeds. What is drawn is kept, so that the command goes on where it was
interrupted; `--part 0/2` and `--part 1/2` share the work between two processes.

Run it:  python benchmarks/magicfusion_vista.py
         python benchmarks/magicfusion_vista.py --table
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, TypeVar

import numpy as np
from magicfusion import Setting, averaged, blended, share
from numpy.typing import NDArray

from fusionkit import Fusion
from fusionkit.pictures.picture import open_picture
from fusionkit_vista.counter import count_things
from fusionkit_vista.drawer import SCENES, STYLES, TIMES
from fusionkit_vista.judge import SIZE, Seen, load_judge
from fusionkit_vista.models import WEIGHTS

T = TypeVar("T")
STEPS = 12
SCENE = "a landscape {style} of {scene} {time} in clear weather"
DRAGON = "a {style} of the sky {time} in clear weather with a dragon"
SKY = "a {style} of the sky {time} in clear weather"
ALONE, OWN, BOTH = {"scenes": SCENE}, {"expert": DRAGON}, {"scenes": SCENE, "expert": DRAGON}
FULL = f"{SCENE} with a dragon"


@dataclass(frozen=True)
class Case:
    """What one picture is asked for; its number is its seed."""

    number: int
    style: str
    scene: str
    time: str

    def fill(self, template: str) -> str:
        """A prompt of this case."""
        return template.format(style=self.style, scene=self.scene, time=self.time)


def cases(count: int) -> list[Case]:
    """All scenes in turn, posters and woodcuts of them alternating, at all times of day."""
    return [Case(n, STYLES[n % 2], SCENES[n % len(SCENES)], TIMES[n // len(SCENES) % len(TIMES)]) for n in range(count)]


SETTINGS = {
    "scenes": Setting("`scenes` alone, its own prompt", ALONE),
    "scenes-full": Setting("`scenes` alone, its prompt names the dragon too", {"scenes": FULL}),
    "expert": Setting("`expert` alone, its own prompt", OWN),
    "expert-full": Setting("`expert` alone, its prompt names the scene too", {"expert": FULL}),
    "averaged": Setting("averaged predictions", BOTH, averaged),
    "averaged-sky": Setting("averaged predictions, negative prompt", BOTH, averaged, SKY),
    "k4": Setting("blending, k = 4", BOTH, blended(4)),
    "k16": Setting("blending, k = 16", BOTH, blended(16)),
    "sky-k4": Setting("blending, negative prompt, k = 4", BOTH, blended(4), SKY),
    "sky-k8": Setting("blending, negative prompt, k = 8", BOTH, blended(8), SKY),
    "sky-k16": Setting("blending, negative prompt, k = 16", BOTH, blended(16), SKY),
    "sky-k32": Setting("blending, negative prompt, k = 32", BOTH, blended(32), SKY),
}


class Asked(Protocol):
    """What one picture is asked for."""

    @property
    def number(self) -> int:
        """Its number, which is its seed."""

    def fill(self, template: str) -> str:
        """A prompt of this case."""


def draw(folder: Path, setting: Setting, asked: Sequence[Asked], **fields: Any) -> None:
    """Draw what is not there yet of one setting, with these fields of the recipe."""
    missing = [case for case in asked if not (folder / f"{case.number:03}.png").exists()]
    if not missing:
        return
    names = list(setting.prompts)
    models = {name: f"vista/{name}" for name in names} if len(names) > 1 else f"vista/{names[0]}"
    fusion, began = Fusion.from_pretrained(models, size=(SIZE, SIZE), **fields), perf_counter()
    for case in missing:
        prompts = {name: case.fill(template) for name, template in setting.prompts.items()}
        plugins = setting.plugins(prompts, setting.negative and case.fill(setting.negative))
        result = fusion(next(iter(prompts.values())), seed=case.number, plugins=plugins, progress=False)
        result.save(folder / f"{case.number:03}.png")
    print(f"{folder.name}: {len(missing)} pictures in {perf_counter() - began:.0f} s", flush=True)


def options_of(about: str, out: str, settings: Mapping[str, Setting]) -> argparse.Namespace:
    """The command line's options; its threads are set."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(out), help="folder of the pictures")
    parser.add_argument("--pictures", type=int, default=100, help="how many prompts, each with its own seed")
    parser.add_argument("--only", nargs="*", choices=settings, default=list(settings), help="which settings")
    parser.add_argument("--part", default="0/1", help="which part of the pictures this process draws, such as 0/2")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    parser.add_argument("--table", action="store_true", help="judge, and print the table")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    return options


def part_of(asked: Sequence[T], part: str) -> list[T]:
    """The part of the cases that is named, such as 0/2."""
    number, count = map(int, part.split("/"))
    return list(asked[number::count])


def pictures(folder: Path, asked: Sequence[Asked]) -> NDArray[np.uint8] | None:
    """The pictures (n, 128, 128, 3) of a setting; None where one is missing."""
    paths = [folder / f"{case.number:03}.png" for case in asked]
    if not all(path.exists() for path in paths):
        return None
    return np.stack([np.asarray(open_picture(path)) for path in paths])


def judged(asked: Sequence[Case], seen: Sequence[Seen], drawn: NDArray[np.uint8]) -> dict[str, list[bool]]:
    """For each picture: whether the scene is there at its time of day and in its style, a dragon, and both.

    Whether a dragon is there the finder says: the judge takes most ragged ones for nothing.
    """
    pairs = list(zip(asked, seen, strict=True))
    scene = [(each.style, each.scene, each.time) == (case.style, case.scene, case.time) for case, each in pairs]
    dragon = [count_things(picture, "dragon") > 0 for picture in drawn]
    return {"scene": scene, "dragon": dragon, "both": [a and b for a, b in zip(scene, dragon, strict=True)]}


def main() -> None:
    """Draw, or judge what was drawn."""
    options = options_of(__doc__, "out/magicfusion-vista", SETTINGS)
    asked = cases(options.pictures)
    if not options.table:
        for name in options.only:
            draw(options.out / name, SETTINGS[name], part_of(asked, options.part), steps=STEPS)
        return
    judge, figures = load_judge(WEIGHTS / "judge"), {}
    print("| setting | the scene | the dragon | both |\n| --- | --- | --- | --- |")
    for name in options.only:
        if (drawn := pictures(options.out / name, asked)) is not None:
            figures[name] = judged(asked, judge.judge(drawn), drawn)
            cells = [share(figures[name][column]) for column in ("scene", "dragon", "both")]
            print(f"| {SETTINGS[name].label} | {' | '.join(cells)} |")
    (options.out / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
