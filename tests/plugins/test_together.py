"""Several plugins in one recipe: what each promises still holds beside the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from from_pictures import Noise, drawing, picture_of
from PIL import Image

from fusionkit import Patches, Plugin, Stage, Step, Wrapper, hookimpl
from fusionkit.testing import Kind, execute_tiny, tiny_pipeline, tiny_plan
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_pictures import ColourMatch, ImageToImage, Inpaint
from fusionkit_regions import Box, Regions

CASTLE = (160, 0, 64, 64)  # of 192 columns: half of it is at the other edge
BOAT = (72, 16, 48, 48)
BOXES = {"castle": Box(box=CASTLE, adds="with a castle"), "boat": Box(box=BOAT, adds="with a boat")}


class Heard(Plugin):
    """Keeps where what was heard: of each stage and region, how often each column of the canvas was told it."""

    columns: dict[tuple[int, str], Any] = {}
    prompts: dict[str, str] = {}

    @hookimpl(wrapper=True)
    def views(self, stage: Stage, at: Step) -> Wrapper[list[Patches]]:
        groups = yield
        for view, told in ((view, told) for group in groups for view, told in pairs(group)):
            counts = self.columns.setdefault((stage.index, told.part), np.zeros(stage.canvas[1]))
            counts[[column % stage.canvas[1] for column in range(view.left, view.left + view.width)]] += 1
            self.prompts[told.part] = getattr(told.prompt, "text", "")
        return groups


def pairs(group: Patches) -> Iterator[tuple[Any, Any]]:
    yield from zip(group.views, group.told or (), strict=bool(group.told))


def columns_of(box: tuple[int, int, int, int], times: int) -> list[int]:
    """The latent columns of a box on a ring of 192 columns, `times` as large."""
    left, width = times * box[0] // 8, times * box[2] // 8
    return sorted(column % (24 * times) for column in range(left, left + width))


def steps_between_columns(picture: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean difference at the edge, and between all neighbouring columns."""
    grey = picture.mean(axis=2)
    return float(np.abs(grey[:, 0] - grey[:, -1]).mean()), np.abs(np.diff(grey, axis=1)).mean(axis=0)


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_a_ring_with_regions_closes_at_twice_its_size_with_each_thing_where_it_was_told(kind: Kind) -> None:
    def drawn(boxes: dict[str, Box], *more: Plugin) -> tuple[float, float]:
        plugins = [StyleAlignment(), MultiDiffusion(stride=32), GuidedFusion(), VarianceCorrectedFusion()]
        plan = tiny_plan(
            [*plugins, Regions(boxes=boxes), *more, ProgressiveUpscaling(times=2, strength=0.5)],
            kind,
            size=(192, 64),
            steps=2,
            prompt="the sea",
        )
        edge, steps = steps_between_columns(picture_of(plan, execute_tiny(plan, kind), tiny_pipeline(kind)))
        return edge, float(steps.max())

    heard = Heard(columns={}, prompts={})
    edge, most = drawn(BOXES, Ring(), heard)
    assert edge <= most
    assert drawn({"boat": BOXES["boat"]})[0] > edge
    assert {"castle": "the sea with a castle", "boat": "the sea with a boat"}.items() <= heard.prompts.items()
    for stage, times in enumerate((1, 2)):
        for name, box in (("castle", CASTLE), ("boat", BOAT)):
            told = np.flatnonzero(heard.columns[stage, name]).tolist()
            assert set(columns_of(box, times)) <= set(told)
            # Nowhere is it told more than a window away from its box.
            assert len(told) <= len(columns_of(box, times)) + 2 * 8


def test_a_picture_is_drawn_anew_with_regions_and_keeps_its_colours(tmp_path: Path) -> None:
    before = drawing(tmp_path / "before.png", (192, 64))
    heard = Heard(columns={}, prompts={})
    beginning = [MultiDiffusion(stride=32), ImageToImage(from_=before, strength=0.5)]
    plan = tiny_plan(
        [*beginning, Regions(boxes={"boat": BOXES["boat"]}), ColourMatch(by="mean-std"), heard],
        size=(192, 64),
        steps=4,
        scheduler="ddim",
    )
    picture = picture_of(plan, execute_tiny(plan))
    with Image.open(before) as image:
        colours = np.asarray(image.convert("RGB"), float)
    assert np.abs(picture.mean(axis=(0, 1)) - colours.mean(axis=(0, 1))).max() < 3
    assert np.abs(picture - colours).mean() > 3  # it is drawn anew, and not the picture itself
    assert set(columns_of(BOAT, 1)) <= set(np.flatnonzero(heard.columns[0, "boat"]))


def test_a_part_is_drawn_anew_across_the_edges_of_a_ring_as_in_its_middle(tmp_path: Path) -> None:
    """A picture turned by half, with its mask and its noise, becomes the same picture turned by half."""
    with Image.open(drawing(tmp_path / "soft.png", (192, 64))) as image:
        kept = np.asarray(image.convert("RGB"))
    mask = np.zeros((64, 192), np.uint8)
    mask[:, :24] = mask[:, -24:] = 255
    noise = torch.randn(1, 4, 8, 24, generator=torch.Generator().manual_seed(0))

    def drawn(turn: int) -> tuple[np.ndarray, torch.Tensor]:
        for name, pixels in (("before", kept), ("mask", mask)):
            Image.fromarray(np.roll(pixels, turn, axis=1)).save(tmp_path / f"{name}{turn}.png")
        inpaint = Inpaint(from_=tmp_path / f"before{turn}.png", mask=tmp_path / f"mask{turn}.png", softness=8)
        given = Noise(noise=noise.roll(turn // 8, dims=3))
        plan = tiny_plan([given, MultiDiffusion(stride=32), Ring(), inpaint], size=(192, 64), steps=3, scheduler="ddim")
        return np.asarray(picture_of(plan, latents := execute_tiny(plan))), latents

    (edges, latents), (_, middle) = drawn(0), drawn(96)
    assert (edges[:, 33:-33] == kept[:, 33:-33]).all()
    assert (edges[:, :24] != kept[:, :24]).any()
    # What is drawn is the same to 2e-3; what is held differs as the encoder does, which looks beyond the edges.
    turned = latents.roll(12, dims=3)
    assert (turned - middle)[..., 9:15].abs().max() < 2e-3
    assert (turned - middle).abs().max() < 0.03
