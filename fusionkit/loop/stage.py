"""What the hooks are asked about and answer with: stages, steps, patches, prompts, fused predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fusionkit.keeping import Shelf
from fusionkit.loop.finite import Facts, check_finite
from fusionkit.loop.noise import generator, keyed_noise
from fusionkit.loop.views import View, Wrap

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit.loop.model import Model, ModelInfo
    from fusionkit.loop.scheduler import Scheduler
    from fusionkit.plugin import Plugin
    from fusionkit.recipe.recipe import Recipe


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
class StagePlan:
    """One stage of a run, as `plan_stages` answers it.

    Args:
        size: (width, height) of the stage's picture, in pixels.
        steps: Sampling steps; None is the recipe's number.
        name: For the progress bar and `plan`.
        picture: On the first stage: a picture that stands in for the stage before it. It is cropped to the stage's
            aspect ratio, scaled to `picture_size` and encoded.
        picture_size: (width, height) in pixels at which the picture is encoded; None is the stage's own size.
        wrap: Along which axes the canvas is a ring, so that its edges meet: "x" (left and right), "y" or "xy".
        strength: The share of the steps, 0..1, that are taken, the last ones: the stage begins with the one before it,
            or the picture, noised to the first of them. None begins with noise alone. As diffusers counts it.
    """

    size: tuple[int, int]
    steps: int | None = None
    name: str = ""
    picture: Path | None = None
    picture_size: tuple[int, int] | None = None
    wrap: Wrap = ""
    strength: float | None = None

    def skipped(self, steps: int) -> int:
        """How many of so many sampling steps are not taken, the first ones."""
        return 0 if self.strength is None else steps - min(int(steps * self.strength), steps)


@dataclass(frozen=True)
class Step:
    """One step of a stage.

    Args:
        index: 0 for the first step.
        total: The number of steps in the stage.
        timestep: The scheduler's timestep, a tensor without axes.
    """

    index: int
    total: int
    timestep: Tensor

    @property
    def is_last(self) -> bool:
        """Whether no step follows."""
        return self.index == self.total - 1


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

    A plugin that answers `views` gives `views`, and may give `kind`, `share`, `weights`, `noise` and `left_out`; the
    loop fills in `latents`, `prompts` and `prediction`. All views of a group have one size.

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
        left_out: What plugins leave out, each by `narrowed` or `only`; a view is predicted where none leaves it out.
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
    left_out: tuple[LeftOut, ...] = ()
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
    """

    prediction: Tensor
    noise: Tensor | None = None
    denoised: Tensor | None = None


class Hooks(Protocol):
    """Whom a stage asks for the plugins' answers."""

    def ask(self, name: str, **arguments: Any) -> Any:
        """Call one hook."""


