"""Saliency-aware Noise Blending: several models draw one picture (MagicFusion, arXiv 2303.13126)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from fusionkit import Field, Patches, Plugin, Stage, StageState, Step, hookimpl
from fusionkit.loop.told import one_or_each, refuse_told, scales_of
from fusionkit_magicfusion.roles import Role, Span
from fusionkit_magicfusion.winners import Winners

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


def _without_nothing(models: Any) -> Any:
    """A mapping in which a name alone (`scene:`) stands for a model without options."""
    if isinstance(models, Mapping):
        return {name: {} if role is None else role for name, role in models.items()}
    return models


def _two_or_more(models: dict[str, Role]) -> dict[str, Role]:
    if len(models) < 2:
        named = f"only '{next(iter(models))}'" if models else "none"
        raise ValueError(f"must name two of the recipe's models or more, not {named}; one model needs no blending")
    return models


class SaliencyNoiseBlending(Plugin):
    """Let several models predict each view, and trust each one where its own guidance responds most (arXiv 2303.13126).

    Of the models i, at every pixel of a view (arXiv 2303.13126, section 3, for any number of models):
    S_i = Smooth(|s_i (e_i(x_t, c_i) - e_i(x_t, null))|), S_i* = Softmax(k_i S_i), M = argmax_i S_i*, and the prediction
    is the guided one of model M. The predictions e are compared as epsilon, whatever the models predict. Each view is
    blended by itself, so that panoramas, upscaling, dilated samples and ControlNet work as with one model.
    """

    models: Annotated[dict[str, Role], BeforeValidator(_without_nothing), AfterValidator(_two_or_more)] = Field(
        description="The models of the recipe that take part, two or more, in any order: {NAME: {prompt, "
        "negative-prompt, guidance-scale, guidance-interval, k}}. All but the main one need a prompt of their own; the "
        "rest falls back on the recipe's, and k on 1."
    )
    smoothing: bool = Field(
        default=True,
        description="Whether saliency is smoothed over 4 x 4 latent pixels, which gives masks of whole objects; off to "
        "mix two domains, such as cartoon and photo, detail by detail.",
    )
    baseline: Literal["own", "shared"] = Field(
        default="own",
        description="What saliency compares a model's prediction with: its 'own' unconditional one (the paper), or one "
        "'shared' by all, the main model's (the published code).",
    )
    blend: Span = Field(
        default=Span(),
        description="When the models take part, {from, to, otherwise}: fractions of the noise schedule that is left, "
        "or timesteps above 1; outside, the model named by 'otherwise' (by default the main one) draws alone.",
    )

    _winners = StageState(Winners, parts=(Step,))

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model that the recipe does not define, an expert without a prompt, and a span that holds no step."""
        from fusionkit_magicfusion.checks import model_problems, span_problems

        problems = model_problems(self.models, self.blend.otherwise, self.baseline, list(stage.infos))
        if not self.blend.is_whole:  # what is whole needs no scheduler to be checked
            timesteps = [(float(at.timestep), stage.scheduler.remaining(at.timestep)) for at in stage.steps]
            problems += span_problems(self.blend, training_timesteps(stage), timesteps)
        return [f"{self.plugin_name}: {problem}" for problem in problems]

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        """The models' guided predictions, blended by saliency; outside the span, one model's."""
        from fusionkit.loop.partly import chosen, spread
        from fusionkit_magicfusion.saliency import blended, guided, winners

        if not self.takes_part(stage, at):
            alone = self.alone(stage)
            self._seen(stage).add_alone(at, alone, stage.device)
            asked = self._asked(stage, patches, alone)
            role = self.models.get(alone, Role())
            return stage.models[alone].predict(stage, at, asked, role.guidance_scale, role.guidance_interval)
        if not (group := chosen(patches)).views:
            return spread(patches, group.latents)
        # In one order whatever the recipe's, so that neither ties nor rounding depend on it.
        scales = {name: one_or_each(self._scales(stage, at, group, name)) for name in self.names}
        # A model's own way of guiding may depend on its scale: the pair is that of the role's.
        pairs = {
            name: stage.models[name].predict_pair(stage, at, self._asked(stage, group, name), scale)
            for name, scale in scales.items()
        }
        winner = winners(self._saliences(stage, at, pairs, scales))
        self._seen(stage).add(at, group.views, winner)
        each = [guided(*pairs[name], scale) for name, scale in scales.items()]
        return spread(patches, blended(each, winner))

    @hookimpl
    def forward_passes(self, stage: Stage, at: Step, patches: Patches) -> int:
        """Twice for each model while they take part, else as for the one that draws alone."""
        refuse_told(
            patches,
            self,
            "it says itself which model draws what, and another plugin tells views to ask one model alone; leave the "
            "models out there, or leave out one of the plugins",
            models_alone=True,
        )
        if self.takes_part(stage, at):
            return len(patches.asked) * 2 * len(self.models)
        alone = self.alone(stage)
        scales = self._scales(stage, at, patches, alone)
        return sum(stage.infos[alone].passes(scales[number]) for number in patches.asked)

    @hookimpl
    def maps(self, stage: Stage, image: Image) -> Mapping[str, Image]:
        """Who won where over the steps of the last stage, and the share of the pixels that each model won."""
        from fusionkit_magicfusion.winner_pictures import shares_picture, winners_picture

        seen = self._seen(stage)
        return {} if seen.is_empty else {"winners": winners_picture(image, seen), "shares": shares_picture(seen)}

    @property
    def names(self) -> list[str]:
        """The models that take part, in alphabetical order."""
        return sorted(self.models)

    def alone(self, stage: Stage) -> str:
        """The model that draws outside the span."""
        return self.blend.otherwise or main(stage)

    def takes_part(self, stage: Stage, at: Step) -> bool:
        """Whether the models are blended at a step."""
        return self.blend.holds(stage.scheduler.remaining(at.timestep), training_timesteps(stage))

    def _saliences(
        self,
        stage: Stage,
        at: Step,
        pairs: Mapping[str, tuple[Tensor, Tensor]],
        scales: Mapping[str, float | list[float]],
    ) -> list[Tensor]:
        """The log of S*, (P, h, w), of each model in the order of `names`, from its outputs with and without prompt."""
        from fusionkit_magicfusion.saliency import log_salience, saliency

        to_epsilon, saliences = epsilon_per_output(stage, at), []
        for name in self.names:
            cond, uncond = pairs[name]
            baseline = pairs[main(stage)][1] if self.baseline == "shared" else uncond
            scale = scales[name]
            each = [to_epsilon * max(one, 1) for one in (scale if isinstance(scale, list) else [scale])]
            found = saliency(cond, baseline, each, self.smoothing)
            saliences.append(log_salience(found, self.models[name].k))
        return saliences

    def _asked(self, stage: Stage, patches: Patches, name: str) -> Patches:
        """The patches with a model's own prompts in place of the main one's, where it has some."""
        role, own = self.models.get(name, Role()), patches.prompts
        if name != main(stage):
            # What another plugin has steered the main model away from is no business of the others.
            own = [prompt if isinstance(prompt, str) else replace(prompt, negative=None) for prompt in own]
        return replace(patches, prompts=[role.instead(prompt) for prompt in own])

    def _scales(self, stage: Stage, at: Step, patches: Patches, name: str) -> list[float]:
        """A model's guidance scale of each view: its own, what the view is told, or the recipe's; in its interval."""
        role = self.models.get(name, Role())
        return scales_of(stage, at, patches, role.guidance_scale, role.guidance_interval)

    def _seen(self, stage: Stage) -> Winners:
        """What is known of the stage's steps so far."""
        seen = self._winners.get(stage)
        if seen is None:
            names = self.names if self.alone(stage) in self.models else [*self.names, self.alone(stage)]
            seen = self._winners.set(stage, Winners(tuple(names), stage.canvas))
        return seen


