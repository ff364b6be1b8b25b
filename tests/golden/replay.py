"""Runs a golden case: the product's own plugins and loop, fed the draws that the reference recorded."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import diffusers
import torch
from arrays import SEEDED, load
from torch import Tensor

from fusionkit import Cancelled, Fused, Patches, Plugin, Recipe, Stage, Step, View, hookimpl
from fusionkit.loop.canvas import scatter
from fusionkit.models.adapters.stable_diffusion_xl import StableDiffusionXL
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipeline
from fusionkit.runs.run import execute, prepare

HERE = Path(__file__).parent
SCHEDULERS = {"ddim": "DDIMScheduler", "DDIM": "DDIMScheduler", "ddpm": "DDPMScheduler", "DDIM, eta 0": "DDIMScheduler"}


@dataclass
class Case:
    """One recorded run of a reference: its parameters and its arrays."""

    name: str
    params: dict[str, Any]
    arrays: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> Case:
        found = load(path)
        arrays = {name: torch.from_numpy(array) for name, array in found.items() if name != "params"}
        params = json.loads(str(found["params"]))
        if params.get("system") in SEEDED:
            arrays |= drawn(params)
        return cls(path.stem, params, arrays)

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays


def drawn(params: Mapping[str, Any]) -> dict[str, Tensor]:
    """The noise that a seed draws on the CPU: the initial one, and that of every step where steps are stochastic."""
    generator, shape = torch.Generator().manual_seed(params["seed"]), (1, 4, *params["latent"])
    noise = {"initial_noise": torch.randn(shape, generator=generator)}
    if params["eta"]:
        steps = range(params["num_inference_steps"])
        noise["variance_noise"] = torch.stack([torch.randn(shape, generator=generator) for _ in steps])
    return noise


def cases(system: str) -> list[Path]:
    """Every recorded run in the system's folder; files of single functions are not runs."""
    return [path for path in sorted((HERE / "data" / system).glob("*.npz")) if "canvas_after_step" in Case.read(path)]


class Replay(Plugin):
    """The reference's initial noise, and its noise of every view and step where it recorded some."""

    initial: Any
    patch_noise: Any = None
    variance_noise: Any = None

    @hookimpl(wrapper=True)
    def fuse(self, at: Step) -> Generator[None, Fused, Fused]:
        fused = yield
        return fused if self.variance_noise is None else replace(fused, noise=self.variance_noise[at.index])

    @hookimpl
    def init_noise(self) -> Tensor:
        return self.initial.reshape(1, *self.initial.shape[-3:])

    @hookimpl(wrapper=True)
    def views(self, at: Step) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        groups = yield
        if self.patch_noise is None or at.index >= len(self.patch_noise):
            return groups
        return [replace(groups[0], noise=self.patch_noise[at.index])]


def reference_map(size: int) -> Tensor:
    """GVCFDiffusion's generate_distance_map(size, 1): off-centre for even sizes and 0 in the first corner."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centre = size // 2
    return 1 - torch.sqrt((y - centre) ** 2 + (x - centre) ** 2) / (2 * centre**2) ** 0.5


class ReferenceMap(Plugin):
    """Guided fusion as the reference has it: its own map, and its hole, which it holds at 0 after every step.

    The map is not 0 here but next to nothing in that corner, since the product refuses a canvas with a hole.
    """

    @hookimpl(wrapper=True)
    def views(self) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        groups = yield
        weights = reference_map(groups[0].size[0]).float().clamp_min(1e-30)[None, None]
        return [patches.weighted(weights) for patches in groups]

    @hookimpl(wrapper=True)
    def step(self, stage: Stage, at: Step) -> Generator[None, Tensor, Tensor]:
        latents = yield
        patches = windows_of(stage, at)
        weights = reference_map(patches.size[0]).float().expand(len(patches.views), 1, *patches.size)
        total = scatter(weights, patches.views, torch.zeros(1, 1, *stage.canvas))
        return torch.where(total > 0, latents, 0)


def windows_of(stage: Stage, at: Step) -> Patches:
    """The stage's windows as its own MultiDiffusion plugin answers them."""
    from fusionkit_multidiffusion import MultiDiffusion

    plugin = next(plugin for plugin in stage.recipe.plugins if isinstance(plugin, MultiDiffusion))
    return plugin.views(stage, at)[0]


