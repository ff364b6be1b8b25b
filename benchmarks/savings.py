"""Enlargements with fewer forward passes than AccDiffusion's, counted as `benchmarks/upscaling.py` counts them.

Each setting draws the same prompts from first stages that show exactly one object. What is drawn is kept, so that the
command goes on where it was interrupted; `--page` writes docs/speed-upscaling.md from all that is there.

Run it:  python benchmarks/savings.py --world vista
         python benchmarks/savings.py --page
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from experiments import markdown
from numpy.typing import NDArray
from upscaling import similarity, windows
from worlds import WORLDS, Case, World

from fusionkit import Fusion, Plugin
from fusionkit.pictures.image import read_metadata
from fusionkit.pictures.picture import open_picture
from fusionkit_accdiffusion import DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_multidiffusion import MultiDiffusion

PAGE = Path(__file__).resolve().parents[1] / "docs" / "speed-upscaling.md"
LATE = 0.7
"""The share of its steps that an enlargement takes which begins late."""
BELOW = 0.3
"""Samples, and windows, that weigh less than this are left out."""


def touching(world: World) -> MultiDiffusion:
    """Windows that do not overlap, and stay where they are."""
    return MultiDiffusion(stride=world.window)


def overlapping_early(world: World) -> MultiDiffusion:
    """Windows that overlap in the first 30 % of the steps, and then touch."""
    return MultiDiffusion(stride=world.stride, later={0.3: world.window}, jitter=world.jitter)


def overlapping_late(world: World) -> MultiDiffusion:
    """Windows that touch, and overlap in the last 30 % of the steps."""
    return MultiDiffusion(stride=world.window, later={0.7: world.stride}, jitter=world.jitter)


def enlarged(
    world: World,
    *,
    late: bool = False,
    skip: bool = False,
    steps: int | None = None,
    local: Callable[[World], Plugin] = windows,
) -> list[Plugin]:
    """AccDiffusion, with some of what saves passes."""
    return [
        ProgressiveUpscaling(stages=world.stages, strength=LATE if late else None, steps=steps),
        local(world),
        DilatedSampling(skip_below=BELOW if skip else 0.0),
        PatchContentPrompts(threshold=0.3, levels=world.levels, tokens=world.tokens, keep=world.keep, drop=world.drop),
    ]


def fewer(world: World) -> int:
    """Two thirds of a stage's steps."""
    return world.steps * 2 // 3


@dataclass(frozen=True)
class Saving:
    """A setting.

    Args:
        label: As the page says it.
        plugins: How it enlarges.
        fields: What else its recipe says; these draw the first stage as well.
        first: The folder of its first stages.
        worlds: Those that it is for.
    """

    label: str
    plugins: Callable[[World], list[Plugin]]
    fields: Mapping[str, Any] = field(default_factory=dict)
    first: str = "first"
    worlds: Sequence[str] = tuple(WORLDS)


GUIDED: Mapping[str, Any] = {"guidance_interval": (0.0, 0.6)}
MULTISTEP: Mapping[str, Any] = {"scheduler": "dpm++-2m"}
SAVINGS: Mapping[str, Saving] = {
    "accdiffusion": Saving("AccDiffusion", enlarged),
    "late": Saving("late", lambda world: enlarged(world, late=True)),
    "skip": Saving("skip", lambda world: enlarged(world, skip=True)),
    "late-skip": Saving("late, skip", lambda world: enlarged(world, late=True, skip=True)),
    "touching": Saving("touching", lambda world: enlarged(world, local=touching)),
    "overlap-early": Saving("overlap early", lambda world: enlarged(world, local=overlapping_early)),
    "overlap-late": Saving("overlap late", lambda world: enlarged(world, local=overlapping_late)),
    "fewer": Saving("fewer", lambda world: enlarged(world, steps=fewer(world)), worlds=("vista", "vista-flow")),
    "multistep": Saving(
        "multistep", lambda world: enlarged(world, steps=fewer(world)), MULTISTEP, "first-multistep", ("tinyworld",)
    ),
    "guided": Saving("guided", enlarged, GUIDED, "first-guided"),
    "combined": Saving("late, skip, touching", lambda world: enlarged(world, late=True, skip=True, local=touching)),
    "combined-late": Saving(
        "late, skip, overlap late", lambda world: enlarged(world, late=True, skip=True, local=overlapping_late)
    ),
    "combined-guided": Saving(
        "late, skip, guided", lambda world: enlarged(world, late=True, skip=True), GUIDED, "first-guided"
    ),
    "combined-fewer": Saving(
        "late, skip, fewer",
        lambda world: enlarged(world, late=True, skip=True, steps=fewer(world)),
        worlds=("vista", "vista-flow"),
    ),
    "quick": Saving(
        "late, skip, fewer, guided",
        lambda world: enlarged(world, late=True, skip=True, steps=fewer(world)),
        GUIDED,
        "first-guided",
        ("vista", "vista-flow"),
    ),
    "most": Saving(
        "late, skip, overlap late, fewer",
        lambda world: enlarged(world, late=True, skip=True, steps=fewer(world), local=overlapping_late),
        worlds=("vista", "vista-flow"),
    ),
    "combined-multistep": Saving(
        "late, skip, multistep",
        lambda world: enlarged(world, late=True, skip=True, steps=fewer(world)),
        MULTISTEP,
        "first-multistep",
        ("tinyworld",),
    ),
}


