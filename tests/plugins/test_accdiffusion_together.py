"""The plugins for upscaling in one recipe: what is encoded, what is kept, and what they can be combined with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from fusionkit import Patches, Plugin, Prompt, Stage, Step, hookimpl
from fusionkit.models.load import wrap_pipeline
from fusionkit.recipe.prompt_syntax import parse
from fusionkit.testing import KINDS, Kind, execute_tiny, tiny_controlnet, tiny_pipeline, tiny_plan, tiny_run
from fusionkit_accdiffusion import ControlNet, DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion

PROMPT = "a hill, the sea, a red barn"


class TinyControlNet(ControlNet, name="controlnet"):
    """With the net that fits the tiny model at hand."""

    @hookimpl
    def check(self) -> list[str]:
        return []

    def net(self, stage: Stage) -> Any:
        return tiny_controlnet("sdxl" if stage.info.kind == "sdxl" else "sd")


class Prompts(Plugin):
    """Keeps every prompt that a group is predicted with."""

    seen: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Any:
        self.seen.update(prompt.text if isinstance(prompt, Prompt) else prompt for prompt in patches.prompts)
        return (yield)


class Sizes(Plugin):
    """Keeps how many bytes of tensors the run remembers, after each step."""

    bytes: Any

    @hookimpl
    def step_done(self, stage: Stage, at: Step) -> None:
        self.bytes.setdefault(stage.index, []).append(sum(each.nbytes for each in tensors_in(stage.memory)))


def tensors_in(value: Any) -> Iterator[Any]:
    """The tensors and arrays in what plugins keep."""
    if hasattr(value, "nbytes"):
        yield value
    elif is_dataclass(value):
        for each in fields(value):
            yield from tensors_in(getattr(value, each.name))
    elif isinstance(value, (dict, list, tuple)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(each)


def four(control: bool = True) -> list[Plugin]:
    """AccDiffusion v2, with the attention at the only level that tiny models have it."""
    plugins: list[Plugin] = [
        ProgressiveUpscaling(),
        MultiDiffusion(stride=32, jitter=8),
        DilatedSampling(),
        PatchContentPrompts(levels=(1,), threshold=0.5),
    ]
    return [*plugins, TinyControlNet(model="tiny", annotator="none")] if control else plugins


def largest(some: Tensor, others: Tensor) -> float:
    return float((some - others).abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_all_four_in_one_recipe_and_each_of_them_acts(kind: Kind) -> None:
    settings: Any = {"size": (136, 128), "steps": 2, "prompt": PROMPT, "scheduler": "ddim"}
    latents = tiny_run(four(), kind, **settings)
    assert tuple(latents.shape) == (1, 4, 16, 17)
    assert bool(latents.isfinite().all())
    assert tiny_run(four(), kind, **settings).equal(latents)
    for without in (0, 2, 3, 4):
        plugins = [plugin for number, plugin in enumerate(four()) if number != without]
        # Without stages there is no picture before: prompts and ControlNet have nothing to go by.
        if without == 0:
            plugins = plugins[:2]
        assert largest(tiny_run(plugins, kind, **settings), latents) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_four_does_not_matter(kind: Kind) -> None:
    settings: Any = {"size": (128, 128), "steps": 2, "prompt": PROMPT, "scheduler": "ddim"}
    assert tiny_run(four()[::-1], kind, **settings).equal(tiny_run(four(), kind, **settings))


def encoded(kind: Kind, steps: int) -> tuple[list[int], set[str]]:
    """How often each text encoder was asked in one run, and the prompts that were used."""
    pipe = tiny_pipeline(kind)
    encoders = [pipe.text_encoder] + ([pipe.text_encoder_2] if kind == "sdxl" else [])
    counts, seen, handles = [0] * len(encoders), set(), []
    for number, encoder in enumerate(encoders):

        def count(*_: Any, number: int = number) -> None:
            counts[number] += 1

        handles.append(encoder.register_forward_hook(count))
    try:
        plugins = [*four(), Prompts(seen=seen)]
        tiny_run(plugins, kind, size=(128, 128), steps=steps, prompt=PROMPT, negative_prompt="blurry", scheduler="ddim")
    finally:
        for handle in handles:
            handle.remove()
    return counts, seen


@pytest.mark.parametrize("kind", KINDS)
def test_each_text_is_encoded_once_whatever_the_number_of_steps(kind: Kind) -> None:
    for steps in (2, 6):
        counts, prompts = encoded(kind, steps)
        texts = {*prompts, "blurry"}
        readers = wrap_pipeline(tiny_pipeline(kind)).readers
        chunks = [{text: len(reader.chunks(parse(text))) for text in texts} for reader in readers]
        if any(count > 1 for each in chunks for count in each.values()):
            # A shorter prompt goes on as an empty one does.
            chunks = [{**each, "": 1} for each in chunks]
        assert len(prompts) > 2, "the patches' prompts are all the same; use another threshold"
        assert PROMPT in prompts
        assert counts == [sum(each.values()) for each in chunks]


def test_what_a_run_remembers_does_not_grow_with_its_steps() -> None:
    most = []
    for steps in (3, 9):
        kept: dict[int, list[int]] = {}
        tiny_run([*four(), Sizes(bytes=kept)], size=(192, 192), steps=steps, prompt=PROMPT, scheduler="ddim")
        assert sorted(kept) == [0, 1, 2]
        # From the second step of a stage on, all that it needs is there.
        for sizes in kept.values():
            assert len(set(sizes[1:])) == 1
        most.append([max(sizes) for sizes in kept.values()])
    assert most[0] == most[1]
    # Two canvases of the residual; the hint; a number of maps at the size of the first stage.
    canvas, hint = [4 * 4 * (8 * n) ** 2 for n in (1, 2, 3)], [4 * 3 * (64 * n) ** 2 for n in (1, 2, 3)]
    first = most[0][0]
    assert 0 < first <= 16 * canvas[0]
    for number in (1, 2):
        assert most[0][number] <= first + 2 * canvas[number] + hint[number] + 64 * 1024


@pytest.mark.parametrize("kind", KINDS)
def test_with_guided_fusion_style_alignment_and_corrected_variance(kind: Kind) -> None:
    others: Sequence[Plugin] = [StyleAlignment(alpha=0.3), GuidedFusion(), VarianceCorrectedFusion()]
    settings: Any = {"size": (72, 80), "steps": 3, "prompt": PROMPT, "scheduler": "ddpm"}
    plan = tiny_plan([*four(), *others], kind, **settings)
    latents = execute_tiny(plan, kind)
    assert tuple(latents.shape) == (1, 4, 10, 9)
    assert bool(latents.isfinite().all())
    for without in others:
        rest = [each for each in others if each is not without]
        assert largest(tiny_run([*four(), *rest], kind, **settings), latents) > 1e-3
    one, many = (tiny_run([*four(), *others], kind, batch_size=size, **settings) for size in (1, 16))
    assert largest(one, many) < 1e-4 * max(1.0, float(one.std()))
    assert largest(many, latents) < 1e-4 * max(1.0, float(one.std()))
    assert not torch.equal(latents, tiny_run([*four(), *others], kind, seed=1, **settings))