@dataclass
class Stage:
    """One stage of a run: a canvas, the model's window, the steps, and everything a hook may ask.

    Args:
        plan: The stage as planned.
        index: 0 for the first stage.
        recipe: The recipe of the run.
        info: What is known of the model without its weights; of the main one, where there are several.
        scheduler: The stage's own scheduler, with its timesteps set.
        model: The model adapter, or the main one; None while a run is only planned.
        previous: The clean latents (1, C, h, w) of the stage before, or of the picture that stands in for it; None in
            a first stage without a picture.
        memory: What plugins keep until the run ends, shared by its stages; they reach it by their `RunMemory`.
        state: What they keep until the stage ends, by their `StageState`.
        cache: What can be made again, by their `StageCache`.
        infos: What is known of each model, by the names that the recipe gives them, the main one first.
        models: The model adapters by the same names; empty while a run is only planned.
        hooks: The run's plugins, whom `encode` and `decode` ask; None for none.
        tilings: The views that were checked before the run, by the step's index, in short.
        facts: What must be true of this run's tensors, such as that they are finite; the loop looks at it.
    """

    plan: StagePlan
    index: int
    recipe: Recipe
    info: ModelInfo
    scheduler: Scheduler
    model: Model = None  # type: ignore[assignment]
    previous: Tensor | None = None
    memory: Shelf = field(default_factory=dict)
    state: Shelf = field(default_factory=dict)
    cache: Shelf = field(default_factory=dict)
    infos: Mapping[str, ModelInfo] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    hooks: Hooks | None = field(default=None, repr=False, compare=False)
    tilings: dict[int, Tiling] = field(default_factory=dict, repr=False, compare=False)
    facts: Facts = field(default_factory=Facts, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Where nothing else is said, there is one model."""
        self.infos = self.infos or {"model": self.info}

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(1, C, H, W) of the canvas, in latent pixels."""
        width, height = self.plan.size
        return 1, self.info.channels, height // self.factor, width // self.factor

    @property
    def canvas(self) -> tuple[int, int]:
        """(H, W) of the canvas, in latent pixels."""
        return self.shape[2], self.shape[3]

    @property
    def window(self) -> tuple[int, int]:
        """(h, w) of the model's window, in latent pixels, cut to the canvas."""
        width, height = self.recipe.window or self.info.window
        return min(height // self.factor, self.canvas[0]), min(width // self.factor, self.canvas[1])

    @property
    def wrap(self) -> Wrap:
        """Along which axes the canvas is a ring: "", "x", "y" or "xy"."""
        return self.plan.wrap

    @property
    def factor(self) -> int:
        """How many pixels of the picture one latent pixel spans along a side."""
        return self.info.factor

    @property
    def has_previous(self) -> bool:
        """Whether a stage, or a picture, comes before this one; known while a run is only planned."""
        return self.index > 0 or self.plan.picture is not None

    @property
    def sampling_steps(self) -> int:
        """How many sampling steps the stage takes; some schedulers make more `steps` of them."""
        steps = self.plan.steps or self.recipe.steps
        return steps - self.plan.skipped(steps)

    def guidance_at(self, at: Step, scale: float | None = None, interval: tuple[float, float] | None = None) -> float:
        """The guidance scale of a step: 1, which is no guidance, outside of the interval.

        Args:
            at: The step.
            scale: None is the recipe's.
            interval: Where guidance begins and ends, in shares of the stage's steps; None is the recipe's.
        """
        scale = self.recipe.guidance_scale if scale is None else scale
        begin, end = self.recipe.guidance_interval if interval is None else interval
        return scale if begin <= at.index / at.total < end else min(scale, 1.0)

    @cached_property
    def steps(self) -> list[Step]:
        """The stage's steps, first to last."""
        timesteps = self.scheduler.timesteps
        return [Step(i, len(timesteps), t) for i, t in enumerate(timesteps)]

    @cached_property
    def previous_picture(self) -> Image:
        """The picture of `previous`, decoded once a stage however many plugins look at it."""
        assert self.previous is not None, "asked for in stages alone that have one before them"
        return self.decode(self.previous)

    @property
    def device(self) -> torch.device:
        """Where the canvas lives."""
        import torch

        return self.model.device if self.model is not None else torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """The canvas' type: float32, whatever the model's, so that steps lose nothing."""
        import torch

        return torch.float32

    def encode(self, picture: Image) -> Tensor:
        """A picture of the canvas, at any size, as scaled latents (1, C, h, w), by the hook `encode`.

        Raises:
            ValueError: It is no picture, or a side is not divisible by the latent factor.
            NumericalError: The latents have values that are not finite.
            PluginError: A plugin failed, or its answer does not fit.
        """
        size, factor = getattr(picture, "size", None), self.factor
        if not isinstance(size, tuple) or size[0] % factor or size[1] % factor:
            what = f"a picture of {size[0]}x{size[1]} pixels" if isinstance(size, tuple) else type(picture).__name__
            raise ValueError(f"{what} can't be encoded; expected a picture of Pillow, its sides divisible by {factor}")
        latents: Tensor = self._ask("encode", picture=picture)
        return latents

    def decode(self, latents: Tensor) -> Image:
        """Clean latents of the canvas (1, C, h, w), at any size, as a picture, by the hook `decode`.

        Raises:
            ValueError: They are of another shape.
            NumericalError: The latents, or the picture, have values that are not finite.
            PluginError: A plugin failed, or its answer does not fit.
        """
        shape = tuple(getattr(latents, "shape", ()))
        if len(shape) != 4 or shape[:2] != self.shape[:2]:
            what = f"latents of {shape}" if shape else type(latents).__name__
            raise ValueError(f"{what} can't be decoded; expected a tensor (1, {self.shape[1]}, h, w)")
        check_finite(latents, "the canvas that is to be decoded", "nothing can be drawn of it")
        picture: Image = self._ask("decode", latents=latents)
        return picture

    def _ask(self, name: str, **arguments: Any) -> Any:
        import torch

        if self.model is None:
            raise ValueError(f"there is nothing to {name} with before the model has loaded")
        with torch.inference_mode():
            if self.hooks is not None:
                return self.hooks.ask(name, stage=self, **arguments)
            return getattr(self.model, name)(*arguments.values())

    def noise(self, purpose: str, shape: Sequence[int] | None = None, at: Step | None = None) -> Tensor:
        """N(0, 1) noise that depends on the seed, the stage, the step and the purpose alone.

        Args:
            purpose: What it is for; two plugins that must not share a draw use two purposes.
            shape: Shape of the draw; None is the canvas.
            at: The step, for noise that differs from step to step.
        """
        drawn = keyed_noise(self.recipe.seed, *self._key(purpose, at), shape=self.shape if shape is None else shape)
        return drawn.to(self.device, self.dtype)

    def integers(self, purpose: str, count: int, low: int, high: int, at: Step | None = None) -> list[int]:
        """`count` integers drawn evenly from low..high, both included, keyed as `noise` is."""
        import torch

        drawn = torch.randint(
            low, high + 1, (count,), generator=generator(self.recipe.seed, *self._key(purpose, at))
        ).tolist()
        return [int(value) for value in drawn]

    def _key(self, purpose: str, at: Step | None) -> tuple[str | int, ...]:
        return self.index, -1 if at is None else at.index, purpose

    def let_go(self, state: bool = True) -> None:
        """Forget what the stage can make again, and what plugins have kept of it unless somebody may still ask."""
        self.cache.clear()
        self.__dict__.pop("previous_picture", None)
        if state:
            self.state.clear()
