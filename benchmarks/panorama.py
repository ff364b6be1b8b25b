"""The same panorama by fusionkit and by diffusers' own StableDiffusionPanoramaPipeline, side by side.

Both do the same work: model, prompt, size, views, DDIM steps, guidance, starting noise; the pictures are compared.
Each round runs the floor (the model's forward passes alone), diffusers with one view a pass (its default), diffusers
with as many views a pass as fusionkit, and fusionkit, so that whatever else the machine does slows down all of them.
Circular padding is off. Of diffusers' pipeline one thing is changed: its views are counted in the model's own latent
factor and window, where it assumes 8 and 64.

Run it:  python benchmarks/panorama.py
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from diffusers import DDIMScheduler
from diffusers.pipelines.deprecated import StableDiffusionPanoramaPipeline

from fusionkit import Fusion
from fusionkit.models.load import load_pipeline
from fusionkit.stage import Stage
from fusionkit.views import windows
from fusionkit_multidiffusion import MultiDiffusion

PROMPT = "a landscape photo of mountains at twilight"


class Panorama(StableDiffusionPanoramaPipeline):  # type: ignore[misc]
    """diffusers' pipeline, with views of the model's own window and a stride of our choice."""

    stage: Stage
    stride: int

    def get_views(self, *size: int, **options: Any) -> list[tuple[int, int, int, int]]:
        """The views as fusionkit has them, as (top, bottom, left, right)."""
        views = windows(self.stage.canvas, self.stage.window, (self.stride, self.stride))
        return [(view.top, view.top + view.height, view.left, view.left + view.width) for view in views]


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """The time that something takes, and what it answers."""
    began = perf_counter()
    answer = work()
    return perf_counter() - began, answer


@torch.inference_mode()
def forward_passes(pipe: Any, stage: Stage, views: int, batch: int) -> None:
    """As many forward passes as the panorama needs, conditional and unconditional, and nothing else."""
    latents = torch.zeros(2 * batch, stage.shape[1], *stage.window)
    text = torch.zeros(2 * batch, pipe.tokenizer.model_max_length, pipe.unet.config.cross_attention_dim)
    for at in stage.steps:
        for start in range(0, views, batch):
            size = 2 * min(batch, views - start)
            pipe.unet(latents[:size], at.timestep, encoder_hidden_states=text[:size], return_dict=False)


def main() -> None:
    """Alternate the four, and print seconds, ratios and the largest difference of the pictures' latents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tinyworld/scenes")
    parser.add_argument("--size", default="512x64")
    parser.add_argument("--stride", type=int, default=32, help="in pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8, help="views in one forward pass")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()

    pipe = load_pipeline(options.model, "sd", dtype=torch.float32)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False, steps_offset=1)
    fusion = Fusion.from_pipe(
        pipe,
        plugins=[MultiDiffusion(stride=options.stride)],
        size=options.size,
        steps=options.steps,
        guidance_scale=4.0,
        batch_size=options.batch,
        prompt=PROMPT,
    )
    plan = fusion.plan()
    (stage,) = plan.stages
    width, height = plan.recipe.size
    theirs = Panorama(**pipe.components, requires_safety_checker=False)
    theirs.stage, theirs.stride = stage, options.stride // stage.factor
    theirs.set_progress_bar_config(disable=True)

    def diffusers(batch: int, output: str = "pil") -> Any:
        return theirs(
            PROMPT,
            height=height,
            width=width,
            num_inference_steps=options.steps,
            guidance_scale=4.0,
            latents=stage.noise("init"),
            view_batch_size=batch,
            circular_padding=False,
            output_type=output,
        ).images

    views = len(theirs.get_views())
    contestants: dict[str, Callable[[], Any]] = {
        "forward passes alone": lambda: forward_passes(pipe, stage, views, options.batch),
        "diffusers, 1 view a pass": lambda: diffusers(1),
        f"diffusers, {options.batch} views a pass": lambda: diffusers(options.batch),
        "fusionkit": lambda: fusion(progress=False),
    }
    for work in contestants.values():
        work()  # warm up
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.runs):
        for name, work in contestants.items():
            times[name].append(seconds(work)[0])

    difference = float((fusion(progress=False).latents - diffusers(options.batch, "latent")).abs().max())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{options.model}, {width}x{height}, {views} views, {options.steps} DDIM steps, {options.runs} rounds, "
        f"{torch.get_num_threads()} threads, load {load:.1f}; largest difference of the latents {difference:.1e}"
    )
    print(f"{'':28}  {'seconds':^23}   {'fusionkit / this':^23}")
    print(f"{'':28}  {'min':>7} {'median':>7} {'max':>7}   {'min':>7} {'median':>7} {'max':>7}")
    medians = {}
    for name, found in times.items():
        ratios = [ours / other for ours, other in zip(times["fusionkit"], found, strict=True)]
        medians[name] = statistics.median(ratios)
        row = [min(found), statistics.median(found), max(found), min(ratios), medians[name], max(ratios)]
        print(
            f"{name:28}  "
            + " ".join(f"{each:7.2f}" for each in row[:3])
            + "   "
            + " ".join(f"{each:7.3f}" for each in row[3:])
        )
    raise SystemExit(difference > 1e-3 or any(medians[name] > 1 for name in medians if name.startswith("diffusers")))


if __name__ == "__main__":
    main()
