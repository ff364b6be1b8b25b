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

from fusionkit.models.silence import quiet_diffusers
from fusionkit.testing import tiny_pipeline
from fusionkit.testing.tiny import KINDS, Kind
from fusionkit.testing.tiny_adapter import save_tiny_adapter
from fusionkit_ipadapter import IPAdapter

TELL = 1e-4


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of tiny adapters, by kind, and "plus" before it for those that look at the encoder's own tokens."""
    folder = tmp_path_factory.mktemp("adapters")
    return {
        f"{'plus ' * plus}{kind}": save_tiny_adapter(folder / kind, kind, resampler=plus)
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
def test_masks_of_two_adapters_are_diffusers_own(adapters: Any, pictures: list[Path], tmp_path: Path, kind: Kind) -> None:
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
