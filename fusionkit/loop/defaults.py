"""What the loop does without plugins, as a plugin that comes in through the same door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fusionkit.loop.hookspecs import hookimpl
from fusionkit.loop.room import scaled
from fusionkit.loop.stage import Fused, Masked, Patches, Prompt, Stage, StagePlan, Step
from fusionkit.loop.told import by_model, passes_of, prompts_of
from fusionkit.loop.views import covering
from fusionkit.recipe import parse_size

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.loop.model import ModelInfo
    from fusionkit.recipe.recipe import Recipe


class Defaults:
    """One stage, windows that overlap by a quarter, the recipe's prompt everywhere, the weighted mean, one step."""

    @hookimpl
    def default_size(self, info: ModelInfo) -> tuple[int, int]:
        """What the model's own defaults say, or else its window."""
        width, height = parse_size(info.defaults.get("size", info.window))
        return width, height

    @hookimpl
    def plan_stages(self, recipe: Recipe) -> list[StagePlan]:
        """One stage, at the recipe's size."""
        return [StagePlan(recipe.size)]

    @hookimpl
    def views(self, stage: Stage) -> Sequence[Patches]:
        """Windows at three quarters of their size apart; one window where the canvas is no larger, and no ring."""
        return [Patches(covering(stage.canvas, stage.window, stage.wrap))]

    @hookimpl
    def encode(self, stage: Stage, picture: Image) -> Tensor:
        """The model's own encoder; of a ring, the picture's edges meet."""
        return stage.model.encode(picture, stage.wrap)

    @hookimpl
    def masked(self, stage: Stage) -> Masked:
        """All of it is to be filled in."""
        import torch

        width, height = stage.plan.size
        mask = torch.ones(1, 1, height, width, device=stage.device, dtype=stage.dtype)
        return Masked(mask, stage.model.encode_pixels(torch.zeros(1, 3, height, width), stage.wrap))

    @hookimpl
    def init_noise(self, stage: Stage) -> Tensor:
        """N(0, 1) from the recipe's seed."""
        return stage.noise("init")

    @hookimpl
    def init_latents(self, stage: Stage, noise: Tensor) -> Tensor:
        """The noise at the standard deviation that the scheduler starts from; or what comes before, noised."""
        if stage.plan.strength is None:
            return scaled(noise, stage.scheduler.init_noise_sigma, stage.room)
        from fusionkit.loop.ring import resized

        assert stage.previous is not None, "asked for in stages alone that have one before them"
        same = tuple(stage.previous.shape[-2:]) == stage.canvas
        start = stage.previous if same else resized(stage.previous, stage.canvas, stage.wrap)
        return stage.scheduler.noisiest(start, noise)

    @hookimpl
    def prompt_per_patch(self, stage: Stage, patches: Patches) -> Sequence[str | Prompt]:
        """What a view is told, or the recipe's prompt."""
        return prompts_of(stage, patches)

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """The model, with guidance, in batches; of several the one that a view is told to ask."""
        return by_model(stage, patches, lambda model, part: model.predict(stage, at, part))

    @hookimpl
    def forward_passes(self, stage: Stage, at: Step, patches: Patches) -> int:
        """Each view that is asked for once, and with guidance once more without the prompt."""
        return passes_of(stage, at, patches)

    @hookimpl
    def fuse(self, stage: Stage, groups: Sequence[Patches]) -> Fused:
        """The weighted mean of the predictions; no noise of its own."""
        from fusionkit.loop.canvas import WeightedMean

        like = groups[0].prediction.new_zeros(1).expand(stage.shape)
        mean = WeightedMean(groups, like, stage.room)
        return Fused(mean([patches.prediction for patches in groups]))

    @hookimpl
    def step(self, stage: Stage, at: Step, latents: Tensor, fused: Fused) -> Tensor:
        """One call of the scheduler, with the fused noise, or N(0, 1) drawn for the whole canvas."""
        noise = fused.noise
        if noise is None:
            # A scheduler without noise is given none to draw: of a large canvas it is most of what a step costs.
            noise = (
                stage.noise("step", at=at) if stage.scheduler.stochastic else latents.new_zeros(1).expand_as(latents)
            )
        latents = latents if fused.moved is None else latents + fused.moved
        following, fused.denoised = stage.scheduler.step(fused.prediction, at.timestep, latents, noise)
        return following

    @hookimpl
    def rounds(self) -> int:
        """Each step is taken once."""
        return 1

    @hookimpl
    def noised_back(self, stage: Stage, at: Step, latents: Tensor) -> Tensor:
        """As noise is added between the two timesteps: x_t = (a_t / a_s) x_s, and noise up to what there is at t."""
        one, zero = latents.new_ones(1), latents.new_zeros(1)

        def levels(step: Step) -> tuple[float, float]:
            add = stage.scheduler.add_noise
            return float(add(one, zero, step.timestep)), float(add(zero, one, step.timestep))

        (a, s), (clean, noise) = levels(at), (1.0, 0.0) if at.is_last else levels(stage.steps[at.index + 1])
        keep = a / clean
        added = max(s**2 - (keep * noise) ** 2, 0.0) ** 0.5
        noised: Tensor = keep * latents + added * stage.noise("noised back", at=at)
        return noised

    @hookimpl
    def decode(self, stage: Stage, latents: Tensor) -> Image:
        """The model's own decoder; of a ring, the picture's edges meet."""
        return stage.model.decode(latents, stage.wrap, stage.room)

    @hookimpl
    def xmp(self) -> str:
        """None."""
        return ""

    @hookimpl
    def exif(self) -> bytes:
        """None."""
        return b""
