"""IP-Adapter: pictures that the denoiser looks at beside the prompt (arXiv 2308.06721)."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema, model_validator

from fusionkit import Field, Patches, PicturePath, Plugin, Stage, StageCache, Step, hookimpl
from fusionkit.loop.stage import ImagePrompt
from fusionkit.pictures.picture import found
from fusionkit.recipe.problems import shown
from fusionkit.recipe.span import End, Start, within
from fusionkit.recipe.values import OptionalName, Source
from fusionkit.trust import refusal
from fusionkit_ipadapter import blocks
from fusionkit_regions.parts import Sides, Softness

if TYPE_CHECKING:
    from torch import Tensor

SOFT = 16.0
"""Pixels over which a box fades where nothing else is said."""
MOST = 16
"""Pictures that are looked at together, at most."""

_NUMBERS = {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]}
_SIDE = {"anyOf": [*_NUMBERS["anyOf"], {"type": "object", "additionalProperties": _NUMBERS}]}
Scale = Annotated[
    float | dict[str, Any],
    BeforeValidator(blocks.as_scale),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number"},
                {
                    "type": "object",
                    "propertyNames": {"enum": list(blocks.SIDES)},
                    "additionalProperties": _SIDE,
                },
            ]
        }
    ),
]


def as_path(source: str) -> str:
    """A folder's name alone, written as a path: so what reads a recipe's files knows it for one."""
    alone = "/" not in source and not refusal(source) and os.path.isdir(source)
    return f"./{source}" if alone else source


def as_pictures(value: Any) -> Any:
    """A path, or several, as they are found.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, (list, tuple)):
        if not 1 <= len(value) <= MOST:
            raise ValueError(f"takes 1 to {MOST} pictures, not {len(value)}")
        return tuple(map(_as_picture, value))
    return _as_picture(value)


def _as_picture(value: Any) -> Path:
    if not isinstance(value, (str, PurePath)):
        raise ValueError(f"must be a picture's path, or a list of them, not {shown(value)}")
    return found(Path(value))


