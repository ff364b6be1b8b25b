"""Inpainting: a part of a picture is drawn anew, and the rest of it stays (arXiv 2201.09865, 2306.00950)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, model_validator

from fusionkit import Field, Masked, PicturePath, Plugin, Stage, StageCache, StagePlan, StageState, Step, hookimpl
from fusionkit.errors import FusionError
from fusionkit.loop.misfits import is_hookimpl
from fusionkit.pictures.picture import open_picture, picture_problems, picture_size
from fusionkit.recipe import Number, refuse_bool
from fusionkit_pictures.beginnings import beginning_problems, begun, own_size
from fusionkit_pictures.masks import Mask, edges_of, mask_on, region_of, softened
from fusionkit_regions.parts import Sides

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.loop.model import ModelInfo


@dataclass
class Held:
    """What the rest of the canvas is held to: the picture's latents and the canvas' noise, each (1, C, H, W)."""

    clean: Tensor
    noise: Tensor


class Inpaint(Plugin):
    """Draw a part of a picture anew, and leave the rest as it is (arXiv 2201.09865, eq. 8; 2306.00950, algorithm 1).

    With m the mask, x_0 the picture's latents and n steps, all of the canvas with m <= 1 - i / n is after step i
    x_t = a_t x_0 + s_t eps again, and the rest is as drawn. The soft border is let go the later the farther out it is.
    In the end what is drawn is laid over the picture's own pixels by m, so that these stay bit for bit where m is 0.
    Models that fill in masked parts are told mask and picture, and are left to it.
    """

    from_: PicturePath = Field(description="The picture.")
    mask: PicturePath | None = Field(
        default=None, description="A picture of the same size, white where it is drawn anew and black where it stays."
    )
    box: Sides | None = Field(
        default=None,
        description="In place of a mask: left, top, width and height of what is drawn anew, in the picture's pixels, "
        "or in shares of it such as [0, 0, 1, 0.4].",
    )
    softness: Annotated[int, BeforeValidator(refuse_bool)] = Field(
        default=16,
        ge=0,
        le=1000,
        description="Width of the border around it, in the picture's pixels, over which old and new fade.",
    )
    strength: Number = Field(
        default=1.0,
        gt=0,
        le=1,
        description="The share of the steps that are taken: 1 forgets what was there, less keeps something of it.",
    )

    _held = StageState(Held)
    _mask = StageCache(Mask)

    @model_validator(mode="after")
    def _one_of_both(self) -> Inpaint:
        if self.mask is None and self.box is None:
            raise ValueError("takes either a 'mask' or a 'box', which say what is drawn anew")
        if self.mask is not None and self.box is not None:
            name = type(self).plugin_name
            raise ValueError(
                f"has both a 'mask' and a 'box'; leave one of them out, such as --set plugins.{name}.box=null"
            )
        return self

    @hookimpl
    def default_size(self, info: ModelInfo) -> tuple[int, int]:
        """The picture's, as whole tokens of the model."""
        return own_size(self.from_, info)

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """Pictures, boxes and masks that can't be used, and plugins that would change what stays."""
        return [f"{self.plugin_name}: {problem}" for problem in self._problems(stage)] if stage.index == 0 else []

    def _problems(self, stage: Stage) -> Iterator[str]:
        wrong = list(beginning_problems(stage, self.from_))
        if wrong:
            yield from wrong
            return
        size = width, height = picture_size(self.from_)
        if self.box is not None:
            left, top, right, bottom = edges_of(self.box, size)
            if min(left, top) < 0 or right > width or bottom > height:
                yield f"box {list(self.box)} reaches beyond the picture of {width}x{height}; move or narrow it"
            elif left == right or top == bottom:
                yield f"box {list(self.box)} covers no pixel of the picture of {width}x{height}; make it larger"
        elif self.mask is not None and not (wrong := picture_problems(self.mask, "mask")):
            if (other := picture_size(self.mask)) != size:
                yield f"mask '{self.mask}' has {other[0]}x{other[1]} pixels, and the picture {width}x{height}"
            elif not region_of(size, None, self.mask).any():
                yield f"mask '{self.mask}' is black everywhere; make white what is to be drawn anew"
        yield from wrong
        plugins = stage.recipe.plugins
        for later in plugins[plugins.index(self) + 1 :] if self in plugins else ():
            if is_hookimpl(type(later), "decode"):
                yield f"'{later.plugin_name}' comes after it and would change what is to stay; list it before"

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Generator[None, list[StagePlan], list[StagePlan]]:
        """The first stage begins with the picture, or knows of it."""
        plans = yield
        whole = self.strength == 1
        return plans if whole and self._everything() else begun(plans, self.from_, None if whole else self.strength)

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        """What stays says what is where, unless more is drawn anew than one scene is high."""
        if not self._holds(stage):
            return False
        import numpy as np
        from PIL import Image

        # What is cut off the picture, to have the canvas' shape, is not drawn.
        region = np.uint8(region_of(picture_size(self.from_), self.box, self.mask)) * np.uint8(255)
        lies = stage.cut(stage.laid(Image.fromarray(region), smooth=False))
        rows = np.asarray(lies).any(axis=1).nonzero()[0]
        return not len(rows) or not stage.is_high((rows[-1] + 1 - rows[0]) / stage.factor)

    @hookimpl
    def masked(self, stage: Stage) -> Masked:
        """Mask and masked picture, for models that fill in."""
        import numpy as np
        import torch

        width, height = stage.plan.size
        if not self._holds(stage):
            mask, pixels = torch.ones(1, 1, height, width), torch.zeros(1, 3, height, width)
        else:
            mask = torch.from_numpy(np.array(self._on(stage).pixels) > 0)[None, None].float()
            picture = torch.from_numpy(np.array(self._picture(stage))).permute(2, 0, 1)[None].float() / 127.5 - 1
            pixels = picture * (1 - mask)
        return Masked(mask.to(stage.device, stage.dtype), stage.model.encode_pixels(pixels, stage.wrap))

    @hookimpl(wrapper=True)
    def init_latents(self, stage: Stage, noise: Tensor) -> Generator[None, Tensor, Tensor]:
        """Remember what the rest of the canvas is held to."""
        latents = yield
        if self._holds(stage) and not all(info.fills_masks for info in stage.infos.values()):
            before = stage.previous if stage.index == 0 else None
            same = before is not None and tuple(before.shape[-2:]) == stage.canvas
            clean = before if before is not None and same else stage.encode(self._picture(stage))
            self._held.set(stage, Held(clean, noise))
        return latents

    @hookimpl(wrapper=True)
    def step(self, stage: Stage, at: Step) -> Generator[None, Tensor, Tensor]:
        """Bring back what stays, with the noise of the following step."""
        following = yield
        if (held := self._held.get(stage)) is None:
            return following
        import torch

        if at.is_last:
            known = held.clean
        else:
            known = stage.scheduler.add_noise(held.clean, held.noise, stage.steps[at.index + 1].timestep)
        stays = self._on(stage).latents.to(stage.device) <= 1 - (at.index + 1) / at.total
        return torch.where(stays, known, following)

    @hookimpl(wrapper=True)
    def decode(self, stage: Stage, latents: Tensor) -> Generator[None, Image, Image]:
        """Lay what is drawn over the picture."""
        drawn = yield
        if tuple(latents.shape[-2:]) != stage.canvas or not self._holds(stage):
            return drawn
        from PIL import Image

        return Image.composite(drawn, self._picture(stage), self._on(stage).pixels)

    def _holds(self, stage: Stage) -> bool:
        """Whether the picture is as large as a stage, so that something can stay; the first one is always held."""
        if stage.index == 0:
            return not (self.strength == 1 and self._everything())
        return all(own >= side for own, side in zip(picture_size(self.from_), stage.frame, strict=True))

    def _everything(self) -> bool:
        """Whether nothing is to stay; also where picture or mask can't be read, which `check` tells."""
        try:
            size = picture_size(self.from_)
            return bool(region_of(size, self.box, self.mask).all())
        except FusionError:
            return True

    def _picture(self, stage: Stage) -> Image:
        return stage.laid(open_picture(self.from_))

    def _on(self, stage: Stage) -> Mask:
        """The mask on a stage's canvas."""
        if (found := self._mask.get(stage)) is not None:
            return found
        soft = softened(region_of(picture_size(self.from_), self.box, self.mask), self.softness, stage.wrap)
        return self._mask.set(stage, mask_on(soft, stage))