def settings_of(world: World) -> list[str]:
    """The settings of a world."""
    return [name for name, saving in SAVINGS.items() if world.name in saving.worlds]


def fusion_of(world: World, plugins: Sequence[Plugin], side: int, fields: Mapping[str, Any]) -> Fusion:
    """A setting, or its first stage, ready to draw."""
    told = {"size": (side, side), "steps": world.steps, "scheduler": world.scheduler, **fields}
    return Fusion.from_pretrained(world.model, plugins=list(plugins), **told)


def file_of(out: Path, setting: str, case: Case) -> Path:
    """Where a picture is."""
    return out / setting / f"{case.number:03}.png"


def draw_first(world: World, saving: Saving, chosen: Sequence[Case], out: Path) -> None:
    """First stages, with the first seed of number, number + 1000, ... that shows exactly one object."""
    fusion = fusion_of(world, [], world.window, saving.fields)
    for case in chosen:
        path = file_of(out, saving.first, case)
        for seed in range(case.number, 20_000, 1000):
            if path.exists():
                break
            result = fusion(case.prompt, seed=seed, progress=False)
            if case.count(np.asarray(result.image)) == 1:
                result.save(path)


def draw(world: World, setting: str, chosen: Sequence[Case], out: Path) -> None:
    """Draw what is not there yet of one setting, and note beside each picture what it cost."""
    saving = SAVINGS[setting]
    missing = [case for case in chosen if not file_of(out, setting, case).exists()]
    if not missing:
        return
    draw_first(world, saving, missing, out)
    fusion = fusion_of(world, saving.plugins(world), world.side, saving.fields)
    for case in missing:
        first, path = file_of(out, saving.first, case), file_of(out, setting, case)
        if not first.exists():
            continue
        began = process_time()
        result = fusion(case.prompt, seed=read_metadata(first)["seed"], progress=False)
        spent = process_time() - began
        result.save(path)
        path.with_suffix(".json").write_text(json.dumps({"passes": result.forward_passes, "seconds": spent}))
        print(f"{world.name} {setting} {case.number:3} {spent:5.1f} s", flush=True)


@dataclass(frozen=True)
class Scores:
    """What the pictures of a setting score, by the numbers of their prompts."""

    passes: int
    seconds: float
    objects: Mapping[int, float]
    likeness: Mapping[int, float]
    seam: Mapping[int, float]
    detail: Mapping[int, float]


def seam_of(large: NDArray[np.uint8], window: int) -> float:
    """The mean jump at the borders of windows that touch, as a ratio to that of all other rows and columns."""
    values = large.astype(float)
    at, elsewhere = [], []
    for axis in (0, 1):
        jumps = np.abs(np.diff(values, axis=axis)).mean((1 - axis, 2))
        borders = np.arange(window, values.shape[axis], window) - 1
        at.append(jumps[borders])
        elsewhere.append(np.delete(jumps, borders))
    return float(np.concatenate(at).mean() / np.concatenate(elsewhere).mean())


def measured(world: World, setting: str, out: Path) -> Scores:
    """Count what there is of a setting."""
    saving, spent = SAVINGS[setting], []
    objects, likeness, seam, detail = {}, {}, {}, {}
    for case in world.cases(1000):
        path = file_of(out, setting, case)
        if path.exists() and path.with_suffix(".json").exists():
            large, first = (np.asarray(open_picture(each)) for each in (path, file_of(out, saving.first, case)))
            objects[case.number] = float(case.count(large))
            likeness[case.number] = similarity(large, first)
            seam[case.number] = seam_of(large, world.window)
            detail[case.number] = detail_of(large)
            spent.append(json.loads(path.with_suffix(".json").read_text()))
    if not spent:
        return Scores(0, float("nan"), {}, {}, {}, {})
    seconds = statistics.median(each["seconds"] for each in spent)
    return Scores(spent[0]["passes"], seconds, objects, likeness, seam, detail)


