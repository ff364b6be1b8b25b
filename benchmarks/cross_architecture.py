"""Judges what a transformer and a UNet draw together: is the scene of the one there, and the other's thing too?

`vista/flow` matches flows, `vista/scenes` predicts velocities of a diffusion; their latents are one autoencoder's. The
one is told a scene, the other the same scene with a thing in it, both ways. Each setting draws the same captions with
the same seeds. What is drawn is kept, so that the command goes on where it was interrupted; `--part 0/2` and
`--part 1/2` share the work between two processes.

Run it:  python benchmarks/cross_architecture.py
         python benchmarks/cross_architecture.py --table
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, islice

import numpy as np
from magicfusion import Setting, averaged, blended, share
from magicfusion_vista import draw, options_of, part_of, pictures

from fusionkit_vista.drawer import caption, parse, sample_spec
from fusionkit_vista.judge import Seen, load_judge
from fusionkit_vista.models import WEIGHTS

STEPS, SCHEDULERS = 16, {"flow": "flow-euler", "scenes": "dpm++-2m"}
SCENE, FULL = "{scene}", "{scene} with {thing}"
FLOW, UNET = {"flow": SCENE, "scenes": FULL}, {"scenes": SCENE, "flow": FULL}
SETTINGS = {
    "flow": Setting("`flow` alone, its prompt names the thing", {"flow": FULL}),
    "scenes": Setting("`scenes` alone, its prompt names the thing", {"scenes": FULL}),
    "flow-scene": Setting("`flow` alone, the scene's prompt", {"flow": SCENE}),
    "scenes-scene": Setting("`scenes` alone, the scene's prompt", {"scenes": SCENE}),
    "flow-averaged": Setting("scene by `flow`, thing by `scenes`, averaged", FLOW, averaged),
    "scenes-averaged": Setting("scene by `scenes`, thing by `flow`, averaged", UNET, averaged),
    **{
        f"{main}-k{k}": Setting(f"scene by `{main}`, thing by `{expert}`, k = {k}", prompts, blended(k))
        for main, expert, prompts in (("flow", "scenes", FLOW), ("scenes", "flow", UNET))
        for k in (1, 4, 16)
    },
    **{
        f"{main}-scene-k{k}": Setting(
            f"scene by `{main}`, thing by `{expert}`, negative prompt, k = {k}", prompts, blended(k), SCENE
        )
        for main, expert, prompts in (("flow", "scenes", FLOW), ("scenes", "flow", UNET))
        for k in (1, 4, 16, 64)
    },
}


@dataclass(frozen=True)
class Case:
    """What one picture is asked for; its number is its seed."""

    number: int
    scene: str
    thing: str

    def fill(self, template: str) -> str:
        """A prompt of this case."""
        return template.format(scene=self.scene, thing=self.thing)


def cases(most: int) -> list[Case]:
    """Captions of whole scenes and of the one thing in each, at random."""
    specs = (sample_spec(np.random.default_rng((n, 91)), weather="in clear weather") for n in count())
    parts = (caption(spec).split(" with a ") for spec in specs)
    chosen = islice((each for each in parts if len(each) == 2), most)
    return [Case(number, scene, f"a {thing}") for number, (scene, thing) in enumerate(chosen)]


def judged(case: Case, seen: Seen) -> tuple[bool, bool]:
    """Whether a picture shows the scene at its time of day and in its style, and the thing."""
    asked = parse(case.fill(FULL))
    scene = all(getattr(seen, name) == asked[name] for name in ("style", "scene", "time"))
    return scene, asked["thing"] in seen.things


def main() -> None:
    """Draw, or judge what was drawn."""
    options = options_of(__doc__, "out/cross-architecture", SETTINGS)
    asked = cases(options.pictures)
    if not options.table:
        for name in options.only:
            main_one = next(iter(SETTINGS[name].prompts))
            fields = {"steps": STEPS, "guidance_scale": 4.0, "scheduler": SCHEDULERS[main_one]}
            draw(options.out / name, SETTINGS[name], part_of(asked, options.part), **fields)
        return
    judge = load_judge(WEIGHTS / "judge")
    print("| setting | the scene | the thing | both |\n| --- | --- | --- | --- |")
    for name in options.only:
        if (drawn := pictures(options.out / name, asked)) is not None:
            found = [judged(case, seen) for case, seen in zip(asked, judge.judge(drawn), strict=True)]
            scene, thing = zip(*found, strict=True)
            both = [all(each) for each in found]
            print(f"| {SETTINGS[name].label} | {share(scene)} | {share(thing)} | {share(both)} |")


if __name__ == "__main__":
    main()
