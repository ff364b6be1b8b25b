"""Counts the objects in pictures of many windows' area whose prompt names one, and compares them with the first stage.

Each setting draws the same prompts with the same seeds, 4 times the side of the embedded model's window (2 times in
vista, whose windows are larger). What is drawn is kept, so that the command goes on where it was interrupted; `--part
0/2` and `--part 1/2` share the work between two processes. `--table` counts the objects, compares each picture, made
small again, with the first stage's (SSIM), and prints the table; `--sheet` puts pictures side by side.

Run it:  python benchmarks/upscaling.py
         python benchmarks/upscaling.py --table
         python benchmarks/upscaling.py --world vista
         python benchmarks/upscaling.py --world vista --sheet enlarged
         python benchmarks/upscaling.py --world vista-flow
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from worlds import WORLDS, Case, World

from fusionkit import Fusion, Plugin
from fusionkit.pictures.image import read_metadata
from fusionkit.pictures.picture import open_picture
from fusionkit_accdiffusion import ControlNet, DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_multidiffusion import MultiDiffusion

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
# Pictures of the documentation: their columns, and their rows by number. "enlarged" is of vista.
SHEETS: Mapping[str, Sequence[str]] = {
    "upscaling": ("first", "multidiffusion", "demofusion", "accdiffusion", "accdiffusion-v2"),
    "dilated-sampling": ("no-dilated", "no-interaction", "no-filter", "accdiffusion"),
    "enlarged": ("first", "multidiffusion", "accdiffusion-v2"),
}
ROWS = (2, 3, 4, 5)
ROWS_OF = {"enlarged": (36,)}


def windows(world: World) -> MultiDiffusion:
    """The local windows of all settings."""
    return MultiDiffusion(stride=world.stride, jitter=world.jitter)


def upscaled(
    world: World,
    *more: Plugin,
    prompts: bool = True,
    interaction: bool = True,
    gaussian: bool = True,
    dilated: bool = True,
    residual: bool = True,
    stages: tuple[float, ...] | None = None,
) -> list[Plugin]:
    """AccDiffusion with single parts switched off; without prompts each view has the whole one, but for `drop`."""
    threshold = 0.3 if prompts else 0.0
    between = world.stages if stages is None else stages
    samples = [DilatedSampling(window_interaction=interaction, gaussian_filter=gaussian)] if dilated else []
    return [
        ProgressiveUpscaling(stages=between, skip_residual=3.0 if residual else "off"),
        windows(world),
        *samples,
        PatchContentPrompts(
            threshold=threshold, levels=world.levels, tokens=world.tokens, keep=world.keep, drop=world.drop
        ),
        *more,
    ]


def canny(world: World) -> ControlNet:
    """The embedded ControlNet, as AccDiffusion v2 uses one."""
    assert world.canny is not None
    return ControlNet(model=world.canny)


def settings_of(world: World) -> list[str]:
    """The settings that differ in a world: v2 where there is a ControlNet, one stage where there are else more."""
    absent = {"accdiffusion-v2": world.canny is None, "one-step": not world.stages}
    return [setting for setting in SETTINGS if not absent.get(setting)]


SETTINGS: Mapping[str, Callable[[World], list[Plugin]]] = {
    "first": lambda world: [],
    "direct": lambda world: [],
    "multidiffusion": lambda world: [windows(world)],
    "demofusion": lambda world: upscaled(world, prompts=False, interaction=False),
    "accdiffusion": upscaled,
    "accdiffusion-v2": lambda world: upscaled(world, canny(world)),
    "no-prompts": lambda world: upscaled(world, prompts=False),
    "no-interaction": lambda world: upscaled(world, interaction=False),
    "no-filter": lambda world: upscaled(world, gaussian=False),
    "no-dilated": lambda world: upscaled(world, dilated=False),
    "no-residual": lambda world: upscaled(world, residual=False),
    "one-step": lambda world: upscaled(world, stages=(world.zoom,)),
}
LABELS: Mapping[str, str] = {
    "first": "the first picture, one window",
    "direct": "direct sampling, the whole canvas as one view",
    "multidiffusion": "MultiDiffusion",
    "demofusion": "DemoFusion",
    "accdiffusion": "AccDiffusion",
    "accdiffusion-v2": "AccDiffusion v2 (with ControlNet)",
    "no-prompts": "AccDiffusion without patch-content prompts",
    "no-interaction": "AccDiffusion without window interaction",
    "no-filter": "AccDiffusion without the Gaussian filter",
    "no-dilated": "AccDiffusion without dilated samples",
    "no-residual": "AccDiffusion without skip residuals",
    "one-step": "AccDiffusion from 1 to 4 in one stage",
}


def fusion_of(world: World, setting: str) -> Fusion:
    """A setting, ready to draw."""
    side = world.window if setting == "first" else world.side
    fields = {"window": (side, side)} if setting == "direct" else {}
    plugins, size = SETTINGS[setting](world), (side, side)
    return Fusion.from_pretrained(
        world.model, plugins=plugins, size=size, steps=world.steps, scheduler=world.scheduler, **fields
    )


def draw_first(world: World, chosen: Sequence[Case], out: Path) -> None:
    """Draw the first stages alone, with the first seed of number, number + 1000, ... that shows exactly one object.

    Whatever a first stage shows twice, no upscaling can be blamed for.
    """
    fusion = fusion_of(world, "first")
    for case in chosen:
        path = out / "first" / f"{case.number:03}.png"
        for seed in range(case.number, 20_000, 1000):
            if path.exists():
                break
            result = fusion(case.prompt, seed=seed, progress=False)
            if case.count(np.asarray(result.image)) == 1:
                result.save(path)
                print(f"first {case.number:3} seed {seed}  {case.prompt}", flush=True)


def begun(chosen: Sequence[Case], out: Path) -> list[Case]:
    """The cases with a first stage; of the others none of twenty seeds showed exactly one thing."""
    return [case for case in chosen if (out / "first" / f"{case.number:03}.png").exists()]


def draw(world: World, setting: str, chosen: Sequence[Case], out: Path) -> None:
    """Draw what is not there yet of one setting, with the seeds of the first stages."""
    missing = [case for case in chosen if not (out / setting / f"{case.number:03}.png").exists()]
    fusion = fusion_of(world, setting) if missing else None
    for case in missing:
        began, seed = perf_counter(), read_metadata(out / "first" / f"{case.number:03}.png")["seed"]
        assert fusion is not None
        fusion(case.prompt, seed=seed, progress=False).save(out / setting / f"{case.number:03}.png")
        print(f"{setting} {case.number:3} {perf_counter() - began:5.1f} s  {case.prompt}", flush=True)


def picture(out: Path, setting: str, number: int) -> NDArray[np.uint8]:
    """A picture that was drawn, (H, W, 3)."""
    return np.asarray(open_picture(out / setting / f"{number:03}.png"))


def similarity(large: NDArray[np.uint8], first: NDArray[np.uint8]) -> float:
    """SSIM of a picture, made small again by averaging, and the first stage's picture."""
    from skimage.metrics import structural_similarity

    from fusionkit_tinyworld.drawing import shrink

    return float(structural_similarity(shrink(large, len(first)), first, channel_axis=2))


