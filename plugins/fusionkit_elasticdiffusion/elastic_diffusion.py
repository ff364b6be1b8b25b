"""ElasticDiffusion: global content from a small picture of sampled pixels, detail from windows (arXiv 2311.18822)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from math import cos, pi
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator

from fusionkit import Field, Fused, Patches, Plugin, Prompt, Stage, Step, View, hookimpl
from fusionkit.keeping import StageCache
from fusionkit.loop.told import by_model, passes_of, refuse_steered, refuse_told
from fusionkit.recipe import Number, refuse_bool
from fusionkit_elasticdiffusion.padding import Frame, plain_colour
from fusionkit_elasticdiffusion.windows import candidates, local_windows, nearest

if TYPE_CHECKING:
    from torch import Tensor

DIRECTION = "direction"
Share = Annotated[Number, Field(ge=0, le=1)]
# Below it the published code leaves the guidance out.
LEAST_WEIGHT = 10


@dataclass
class Small:
    """The small picture of a step, as guidance by it needs it.

    Args:
        latents: (1, C, h, w).
        unconditional: What is predicted of it without the prompt.
        direction: What the prompt adds, of the whole canvas, reduced to its size.
    """

    latents: Tensor
    unconditional: Tensor
    direction: Tensor


class ElasticDiffusion(Plugin):
    """Ask a small picture of the canvas what the prompt adds, and windows what is there without it (arXiv 2311.18822).

    e = U + w D. U are unconditional predictions of windows with what is around them. D is the difference that the
    prompt makes to a picture of the model's own size, whose pixels are taken from the canvas, some anew at each pass.
    """

    resampling: Annotated[int, BeforeValidator(refuse_bool)] = Field(
        default=10, ge=0, description="How many more passes of the small picture, each with some pixels taken anew."
    )
    new_pixels: Share = Field(default=0.3, description="The share of its pixels that each pass takes anew.")
    repaint: bool = Field(
        default=True,
        description="Whether each step but the last is undone by noise and taken again, with less guidance: twice the "
        "windows. Not without resampling.",
    )
    repaint_guidance: Annotated[Number, Field(ge=0)] = Field(
        default=1 / 3, description="What the guidance scale is multiplied by when a step is taken again."
    )
    reduced_weight: Annotated[Number, Field(ge=0)] = Field(
        default=1000.0,
        description="How strongly the canvas is drawn to the small picture in the first step (reduced-resolution "
        "guidance); counted over the whole canvas, so that a larger one needs more. 0 leaves it out.",
    )
    reduced_exponent: Annotated[Number, Field(gt=0)] = Field(
        default=3.0, description="Exponent of the cosine by which that falls; the larger, the sooner."
    )
    reduced_stop: Annotated[Number, Field(ge=0, lt=1)] = Field(
        default=0.2, description="The share of the steps, the last ones, without it."
    )
    fill: Literal["own", "enlarged"] = Field(
        default="own",
        description="What a sampled pixel of the canvas gets: its own answer, or that of the enlarged small picture at "
        "its place, which is often another pixel's (the published code's way, for comparison).",
    )

    _small = StageCache(Small)

    @hookimpl
    def keeps_composition(self) -> bool:
        """The small picture says what is where."""
        return True

    @hookimpl
    def rounds(self, stage: Stage, at: Step) -> int:
        """Two where a step is taken again."""
        return 2 if self.repaint and self.resampling and not at.is_last else 1

    @hookimpl
    def views(self, stage: Stage) -> Sequence[Patches]:
        """Windows with what is around them, and the whole canvas, for what the prompt adds, which weighs nothing."""
        windows, weights = local_windows(stage.canvas, self.native(stage), stage.wrap)
        return [
            Patches(windows, weights=weights.to(stage.device)),
            Patches((View(0, 0, *stage.canvas),), DIRECTION, share=0.0),
        ]

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """What windows are without the prompt; of the whole canvas, what the prompt adds."""
        if patches.origin is not self:
            return by_model(stage, patches, lambda model, part: model.predict(stage, at, part))
        if patches.kind == DIRECTION:
            return self.direction(stage, at, patches)
        frame = Frame(self, stage, replace(at, round=0), patches.size, self.native(stage))
        nothing = [_without(stage, prompt) for prompt in patches.prompts]
        return self._predicted(stage, at, frame, patches.latents, patches.views, nothing, patches)

    @hookimpl
    def forward_passes(self, stage: Stage, at: Step, patches: Patches) -> int:
        """A window once; the small picture twice in each pass."""
        if patches.origin is not self:
            return passes_of(stage, at, patches)
        refuse_told(
            patches,
            self,
            "its windows hear no prompt, so that another plugin can't give parts of the picture prompts of their own; "
            "leave out one of both, or use other windows, such as multidiffusion's",
        )
        refuse_steered(
            stage,
            at,
            patches,
            self,
            "it passes nothing on to its windows and its small picture, whose pixels lie elsewhere than on the canvas; "
            "leave out one of both",
        )
        return 2 * (self._passes(at) + 1) if patches.kind == DIRECTION else len(patches.asked)

    @hookimpl(wrapper=True)
    def fuse(self, stage: Stage, at: Step, groups: Sequence[Patches]) -> Generator[None, Fused, Fused]:
        """Add what the prompt adds."""
        fused = yield
        for patches in groups:
            if patches.origin is self and patches.kind == DIRECTION:
                fused = replace(fused, prediction=fused.prediction + self.scale(stage, at) * patches.prediction)
        return fused

    @hookimpl(wrapper=True)
    def step(self, stage: Stage, at: Step, latents: Tensor, fused: Fused) -> Generator[None, Tensor, Tensor]:
        """Draw the canvas to the small picture: a step down the gradient of their clean estimates' squared distance."""
        weight = self.reduced_weight_at(at)
        if at.round < self.rounds(stage, at) - 1 or weight <= LEAST_WEIGHT:
            return (yield)
        small, clean = self._small(stage), stage.scheduler.clean
        guided = small.unconditional + self.scale(stage, at) * small.direction
        target = nearest(clean(guided, at.timestep, small.latents), stage.canvas)
        difference = target - clean(fused.prediction, at.timestep, latents)
        return (yield) + 2 * weight / latents[0].numel() * difference

    def scale(self, stage: Stage, at: Step) -> float:
        """The guidance scale of a step's round."""
        return stage.guidance_at(at) * (self.repaint_guidance if at.round else 1.0)

    def reduced_weight_at(self, at: Step) -> float:
        """The weight of reduced-resolution guidance in a step."""
        end = at.total - int(at.total * self.reduced_stop)
        if at.index >= end:
            return 0.0
        return float(self.reduced_weight * (0.5 * (1 + cos(pi * at.index / end))) ** self.reduced_exponent)

    def direction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """What the prompt adds at each pixel of the canvas, (1, C, H, W), from the small picture in all its passes."""
        import torch

        canvas, size = patches.latents, self.small_size(stage)
        frame = Frame(self, stage, replace(at, round=0), size, self.native(stage))
        rows, columns = (
            torch.tensor(candidates(length, low), device=stage.device)
            for length, low in zip(stage.canvas, size, strict=True)
        )
        prompt = patches.prompts[0]
        prompts = [prompt, _without(stage, prompt)]
        found, known = torch.zeros_like(canvas), torch.zeros_like(canvas[:, :1], dtype=torch.bool)
        views = (View(0, 0, *frame.whole),) * 2
        for choice in self.choices(stage, at, size):
            y, x = rows.gather(1, choice // 2), columns.gather(1, (choice % 2).T).T
            low = canvas[..., y, x]
            cond, uncond = self._predicted(stage, at, frame, low.repeat(2, 1, 1, 1), views, prompts, patches).chunk(2)
            large = nearest(cond - uncond, stage.canvas)
            found[..., y, x] = large[..., y, x] if self.fill == "enlarged" else cond - uncond
            known[..., y, x] = True
        direction = torch.where(known, found, large)
        self._small.set(stage, Small(low, uncond, nearest(direction, size)))
        return direction

    def choices(self, stage: Stage, at: Step, size: tuple[int, int]) -> list[Tensor]:
        """For each pass which of its four pixels each place of the small picture takes, (h, w): 0 to 3, row by row.

        The first one takes the first everywhere. A new choice is one that a place has not had, while there is one.
        """
        import torch

        chosen = torch.zeros(size, dtype=torch.long, device=stage.device)
        passes = [chosen]
        had = torch.zeros(4, *size, dtype=torch.bool, device=stage.device)
        had[0] = True
        for number in range(self._passes(at)):
            draws = stage.noise(f"small picture {number}", (5, *size), at)
            new = draws[:4].masked_fill(had & ~had.all(0), float("-inf")).argmax(0)
            # So many of N(0, 1) lie below it.
            anew = torch.special.ndtr(draws[4]) < self.new_pixels
            chosen = torch.where(anew, new, chosen)
            had = had.scatter(0, chosen[None], True)
            passes.append(chosen)
        return passes

    def background(self, stage: Stage, at: Step, dim: str, side: int, size: tuple[int, int]) -> Tensor:
        """What stands beside latents that are smaller than the window, (1, C, h, w).

        Args:
            stage: The stage.
            at: The step.
            dim: "columns" beside them, or "rows" above and below.
            side: 1 before them, 2 behind.
            size: (h, w) of the strip.
        """
        return plain_colour(stage, at, f"background of {dim} {side}", size)

    def native(self, stage: Stage) -> tuple[int, int]:
        """(h, w) of the model's window in latent pixels, not cut to the canvas."""
        width, height = stage.recipe.window or stage.info.window
        return height // stage.factor, width // stage.factor

    def small_size(self, stage: Stage) -> tuple[int, int]:
        """(h, w) of the small picture in latent pixels: the canvas', so that it fits into the window."""
        height, width = (side * stage.factor for side in stage.canvas)
        rows, columns = (side * stage.factor for side in self.native(stage))
        times = max(1.0, height / rows, width / columns)
        return tuple(max(1, int(side // times // stage.factor)) for side in (height, width))  # type: ignore[return-value]

    def _passes(self, at: Step) -> int:
        return 0 if at.round else self.resampling

    @staticmethod
    def _predicted(
        stage: Stage,
        at: Step,
        frame: Frame,
        latents: Tensor,
        views: Sequence[View],
        prompts: Sequence[str | Prompt],
        patches: Patches,
    ) -> Tensor:
        """What is predicted of latents within a frame, each by its own prompt alone, (P, C, h, w)."""
        framed = tuple(view._replace(height=frame.whole[0], width=frame.whole[1]) for view in views)
        left_out = patches.left_out if len(patches.views) == len(views) else ()
        asked = Patches(framed, latents=frame.around(latents), prompts=prompts, left_out=left_out)
        return frame.inside(stage.model.predict(stage, at, asked, guidance_scale=1.0)).contiguous()


def _without(stage: Stage, prompt: str | Prompt) -> Prompt:
    """What a view is steered away from, as a prompt."""
    negative = prompt.negative if isinstance(prompt, Prompt) else None
    return Prompt(stage.recipe.negative_prompt if negative is None else negative)