@dataclass
class Seen:
    """What a run computed, step by step."""

    canvases: list[Tensor] = field(default_factory=list)
    predictions: list[Tensor] = field(default_factory=list)
    patches: list[Tensor] = field(default_factory=list)
    timesteps: list[int] = field(default_factory=list)
    views: list[list[list[int]]] = field(default_factory=list)


class Record(Plugin):
    """Keeps what the loop computes, to compare it, and ends the run after so many steps."""

    seen: Any
    steps: int | None = None

    @hookimpl(wrapper=True)
    def fuse(self, groups: Sequence[Patches]) -> Generator[None, Fused, Fused]:
        patches = groups[0]
        self.seen.predictions.append(patches.prediction.clone())
        self.seen.patches.append(patches.latents.clone())
        self.seen.views.append([[v.top, v.top + v.height, v.left, v.left + v.width] for v in patches.views])
        return (yield)

    @hookimpl
    def step_done(self, at: Step, latents: Tensor) -> None:
        self.seen.canvases.append(latents[0].clone())
        self.seen.timesteps.append(int(at.timestep))
        if at.index + 1 == self.steps:
            raise Cancelled


class Padded(StableDiffusionXL):
    """SDXL told of windows' positions on a canvas padded for their jitter, as DemoFusion's code and others tell it."""

    padding = 0
    from_stage = 0

    def conditions(self, stage: Stage, views: Sequence[View], embeddings: Any, scale: float) -> dict[str, Any]:
        if stage.index >= self.from_stage:
            views = [
                view if view.is_dilated else view._replace(top=view.top + self.padding, left=view.left + self.padding)
                for view in views
            ]
        return super().conditions(stage, views, embeddings, scale)


@lru_cache
def checkpoint(name: str) -> Any:
    pipe = diffusers.DiffusionPipeline.from_pretrained(HERE / "checkpoints" / name, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pipeline_of(case: Case) -> Any:
    """The case's checkpoint with the case's scheduler, configured as the reference's was."""
    pipe = checkpoint(case.params["checkpoint"])
    name = case.params.get("scheduler", "ddim")
    pipe.scheduler = getattr(diffusers, SCHEDULERS.get(name, name)).from_config(
        case.params.get("scheduler_config") or own_config(case)
    )
    return pipe


def own_config(case: Case) -> dict[str, Any]:
    """The DDIM configuration of the case's checkpoint."""
    folder = HERE / "checkpoints" / case.params["checkpoint"]
    ddim = folder / "scheduler_ddim"
    file = (ddim if ddim.is_dir() else folder / "scheduler") / "scheduler_config.json"
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return config


def run(
    case: Case,
    plugins: Sequence[Plugin],
    size: tuple[int, int],
    window: tuple[int, int],
    steps: int | None = None,
    padding: int | None = None,
) -> Seen:
    """Run a case, or so many steps of it, the first ones; size and window are (width, height) in pixels.

    The padding is that of `Padded`, in latent pixels.
    """
    pipe, seen = pipeline_of(case), Seen()
    recipe = Recipe(
        prompt=case.params["prompt"],
        negative_prompt=case.params.get("negative_prompt", ""),
        scheduler={"ddim": {"eta": case.params["eta"]}} if case.params.get("eta") else None,
        size=size,
        window=window,
        steps=case.params["num_inference_steps"],
        guidance_scale=case.params["guidance_scale"],
        plugins=[
            Replay(
                initial=case["initial_noise"],
                patch_noise=case.arrays.get("patch_noise"),
                variance_noise=case.arrays.get("variance_noise"),
            ),
            *plugins,
        ],
    )
    plan = prepare(recipe, info_of_pipeline(pipe), [Record(seen=seen, steps=steps)])
    model: Any = wrap_pipeline(pipe, batch_size=None)
    if padding is not None:
        model = Padded(pipe, info_of_pipeline(pipe))
        model.padding = padding
    with suppress(Cancelled):
        execute(plan, model)
    assert len(seen.canvases) == (recipe.steps if steps is None else steps)
    return seen


def largest(ours: Sequence[Tensor], theirs: Tensor) -> float:
    """The largest difference over all the steps that were recorded."""
    assert len(theirs) <= len(ours)
    return apart(torch.stack(list(ours[: len(theirs)])), theirs)


def apart(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, wherever theirs is kept (elsewhere it is NaN); NaN where ours is not a number there."""
    assert ours.shape == theirs.shape
    kept = ~theirs.isnan()
    assert kept.any()
    return float((ours - theirs).abs()[kept].max())