def interval(values: Sequence[float]) -> float:
    """Half the width of the mean's 95 % interval, by the normal approximation."""
    return 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")


def measured(out: Path, chosen: Sequence[Case]) -> dict[str, dict[str, list[float]]]:
    """Counts and similarities of each setting that is complete."""
    figures = {}
    for setting in SETTINGS:
        if all((out / setting / f"{case.number:03}.png").exists() for case in chosen):
            pictures = [picture(out, setting, case.number) for case in chosen]
            firsts = [picture(out, "first", case.number) for case in chosen]
            figures[setting] = {
                "objects": [float(case.count(large)) for large, case in zip(pictures, chosen, strict=True)],
                "ssim": [similarity(large, first) for large, first in zip(pictures, firsts, strict=True)],
            }
    return figures


def table(figures: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """The figures as a table in Markdown."""
    lines = [
        "| setting | objects, mean | exactly one | none | SSIM to the first picture |",
        "| --- | --- | --- | --- | --- |",
    ]
    for setting, values in figures.items():
        counts, likeness = values["objects"], values["ssim"]
        one, none = (sum(count == wanted for count in counts) / len(counts) for wanted in (1, 0))
        alike = f"{statistics.mean(likeness):.2f} ± {interval(likeness):.2f}" if setting != "first" else "1"
        mean = f"{statistics.mean(counts):.2f} ± {interval(counts):.2f}"
        lines.append(f"| {LABELS[setting]} | {mean} | {one:.0%} | {none:.0%} | {alike} |")
    return "\n".join(lines)


def sheet(out: Path, numbers: Sequence[int], settings: Sequence[str], path: Path) -> None:
    """Pictures of several settings (columns) and seeds (rows), side by side."""
    gap, side = 4, 256
    whole = Image.new("RGB", (len(settings) * (side + gap) - gap, len(numbers) * (side + gap) - gap), "white")
    for row, number in enumerate(numbers):
        for column, setting in enumerate(settings):
            one = Image.fromarray(picture(out, setting, number)).resize((side, side), Image.Resampling.NEAREST)
            whole.paste(one, (column * (side + gap), row * (side + gap)))
    whole.save(path, quality=90, method=6)


def main() -> None:
    """Draw, or count what was drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, help="folder of the pictures; default: out/upscaling, or with the world's name"
    )
    parser.add_argument("--world", choices=WORLDS, default="tinyworld", help="whose model draws")
    parser.add_argument("--pictures", type=int, default=40, help="how many prompts, each with its own seed")
    parser.add_argument("--only", nargs="*", choices=SETTINGS, help="settings to draw; default: all of the world")
    parser.add_argument("--part", default="0/1", help="which part of the pictures this process draws, such as 0/2")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    parser.add_argument("--table", action="store_true", help="count, and print the table")
    parser.add_argument("--sheet", choices=SHEETS, help="write this picture of the documentation")
    parser.add_argument("--numbers", nargs="*", type=int, help="the rows of a sheet")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    world = WORLDS[options.world]
    out = options.out or Path("out/upscaling" if world.name == "tinyworld" else f"out/upscaling-{world.name}")
    chosen = world.cases(options.pictures)
    if options.sheet:
        numbers = options.numbers or ROWS_OF.get(options.sheet, ROWS)
        sheet(out, numbers, SHEETS[options.sheet], IMAGES / f"{options.sheet}.webp")
    elif options.table:
        figures = measured(out, begun(chosen, out))
        (out / "figures.json").write_text(json.dumps(figures, indent=1))
        print(table(figures), f"\n\n{len(begun(chosen, out))} of {len(chosen)} prompts")
    else:
        part, parts = map(int, options.part.split("/"))
        mine = [case for case in chosen if case.number % parts == part]
        # By tens, so that what is there when it is interrupted has all settings.
        draw_first(world, mine, out)
        mine = begun(mine, out)
        for start in range(0, len(mine), 10):
            for setting in options.only or settings_of(world):
                draw(world, setting, mine[start : start + 10], out)


if __name__ == "__main__":
    main()
