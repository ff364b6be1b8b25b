"""Patch-content-aware prompts: each view is told only what belongs there (arXiv 2407.10738, section 3.2)."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from fusionkit import Field, Patches, Plugin, Prompt, RunMemory, Stage, View, hookimpl
from fusionkit.loop.told import asked_of_main
from fusionkit.recipe import Count, Number, refuse_bool
from fusionkit.recipe.prompt_syntax import words_alone
from fusionkit_accdiffusion.attention_maps import CanvasMaps, maps_of_picture
from fusionkit_accdiffusion.influence import influence
from fusionkit_accdiffusion.masks import above_mean, opened, shares
from fusionkit_accdiffusion.words import CONNECTIVES, Choice, Word, bare, tokens_of, words_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit_accdiffusion.masks import Masks

# At so many timesteps a picture that the run starts from is looked at.
LOOKS = 10
_SDXL = (4,)


@dataclass
class Memory:
    """What one run knows.

    Args:
        attention: The attention of stage 1, or of the picture.
        words: The prompt's words.
        masks: One for each word, (W, h, w).
        canvas: Of the views that were last given prompts, (H, W) in latent pixels.
        views: Those views.
        prompts: Their prompts.
    """

    attention: CanvasMaps = field(default_factory=CanvasMaps)
    words: list[Word] = field(default_factory=list)
    masks: Masks | None = None
    canvas: tuple[int, int] = (0, 0)
    views: tuple[View, ...] = ()
    prompts: tuple[str, ...] = ()


def _levels(levels: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if levels is None:
        return None
    if not levels or any(level & (level - 1) for level in levels):
        raise ValueError(f"levels are powers of 2, such as [4] or [1, 2], not {list(levels)}")
    return tuple(sorted(set(levels)))


LayerNumber = Annotated[int, BeforeValidator(refuse_bool), Field(ge=0, le=1000)]


def _layers(layers: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if layers == ():
        raise ValueError("layers are numbers such as [0, 5]; leave the option out for all")
    return layers if layers is None else tuple(sorted(set(layers)))


class PatchContentPrompts(Plugin):
    """Give each view of an upscaled picture only the words that attend to it (arXiv 2407.10738, section 3.2)."""

    threshold: Number = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Share of a view that a word's mask must cover; at 0 every view has every word.",
    )
    levels: Annotated[tuple[Count, ...] | None, AfterValidator(_levels)] = Field(
        default=None,
        description="Where the denoiser's attention is read: divisors of the latents' sides. By default [4] of a UNet, "
        "which suits SDXL, while small models have theirs at [1, 2]; of a transformer its tokens' side, since there is "
        "no other. Several are averaged, at the finest.",
    )
    layers: Annotated[tuple[LayerNumber, ...] | None, AfterValidator(_layers)] = Field(
        default=None,
        description="Which of the denoiser's layers that look at the text count, from 0 in their order; by default "
        "all, or those that are known to be best for the family of models.",
    )
    attention: Literal["text", "all"] | None = Field(
        default=None,
        description="What a pixel's attention adds up to 1 over, in transformers whose image and text are one "
        "sequence: 'text' alone, or 'all' of it, where a pixel that looks at the picture looks less at words; by "
        "default what is known to be best for the family, mostly 'text'.",
    )
    opening: Annotated[int, BeforeValidator(refuse_bool), Field(ge=0, le=1000)] | None = Field(
        default=None,
        description="Times that a mask is eroded and dilated again by 3x3, which removes specks; by default a "
        "sixteenth of its rows, and none below 16 rows.",
    )
    unit: Literal["word", "token"] = Field(
        default="word",
        description="What is kept or struck: whole words with their articles and punctuation, or pieces of words (the "
        "reference code's way, for comparison).",
    )
    tokens: Literal["own", "all"] = Field(
        default="own",
        description="Which tokens' attention counts as a word's: its own (the paper's way), or all, by how much "
        "the word changes each in the text encoder. Of UNets alone.",
    )
    empty: Literal["best", "prompt", "nothing"] = Field(
        default="best",
        description="What a view gets where no word passes, or only words such as 'of' and 'with': its best word, the "
        "whole prompt, or an empty prompt.",
    )
    keep: tuple[str, ...] = Field(
        default=(), description="Words that every view has, such as [photo, cartoon], which say how and not what."
    )
    drop: tuple[str, ...] = Field(
        default=(),
        description="Words that no view of an upscaled stage has, such as [landscape], which name a composition.",
    )

    memory: ClassVar[RunMemory[Memory]] = RunMemory(Memory)

    @model_validator(mode="after")
    def _not_both(self) -> PatchContentPrompts:
        if both := sorted({bare(word) for word in self.keep} & {bare(word) for word in self.drop}):
            raise ValueError(f"'{both[0]}' can't be both kept and dropped")
        return self

    @hookimpl
    def check(self, stage: Stage) -> list[str]:
        """An empty prompt, and attention that the model does not have."""
        asked, there = set(self.levels_of(stage)), stage.info.cross_attention
        problems = []
        if not words_alone(stage.recipe.prompt).split():
            problems.append("the prompt is empty, so there are no words to choose from")
        if missing := sorted(asked - set(there)):
            exist = f"it has it at levels {list(there)}" if there else "it has none"
            problems.append(f"{stage.info.name} has no cross-attention at levels {missing}; {exist}")
        elif self.layers and (count := stage.info.attention_layers) and self.layers[-1] >= count:
            problems.append(
                f"{stage.info.name} has {count} layers that look at the text, 0 to {count - 1}; there is no layer "
                f"{self.layers[-1]}"
            )
        elif (most := min(stage.window)) < max(asked):
            problems.append(
                f"level {max(asked)} is coarser than the window, whose shorter side is {most} latent pixels; "
                f"use levels of at most {most}"
            )
        if self.tokens == "all" and not stage.info.block_out_channels:
            problems.append(f"tokens: all is for models with a UNet; {stage.info.name} is a transformer")
        return [f"{self.plugin_name}: {problem}" for problem in problems]

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, patches: Patches) -> Generator[None, Tensor, Tensor]:
        """Read the attention of the first stage's windows, at every step."""
        if stage.has_previous or patches.kind != "window":
            return (yield)
        passes = stage.model.forward_passes
        # Of views that others leave out there is nothing to read.
        with stage.model.capture(
            len(patches.views),
            patches.size,
            self.levels_of(stage),
            lambda: asked_of_main(stage, patches),
            self.layers,
            self.attention,
        ) as seen:
            prediction = yield
        # Where several models draw, there may be steps without the main one: nothing to read then.
        if stage.model.forward_passes > passes:
            self.memory(stage).attention.add(seen, patches, stage.canvas)
        return prediction

    @hookimpl(wrapper=True)
    def prompt_per_patch(
        self, stage: Stage, patches: Patches
    ) -> Generator[None, Sequence[str | Prompt], Sequence[str | Prompt]]:
        """Strike words from the recipe's prompt, in each window; what another plugin put in its place stays."""
        given = yield
        if not stage.has_previous or patches.kind != "window":
            return given
        own = self.prompts(stage, patches.views)
        prompts = [
            replace(prompt, text=text) if prompt.text == stage.recipe.prompt else prompt
            for prompt, text in zip(map(_as_prompt, given), own, strict=True)
        ]
        memory = self.memory(stage)
        memory.canvas, memory.views = stage.canvas, patches.views
        memory.prompts = tuple(prompt.text for prompt in prompts)
        return prompts

    @hookimpl
    def maps(self, stage: Stage, image: Image) -> Mapping[str, Image]:
        """A picture for each word, with its mask, and one of the views with their prompts."""
        from fusionkit_accdiffusion.prompt_pictures import mask_pictures, prompts_picture

        memory = self.memory(stage)
        if not memory.attention.steps:
            return {}
        masks = self.masks(stage)
        pictures = mask_pictures(image, memory.words, masks)
        if memory.views:
            pictures["prompts"] = prompts_picture(image, memory.canvas, memory.views, memory.prompts)
        return pictures

    def levels_of(self, stage: Stage) -> tuple[int, ...]:
        """Where a stage's attention is read."""
        # A transformer's tokens have one size.
        there = stage.info.cross_attention
        return self.levels or (there if len(there) == 1 else _SDXL)

    def prompts(self, stage: Stage, views: Sequence[View]) -> list[str]:
        """The prompt of each view, from the masks of the words."""
        covered = shares(self.masks(stage), views, stage.canvas)  # (P, W)
        words = self.memory(stage).words
        idle = CONNECTIVES if self.unit == "word" else ()
        choice = Choice(self.threshold, self.empty, idle, self.keep, self.drop)
        return [choice.prompt(stage.recipe.prompt, words, row.tolist()) for row in covered]

    def masks(self, stage: Stage) -> Masks:
        """The mask of each word, (W, h, w), made once from the attention of stage 1 or of the picture."""
        memory = self.memory(stage)
        if memory.masks is None:
            if not memory.attention.steps:
                memory.attention = maps_of_picture(stage, self.levels_of(stage), LOOKS, self.layers, self.attention)
            memory.words = self._words(stage)
            seen = self._word_maps(stage, memory)
            memory.masks = opened(above_mean(seen), self.opening, stage.wrap)
        return memory.masks

    def _word_maps(self, stage: Stage, memory: Memory) -> Any:
        maps = memory.attention.mean(stage.wrap)
        if self.tokens == "own":
            return word_maps(maps, memory.words)
        return shared_maps(maps, influence(memory.words, stage.model.embedded, stage.model.blank))

    def _words(self, stage: Stage) -> list[Word]:
        tokens = stage.model.text_tokens(stage.recipe.prompt)
        return words_of(stage.recipe.prompt, tokens) if self.unit == "word" else tokens_of(tokens)


def word_maps(maps: Tensor, words: Sequence[Word]) -> Any:
    """The mean map of each word's tokens, (W, h, w), float32 in numpy, from the tokens' maps (L, h, w).

    A word without tokens of its own has zeros.
    """
    import numpy as np

    tokens = maps.float().cpu().numpy()
    nothing = np.zeros(tokens.shape[1:], np.float32)
    return np.stack([tokens[list(word.positions)].mean(0) if word.positions else nothing for word in words])


def shared_maps(maps: Tensor, shares: Tensor) -> Any:
    """The map of each word, (W, h, w), float32 in numpy: those of all tokens (L, h, w), by its share in each (W, L)."""
    import torch

    return torch.einsum("nl,lhw->nhw", shares, maps.float().cpu()).numpy()


def _as_prompt(prompt: str | Prompt) -> Prompt:
    return Prompt(prompt) if isinstance(prompt, str) else prompt
