"""Self-attention in windows that are shifted at random, where it costs most (HiDiffusion)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fusionkit import Field, LayerPatch, Patches, Plugin, Stage, Step, hookimpl
from fusionkit.layers import FeatureSize, Share, is_active, patched, problems, times_larger, unets

if TYPE_CHECKING:
    from torch import Tensor


class WindowedAttention(Plugin):
    """Let the outermost self-attention look at a quarter of a larger view at a time (HiDiffusion, arXiv 2311.17528).

    The features are cut in 2x2 windows, shifted by 0 to 3 eighths of the side, which is drawn for each layer and step.
    So attention costs a quarter, and no seam stays at its place.
    """

    until: Share = Field(
        default=1.0, description="In which share of the steps, the first ones, attention is in windows; 0 is none."
    )

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """A model without a UNet."""
        return [f"{self.plugin_name}: {problem}" for problem in problems(stage, ())] if stage.index == 0 else []

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Predict with attention in windows while it is time; views of the model's size stay as they are."""
        put: dict[str, dict[str, LayerPatch]] = {}
        for name, info in unets(stage).items():
            if not is_active(at, self.until) or times_larger(info, patches.size) <= 1 or not info.cross_attention:
                continue
            level, levels = info.cross_attention[0].bit_length() - 1, len(info.block_out_channels)
            model = stage.models.get(name, stage.model)
            blocks = [
                layer
                for block in (f"down_blocks.{level}", f"up_blocks.{levels - 1 - level}")
                for layer in model.layers(f"{block}.attentions.*.transformer_blocks.*.attn1")
            ]
            shifts = self.shifts(stage, at, name, len(blocks))
            noted = {block.partition(".transformer_blocks")[0]: FeatureSize() for block in blocks}
            put[name] = {outer: LayerPatch(around=each) for outer, each in noted.items()}
            for block, shift in zip(blocks, shifts, strict=True):
                size = noted[block.partition(".transformer_blocks")[0]]
                put[name][block] = LayerPatch(around=partial(_windowed, size, shift))
        with patched(stage, put, self.plugin_name):
            return (yield)

    def shifts(self, stage: Stage, at: Step, model: str, blocks: int) -> Sequence[int]:
        """By how many eighths of the side each layer's windows are shifted at a step, 0..3, in the layers' order."""
        return stage.integers(f"windowed attention of {model}", blocks, 0, 3, at=at) if blocks else []


def _windowed(noted: FeatureSize, shift: int, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Self-attention (B, N, C) in 2x2 windows; odd sides are made even and brought back."""
    from torch.nn.functional import interpolate

    height, width = noted.size
    whole = hidden.unflatten(1, (height, width))  # type: ignore[no-untyped-call]
    even = (height + height % 2, width + width % 2)
    if even != (height, width):
        whole = interpolate(whole.permute(0, 3, 1, 2), size=even, mode="bicubic", align_corners=False)
        whole = whole.permute(0, 2, 3, 1)
    rows, columns = (side // 2 for side in even)
    by = (shift * (rows // 4), shift * (columns // 4))
    rolled = whole.roll((-by[0], -by[1]), (1, 2))
    batch, channels = len(hidden), hidden.shape[-1]
    cut = rolled.reshape(batch, 2, rows, 2, columns, channels).permute(0, 1, 3, 2, 4, 5)
    answer = forward(cut.reshape(4 * batch, rows * columns, channels), *args, **kwargs)
    joined = answer.reshape(batch, 2, 2, rows, columns, channels).permute(0, 1, 3, 2, 4, 5)
    back = joined.reshape(batch, *even, channels).roll(by, (1, 2))
    if even != (height, width):
        back = interpolate(back.permute(0, 3, 1, 2), size=noted.size, mode="bicubic", align_corners=False)
        back = back.permute(0, 2, 3, 1)
    result: Tensor = back.reshape(hidden.shape)
    return result
