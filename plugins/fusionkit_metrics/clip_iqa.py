"""CLIP-IQA: which of two opposite texts a picture is nearer to, without a reference (Wang et al., arXiv 2207.12396)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field

from fusionkit.errors import did_you_mean
from fusionkit.recipe import Count
from fusionkit.recipe.problems import shown
from fusionkit_metrics.clip import ByCLIP, clip
from fusionkit_metrics.whole import too_small

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

Known = Literal[
    "quality",
    "sharpness",
    "noisiness",
    "brightness",
    "contrast",
    "colorfullness",
    "complexity",
    "natural",
    "real",
    "beautiful",
    "new",
    "warm",
    "happy",
    "scary",
    "lonely",
    "relaxing",
]
"""The pairs of texts that torchmetrics has, by its names for them."""
TOGETHER = 16
"""Squares that CLIP looks at in one pass."""


def _pair(value: Any) -> Any:
    """A pair's name as it is, or two texts; what is neither in one line, where each kind would have one of its own."""
    names = get_args(Known)
    if isinstance(value, str) and value in names:
        return value
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(x, str) and x.strip() for x in value):
        return tuple(value)
    near = did_you_mean(value, names) if isinstance(value, str) else ""
    raise ValueError(f"must be two texts, the better one first, or one of {', '.join(names)}, not {shown(value)}{near}")


class CLIPIQA(ByCLIP, name="clip-iqa"):
    """How sure CLIP is that a picture is a good photo and not a bad one, 0 to 1; or of any other two texts.

    exp(a) / (exp(a) + exp(b)), a and b being 100 cos(image, text) of the first text and of the second; the mean over
    the squares that a picture is looked at in. Computed by torchmetrics.
    """

    title: ClassVar[str] = "CLIP-IQA"
    any_size: ClassVar[bool] = True

    prompts: Annotated[Known | tuple[str, str], BeforeValidator(_pair)] = Field(
        default="quality",
        description="What is asked: the name of a pair of torchmetrics', such as quality (Good photo., Bad photo.), "
        "sharpness, noisiness, natural or beautiful; or two texts of your own, the better one first.",
    )
    side: Count | None = Field(
        default=None,
        description="Side in pixels of the squares that CLIP looks at, each reduced to its own size, mostly 224; none "
        "is a picture's shorter side.",
    )

    def problems(self, pictures: Sequence[Picture], reference: Sequence[Picture], tools: Tools) -> list[str]:
        """Pictures smaller than a square, or the base's problems, or a text of too many tokens."""
        if problems := too_small(pictures, self.side or 1) or super().problems(pictures, reference, tools):
            return problems
        model, processor = clip(self.source(tools))
        most = model.config.text_config.max_position_embeddings
        texts = () if isinstance(self.prompts, str) else self.prompts
        counts = {text: len(processor.tokenizer(text)["input_ids"]) for text in texts}
        return [
            f"prompts: '{text:.40}...' has {count} tokens; this CLIP takes {most}"
            for text, count in counts.items()
            if count > most
        ]

    def describe(self, picture: Picture, tools: Tools) -> Any:
        """The mean over the picture's squares."""
        return likelier(squares(picture.pixels(), self.side), self.prompts, self.source(tools), tools.device)


def likelier(images: NDArray[np.uint8], prompts: str | tuple[str, str], source: str, device: str = "cpu") -> float:
    """How sure a CLIP is of the first text of a pair, the mean over images (n, h, w, 3).

    Raises:
        ModelError: The model can't be loaded.
    """
    import torch
    from torchmetrics.functional.multimodal import clip_image_quality_assessment

    ask: Any = clip_image_quality_assessment  # its types know OpenAI's models by name and nothing else
    pixels: Any = torch.tensor(images, device=device).permute(0, 3, 1, 2)
    found: list[float] = []
    with torch.inference_mode():
        for batch in pixels.split(TOGETHER):
            # The model's own processor divides by 255: were it done here, too, all pictures would be black.
            sure = ask(batch, lambda: clip(source), data_range=1.0, prompts=(prompts,))
            found += sure.reshape(-1).tolist()
    return sum(found) / len(found)


def squares(pixels: NDArray[np.uint8], side: int | None = None) -> NDArray[np.uint8]:
    """As few squares as cover a picture (H, W, 3), evenly spaced, row by row: (n, side, side, 3).

    Args:
        pixels: The picture.
        side: Of a square; None is the picture's shorter side.
    """
    import numpy as np

    height, width = pixels.shape[:2]
    side = side or min(height, width)
    down, across = (
        np.linspace(0, length - side, ceil(length / side)).round().astype(int) for length in (height, width)
    )
    return np.stack([pixels[top : top + side, left : left + side] for top in down for left in across])
