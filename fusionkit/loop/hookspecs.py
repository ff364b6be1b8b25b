"""The hooks of the loop: the contract between fusionkit and its plugins.

All but the observers, `check`, `keeps_composition` and `maps` take one answer. A plugin that *replaces* an answer
implements the hook plainly; one that *changes* it implements it with `@hookimpl(wrapper=True)` around the others. What
happens without any plugin is in `fusionkit/loop/defaults.py`. An implementation names only the arguments that it needs.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import pluggy

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.loop.model import ModelInfo
    from fusionkit.loop.stage import Fused, Masked, Patches, Prompt, Stage, StagePlan, Step
    from fusionkit.recipe.recipe import Recipe

PROJECT = "fusionkit"
Answer = TypeVar("Answer")

Wrapper = Generator[None, Answer, Answer]
"""What a wrapper around a hook is, for type checkers: `Wrapper[Tensor]` yields once for a tensor and returns one."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hookspecs:
    """Every hook, in the order in which the loop asks them."""

    @hookspec
    def check(self, stage: Stage) -> Iterable[str]:  # type: ignore[empty-body]
        """Asked once a stage, before the model's weights load: one line for each thing that makes no sense."""

    @hookspec(firstresult=True)
    def default_size(self, recipe: Recipe, info: ModelInfo) -> tuple[int, int]:  # type: ignore[empty-body]
        """Asked first where the recipe names no size, by nobody else: the picture's (width, height), in pixels."""

    @hookspec(firstresult=True)
    def plan_stages(self, recipe: Recipe, info: ModelInfo) -> list[StagePlan]:  # type: ignore[empty-body]
        """Asked once: the stages of the run, first to last."""

    @hookspec
    def keeps_composition(self, stage: Stage) -> bool:  # type: ignore[empty-body]
        """Asked before the weights load, of stages beyond the model's own size: whether they are still one picture."""

    @hookspec(firstresult=True)
    def views(self, stage: Stage, at: Step) -> Sequence[Patches]:  # type: ignore[empty-body]
        """Asked for each step, and beforehand to check coverage: the groups of views to predict.

        Must depend on its arguments alone, and not on the model or the latents.
        """

    @hookspec(firstresult=True)
    def encode(self, stage: Stage, picture: Image) -> Tensor:  # type: ignore[empty-body]
        """Asked for a picture of the canvas, such as the one a run begins with: its scaled latents, (1, C, h, w).

        By the run, or by a plugin through `stage.encode`; h and w are the picture's own sides by the latent factor.
        """

    @hookspec(firstresult=True)
    def masked(self, stage: Stage) -> Masked:  # type: ignore[empty-body]
        """Asked once a stage, where a model fills in masked parts: what it is told of the canvas."""

    @hookspec(firstresult=True)
    def init_noise(self, stage: Stage) -> Tensor:  # type: ignore[empty-body]
        """Asked once a stage: the canvas' unit-variance noise, (1, C, H, W)."""

    @hookspec(firstresult=True)
    def init_latents(self, stage: Stage, noise: Tensor) -> Tensor:  # type: ignore[empty-body]
        """Asked once a stage, with the answer of `init_noise`: the latents to start from, (1, C, H, W)."""

    @hookspec(firstresult=True)
    def prompt_per_patch(self, stage: Stage, at: Step, patches: Patches) -> Sequence[str | Prompt]:  # type: ignore[empty-body]
        """Asked for each group: P prompts, one a view."""

    @hookspec(firstresult=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:  # type: ignore[empty-body]
        """Asked for each group: the model's guided output, (P, C, h, w), in the model's own parameterisation."""

    @hookspec(firstresult=True)
    def forward_passes(self, stage: Stage, at: Step, patches: Patches) -> int:  # type: ignore[empty-body]
        """Asked for each group before the run: how many views `noise_prediction` will send through a denoiser.

        For `plan` and the progress bar; the group has its views, and no latents, prompts or prediction yet.
        """

    @hookspec(firstresult=True)
    def fuse(self, stage: Stage, at: Step, groups: Sequence[Patches]) -> Fused:  # type: ignore[empty-body]
        """Asked each step: the groups' predictions, and possibly noise, as one of each on the canvas, (1, C, H, W)."""

    @hookspec(firstresult=True)
    def step(self, stage: Stage, at: Step, latents: Tensor, fused: Fused) -> Tensor:  # type: ignore[empty-body]
        """Asked each step: the next canvas, (1, C, H, W)."""

    @hookspec(firstresult=True)
    def rounds(self, stage: Stage, at: Step) -> int:  # type: ignore[empty-body]
        """Asked for each step, and beforehand to count: how many times the step is taken, each but the last undone.

        Must depend on its arguments alone, and not on the model or the latents.
        """

    @hookspec(firstresult=True)
    def noised_back(self, stage: Stage, at: Step, latents: Tensor) -> Tensor:  # type: ignore[empty-body]
        """Asked before each round but the first: the canvas (1, C, H, W) after the step, noised to where it began."""

    @hookspec
    def step_done(self, stage: Stage, at: Step, latents: Tensor, fused: Fused) -> None:
        """Told after each step: progress, previews, checkpoints."""

    @hookspec
    def stage_done(self, stage: Stage, latents: Tensor) -> None:
        """Told after each stage, with its clean latents (1, C, H, W)."""

    @hookspec(firstresult=True)
    def decode(self, stage: Stage, latents: Tensor) -> Image:  # type: ignore[empty-body]
        """Asked for the picture of clean latents, (1, C, h, w): of the finished canvas, a preview, the stage before.

        By the run, or by a plugin through `stage.decode`; the picture is RGB, its sides the latents' by the factor.
        """

    @hookspec(firstresult=True)
    def xmp(self, stage: Stage, image: Image) -> str:  # type: ignore[empty-body]
        """Asked once after the run: notes for other programs, an XMP packet that the picture's file carries."""

    @hookspec(firstresult=True)
    def exif(self, stage: Stage, image: Image) -> bytes:  # type: ignore[empty-body]
        """Asked once after the run: EXIF that the picture's file carries beside our own, such as a photo's camera."""

    @hookspec
    def maps(self, stage: Stage, image: Image) -> Mapping[str, Image]:  # type: ignore[empty-body]
        """Asked once after the run, if the user wants to see them: pictures of how the method worked, by short names.

        Given the last stage and the finished picture.
        """
