"""Counts the objects in pictures of 16 windows' area whose prompt names one, and compares them with the first stage.

Each setting draws the same prompts with the same seeds, 4 times the side of the embedded model's window. What is drawn
is kept, so that the command goes on where it was interrupted; `--part 0/2` and `--part 1/2` share the work between two
processes. `--table` counts the objects, compares each picture, made small again, with the first stage's (SSIM), and
prints the table; `--sheet` puts pictures side by side.

Run it:  python benchmarks/upscaling.py
         python benchmarks/upscaling.py --table
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

from fusionkit import Fusion, Plugin
from fusionkit.pictures.image import read_metadata
from fusionkit.pictures.picture import open_picture
from fusionkit_accdiffusion import ControlNet, DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_multidiffusion import MultiDiffusion
from fusionkit_tinyworld.captions import Landscape, all_landscapes, caption

MODEL, WINDOW, SIDE = "tinyworld/scenes", 64, 256
STEPS, STRIDE, JITTER = 12, 48, 8
# What `fusionkit_tinyworld.counter` counts best.
THINGS = ("balloon", "sun")
# Of the embedded model: "landscape" says that a picture shows the whole scene, which no part of a larger one does.
WHOLE = ("landscape",)
STYLES = ("photo", "cartoon")

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
# Pictures of the documentation: their columns, and their rows by number.
SHEETS: Mapping[str, Sequence[str]] = {
    "upscaling": ("first", "multidiffusion", "demofusion", "accdiffusion", "accdiffusion-v2"),
    "dilated-sampling": ("no-dilated", "no-interaction", "no-filter", "accdiffusion"),
    "enlarged": ("first", "multidiffusion", "accdiffusion-v2"),
}
ROWS = (2, 3, 4, 5)
ROWS_OF = {"enlarged": (4,)}


def landscapes(count: int) -> list[tuple[int, Landscape]]:
    """Contents with one object each, numbered: the kinds in turn, at other scenes, times, styles and colours each.

    Yellow objects in a city after noon are left out: the counter takes lit windows for them.
    """
    by_thing = {thing: [each for each in all_landscapes() if each.thing == thing] for thing in THINGS}
    rng = np.random.default_rng(0)
    shuffled = {thing: [there[number] for number in rng.permutation(len(there))] for thing, there in by_thing.items()}
    in_turn = [each for turn in zip(*shuffled.values(), strict=False) for each in turn]
    lit = [each.scene == "city" and each.colour == "yellow" and each.time != "noon" for each in in_turn]
    return [(number, each) for number, each in enumerate(in_turn) if not lit[number]][:count]


def windows() -> MultiDiffusion:
    """The local windows of all settings."""
    return MultiDiffusion(stride=STRIDE, jitter=JITTER)


def upscaled(
    *more: Plugin,
    prompts: bool = True,
    interaction: bool = True,
    gaussian: bool = True,
    dilated: bool = True,
    residual: bool = True,
    stages: tuple[float, ...] = (2,),
) -> list[Plugin]:
    """AccDiffusion with single parts switched off; without prompts each view has the whole one, but for `WHOLE`."""
    threshold = 0.3 if prompts else 0.0
    samples = [DilatedSampling(window_interaction=interaction, gaussian_filter=gaussian)] if dilated else []
    return [
        ProgressiveUpscaling(stages=stages, skip_residual=3.0 if residual else "off"),
        windows(),
        *samples,
        PatchContentPrompts(threshold=threshold, levels=(1, 2), keep=STYLES, drop=WHOLE),
        *more,
    ]


def canny() -> ControlNet:
    """The embedded ControlNet, as AccDiffusion v2 uses one."""
    return ControlNet(model="tinyworld/canny")


SETTINGS: Mapping[str, Callable[[], list[Plugin]]] = {
    "first": list,
    "direct": list,
    "multidiffusion": lambda: [windows()],
    "demofusion": lambda: upscaled(prompts=False, interaction=False),
    "accdiffusion": lambda: upscaled(),
    "accdiffusion-v2": lambda: upscaled(canny()),
    "no-prompts": lambda: upscaled(prompts=False),
    "no-interaction": lambda: upscaled(interaction=False),
    "no-filter": lambda: upscaled(gaussian=False),
    "no-dilated": lambda: upscaled(dilated=False),
    "no-residual": lambda: upscaled(residual=False),
    "one-step": lambda: upscaled(stages=(4,)),
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


def fusion_of(setting: str) -> Fusion:
    """A setting, ready to draw."""
    side = WINDOW if setting == "first" else SIDE
    fields = {"window": (SIDE, SIDE)} if setting == "direct" else {}
    return Fusion.from_pretrained(
        MODEL, plugins=SETTINGS[setting](), size=(side, side), steps=STEPS, scheduler="ddim", **fields
    )


def draw_first(chosen: Sequence[tuple[int, Landscape]], out: Path) -> None:
    """Draw the first stages alone, with the first seed of number, number + 1000, ... that shows exactly one object.

    Whatever a first stage shows twice, no upscaling can be blamed for.
    """
    fusion = fusion_of("first")
    for number, each in chosen:
        path = out / "first" / f"{number:03}.png"
        for seed in range(number, 20_000, 1000):
            if path.exists():
                break
            result = fusion(caption(each), seed=seed, progress=False)
            if count(np.asarray(result.image), each) == 1:
                result.save(path)
                print(f"first {number:3} seed {seed}  {caption(each)}", flush=True)


def draw(setting: str, chosen: Sequence[tuple[int, Landscape]], out: Path) -> None:
    """Draw what is not there yet of one setting, with the seeds of the first stages."""
    missing = [(number, each) for number, each in chosen if not (out / setting / f"{number:03}.png").exists()]
    fusion = fusion_of(setting) if missing else None
    for number, each in missing:
        began, seed = perf_counter(), read_metadata(out / "first" / f"{number:03}.png")["seed"]
        assert fusion is not None
        fusion(caption(each), seed=seed, progress=False).save(out / setting / f"{number:03}.png")
        print(f"{setting} {number:3} {perf_counter() - began:5.1f} s  {caption(each)}", flush=True)


def picture(out: Path, setting: str, number: int) -> NDArray[np.uint8]:
    """A picture that was drawn, (H, W, 3)."""
    return np.asarray(open_picture(out / setting / f"{number:03}.png"))


def similarity(large: NDArray[np.uint8], first: NDArray[np.uint8]) -> float:
    """SSIM of a picture, made small again by averaging, and the first stage's picture."""
    from skimage.metrics import structural_similarity

    from fusionkit_tinyworld.drawing import shrink

    return float(structural_similarity(shrink(large, WINDOW), first, channel_axis=2))


