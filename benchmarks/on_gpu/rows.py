"""What is measured on a GPU, the most telling first: what comes last is left out where the time is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from fusionkit import Plugin
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.memory import views_per_pass
from fusionkit.models.sharing import place
from fusionkit.models.silence import quiet_diffusers
from fusionkit.recipe.made import make_recipe
from fusionkit.runs.plan import completed
from fusionkit_accdiffusion import ControlNet, DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_multidiffusion import MultiDiffusion
from on_gpu.measuring import PROMPT, diffusers_run, run
from on_gpu.models import Sdxl, Tiny, forget
from on_gpu.workers import shared
from on_gpu.z_image import ZImage

Figures = dict[str, Any]


@dataclass
class Subject:
    """What is measured: one model, or two, on one device.

    Args:
        make: Makes the models.
        device: Where they compute.
        steps: Sampling steps of a panorama; an enlargement takes half of them in each stage.
    """

    make: Sdxl | Tiny
    device: torch.device
    steps: int = 6
    _pipe: Any = field(default=None, repr=False)

    @property
    def pipe(self) -> Any:
        """The first model, made when it is first needed."""
        if self._pipe is None:
            self._pipe = self.make.pipeline()
        return self._pipe

    def pixels(self, of_sdxl: int) -> int:
        """A number of SDXL's pixels, in those of the model."""
        return of_sdxl * self.make.window // 1024

    def batch(self, views: int) -> int:
        """So many views in a forward pass, or as many as this device's memory holds."""
        free = torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else None
        info = info_of_pipeline(self.pipe)
        side = self.make.window // info.factor
        return min(views, views_per_pass(info, (side, side), self.pipe.unet.dtype.itemsize, free))

    def panorama(self, **options: Any) -> Figures:
        """MultiDiffusion at 4096x1024: seven windows that overlap by half."""
        settings = {"batch_size": self.batch(7), "steps": self.steps, **options}
        size = self.pixels(4096), self.pixels(1024)
        return run({"model": self.pipe}, plugins=[MultiDiffusion()], size=size, **settings)

    def preset(self, name: str) -> Figures:
        """The same panorama as a preset draws it, of whose steps some are measured."""
        size = self.pixels(4096), self.pixels(1024)
        told = completed(make_recipe(prompt=PROMPT, size=size, preset=name), info_of_pipeline(self.pipe))
        fields = {each: getattr(told, each) for each in ("scheduler", "guidance_scale", "guidance_interval")}
        settings = {"batch_size": self.batch(7), "steps": self.steps, "size": size, **fields}
        return {**run({"model": self.pipe}, plugins=told.plugins, **settings), "of": told.steps}

    def on_workers(self) -> Figures:
        """MultiDiffusion at 4096x1024 in bfloat16 by two workers of half a GPU each, two windows in a pass."""
        size = self.pixels(4096), self.pixels(1024)
        with self.typed(torch.bfloat16):
            found = shared(self.pipe, [MultiDiffusion()], size, batch_size=2, steps=self.steps)
        return found if "failed" in found else {**found, "views-a-step": 7}

    def transformer(self, offload: str = "none", **options: Any) -> Figures:
        """The same panorama on Z-Image; SDXL's weights are given back before."""
        self._pipe = None
        forget(self.device)
        make = ZImage(self.device, tiny=isinstance(self.make, Tiny))
        size = self.pixels(4096), self.pixels(1024)
        with make.placed(offload) as pipe:
            free = torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else None
            info = replace(info_of_pipeline(pipe), window=(make.window, make.window))
            side = make.window // info.factor
            batch = min(7, views_per_pass(info, (side, side), make.dtype.itemsize, free))
            settings = {"batch_size": batch, "steps": self.steps, "window": (make.window, make.window), **options}
            return run({"model": pipe}, plugins=[MultiDiffusion()], size=size, scheduler="flow-euler", **settings)

    def enlargement(self, **options: Any) -> Figures:
        """AccDiffusion v2 at 4096x4096 with its authors' settings: four stages, a ControlNet of their edges."""
        with TemporaryDirectory() as folder:
            self.make.save_controlnet(Path(folder))
            forget(self.device)
            plugins: list[Plugin] = [
                ProgressiveUpscaling(),
                MultiDiffusion(stride=self.pixels(512), jitter=self.pixels(128)),
                DilatedSampling(),
                PatchContentPrompts(levels=(self.make.level,)),
                ControlNet(model=folder, annotator="canny", scale=0.5),
            ]
            settings = {"batch_size": self.batch(16), "steps": max(2, self.steps // 2), "warm_up": 0}
            # Its ControlNet looks at the picture of each stage, decoded as the recipe would.
            settings |= {"vae_tiling": True, **options}
            side = self.pixels(4096)
            return run({"model": self.pipe}, plugins=plugins, size=(side, side), **settings)

    def blended(self, *, wide: bool) -> Figures:
        """MagicFusion's saliency of two models, in one window or on a panorama."""
        pipes = {"one": self.pipe, "other": self.make.pipeline(seed=1)}
        blending = SaliencyNoiseBlending(models={"one": {}, "other": {"prompt": "a fox"}})
        size = self.pixels(4096 if wide else 1024), self.pixels(1024)
        try:
            settings = {"batch_size": self.batch(7), "steps": self.steps}
            return run(pipes, plugins=[*([MultiDiffusion()] if wide else []), blending], size=size, **settings)
        finally:
            pipes.clear()
            forget(self.device)

    @contextmanager
    def typed(self, dtype: torch.dtype) -> Iterator[None]:
        """While the block runs, the model is of another type; its VAE as fusionkit loads it."""
        before = self.pipe.unet.dtype, self.pipe.vae.dtype
        try:
            with quiet_diffusers():
                self.pipe.to(dtype=dtype)
            yield
        finally:
            with quiet_diffusers():
                self.pipe.to(dtype=before[0])
                self.pipe.vae.to(dtype=before[1])

    @contextmanager
    def channels_last(self) -> Iterator[None]:
        """While the block runs, the UNet's weights and the VAE's are in channels-last order."""
        try:
            for module in (self.pipe.unet, self.pipe.vae):
                module.to(memory_format=torch.channels_last)
            yield
        finally:
            for module in (self.pipe.unet, self.pipe.vae):
                module.to(memory_format=torch.contiguous_format)

    @contextmanager
    def offloaded(self) -> Iterator[None]:
        """While the block runs, only the component at work is on the device."""
        if self.device.type == "cpu":  # there is nowhere to offload from
            yield
            return
        try:
            place([self.pipe], self.device, "model")
            yield
        finally:
            self.pipe.remove_all_hooks()
            self.pipe.to(self.device)

    @contextmanager
    def compiled(self) -> Iterator[None]:
        """While the block runs, the UNet is compiled."""
        try:
            self.pipe.unet.compile()
            yield
        finally:
            self.pipe.unet._compiled_call_impl = None
            torch.compiler.reset()


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        title: What the table calls it.
        measure: Takes it.
    """

    title: str
    measure: Callable[[], Figures]


def rows(subject: Subject) -> list[Row]:
    """All measurements of a subject, in order."""
    wide, large = "MultiDiffusion, 4096x1024", "AccDiffusion v2, 4096x4096"

    def under(block: Any, measure: Callable[[], Figures]) -> Callable[[], Figures]:
        def measured() -> Figures:
            with block():
                return measure()

        return measured

    def offloaded() -> Figures:
        return subject.enlargement(decodings={"tiled": True}, steps=2)

    def beside() -> Figures:
        settings = {"pictures": subject.batch(7), "steps": subject.steps, "window": subject.make.window}
        return diffusers_run(subject.pipe, **settings)

    both = {"tiled": True, "whole": False}
    return [
        Row(f"{wide}", lambda: subject.panorama(decodings=both)),
        Row("diffusers' own pipeline, as many pictures of 1024x1024", beside),
        Row("preset best, 4096x1024", lambda: subject.preset("best")),
        Row("preset fast, 4096x1024", lambda: subject.preset("fast")),
        Row(f"{large}", lambda: subject.enlargement(decodings=both)),
        Row(f"{large}, offload: model", under(subject.offloaded, offloaded)),
        Row("MagicFusion of two models, 1024x1024", lambda: subject.blended(wide=False)),
        Row(f"{wide}, bfloat16", under(lambda: subject.typed(torch.bfloat16), subject.panorama)),
        Row(f"{wide}, channels-last", under(subject.channels_last, subject.panorama)),
        Row(f"{wide}, one window in a pass", lambda: subject.panorama(batch_size=1)),
        Row(f"{wide}, automatic batch size", lambda: subject.panorama(batch_size=None)),
        Row("MagicFusion of two models, 4096x1024", lambda: subject.blended(wide=True)),
        Row(f"{wide}, bfloat16, two workers of half a GPU", subject.on_workers),
        Row(f"{wide}, compiled", under(subject.compiled, subject.panorama)),
        Row(f"Z-Image, {wide}", subject.transformer),
        Row(f"Z-Image, {wide}, offload: group", lambda: subject.transformer("group")),
        Row(f"Z-Image, {wide}, one window in a pass", lambda: subject.transformer(batch_size=1)),
    ]
