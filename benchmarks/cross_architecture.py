"""Judges what a transformer and a UNet draw together: is the scene of the one there, and the other's thing too?

`vista/flow` matches flows, `vista/scenes` predicts velocities of a diffusion; their latents are one autoencoder's. The
one is told a scene, the other the same scene with a thing in it, both ways. Each setting draws the same captions with
the same seeds. What is drawn is kept, so that the command goes on where it was interrupted; `--part 0/2` and
`--part 1/2` share the work between two processes.

Run it:  python benchmarks/cross_architecture.py
         python benchmarks/cross_architecture.py --table
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path
from time import perf_counter

import numpy as np
from magicfusion import Setting, averaged, blended, share

from fusionkit import Fusion
from fusionkit.pictures.picture import open_picture
from fusionkit_vista.drawer import caption, parse, sample_spec
from fusionkit_vista.judge import SIZE, load_judge
from fusionkit_vista.models import WEIGHTS

STEPS = 16
SCENE, FULL = "{scene}", "{scene} with {thing}"
FLOW, UNET = {"flow": SCENE, "scenes": FULL}, {"scenes": SCENE, "flow": FULL}
SETTINGS = {
    "flow": Setting("`flow` alone, its prompt names the thing", {"flow": FULL}),
    "scenes": Setting("`scenes` alone, its prompt names the thing", {"scenes": FULL}),
    "flow-scene": Setting("`flow` alone, the scene's prompt", {"flow": SCENE}),
    "scenes-scene": Setting("`scenes` alone, the scene's prompt", {"scenes": SCENE}),
    "flow-averaged": Setting("scene by `flow`, thing by `scenes`, averaged", FLOW, averaged),
    "flow-blended": Setting("scene by `flow`, thing by `scenes`, blended", FLOW, blended(1)),
    "scenes-averaged": Setting("scene by `scenes`, thing by `flow`, averaged", UNET, averaged),
    "scenes-blended": Setting("scene by `scenes`, thing by `flow`, blended", UNET, blended(1)),
}


def cases(most: int) -> list[tuple[str, str]]:
    """Captions of whole scenes and of the one thing in each, at random."""
    specs = (sample_spec(np.random.default_rng((n, 91)), weather="in clear weather") for n in count())
    parts = (caption(spec).split(" with a ") for spec in specs)
    return [(scene, f"a {thing}") for scene, thing in islice((each for each in parts if len(each) == 2), most)]


def draw(folder: Path, setting: Setting, asked: Sequence[tuple[int, tuple[str, str]]]) -> None:
    """Draw what is not there yet of one setting."""
    missing = [(number, case) for number, case in asked if not (folder / f"{number:03}.png").exists()]
    if not missing:
        return
    names = list(setting.prompts)
    models = {name: f"vista/{name}" for name in names} if len(names) > 1 else f"vista/{names[0]}"
    scheduler = "flow-euler" if names[0] == "flow" else "dpm++-2m"
    fusion = Fusion.from_pretrained(models, size=(SIZE, SIZE), steps=STEPS, guidance_scale=4.0, scheduler=scheduler)
    began = perf_counter()
    for number, (scene, thing) in missing:
        prompts = {name: template.format(scene=scene, thing=thing) for name, template in setting.prompts.items()}
        plugins = setting.plugins(prompts, None)
        result = fusion(next(iter(prompts.values())), seed=number, plugins=plugins, progress=False)
        result.save(folder / f"{number:03}.png")
    print(f"{folder.name}: {len(missing)} pictures in {perf_counter() - began:.0f} s", flush=True)


def main() -> None:
    """Draw, or judge what was drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/cross-architecture"), help="folder of the pictures")
    parser.add_argument("--pictures", type=int, default=100, help="how many captions, each with its own seed")
    parser.add_argument("--only", nargs="*", choices=SETTINGS, default=list(SETTINGS), help="which settings")
    parser.add_argument("--part", default="0/1", help="which part of the pictures this process draws, such as 0/2")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    parser.add_argument("--table", action="store_true", help="judge, and print the table")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    asked = list(enumerate(cases(options.pictures)))
    if not options.table:
        part, parts = map(int, options.part.split("/"))
        for name in options.only:
            draw(options.out / name, SETTINGS[name], [case for case in asked if case[0] % parts == part])
        return
    judge = load_judge(WEIGHTS / "judge")
    print("| setting | the scene | the thing | both |\n| --- | --- | --- | --- |")
    for name in options.only:
        paths = [options.out / name / f"{number:03}.png" for number, _ in asked]
        if not all(path.exists() for path in paths):
            continue
        found = [parse(f"{scene} with {thing}") for _, (scene, thing) in asked]
        seen = judge.judge(np.stack([np.asarray(open_picture(path)) for path in paths]))
        right = [
            (each.style, each.scene, each.time) == (wanted["style"], wanted["scene"], wanted["time"])
            for each, wanted in zip(seen, found, strict=True)
        ]
        there = [wanted["thing"] in each.things for each, wanted in zip(seen, found, strict=True)]
        both = [a and b for a, b in zip(right, there, strict=True)]
        print(f"| {SETTINGS[name].label} | {share(right)} | {share(there)} | {share(both)} |")


if __name__ == "__main__":
    main()