class IPAdapter(Plugin, name="ip-adapter"):
    """Show the denoiser pictures beside the prompt, everywhere or in a part of the canvas (arXiv 2308.06721, eq. 5).

    In each layer that looks at the text, Z = Attention(Q, K, V) + s m Attention(Q, K', V'): K' and V' are made of the
    pictures by the adapter, s is the scale, and m a mask of the canvas, of which each view sees its own part. Where m
    is 0, nothing changes. Without the prompt, an empty picture is looked at.
    """

    adapter: Annotated[Source, AfterValidator(as_path)] = Field(
        description="The IP-Adapter, made for the recipe's family of models: a hub id such as h94/IP-Adapter, a "
        "folder, or a .safetensors file."
    )
    weight_name: OptionalName = Field(
        default=None,
        description="The file within it, where there are several, such as models/ip-adapter_sd15.safetensors.",
    )
    picture: Annotated[Path | tuple[Path, ...], BeforeValidator(as_pictures)] = Field(
        description="The picture, or several that are looked at together; of each, the square in its middle."
    )
    encoder: Source | None = Field(
        default=None,
        description="The image encoder: a folder within the adapter's, such as models/image_encoder, or any other one; "
        "by default image_encoder beside the adapter's file.",
    )
    scale: Scale = Field(
        default=0.6,
        description="How strongly the pictures act, beside the prompt at 1; 0 leaves them out. Or by block, as in "
        "diffusers: {up: {block_0: [0, 1, 0]}} is SDXL's style alone.",
    )
    box: Sides | None = Field(
        default=None,
        description="Where they act: left, top, width and height, in pixels of the recipe's `size`, or in shares of "
        "it such as [0.5, 0, 0.5, 1].",
    )
    mask: PicturePath | None = Field(
        default=None,
        description="In place of a box: a picture, white where they act and grey where they do so less, of any size "
        "with the picture's aspect ratio.",
    )
    soft_border: Softness | None = Field(
        default=None,
        description="Pixels of the recipe's `size` over which the box or the mask fades, half of them on either side; "
        "by default 16 of a box, and none of a mask, which is as soft as it is painted.",
    )
    region: str | None = Field(
        default=None,
        description="The name of a region of `regions`: only its views, which hear its prompt, look at the pictures.",
    )
    start: Start = 0.0
    end: End = 1.0

    _prompt = StageCache(ImagePrompt)

    @model_validator(mode="after")
    def _one_place(self) -> IPAdapter:
        if self.box is not None and self.mask is not None:
            raise ValueError("takes either a 'box' or a 'mask', which say where the pictures act")
        if self.soft_border is not None and self.box is None and self.mask is None:
            raise ValueError("'soft-border' is of a 'box' or a 'mask'; name one of them")
        return self

    @property
    def other_models(self) -> set[str]:
        """None."""
        return set()

    @property
    def networks(self) -> dict[str, int]:
        """The adapter, of a file that is here; its encoder is let go once it has seen the pictures."""
        from fusionkit.errors import ModelError
        from fusionkit.models.image_prompts.adapter import called, find_adapter, read_adapter

        try:
            path = None if blocks.is_zero(self.scale) else find_adapter(self.adapter, self.weight_name)
            name = called(self.adapter, self.weight_name)
            return {} if path is None else {name: read_adapter(self.adapter, self.weight_name, path).parameters}
        except ModelError:
            return {}

    @property
    def pictures(self) -> tuple[Path, ...]:
        """Their paths."""
        return self.picture if isinstance(self.picture, tuple) else (self.picture,)

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """An adapter, an encoder, pictures, blocks or places that can't be used, and models that are no UNets."""
        from fusionkit_ipadapter.checks import problems

        return [] if stage.index else [f"{self.plugin_name}: {problem}" for problem in problems(self, stage)]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Let the views be shown the pictures, and take them away again."""
        others = patches.image_prompts
        if self.steers(stage, at, patches):
            shown = self._prompt.get(stage) or self._prompt.set(stage, self.shown(stage))
            patches.image_prompts = (*others, shown)
        try:
            return (yield)
        finally:
            patches.image_prompts = others

    def steers(self, stage: Stage, at: Step, patches: Patches) -> frozenset[str]:
        """All groups, while it is time."""
        does = not blocks.is_zero(self.scale) and within(self.start, self.end, at.index, at.total)
        return frozenset({"image_prompts"} if does else ())

    def shown(self, stage: Stage) -> ImagePrompt:
        """What a stage's views are shown; asked once a stage."""
        from fusionkit_ipadapter.places import mask_of

        prompt = self.loaded(stage)
        soft = self.soft_border if self.soft_border is not None else 0.0 if self.box is None else SOFT
        return replace(
            prompt,
            scales=blocks.by_layer(self.scale, prompt.layers),
            mask=mask_of(stage, self.box, self.mask, soft),
            part=self.region or "",
        )

    def loaded(self, stage: Stage) -> ImagePrompt:
        """The pictures as the adapter shows them to the stage's model, which keeps them.

        Raises:
            ModelError: The adapter or its encoder can't be loaded, or does not fit.
        """
        from fusionkit import open_picture
        from fusionkit.errors import ModelError
        from fusionkit.models.image_prompts.adapter import called, find_adapter, read_adapter
        from fusionkit.models.image_prompts.encoder import find_encoder

        path = find_adapter(self.adapter, self.weight_name, download=True)
        assert path is not None, "what is downloaded is there"
        adapter = read_adapter(self.adapter, self.weight_name, path)
        encoder = find_encoder(self.adapter, self.weight_name, self.encoder)
        named = called(self.adapter, self.weight_name)
        lines = [f"{named} {line}" for info in stage.infos.values() for line in adapter.misfits(info)]
        if lines := [*lines, *filter(None, [encoder.misfit(adapter)])]:
            raise ModelError("\n".join(lines))
        return stage.model.image_prompt(adapter, encoder, [open_picture(each) for each in self.pictures])
