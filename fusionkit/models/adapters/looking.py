"""Pictures that a UNet looks at beside the prompt, by diffusers' own attention; each view by its own part of a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fusionkit.errors import PluginError
from fusionkit.loop.canvas import crop_pixels
from fusionkit.loop.model import LayerPatch
from fusionkit.models.adapters.batches import Batch, Shown

if TYPE_CHECKING:
    from fusionkit.loop.stage import ImagePrompt, Patches, Stage

BY = "image prompts"
"""Whose the patches on the layers are."""


@dataclass
class Looking:
    """What the rows of one forward pass look at.

    Args:
        prompts: The pictures.
        tokens: What the rows look at, of each of them, (B, 1, L, D).
        masks: The rows' own parts of their masks, (B, 1, h factor, w factor); None is everywhere.
        size: (height, width) of the features that are computed.
        resized: The masks at the sizes of features that were asked for.
    """

    prompts: Sequence[ImagePrompt]
    tokens: list[Tensor]
    masks: list[Tensor | None]
    size: tuple[int, int] = (0, 0)
    resized: dict[tuple[int, int], list[Tensor | None]] = field(default_factory=dict)

    def note(self, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Around a layer of features (B, C, h, w), whose attention is given tokens alone: notes their size."""
        self.size = hidden.shape[-2], hidden.shape[-1]
        return forward(hidden, *args, **kwargs)

    def look(
        self,
        layer: Any,
        processor: Any,
        scales: list[float],
        forward: Any,
        hidden: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Around a layer that looks at the text: it looks at the pictures as well, by diffusers' own processor."""
        text = args[0] if args else kwargs.pop("encoder_hidden_states")
        own, processor.scale = layer.processor, scales
        layer.set_processor(processor)
        try:
            return forward(hidden, (text, self.tokens), *args[1:], **kwargs, ip_adapter_masks=self.at_size())
        finally:
            layer.set_processor(own)

    def at_size(self) -> list[Tensor | None]:
        """The masks at the features' size, in one row each, (B, 1, 1, h w): so diffusers need not guess what h is."""
        if self.size not in self.resized:
            self.resized[self.size] = [
                None if mask is None else interpolate(mask, self.size, mode="bicubic").flatten(2)[:, :, None]
                for mask in self.masks
            ]
        return self.resized[self.size]


def cut(stage: Stage, patches: Patches) -> list[Shown]:
    """The pictures that some of a group's views look at, each with the views' own parts of its mask.

    Raises:
        PluginError: A mask is of another shape than the canvas.
    """
    width, height = stage.plan.size
    found: list[Shown] = []
    for prompt in patches.image_prompts:
        if not any(prompt.scales.values()):
            continue
        if prompt.mask is not None and tuple(prompt.mask.shape) != (1, 1, height, width):
            shape = tuple(prompt.mask.shape)
            raise PluginError(f"an image prompt's mask has shape {shape}; the canvas takes {(1, 1, height, width)}")
        own = None if prompt.mask is None else crop_pixels(prompt.mask, patches.views, stage.factor)
        if prompt.part:
            told = [each.part == prompt.part for each in patches.told] or [False] * len(patches.views)
            hears = torch.tensor(told, dtype=torch.float32, device=stage.device)[:, None, None, None]
            rows, columns = (side * stage.factor for side in patches.size)
            own = hears.expand(-1, 1, rows, columns) if own is None else own * hears
        # Asked once for all batches, since a GPU has to be waited for.
        seen = [True] * len(patches.views) if own is None else (own != 0).flatten(1).any(1).tolist()
        if any(seen):
            found.append(Shown(prompt, own, seen))
    return found


def looking(batch: Batch, like: Tensor) -> Looking | None:
    """What the rows of a batch look at; None for nothing.

    Args:
        batch: The batch.
        like: A tensor of the rows' type and device.
    """
    if not batch.shown:
        return None
    first, halves = 0 if batch.conditional else 1, batch.halves
    tokens = [each.prompt.tokens[first : first + halves].to(like) for each in batch.shown]
    return Looking(
        [each.prompt for each in batch.shown],
        [each.repeat_interleave(len(batch.views), 0)[:, None] for each in tokens],
        [None if each.mask is None else each.mask.to(like).repeat(halves, 1, 1, 1) for each in batch.shown],
    )


def layer_patches(denoiser: Any, rows: Looking, made: dict[Any, Any]) -> dict[str, LayerPatch]:
    """The patches by which a denoiser's layers look at what a batch's rows look at.

    Args:
        denoiser: The UNet.
        rows: What they look at.
        made: Keeps the processors of several pictures, of which no weight is copied.
    """
    patches: dict[str, LayerPatch] = {}
    for name in rows.prompts[0].layers:
        scales = [float(prompt.scales.get(name, 0.0)) for prompt in rows.prompts]
        if not any(scales):
            continue
        parts = [prompt.layers[name] for prompt in rows.prompts]
        key = name, tuple(map(id, parts))
        if key not in made:
            # With the parts, whose ids would be others' once they are gone.
            made[key] = _joined(parts), parts
        outer = name.partition(".transformer_blocks")[0]
        patches[outer] = LayerPatch(around=rows.note)
        patches[name] = LayerPatch(around=partial(rows.look, denoiser.get_submodule(name), made[key][0], scales))
    return patches


def _joined(parts: Sequence[Any]) -> Any:
    """One processor of diffusers that looks at several pictures, each by the weights of its own."""
    first = parts[0]
    # Without numbers, which are the parts'; accelerate's way holds for all threads at once, this one for its own.
    with torch.device("meta"):
        made = type(first)(
            hidden_size=first.hidden_size,
            cross_attention_dim=first.cross_attention_dim,
            num_tokens=[count for each in parts for count in each.num_tokens],
        )
    made.to_k_ip = torch.nn.ModuleList([layer for each in parts for layer in each.to_k_ip])
    made.to_v_ip = torch.nn.ModuleList([layer for each in parts for layer in each.to_v_ip])
    return made
