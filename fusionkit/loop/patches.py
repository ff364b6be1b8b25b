"""Groups of views, from the hook that makes them to the one that fuses what was predicted of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fusionkit.loop.views import View

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.plugin import Plugin


@dataclass(frozen=True)
class Prompt:
    """What one view is to show.

    Args:
        text: The prompt.
        negative: What to steer away from; None is the recipe's negative prompt.
    """

    text: str
    negative: str | None = None


@dataclass(frozen=True)
class Told:
    """What one view is told in place of what the recipe says to all; what it leaves open is the recipe's.

    Args:
        prompt: What it is to show.
        guidance_scale: How strongly it follows its prompt, from 0.
        model: Which of the recipe's models predicts it, by name; empty is the main one.
        part: What the part of the picture is called that it shows; for whoever told it, and for maps.
    """

    prompt: Prompt | None = None
    guidance_scale: float | None = None
    model: str = ""
    part: str = ""


@dataclass(frozen=True)
class Control:
    """An image that steers the noise prediction through a network beside the denoiser; each view gets its own crop.

    Args:
        net: The network, loaded, as the model adapter calls it.
        hint: What it is shown, for the whole canvas: (1, 3, H, W) in pixels of the picture, 0..1.
        scale: What its residuals are multiplied by.
    """

    net: Any = field(repr=False)
    hint: Tensor = field(repr=False)
    scale: float = 1.0


@dataclass(frozen=True)
class Masked:
    """What models that fill in masked parts are told of the whole canvas; each view gets its own part.

    Args:
        mask: (1, 1, H factor, W factor), in pixels: 1 where something is to be filled in, 0 where the picture stays.
        picture: The scaled latents (1, C, H, W) of the picture, grey where something is to be filled in.
    """

    mask: Tensor = field(repr=False)
    picture: Tensor = field(repr=False)


@dataclass(frozen=True)
class ImagePrompt:
    """Pictures that the denoiser's layers look at beside the prompt; each view as far as its part of a mask says.

    Args:
        layers: Of each layer that looks at the text, by its name, what lets it look at the pictures as well, loaded, as
            the model adapter calls it.
        tokens: What is looked at, (2, L, D): where the prompt is heard, and where it is not.
        scales: What each of the layers' answer is multiplied by, by its name; those at 0 may be left out.
        mask: Where on the canvas, (1, 1, H, W) in pixels of the picture, 0..1; None is everywhere.
        part: Only views that are told of this part of the picture look, as `Told.part` names it; empty is all.
    """

    layers: Mapping[str, Any] = field(repr=False)
    tokens: Tensor = field(repr=False)
    scales: Mapping[str, float] = field(default_factory=dict)
    mask: Tensor | None = field(default=None, repr=False)
    part: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Views of a group that are not to be predicted, and who fills them in.

    Args:
        by: A plugin's name.
        predict: P booleans: whether a view is to be predicted.
    """

    by: str
    predict: tuple[bool, ...]


