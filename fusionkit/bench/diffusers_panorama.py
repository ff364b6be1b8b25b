"""The same panorama by diffusers' own pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from fusionkit.bench.baselines import Baseline, Contestant
from fusionkit.errors import FusionError
from fusionkit.loop.misfits import is_hookimpl
from fusionkit.models.silence import quiet_diffusers

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.bench.drawing import Drawing, Noted
    from fusionkit.runs.plan import RunPlan

PIPELINE = "StableDiffusionPanoramaPipeline"
# The largest difference of latents, whose standard deviation is about 1, that rounding explains; by the weights' type.
ROUNDING = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.5}
PARTS = ("vae", "text_encoder", "tokenizer", "unet")
# Hooks by which a method changes what the pipeline can't.
BEYOND = ("prompt_per_patch", "noise_prediction", "step")


class DiffusersPanorama(Baseline):
    """diffusers' `StableDiffusionPanoramaPipeline` with the recipe's model, prompts, start, views and scheduler.

    Twice: with as many views in a pass as the recipe has, and with one, which is the pipeline's default. One thing of
    the pipeline is changed: it is given the recipe's views, in the model's own latent factor and window, where it
    assumes 8 and 64. Circular padding is off. diffusers has none for Stable Diffusion XL: the same pipeline is given
    XL's UNet in a shell that tells it what XL is told beside the prompt. A baseline that draws another picture is none:
    the clean latents of both are compared before anything is timed.
    """

    def problems(self, plan: RunPlan) -> list[str]:
        """What of the recipe the pipeline can't do."""
        import diffusers

        if not hasattr(diffusers, PIPELINE):
            return [f"needs diffusers' {PIPELINE}, which diffusers {diffusers.__version__} does not have"]
        recipe, stage = plan.recipe, plan.stages[0]
        reasons = {
            f"draws with one model, and the recipe has {len(plan.infos)}": len(plan.infos) > 1,
            f"is for Stable Diffusion, and {plan.info.name} is another kind": plan.info.kind not in ("sd", "sdxl"),
            f"draws in one stage, and the recipe has {len(plan.stages)}": len(plan.stages) > 1,
            "starts from noise, and the recipe from a picture": stage.plan.picture is not None,
            "draws a strip with two ends, and the recipe a ring": bool(stage.wrap),
            "guides in all steps, and the recipe in some": recipe.guidance_interval != (0.0, 1.0),
            f"draws noise for each view, so that its picture is another one than {stage.scheduler.name}'s; "
            f"use a scheduler without noise, such as ddim": stage.scheduler.stochastic,
            "needs the same windows at each step, one beside the other, each of weight 1": not plain_windows(plan),
            f"can't be used with offload '{recipe.offload}'": recipe.offload != "none",
        }
        lines = [reason for reason, holds in reasons.items() if holds]
        for plugin in plan.recipe.plugins:
            if hooks := [name for name in BEYOND if is_hookimpl(type(plugin), name)]:
                lines.append(f"can't do what '{plugin.plugin_name}' does ({', '.join(hooks)})")
        return lines

    def contestants(self, drawing: Drawing, noted: Noted) -> list[Contestant]:
        """The pipeline with the recipe's views a pass, and with one.

        Raises:
            FusionError: It draws another picture.
        """
        import diffusers

        pipe, stage = drawing.model.pipe, noted.plan.stages[0]  # type: ignore[attr-defined]
        scheduler = getattr(diffusers, stage.scheduler.name).from_config(stage.scheduler.config)
        parts = {name: each for name, each in pipe.components.items() if name in PARTS}
        shell = Shell(pipe) if noted.plan.info.kind == "sdxl" else None
        parts |= {"scheduler": scheduler, "safety_checker": None, "feature_extractor": None}
        with quiet_diffusers():  # the pipeline is deprecated, and says so
            panorama = getattr(diffusers, PIPELINE)(**parts, requires_safety_checker=False)
        if shell is not None:
            panorama.unet = shell
        panorama.set_progress_bar_config(disable=True)
        (group,) = noted.plan.hooks.ask("views", stage=stage, at=stage.steps[0])
        boxes = [(each.top, each.top + each.height, each.left, each.left + each.width) for each in group.views]
        corners = stage.told_corners(group.views)
        panorama.get_views = lambda *size, **options: boxes
        if noted.plan.recipe.vae_tiling:
            panorama.enable_vae_tiling()
        most = noted.passes.largest * sum(noted.plan.views) // noted.passes.views
        return [self._contestant(panorama, noted, views, corners, shell) for views in dict.fromkeys((most, 1))]

    def _contestant(
        self, panorama: Any, noted: Noted, views: int, corners: Sequence[Sequence[int]], shell: Shell | None
    ) -> Contestant:
        recipe, stage = noted.plan.recipe, noted.plan.stages[0]
        width, height = recipe.size
        start = (noted.start / stage.scheduler.init_noise_sigma).to(panorama.unet.dtype)

        def prompts() -> dict[str, Any]:
            if shell is None:
                return {"prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt}
            shell.batches = cycle([corners[first : first + views] for first in range(0, len(corners), views)])
            return shell.told(recipe.prompt, recipe.negative_prompt, stage.told, recipe.clip_skip)

        def run(_: object = None, **options: Any) -> None:
            with quiet_diffusers():
                panorama(
                    **prompts(),
                    height=height,
                    width=width,
                    num_inference_steps=stage.plan.steps or recipe.steps,
                    guidance_scale=recipe.guidance_scale,
                    clip_skip=recipe.clip_skip,
                    latents=start,
                    view_batch_size=views,
                    circular_padding=False,
                    **options,
                )

        ended: list[Tensor] = []

        def keep(pipe: Any, index: int, timestep: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
            ended[:] = [state["latents"]]
            return state

        run(callback_on_step_end=keep)
        name = f"{self.name}, {views} view{'s' if views > 1 else ''} a pass"
        difference = float((ended[0].float() - noted.latents.to(ended[0].device)).abs().max())
        allowed = ROUNDING[str(panorama.unet.dtype).removeprefix("torch.")]
        if not difference <= allowed:
            raise FusionError(
                f"baseline '{name}' draws another picture than the recipe: their latents differ by up to "
                f"{difference:.2g}, and rounding explains {allowed:g}; leave this baseline out"
            )
        return Contestant(name, run, noted.passes, recipe.size, difference)


class Shell:
    """XL's UNet, called as Stable Diffusion's is: what XL is told beside the prompt is added, as XL's pipeline does.

    Args:
        pipe: A pipeline of XL's parts.

    Attributes:
        batches: The corners (top, left) in pixels of the views of each call, in the order of the calls.
    """

    batches: Iterator[Sequence[Sequence[int]]]

    def __init__(self, pipe: Any) -> None:
        self._pipe, self._unet = pipe, pipe.unet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._unet, name)

    def told(self, prompt: str, negative: str, size: tuple[int, int], clip_skip: int | None) -> dict[str, Any]:
        """The embeddings of both prompts, as arguments of the other pipeline; their pooled halves are kept.

        Args:
            prompt: The prompt.
            negative: The negative prompt.
            size: (width, height) in pixels that XL is told.
            clip_skip: As in diffusers.
        """
        found = self._pipe.encode_prompt(
            prompt, device=self._unet.device, negative_prompt=negative or None, clip_skip=clip_skip
        )
        cond, uncond, *self._pooled = found
        self._size = [size[1], size[0]]
        return {"prompt_embeds": cond, "negative_prompt_embeds": uncond}

    def __call__(self, latents: Tensor, timestep: Tensor, **given: Any) -> Any:
        """The UNet's answer; of each view's rows the first is without the prompt."""
        import torch

        corners = next(self.batches)
        halves = len(latents) // len(corners)
        ids = [[*self._size, *corner, *self._size] for corner in corners for _ in range(halves)]
        cond, uncond = self._pooled
        pooled = [uncond, cond] if halves == 2 else [cond]
        added = {
            "text_embeds": torch.cat(pooled * len(corners)),
            "time_ids": torch.tensor(ids, device=latents.device, dtype=latents.dtype),
        }
        return self._unet(latents, timestep, **{**given, "added_cond_kwargs": added})


def plain_windows(plan: RunPlan) -> bool:
    """Whether all steps of the first stage have the same windows, none dilated or over the border, weighed alike."""
    from fusionkit.loop.denoise import same

    stage = plan.stages[0]
    height, width = stage.canvas
    tilings = [plan.hooks.ask("views", stage=stage, at=at) for at in stage.steps]
    groups = tilings[0]
    return (
        all(same(groups, each) for each in tilings)
        and len(groups) == 1
        and groups[0].weights is None
        and all(
            not view.is_dilated and 0 <= view.top <= height - view.height and 0 <= view.left <= width - view.width
            for view in groups[0].views
        )
    )
