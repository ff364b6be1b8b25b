"""Sana-Sprint: Sana for one to four steps, with the guidance scale as an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import cos, pi, sin
from typing import TYPE_CHECKING, Any

from fusionkit.models.families.base import Asked
from fusionkit.models.families.parts import scales
from fusionkit.models.families.sana import Sana

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.models.families.base import Embedding


class SanaSprint(Sana):
    """`SanaSprintPipeline`, whose arcs (TrigFlow, arXiv 2410.11081) are a flow's lines seen from another frame.

    A state cos(a) x0 + sin(a) eps over cos(a) + sin(a) is (1 - s) x0 + s eps, and its steps, x0 noised anew, are those
    of `flow-lcm`.
    """

    kind, title, pipelines = "sana-sprint", "Sana-Sprint", ("SanaSprintPipeline",)
    in_file = None
    defaults = {"guidance-scale": 4.5, "steps": 2}

    def solver(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """`SCMScheduler` as the scheduler that takes the same steps."""
        if config.get("_class_name") != "SCMScheduler":
            return config
        return {"_class_name": "FlowMatchLCMScheduler", "num_train_timesteps": 1000}

    def sigmas(self, steps: int) -> list[float]:
        """Even angles from pi / 2 on; of two steps the second is at 1.3, as in its pipeline."""
        angles = [pi / 2, 1.3] if steps == 2 else [pi / 2 * (1 - number / steps) for number in range(steps)]
        return [sin(angle) / (cos(angle) + sin(angle)) for angle in angles]

    def read(self, pipe: Any, text: str, device: Any, said: Sequence[str] | None = None) -> Embedding:
        """As Sana's."""
        embeds, mask = pipe.encode_prompt(text, device=device, complex_human_instruction=said)
        return embeds, mask

    def conditions(self, asked: Asked, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """With the guidance scale."""
        told = scales(asked).to(asked.like) * asked.pipe.transformer.config.guidance_embeds_scale
        return {**super().conditions(asked, embeddings), "guidance": told}

    def scaled(self, timestep: Tensor, denoiser: Any) -> Tensor:
        """S itself."""
        return timestep / 1000