def detail_of(large: NDArray[np.uint8]) -> float:
    """The logarithm of the mean jump from a pixel to the next, along both axes: less of it is less grain, or detail."""
    return float(np.log(np.mean([np.abs(np.diff(large.astype(float), axis=axis)).mean() for axis in (0, 1)])))


def ratio(some: Mapping[int, float], others: Mapping[int, float]) -> str:
    """The geometric mean of a ratio, of logarithms, over the prompts that both have, with its interval."""
    value, low, high = np.exp(differing(some, others))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def paired(some: Mapping[int, float], others: Mapping[int, float]) -> str:
    """The mean difference over the prompts that both have, with its interval."""
    value, low, high = differing(some, others)
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def differing(some: Mapping[int, float], others: Mapping[int, float]) -> NDArray[np.float64]:
    """The mean difference over the prompts that both have, and its 95 % interval by a bootstrap over prompts."""
    both = sorted(some.keys() & others.keys())
    differences = np.array([some[number] - others[number] for number in both])
    means = np.random.default_rng(0).choice(differences, (5000, len(both))).mean(1)
    return np.array([differences.mean(), *np.quantile(means, [0.025, 0.975])])


def table(world: World, out: Path) -> str:
    """The figures of a world in Markdown, differences to AccDiffusion on the same prompts."""
    plain, rows = measured(world, "accdiffusion", out), []
    for setting in settings_of(world):
        found = plain if setting == "accdiffusion" else measured(world, setting, out)
        if not found.passes:
            continue
        counts = list(found.objects.values())
        one, none = (sum(each == wanted for each in counts) / len(counts) for wanted in (1, 0))
        row = [SAVINGS[setting].label, str(len(counts)), f"{found.passes:,}", f"{found.passes / plain.passes:.2f}"]
        row += [f"{found.seconds / plain.seconds:.2f}", f"{statistics.mean(counts):.2f}", f"{one:.0%}", f"{none:.0%}"]
        for some, others in ((found.likeness, plain.likeness), (found.seam, plain.seam)):
            row += [f"{statistics.mean(some.values()):.2f}", "" if found is plain else paired(some, others)]
        row.append("" if found is plain else ratio(found.detail, plain.detail))
        row.insert(8, "" if found is plain else paired(found.objects, plain.objects))
        rows.append(row)
    header = ["setting", "pictures", "passes", "share", "time", "objects", "exactly one", "none", "objects, minus"]
    return markdown([*header, "SSIM", "SSIM, minus", "seam (1)", "seam, minus", "detail, of AccDiffusion's"], rows)


def write_page(out: Path) -> None:
    """Bring the page's tables up to date, of those worlds of which something is drawn."""
    text = PAGE.read_text(encoding="utf-8")
    for world in WORLDS.values():
        if (out / world.name / "accdiffusion").is_dir():
            marked = re.compile(rf"(<!-- drawn: {world.name} -->\n).*?(<!-- end of drawn -->)", re.DOTALL)
            drawn = f"{table(world, out / world.name)}\n"
            text = marked.sub(lambda found, drawn=drawn: f"{found[1]}{drawn}{found[2]}", text)
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    """Draw, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/savings"), help="folder of the pictures")
    parser.add_argument("--world", choices=WORLDS, default="vista", help="whose model draws")
    parser.add_argument("--pictures", type=int, default=40, help="how many prompts, each with its own seed")
    parser.add_argument("--table", action="store_true", help="count what is there, and print the table")
    parser.add_argument("--page", action="store_true", help="write the page's tables of all worlds")
    parser.add_argument("--only", nargs="*", choices=SAVINGS, help="settings to draw; default: all of the world")
    options = parser.parse_args()
    world, out = WORLDS[options.world], options.out / options.world
    if options.page:
        write_page(options.out)
        return
    if options.table:
        print(table(world, out))
        return
    chosen = world.cases(options.pictures)
    # By tens, so that what is there when it is interrupted has all settings.
    for start in range(0, len(chosen), 10):
        for setting in options.only or settings_of(world):
            if world.name in SAVINGS[setting].worlds:
                draw(world, setting, chosen[start : start + 10], out)


if __name__ == "__main__":
    main()