def main(stage: Stage) -> str:
    """The name of the main model."""
    return next(iter(stage.infos))


def training_timesteps(stage: Stage) -> int:
    """The number of timesteps of the noise schedule that the models were trained with."""
    return int(stage.scheduler.config.get("num_train_timesteps", 1000))


def epsilon_per_output(stage: Stage, at: Step) -> float:
    """What a difference of two outputs is multiplied by to be one of epsilon.

    It is alpha for v, alpha / sigma for x_0, and 1 - s for the velocity of a flow. So one factor k means the same
    whatever the main model answers: epsilon is the noise itself, however it is mixed into the latents. A flow begins at
    pure noise, where all differences of epsilon would be 0: there it is as at Stable Diffusion's noisiest timestep.
    """
    from fusionkit.models.parameterisation import alpha_sigma
    from fusionkit.models.schedulers.by_name import is_edm
    from fusionkit.models.schedulers.flows import MOST_NOISE

    kind = stage.scheduler.prediction_type
    # An EDM model's output is scaled in a way of its own, the same for all models.
    if kind == "epsilon" or is_edm(stage.scheduler.name):
        return 1.0
    alpha, sigma = alpha_sigma(stage.scheduler, at.timestep)
    if kind == "flow_prediction":
        return max(alpha, 1 / (1 + MOST_NOISE))
    return alpha if kind == "v_prediction" else alpha / sigma