def interval(values: Sequence[float]) -> float:
    """Half the width of the mean's 95 % interval, by the normal approximation."""
    return 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")


def count(image: NDArray[np.uint8], landscape: Landscape) -> int:
    """How many of a landscape's object a picture shows, enlarged to the size that the counter is made for."""
    from fusionkit_tinyworld.counter import count_objects

    enlarged = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return count_objects(enlarged, str(landscape.thing), landscape.colour)


def measured(out: Path, chosen: Sequence[tuple[int, Landscape]]) -> dict[str, dict[str, list[float]]]:
    """Counts and similarities of each setting that is complete."""
    figures = {}
    for setting in SETTINGS:
        if all((out / setting / f"{number:03}.png").exists() for number, _ in chosen):
            pictures = [picture(out, setting, number) for number, _ in chosen]
            firsts = [picture(out, "first", number) for number, _ in chosen]
            figures[setting] = {
                "objects": [float(count(large, each)) for large, (_, each) in zip(pictures, chosen, strict=True)],
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
    gap = 4
    whole = Image.new("RGB", (len(settings) * (SIDE + gap) - gap, len(numbers) * (SIDE + gap) - gap), "white")
    for row, number in enumerate(numbers):
        for column, setting in enumerate(settings):
            one = Image.fromarray(picture(out, setting, number)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            whole.paste(one, (column * (SIDE + gap), row * (SIDE + gap)))
    whole.quantize(256).convert("RGB").save(path, lossless=True, quality=100, method=6)


def main() -> None:
    """Draw, or count what was drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/upscaling"), help="folder of the pictures")
    parser.add_argument("--pictures", type=int, default=40, help="how many prompts, each with its own seed")
    parser.add_argument("--only", nargs="*", choices=SETTINGS, default=list(SETTINGS), help="settings to draw or show")
    parser.add_argument("--part", default="0/1", help="which part of the pictures this process draws, such as 0/2")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    parser.add_argument("--table", action="store_true", help="count, and print the table")
    parser.add_argument("--sheet", choices=SHEETS, help="write this picture of the documentation")
    parser.add_argument("--numbers", nargs="*", type=int, help="the rows of a sheet")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    chosen = landscapes(options.pictures)
    if options.sheet:
        numbers = options.numbers or ROWS_OF.get(options.sheet, ROWS)
        sheet(options.out, numbers, SHEETS[options.sheet], IMAGES / f"{options.sheet}.webp")
    elif options.table:
        figures = measured(options.out, chosen)
        (options.out / "figures.json").write_text(json.dumps(figures, indent=1))
        print(table(figures))
    else:
        part, parts = map(int, options.part.split("/"))
        mine = [each for each in chosen if each[0] % parts == part]
        # By tens, so that what is there when it is interrupted has all settings.
        draw_first(mine, options.out)
        for start in range(0, len(mine), 10):
            for setting in options.only:
                draw(setting, mine[start : start + 10], options.out)


if __name__ == "__main__":
    main()
