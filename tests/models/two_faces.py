"""One denoiser behind two faces: as a model of noise or velocity, and as one of a flow.

A real tiny UNet, called with times between its training timesteps; what differs is what latents it gets, how its time
is told, and what it answers. So a picture may not depend on which face looks at it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import torch
from tiny_models import info_of, plain
from torch import Tensor

from fusionkit import Patches, Prompt, Stage, Step
from fusionkit.loop.model import ModelInfo
from fusionkit.models.noising import Bridge, bridge_between, nearest
from fusionkit.models.parameterisation import converted

FLOW_CONFIG = {"shift": 3.0, "use_dynamic_shifting": False, "num_train_timesteps": 1000}


@cache
def _pipe() -> Any:
    return plain("sd")


@cache
def _text(text: str) -> Tensor:
    embedded: Tensor = _pipe().encode_prompt(text, "cpu", 1, False)[0]
    return embedded


def flow_info(name: str = "flow", **config: Any) -> ModelInfo:
    """The tiny model as if it answered a flow's velocity."""
    return replace(
        info_of("sd"),
        name=name,
        kind="flux",
        prediction_type="flow_prediction",
        scheduler="FlowMatchEulerDiscreteScheduler",
        scheduler_config=config or FLOW_CONFIG,
        window=(64, 64),
    )


def noise_info(kind: str = "epsilon", name: str = "unet") -> ModelInfo:
    """The tiny model as if its UNet answered a kind."""
    info = info_of("sd")
    config = {**info.scheduler_config, "prediction_type": kind}
    return replace(info, name=name, prediction_type=kind, scheduler_config=config, window=(64, 64))


class Face:
    """A tiny UNet as a model of the loop, which is what its `info` says that it is.

    Args:
        info: From `flow_info` or `noise_info`.
        kind: What the UNet behind it answers: "epsilon" or "v_prediction".

    Attributes:
        said: Its last guided answer, as the stage's main model would have given it.
    """

    device = torch.device("cpu")

    def __init__(self, info: ModelInfo, kind: str = "epsilon") -> None:
        self.info = info
        self.kind = kind
        self.said: Tensor

    def answer(self, latents: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        """What this face answers to latents of its own kind at a time of its own."""
        unet, rows = _pipe().unet, text.expand(len(latents), -1, -1)
        if self.info.prediction_type != "flow_prediction":
            said: Tensor = unet(latents, timestep, rows, return_dict=False)[0]
            return said
        s = float(timestep) / 1000
        # As the UNet knows such latents, or its noisiest ones.
        a_k, s_k, time = nearest(noise_info(self.kind), s / (1 - s) if s < 1 else float("inf"))
        seen = latents * (s_k / s)
        said = unet(seen, torch.tensor(time), rows, return_dict=False)[0]
        clean = converted(said, seen, a_k, s_k, self.kind, "sample")
        return (latents - clean) / s

    @torch.inference_mode()
    def predict_pair(
        self, stage: Stage, at: Step, patches: Patches, guidance_scale: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Answers with and without each view's prompt, as the stage's main model would have given them."""
        bridge: Bridge = bridge_between(self.info, stage, at)
        noisy = stage.scheduler.scale_model_input(patches.latents, at.timestep)
        prompts = [each.text if isinstance(each, Prompt) else each for each in patches.prompts]
        texts = torch.cat([_text(prompt) for prompt in prompts]), _text("").expand(len(prompts), -1, -1)
        seen = bridge.into(noisy)
        cond, uncond = (bridge.back(self.answer(seen, bridge.timestep, text), noisy) for text in texts)
        self.said = uncond + stage.guidance_at(at) * (cond - uncond)
        return cond, uncond

    def predict(self, stage: Stage, at: Step, patches: Patches, *scales: Any) -> Tensor:
        """The guided answer."""
        self.predict_pair(stage, at, patches)
        return self.said
