"""Forward passes are counted as one would count them by hand, and repeated as they were."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from drawings import STEPS, drawing

from fusionkit import Patches, Plugin, hookimpl
from fusionkit.bench.baselines import contestant_of
from fusionkit.bench.drawing import Drawing
from fusionkit.bench.floors import ForwardPasses, Single
from fusionkit.bench.report import a_pixel
from fusionkit.loop.stage import Control
from fusionkit.testing.tiny import controlnet_for
from fusionkit_accdiffusion import DilatedSampling, ProgressiveUpscaling
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_multidiffusion import MultiDiffusion

BOTH = {"scene": {}, "expert": {"prompt": "a rocket"}}


@pytest.mark.parametrize(
    ("subject", "views", "pixel"),
    [
        # 7 windows of 64x64 on 256x64 are 1.75 windows a pixel; 3 steps, with and without the prompt.
        (drawing(MultiDiffusion(stride=32), size=(256, 64)), 7 * 6, 1.75 * 6),
        (drawing(MultiDiffusion(stride=32), size=(256, 64), guidance_scale=1.0), 7 * 3, 1.75 * 3),
        (drawing(size=(64, 64)), 6, 6.0),
        (drawing(size=(128, 64), window=(128, 64)), 6, 6.0),
        # Two models for each window.
        (
            drawing(
                MultiDiffusion(stride=32),
                SaliencyNoiseBlending(models=BOTH),
                models=("scene", "expert"),
                size=(256, 64),
                scheduler="ddim",
            ),
            2 * 7 * 6,
            2 * 1.75 * 6,
        ),
        # One window of 64x64 and then 3 x 3 at half a window's distance on 128x128, per pixel of 128x128.
        (
            drawing(ProgressiveUpscaling(), MultiDiffusion(stride=32), size=(128, 128), scheduler="ddim"),
            (1 + 9) * 6,
            (0.25 + 2.25) * 6,
        ),
        # The same with 2 x 2 dilated views of 64x64, until they weigh nothing.
        (
            drawing(
                ProgressiveUpscaling(),
                MultiDiffusion(stride=32),
                DilatedSampling(skip_below=0),
                size=(128, 128),
                scheduler="ddim",
            ),
            (1 + 9 + 4) * 6,
            (0.25 + 2.25 + 1) * 6,
        ),
    ],
    ids=["windows", "no guidance", "one window", "own window", "two models", "stages", "dilated"],
)
def test_passes_a_pixel_by_hand(subject: Drawing, views: int, pixel: float) -> None:
    contestant = contestant_of("it", subject)
    assert contestant.passes is not None
    assert contestant.passes.views == views
    assert a_pixel(contestant) == pytest.approx(pixel, rel=1e-12)


@contextmanager
def seen(module: Any) -> Iterator[list[Any]]:
    """What a denoiser is called with: the shapes, and the timestep."""
    calls: list[Any] = []

    def note(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        told = {name: getattr(value, "shape", None) for name, value in kwargs.items()}
        calls.append((args[0].shape, float(args[1]), told))

    handle = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def test_the_same_passes_are_repeated_in_the_same_order_and_nothing_else() -> None:
    # 3 x 2 windows in batches of 4 and 2.
    subject = drawing(MultiDiffusion(stride=48), batch_size=4)
    pipe: Any = subject.model.pipe  # type: ignore[attr-defined]
    with seen(pipe.unet) as first:
        noted = subject.note()
    (floor,) = ForwardPasses().contestants(subject, noted)
    with seen(pipe.unet) as again, seen(pipe.text_encoder) as texts, seen(pipe.vae.decoder) as pictures:
        floor.run(None)  # type: ignore[arg-type]
    assert [call[0][0] for call in first] == STEPS * [8, 4]
    assert len({call[1] for call in first}) == STEPS
    assert again == first
    assert not texts
    assert not pictures
    assert noted.passes.largest == 8


def test_passes_of_controlnets_are_repeated_too() -> None:
    class Steered(Plugin):
        net: Any
        hint: Any

        @hookimpl(wrapper=True)
        def noise_prediction(self, patches: Patches) -> Generator[None, Any, Any]:
            patches.controls = (Control(self.net, self.hint),)
            return (yield)

    subject = drawing(MultiDiffusion(stride=48))
    net = controlnet_for(subject.model.pipe.unet)  # type: ignore[attr-defined]
    subject.recipe.plugins.append(Steered(net=net, hint=torch.zeros(1, 3, 80, 160)))
    noted = subject.note()
    with seen(net) as calls:
        noted.passes.repeat()
    assert [call[0][0] for call in calls] == STEPS * [12]


def test_single_is_the_main_models_picture_of_one_window() -> None:
    subject = drawing(
        MultiDiffusion(stride=32),
        SaliencyNoiseBlending(models=BOTH),
        models=("scene", "expert"),
        size=(256, 64),
        scheduler="ddim",
    )
    (single,) = Single().contestants(subject, subject.note())
    assert single.size == (64, 64)
    assert single.passes is not None
    assert single.passes.views == 2 * STEPS
    assert a_pixel(single) == 2 * STEPS