@dataclass
class Patches:
    """A group: views of one kind, predicted together and averaged with each other.

    A plugin that answers `views` gives `views`, and may give `kind`, `share`, `weights`, `noise`, `left_out` and
    `told`; the loop fills in `latents`, `prompts` and `prediction`. All views of a group have one size.

    Args:
        views: P views.
        kind: What they are ("window", "dilated", ...), so that a plugin can tell which groups are its business.
        share: The group's part of the fused prediction; shares are divided by their sum.
        weights: What each pixel of a view counts for, broadcastable to (P, 1, h, w); None is 1 everywhere.
        noise: Per-view noise (P, C, h, w) of this step, for plugins that fuse noise from the views.
        latents: The views of the canvas, (P, C, h, w).
        prompts: P prompts.
        prediction: The model's guided output for each view, (P, C, h, w).
        controls: Images that steer the prediction; a plugin adds its own around `noise_prediction`.
        image_prompts: Pictures that the denoiser looks at beside the prompt; likewise.
        left_out: What plugins leave out, each by `narrowed` or `only`; a view is predicted where none leaves it out.
        told: What each of the P views is told in place of what the recipe says; empty where that is nothing.
        origin: The plugin that added the group, as the loop notes it: `patches.origin is self` in one's own groups.
            Copies made by `dataclasses.replace` keep it.
    """

    views: tuple[View, ...]
    kind: str = "window"
    share: float = 1.0
    weights: Tensor | None = None
    noise: Tensor | None = None
    latents: Tensor = field(default=None, repr=False)  # type: ignore[assignment]
    prompts: Sequence[str | Prompt] = ()
    prediction: Tensor = field(default=None, repr=False)  # type: ignore[assignment]
    controls: tuple[Control, ...] = ()
    image_prompts: tuple[ImagePrompt, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    told: tuple[Told, ...] = ()
    origin: object = field(default=None, repr=False, compare=False)

    @property
    def predict(self) -> tuple[bool, ...] | None:
        """Whether each of the P views is to be predicted; None where all are."""
        if not self.left_out:
            return None
        return tuple(map(all, zip(*(each.predict for each in self.left_out), strict=True)))

    @property
    def asked(self) -> list[int]:
        """The numbers of the views that are to be predicted."""
        every = range(len(self.views))
        return list(every) if self.predict is None else [number for number in every if self.predict[number]]

    def narrowed(self, predict: Sequence[bool], by: Plugin) -> Patches:
        """The same group, of which a plugin lets only some views be predicted; for `views`.

        The plugin fills in the rest around `noise_prediction`.

        Args:
            predict: P booleans.
            by: The plugin.

        Raises:
            ValueError: They are not one a view.
        """
        told = tuple(bool(each) for each in predict)
        if len(told) != len(self.views):
            raise ValueError(f"{len(told)} booleans for {len(self.views)} views; expected one a view")
        return replace(self, left_out=(*self.left_out, LeftOut(by.plugin_name, told)))

    @contextmanager
    def only(self, predict: Sequence[bool], by: Plugin) -> Iterator[None]:
        """As `narrowed`, of this very group and for a while: for the `yield` of `noise_prediction`.

        The plugin also counts it so, around `forward_passes`.
        """
        before = self.left_out
        self.left_out = self.narrowed(predict, by).left_out
        try:
            yield
        finally:
            self.left_out = before

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of each view, in latent pixels."""
        return self.views[0].height, self.views[0].width

    def weighted(self, weights: Tensor) -> Patches:
        """The same group with its weights multiplied by `weights`, broadcastable to (P, 1, h, w)."""
        return replace(self, weights=weights if self.weights is None else self.weights * weights)

    def picked(self, numbers: Sequence[int]) -> Patches:
        """A group of the views with these numbers, in this order, each with all that is its own; one may come twice."""
        numbers, count, weights = list(numbers), len(self.views), self.weights
        # What is the same for all views has one row.
        a_view_each = weights is not None and weights.ndim == 4 and len(weights) == count
        return replace(
            self,
            views=tuple(self.views[number] for number in numbers),
            weights=weights[numbers] if weights is not None and a_view_each else weights,
            noise=None if self.noise is None else self.noise[numbers],
            latents=None if self.latents is None else self.latents[numbers],
            prompts=[self.prompts[number] for number in numbers] if self.prompts else (),
            prediction=None if self.prediction is None else self.prediction[numbers],
            left_out=tuple(
                replace(each, predict=tuple(each.predict[number] for number in numbers)) for each in self.left_out
            ),
            told=tuple(self.told[number] for number in numbers) if self.told else (),
        )


@dataclass(frozen=True)
class Tiling:
    """The groups of views of one step, in short: that of thousands of steps has to be kept.

    Args:
        fingerprint: Of the views, kinds and shares.
        largest: The number of views in the largest group.
    """

    fingerprint: int
    largest: int

    @classmethod
    def of(cls, groups: Sequence[Patches]) -> Tiling:
        """That of an answer of `views`."""
        told = tuple((tuple(patches.views), patches.kind, patches.share) for patches in groups)
        return cls(hash(told), max(len(patches.views) for patches in groups))


@dataclass
class Fused:
    """What `fuse` answers: one prediction, and possibly noise, for the whole canvas.

    Args:
        prediction: The fused model output, (1, C, H, W).
        noise: The noise of a stochastic step, (1, C, H, W); None lets `step` draw N(0, 1) for the canvas.
        denoised: The scheduler's estimate of the clean latents, (1, C, H, W), set by `step` where the scheduler tells.
        moved: What is added to the canvas before the step, (1, C, H, W), where what was predicted is that of a canvas
            moved by so much; None for nothing.
    """

    prediction: Tensor
    noise: Tensor | None = None
    denoised: Tensor | None = None
    moved: Tensor | None = None
