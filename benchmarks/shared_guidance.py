"""One unconditional pass for views that overlap: all of them, or those whose part of the picture is flat.

Of windows at a quarter of a window apart each pixel is in several. With the prompt all are predicted; without it only
every `every`-th one, and the others take what those say of their pixels: u(x) is the mean over the windows that were
asked. Where `flat` is given, a window does so only if the last step's clean estimate is flat there: if its standard
deviation inside the window is below that share of the canvas'. What is saved then depends on the picture, and a plan
can only bound it; without `flat` it is exact.

Run it:  python benchmarks/shared_guidance.py --json out/shared-guidance.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiments import markdown
from torch import Tensor
from worlds import WORLDS

from fusionkit import Field, Fused, Fusion, Patches, Plugin, Stage, StageState, Step, gather, hookimpl
from fusionkit.loop.canvas import scatter
from fusionkit_gvcf import GuidedFusion
from fusionkit_multidiffusion import MultiDiffusion

SIZE = (640, 128)
STEPS = 20


class SharedGuidance(Plugin, name="shared-guidance"):
    """Windows without the prompt are predicted for every n-th one alone; the others take theirs from the canvas."""

    every: int = Field(default=2, ge=1, description="Which windows are predicted without the prompt.")
    flat: float | None = Field(default=None, gt=0, description="Only windows that are flatter share; None is all.")

    _clean = StageState(Tensor)

    @hookimpl
    def step_done(self, stage: Stage, at: Step, latents: Tensor, fused: Fused) -> None:
        """Keep the clean estimate."""
        if self.flat is not None and fused.denoised is not None:
            self._clean.set(stage, fused.denoised)

    def asked(self, stage: Stage, patches: Patches) -> list[int]:
        """The numbers of the windows that are predicted without the prompt as well."""
        tops, lefts = (sorted({view[axis] for view in patches.views}) for axis in (0, 1))
        kept = [{*each[:: self.every], each[-1]} for each in (tops, lefts)]
        grid = [view.top in kept[0] and view.left in kept[1] for view in patches.views]
        if self.flat is not None:
            clean = self._clean.get(stage)
            if clean is None:
                return list(range(len(grid)))
            inside = gather(clean, patches.views).std((2, 3)).mean(1)
            flat = (inside < self.flat * clean.std((2, 3)).mean()).tolist()
            grid = [on_grid or not is_flat for on_grid, is_flat in zip(grid, flat, strict=True)]
        return [number for number, each in enumerate(grid) if each]

    @hookimpl
    def forward_passes(self, stage: Stage, at: Step, patches: Patches) -> int:
        """One a window, and one more for each that is asked without the prompt; with `flat` the most there may be."""
        return len(patches.views) + len(self.asked(stage, patches))

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """The guided output, its unconditional half from the canvas where it was not asked for."""
        scale, asked = stage.recipe.guidance_scale, self.asked(stage, patches)
        rest = [number for number in range(len(patches.views)) if number not in asked]
        cond = torch.empty_like(patches.latents)
        group = patches.picked(asked)
        cond[asked], uncond = stage.model.predict_pair(stage, at, group)
        if rest:
            cond[rest] = stage.model.predict_with(stage, at, patches.picked(rest))
        whole = scatter(uncond, group.views, torch.zeros(stage.shape))
        count = scatter(torch.ones_like(uncond[:, :1]), group.views, torch.zeros(stage.shape)[:, :1])
        shared = gather(whole / count, patches.views)
        shared[asked] = uncond
        return shared + scale * (cond - shared)


SETTINGS: Mapping[str, Sequence[Plugin]] = {
    "guided fusion 1/4": [MultiDiffusion(stride=32), GuidedFusion()],
    "shared by 2": [MultiDiffusion(stride=32), GuidedFusion(), SharedGuidance(every=2)],
    "shared by 4": [MultiDiffusion(stride=32), GuidedFusion(), SharedGuidance(every=4)],
    "shared by 4 where flat (0.5)": [MultiDiffusion(stride=32), GuidedFusion(), SharedGuidance(every=4, flat=0.5)],
    "guided fusion 3/8": [MultiDiffusion(stride=48), GuidedFusion()],
    "guided fusion 1/2": [MultiDiffusion(stride=64), GuidedFusion()],
}


def jump(picture: Any) -> float:
    """The median over columns of the mean difference to the next one, in grey levels: grain, or detail."""
    values = np.asarray(picture.convert("RGB"), dtype=float)
    return float(np.median(np.abs(np.diff(values, axis=1)).mean((0, 2))))


def measured(pictures: int, out: Path) -> dict[str, dict[str, list[float]]]:
    """Draw all settings, and compare each picture with the first setting's of its prompt."""
    world, found = WORLDS["vista"], {name: {"passes": [], "difference": [], "grain": []} for name in SETTINGS}
    fusions = {
        name: Fusion.from_pretrained(
            world.model, plugins=list(plugins), size=SIZE, scheduler=world.scheduler, steps=STEPS
        )
        for name, plugins in SETTINGS.items()
    }
    for case in world.cases(pictures):
        first: Any = None
        for name, fusion in fusions.items():
            result = fusion(case.prompt, seed=case.number, progress=False)
            first = first or result
            differs = float((result.latents - first.latents).std() / first.latents.std())
            figures = {"passes": result.forward_passes, "difference": differs}
            figures["grain"] = jump(result.image) / jump(first.image)
            for each, value in figures.items():
                found[name][each].append(value)
            path = out / name.replace(" ", "-").replace("/", "-") / f"{case.number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            result.image.save(path)
        print(case.number, case.prompt, flush=True)
    return found


def table(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """The figures in Markdown."""

    def mean(values: Sequence[float]) -> str:
        spread = 1.96 * statistics.stdev(values) / len(values) ** 0.5
        return f"{statistics.mean(values):.2f} ± {spread:.2f}"

    rows = [
        [name, f"{statistics.mean(each['passes']):.0f}", mean(each["difference"]), mean(each["grain"])]
        for name, each in found.items()
    ]
    return markdown(["setting", "passes", "difference to the first", "median column jump, of the first's"], rows)


def main() -> None:
    """Draw, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--json", type=Path, default=Path("out/shared-guidance.json"))
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    found = measured(options.pictures, options.json.with_suffix(""))
    options.json.write_text(json.dumps(found, indent=1))
    print(table(found))


if __name__ == "__main__":
    main()
