"""The plugin `ip-adapter`: diffusers' own where the canvas is one window, and only where it is told elsewhere."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from from_pictures import SEED, OfTheSeed, drawing, plan_on, run_on
from PIL import Image
from torch import Tensor

from fusionkit.models.load import wrap_pipeline
from fusionkit.models.silence import quiet_diffusers
from fusionkit.runs.run import execute
from fusionkit.testing import tiny_pipeline
from fusionkit.testing.tiny import KINDS, Kind
from fusionkit.testing.tiny_adapter import save_tiny_adapter
from fusionkit_ipadapter import IPAdapter
from fusionkit_multidiffusion import MultiDiffusion

TELL = 1e-4


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of tiny adapters, by kind, and "plus" before it for those that look at the encoder's own tokens."""
    folder = tmp_path_factory.mktemp("adapters")
    return {
        f"{'plus ' * plus}{kind}": save_tiny_adapter(folder / kind, tiny_pipeline(kind).unet, resampler=plus)
        for kind in KINDS
        for plus in (False, True)
    }


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    return [drawing(folder / f"{seed}.png", (48, 40), seed) for seed in range(3)]


def left_half(path: Path, size: tuple[int, int]) -> Path:
    image = Image.new("L", size, 0)
    image.paste(255, (0, 0, size[0] // 2, size[1]))
    image.save(path)
    return path


def theirs(kind: Kind, stage: Any, files: list[Path], shown: list[list[Path]], scale: Any, **given: Any) -> Tensor:
    """Latents of diffusers' own pipeline with adapters, each shown pictures."""
    with quiet_diffusers():
        pipe = deepcopy(tiny_pipeline(kind))
        pipe.scheduler = type(pipe.scheduler).from_config(stage.scheduler.config)
        pipe.load_ip_adapter(str(files[0].parent), "", [file.name for file in files])
        pipe.set_ip_adapter_scale(scale)
        found: Tensor = pipe(
            "a hill",
            num_inference_steps=stage.recipe.steps,
            guidance_scale=4.0,
            height=64,
            width=64,
            generator=torch.Generator().manual_seed(SEED),
            ip_adapter_image=[[Image.open(path) for path in paths] for paths in shown],
            output_type="latent",
            **given,
        ).images
    return found


def masks(pairs: list[list[Path]]) -> dict[str, Any]:
    from diffusers.image_processor import IPAdapterMaskProcessor

    made = [IPAdapterMaskProcessor().preprocess([Image.open(path) for path in each], 64, 64) for each in pairs]
    return {"cross_attention_kwargs": {"ip_adapter_masks": [each.reshape(1, -1, 64, 64) for each in made]}}


def largest(some: Tensor, others: Tensor) -> float:
    return float((some - others).abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plus", ["", "plus "])
def test_it_is_diffusers_own_in_one_window(adapters: Any, pictures: list[Path], kind: Kind, plus: str) -> None:
    file = adapters[plus + kind]
    own = IPAdapter(adapter=str(file), picture=tuple(pictures[:2]), scale=0.7)
    plan, latents = run_on(tiny_pipeline(kind), [own, OfTheSeed()], size=(64, 64))
    stage = plan.stages[0]
    assert largest(latents, theirs(kind, stage, [file], [pictures[:2]], 0.7)) < TELL
    _, without = run_on(tiny_pipeline(kind), [OfTheSeed()], size=(64, 64))
    assert largest(latents, without) > 100 * TELL


@pytest.mark.parametrize("kind", KINDS)
def test_two_with_masks_are_diffusers_own(adapters: Any, pictures: list[Path], tmp_path: Path, kind: Kind) -> None:
    files = [adapters[kind], adapters[f"plus {kind}"]]
    left = left_half(tmp_path / "left.png", (64, 64))
    upper = tmp_path / "upper.png"
    Image.fromarray(np.array(Image.open(left)).T).save(upper)
    plugins = [
        IPAdapter(adapter=str(files[0]), picture=pictures[0], scale=0.9, mask=left),
        IPAdapter(adapter=str(files[1]), picture=pictures[1], scale=0.9, box=(0, 0, 1, 0.5), soft_border=0),
    ]
    plan, latents = run_on(tiny_pipeline(kind), [*plugins, OfTheSeed()], size=(64, 64))
    shown = [[pictures[0]], [pictures[1]]]
    expected = theirs(kind, plan.stages[0], files, shown, [0.9, 0.9], **masks([[left], [upper]]))
    assert largest(latents, expected) < TELL


def test_a_scale_by_block_is_diffusers_own(adapters: Any, pictures: list[Path]) -> None:
    scale = {"up": {"block_1": [0.0, 1.5]}, "mid": 0.5}
    own = IPAdapter(adapter=str(adapters["sd"]), picture=pictures[0], scale=scale)
    plan, latents = run_on(tiny_pipeline("sd"), [own, OfTheSeed()], size=(64, 64))
    expected = theirs("sd", plan.stages[0], [adapters["sd"]], [pictures[:1]], scale)
    everywhere = theirs("sd", plan.stages[0], [adapters["sd"]], [pictures[:1]], 1.5)
    assert largest(latents, expected) < TELL < largest(latents, everywhere)


def test_halves_that_are_told_two_pictures_differ_only_where_they_are_told(adapters: Any, pictures: list[Path]) -> None:
    """In one step: later ones see what their neighbours became."""

    def predicted(left: Path | None, right: Path | None) -> Tensor:
        halves = {(0, 0, 0.5, 1): left, (0.5, 0, 0.5, 1): right}
        plugins = [
            IPAdapter(adapter=str(adapters["sd"]), picture=picture, box=box, soft_border=0)
            for box, picture in halves.items()
            if picture is not None
        ]
        tiled = MultiDiffusion(stride=64)
        return run_on(tiny_pipeline("sd"), [tiled, *plugins, OfTheSeed()], size=(192, 64), steps=1, batch_size=2)[1]

    nothing, first, both = predicted(None, None), predicted(pictures[0], None), predicted(pictures[0], pictures[1])
    other = predicted(pictures[2], pictures[1])
    # Windows of 8 latent pixels: the first sees the left half alone, the last the right one, the middle one both.
    assert first[..., 16:].equal(nothing[..., 16:])
    assert both[..., :8].equal(first[..., :8])
    assert other[..., 16:].equal(both[..., 16:])
    for some, others, place in (
        (first, nothing, slice(0, 8)),
        (both, first, slice(16, 24)),
        (other, both, slice(0, 8)),
    ):
        assert largest(some[..., place], others[..., place]) > 1e-3
    assert first[..., 8:16].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changes_at_scale_0_and_nothing_is_left_on_the_model(
    adapters: Any, pictures: list[Path], kind: Kind
) -> None:
    model = wrap_pipeline(tiny_pipeline(kind))
    unet = tiny_pipeline(kind).unet
    before = {name: type(each) for name, each in unet.attn_processors.items()}, list(unet.state_dict())

    def run(*plugins: Any) -> tuple[Tensor, int]:
        passes = model.forward_passes
        found = execute(plan_on(tiny_pipeline(kind), list(plugins), size=(160, 64), steps=2), model)
        return found, model.forward_passes - passes

    without, passes = run()
    file, picture = str(adapters[kind]), pictures[0]
    neutral, counted = run(IPAdapter(adapter=file, picture=picture, scale=0))
    assert neutral.equal(without)
    assert counted == passes
    told, counted = run(IPAdapter(adapter=file, picture=picture))
    assert largest(told, without) > 0.01
    assert counted == passes
    assert run()[0].equal(without)
    assert ({name: type(each) for name, each in unet.attn_processors.items()}, list(unet.state_dict())) == before
