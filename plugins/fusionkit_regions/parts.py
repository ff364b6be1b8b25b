"""What a region is, as a recipe writes it: where it lies, and what is said there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fusionkit import PicturePath, Prompt, Told
from fusionkit.recipe import Number, Part, PromptText, finite

# A whole number stays one, so that pixels can be told from shares, and a recipe is written as it was read.
Measure = Annotated[int | float, BeforeValidator(finite)]
Softness = Annotated[Number, Field(ge=0, le=1e6)]


def in_one_unit(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A box whose numbers are all pixels, or all shares.

    Raises:
        ValueError: They are neither, or it has no width or height.
    """
    sides = box[2:]
    if min(sides) <= 0:
        raise ValueError(f"a box is [left, top, width, height], and none of {list(sides)} may be 0 or less")
    if in_pixels(box) and any(isinstance(each, float) and not each.is_integer() for each in box):
        raise ValueError(
            f"a box is in whole pixels, or in shares of the picture, whose width and height are at most 1; "
            f"{list(box)} is neither"
        )
    return box


def in_pixels(box: tuple[float, ...]) -> bool:
    """Whether a box, or the middle of one, is in pixels: in shares of the picture its last two are at most 1."""
    return max(box[-2:]) > 1


Sides = Annotated[tuple[Measure, Measure, Measure, Measure], AfterValidator(in_one_unit)]
"""Left, top, width and height of a box, in pixels of the recipe's `size`, or in shares of it."""


class Region(Part):
    """A part of the picture: what it shows, and how that is predicted. What it leaves open is the recipe's."""

    prompt: PromptText | None = Field(default=None, description="What is to be seen there; by default the recipe's.")
    adds: PromptText | None = Field(
        default=None, description="In place of `prompt`: what is said there behind the recipe's, such as 'with a moon'."
    )
    negative_prompt: PromptText | None = Field(default=None, description="By default the recipe's.")
    guidance_scale: Number | None = Field(default=None, ge=0, description="By default the recipe's.")
    model: str | None = Field(
        default=None, description="Which of the recipe's models draws it, by name; by default the main one."
    )
    soft_border: Softness | None = Field(
        default=None,
        description="Pixels over which it fades, half of them on either side of its border, so that two regions side "
        "by side fade into each other; 0 is sharp. By default a box fades by `softness`, and a mask as it is painted.",
    )
    window: Literal["own", "shared"] | None = Field(
        default=None,
        description="Whether one window of its own around it hears its prompt, or all windows do that see some of it, "
        "each once more. By default what fits into a window has its own, and what is larger shares.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Region:
        if self.prompt is not None and self.adds is not None:
            raise ValueError("a region has either a prompt of its own, or what it adds to the recipe's")
        own = (self.prompt, self.adds, self.negative_prompt, self.guidance_scale, self.model)
        if own == (None,) * len(own):
            raise ValueError(
                "a region that says nothing is no region; give it a prompt, adds, negative-prompt, guidance-scale or "
                "model"
            )
        return self

    def text(self, whole: str) -> str:
        """What is to be seen there, in a recipe with the prompt `whole`."""
        return f"{whole} {self.adds}" if self.adds is not None else whole if self.prompt is None else self.prompt

    def told(self, whole: str, name: str = "", negative: str | None = None) -> Told:
        """What its views are told.

        Args:
            whole: The recipe's prompt.
            name: The region's name.
            negative: What they steer away from where the region does not say; None is the recipe's.
        """
        negative = negative if self.negative_prompt is None else self.negative_prompt
        return Told(Prompt(self.text(whole), negative), self.guidance_scale, self.model or "", name)


class Boxed(Part):
    """A place that is a rectangle."""

    box: Sides = Field(
        description="Left, top, width and height, in pixels of the recipe's `size`, or in shares of it such as "
        "[0.5, 0, 0.5, 1]."
    )

    @property
    def place(self) -> tuple[float, float, float, float]:
        """Where it is."""
        return self.box


class Painted(Part):
    """A place that is painted."""

    mask: PicturePath = Field(
        description="A picture, white where the region is and grey where it fades, from the working folder or beside "
        "the recipe; of any size with the picture's aspect ratio."
    )

    @property
    def place(self) -> Path:
        """Where it is."""
        return self.mask


class Box(Boxed, Region):
    """A region that is a rectangle."""


class Mask(Painted, Region):
    """A region that is painted."""


class Once(Region):
    """A thing that is to be there once: only the window around one place hears of it."""

    at: tuple[Measure, Measure] | None = Field(
        default=None,
        description="The middle of its place, in pixels of the recipe's `size` or in shares of it such as [0.3, 0.5]; "
        "by default drawn from the seed, beside the other regions.",
    )
    size: tuple[Measure, Measure] | None = Field(
        default=None,
        description="Width and height of its place, likewise; by default three quarters of a window's width, and its "
        "height.",
    )
    avoid_elsewhere: bool = Field(
        default=False, description="Whether all other views have it in their negative prompts, besides what is there."
    )

    @model_validator(mode="after")
    def _has_a_size(self) -> Once:
        if self.size is not None and min(self.size) <= 0:
            raise ValueError(f"a size is [width, height], and none of {list(self.size)} may be 0 or less")
        return self

    @property
    def thing(self) -> str:
        """What others are to avoid."""
        said = self.adds if self.adds is not None else self.prompt
        return "" if said is None else said.removeprefix("with ")


def as_once(value: Any) -> Any:
    """`a red balloon`, as a mapping of one thing that is added to the recipe's prompt; a mapping as it is."""
    if isinstance(value, str) and value.strip():
        return {"once": {"adds": value if value.startswith("with ") else f"with {value}"}}
    if isinstance(value, Mapping):
        return {
            name: {"adds": each if each.startswith("with ") else f"with {each}"} if isinstance(each, str) else each
            for name, each in value.items()
        }
    return value
