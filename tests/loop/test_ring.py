"""Canvases whose edges meet: views that go on at the other edge, and all that makes views or looks at them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from fusionkit import Patches, Plugin, StagePlan, View, covering, gather, hookimpl, scatter, windows
from fusionkit.errors import CanvasError, PluginError, RecipeError
from fusionkit.loop.canvas import check_views, crop_pixels
from fusionkit.loop.denoise import ask_views
from fusionkit.loop.ring import closed, continued, resized
from fusionkit.loop.views import WRAPS, Wrap, count, jittered, starts, wrapped
from fusionkit.models.silence import quiet_diffusers
from fusionkit.testing import execute_tiny, tiny_model, tiny_pipeline, tiny_plan, tiny_run
from fusionkit_accdiffusion import DilatedSampling, ProgressiveUpscaling
from fusionkit_accdiffusion.controlnet import beyond_the_edges
from fusionkit_accdiffusion.dilated_sampling import gaussian_filter
from fusionkit_accdiffusion.masks import opened, shares
from fusionkit_accdiffusion.samples import dilated_views, start_of
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_gvcf.reference import Reference
from fusionkit_multidiffusion import MultiDiffusion, Ring


class OddRing(Plugin):
    """Answers a ring along an axis that is none."""

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Any:
        plans: list[StagePlan] = yield
        return [replace(plan, wrap="z") for plan in plans]


class Rolled(Plugin):
    """Rolls the starting noise along x."""

    by: int

    @hookimpl(wrapper=True)
    def init_noise(self) -> Any:
        noise = yield
        return noise.roll(self.by, -1)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# Views


def test_windows_on_a_ring_begin_at_every_stride_and_end_beyond_the_edge() -> None:
    assert starts(20, 8, 6, ring=True) == [0, 6, 12, 18]
    assert starts(8, 8, 6, ring=True) == [0, 6]
    assert windows((8, 20), (8, 8), (6, 6), "x")[-1] == View(0, 18, 8, 8, wrap="x")
    assert [view.left for view in covering((8, 24), (8, 8), "x")] == [0, 6, 12, 18]
    for wrap in WRAPS:
        assert count((20, 30), (8, 8), (6, 5), wrap) == len(windows((20, 30), (8, 8), (6, 5), wrap))
        assert {view.wrap for view in windows((20, 30), (8, 8), (6, 5), wrap)} == {wrap}


def test_views_begin_on_a_ring_and_know_it() -> None:
    views = (View(-1, -3, 4, 4), View(2, 21, 4, 4))
    assert wrapped(views, (10, 20), "x") == (View(-1, 17, 4, 4, 1, "x"), View(2, 1, 4, 4, 1, "x"))
    assert wrapped(views, (10, 20), "xy")[0] == View(9, 17, 4, 4, 1, "xy")
    assert wrapped(wrapped(views, (10, 20), "x"), (10, 20), "")[0].wrap == ""
    assert wrapped(views, (10, 20), "") is views


@pytest.mark.parametrize(
    "view",
    [
        View(1, 5, 3, 4),
        View(4, 6, 3, 4),
        View(3, 2, 2, 3, 2),
        View(5, 6, 3, 4, 2),
        View(0, 3, 6, 8),
        View(2, 7, 2, 4, 2),
        View(3, 6, 3, 3, 2, across=3),
        View(4, 1, 5, 3, across=2),
    ],
)
@pytest.mark.parametrize("wrap", WRAPS)
def test_what_a_view_of_a_ring_sees_is_the_rolled_canvas(view: View, wrap: Wrap) -> None:
    height, width = 6, 8
    canvas = normal(1, 2, height, width)
    # The plane that is tiled along the ring's axes, with zeros beyond the others.
    plane = torch.zeros(1, 2, 3 * height, 3 * width)
    for row in range(3) if "y" in wrap else (0,):
        for column in range(3) if "x" in wrap else (0,):
            plane[..., row * height :, column * width :][..., :height, :width] = canvas
    seen = plane[..., view.top :: view.apart[0], view.left :: view.apart[1]][..., : view.height, : view.width]
    on_ring = view._replace(wrap=wrap)
    assert gather(canvas, [on_ring]).equal(seen)
    # Scattering is its transpose: <gather(c), p> = <c, scatter(p)>.
    patch = normal(1, 2, view.height, view.width)
    back = scatter(patch, [on_ring], torch.zeros_like(canvas))
    assert float((seen * patch).sum()) == pytest.approx(float((canvas * back).sum()), abs=1e-4)


def test_a_hint_is_cropped_across_the_edge() -> None:
    hint = normal(1, 3, 16, 24)
    crop = crop_pixels(hint, [View(0, 4, 4, 4, wrap="x")], 4)
    assert crop.equal(torch.cat([hint[..., 16:], hint[..., :8]], -1))


def test_jitter_moves_every_window_of_a_ring() -> None:
    views = windows((8, 24), (8, 8), (4, 6), "x")
    draws = iter([-2, 1, 2, 2])
    moved = jittered(views, (8, 24), (2, 2), lambda low, high: next(draws))
    assert [view.left for view in moved] == [22, 7, 14, 20]
    assert {view.top for view in moved} == {0}


def test_a_view_longer_than_its_ring_is_refused() -> None:
    stage = tiny_plan([Ring()], size=(128, 64)).stages[0]
    assert stage.canvas == (8, 16)
    check_views(stage, [Patches((View(0, 3, 8, 16, wrap="x"),))])
    with pytest.raises(CanvasError, match="wider than the ring of 16 latent pixels"):
        check_views(stage, [Patches((View(0, 3, 8, 17, wrap="x"),))])
    with pytest.raises(CanvasError, match="higher than the ring of 8"):
        check_views(stage, [Patches((View(0, 0, 5, 16, 2, wrap="xy"),))])
    with pytest.raises(CanvasError, match="wider than the ring"):
        check_views(stage, [Patches((View(0, 0, 8, 9, wrap="x", across=2),))])

    class Wide(Plugin):
        @hookimpl
        def views(self) -> list[Patches]:
            return [Patches((View(0, 0, 8, 20),))]

    with pytest.raises(RecipeError, match="wider than the ring"):
        tiny_plan([Ring(), Wide()], size=(128, 64))


def test_only_the_axes_there_are_wrap() -> None:
    with pytest.raises(PluginError, match=r"a StagePlan with wrap 'z'; expected one of '', 'x', 'y', 'xy'"):
        tiny_plan([OddRing()])


# The loop


@pytest.mark.parametrize(("plugins", "by"), [([], 12), ([MultiDiffusion(stride=32), GuidedFusion()], 4)])
def test_a_run_on_a_ring_has_no_place_that_is_another(plugins: list[Plugin], by: int) -> None:
    """Rolled noise gives the rolled picture: what an edge would forbid."""
    fields: Any = {"size": (192, 64), "scheduler": "ddim"}
    kept, rolled = (tiny_run([Ring(), *plugins, Rolled(by=each)], **fields) for each in (0, by))
    assert float((rolled - kept.roll(by, -1)).abs().max()) < 1e-3
    kept, rolled = (tiny_run([*plugins, Rolled(by=each)], **fields) for each in (0, by))
    assert float((rolled - kept.roll(by, -1)).abs().max()) > 1e-2


def test_it_is_diffusers_own_panorama_with_circular_padding() -> None:
    """Of the same views, the latents are those of `StableDiffusionPanoramaPipeline(..., circular_padding=True)`."""
    plan = tiny_plan([Ring()], size=(160, 64), scheduler="ddim", steps=4)
    (stage,) = plan.stages
    latents = execute_tiny(plan)
    (group,) = ask_views(stage, stage.steps[0], plan.hooks)
    assert group.views[-1].left + group.views[-1].width > stage.canvas[1]
    with quiet_diffusers():
        scheduler = getattr(diffusers, stage.scheduler.name).from_config(stage.scheduler.config)
        parts = {**tiny_pipeline().components, "scheduler": scheduler}
        pipe = diffusers.StableDiffusionPanoramaPipeline(**parts, requires_safety_checker=False)
        pipe.set_progress_bar_config(disable=True)
        pipe.get_views = lambda *size, **options: [
            (view.top, view.top + view.height, view.left, view.left + view.width) for view in group.views
        ]
        theirs = pipe(
            "a hill",
            width=160,
            height=64,
            num_inference_steps=4,
            guidance_scale=4.0,
            latents=stage.noise("init"),
            circular_padding=True,
            output_type="latent",
        ).images
    assert float((latents - theirs).abs().max()) < 1e-4 * float(theirs.abs().max())


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_every_method_runs_on_a_ring(kind: Any) -> None:
    plugins = [
        Ring(axes="xy"),
        MultiDiffusion(stride=32, jitter=8),
        GuidedFusion(),
        VarianceCorrectedFusion(),
        StyleAlignment(reference=Reference(patch=(40, 8))),
        ProgressiveUpscaling(stages=()),
        DilatedSampling(),
    ]
    plan = tiny_plan(plugins, kind, size=(136, 104), steps=2)
    latents = execute_tiny(plan, kind)
    assert latents.shape == (1, 4, 13, 17)
    assert bool(latents.isfinite().all())


def test_jitter_on_a_ring_leaves_no_hole_and_too_much_is_told() -> None:
    plan = tiny_plan([Ring(axes="xy"), MultiDiffusion(stride=48, jitter=8)], size=(200, 136), steps=6)
    (stage,) = plan.stages
    for at in stage.steps:
        (group,) = ask_views(stage, at, plan.hooks)
        assert all(0 <= view.left < 25 and 0 <= view.top < 17 for view in group.views)
    with pytest.raises(RecipeError, match="jitter 16 is more than half"):
        tiny_plan([Ring(), MultiDiffusion(stride=48, jitter=16)], size=(64, 64))


def test_sdxl_is_told_where_a_view_begins_on_the_ring() -> None:
    (stage,) = tiny_plan([Ring()], "sdxl", size=(160, 64)).stages
    model: Any = tiny_model("sdxl")
    embeddings = [model.embed("a hill")] * 3
    views = [View(0, 18, 8, 8), View(0, -2, 8, 8), View(0, 23, 8, 8)]
    told = model.conditions(stage, views, embeddings, 1.0)["added_cond_kwargs"]["time_ids"]
    assert told[:, 2:4].tolist() == [[0, 144], [0, 144], [0, 24]]


# Padding, closing, enlarging


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("margin", [0, 3, 9])
def test_a_ring_that_is_continued_and_closed_is_the_same(wrap: Wrap, margin: int) -> None:
    canvas = normal(1, 2, 5, 7)
    beyond = continued(canvas, wrap, margin)
    assert beyond.shape[-2:] == (5 + 2 * margin * ("y" in wrap), 7 + 2 * margin * ("x" in wrap))
    assert float((closed(beyond, wrap, margin) - canvas).abs().max()) < 1e-6
    if wrap == "x":
        assert beyond[..., :margin].equal(torch.cat([canvas] * 3, -1)[..., 14 - margin : 14])


def test_what_differs_in_the_margins_is_faded_so_that_the_edges_meet() -> None:
    ramp = torch.arange(32.0).expand(1, 1, 4, 32)  # of 16 columns with margins of 8: 8..23
    ring = closed(ramp, "x", 8)[0, 0, 0]
    assert ring[0] == 24, "what follows the last column, 23"
    assert ring[4:].tolist() == list(range(12, 24))
    assert ring[1:4].tolist() == [21.0, 18.0, 15.0]


@pytest.mark.parametrize(("size", "by", "moved"), [((12, 40), 5, 10), ((12, 30), 2, 3), ((9, 20), 7, 7)])
def test_an_enlarged_ring_is_a_ring(size: tuple[int, int], by: int, moved: int) -> None:
    canvas = normal(1, 3, 6, 20)
    large = resized(canvas, size, "x")
    assert large.shape == (1, 3, *size)
    assert float((resized(canvas.roll(by, -1), size, "x") - large.roll(moved, -1)).abs().max()) < 1e-5
    # Away from the edges it is what it was.
    plain = torch.nn.functional.interpolate(canvas, size=size, mode="bicubic")
    assert float((large - plain)[..., 5:-5].abs().max()) < 1e-5
    assert resized(canvas, size).equal(plain)


# Plugins


@pytest.mark.parametrize("start", [(0, 0), (3, 5)])
@pytest.mark.parametrize(("canvas", "dilation"), [((12, 20), 2), ((13, 17), 3), ((9, 16), 4)])
def test_dilated_samples_of_a_ring_cover_it(canvas: tuple[int, int], dilation: int, start: tuple[int, int]) -> None:
    views = wrapped(dilated_views(canvas, dilation, start), canvas, "xy")
    counts = scatter(torch.ones(len(views), 1, views[0].height, views[0].width), views, torch.zeros(1, 1, *canvas))
    assert float(counts.min()) >= 1
    assert float(counts.sum()) == len(views) * views[0].height * views[0].width


def test_the_filter_of_dilated_samples_goes_around() -> None:
    canvas = normal(1, 2, 10, 12)
    smooth = gaussian_filter(canvas, 5, 1.2, "x")
    assert float((gaussian_filter(canvas.roll(5, -1), 5, 1.2, "x") - smooth.roll(5, -1)).abs().max()) < 1e-6
    assert float((gaussian_filter(canvas, 5, 1.2) - smooth)[..., 2:-2].abs().max()) < 1e-6
    samples = DilatedSampling(sigma=2.0)
    (stage,) = tiny_plan([Ring(axes="xy"), samples], size=(136, 104)).stages[-1:]
    latents = normal(*stage.shape)
    views = wrapped(dilated_views(stage.canvas, 3, start_of(stage, stage.steps[0])), stage.canvas, stage.wrap)
    smoothed = samples._smoothed(stage, stage.steps[0], gather(latents, views))
    counts = scatter(torch.ones(len(views), 1, *smoothed.shape[-2:]), views, torch.zeros(1, 1, *stage.canvas))
    whole = scatter(smoothed, views, torch.zeros_like(latents)) / counts
    assert float((gather(whole, views) - smoothed).abs().max()) < 1e-5, "pixels that are in two samples are equal"


def test_masks_of_words_go_around() -> None:
    mask = np.zeros((1, 32, 32), np.uint8)
    mask[0, 8:20, :6] = mask[0, 8:20, -6:] = 1
    rolled = np.roll(mask, 16, axis=2)
    assert np.array_equal(np.roll(opened(mask, 5, "x"), 16, axis=2), opened(rolled, 5))
    assert opened(rolled, 5).any()
    views = [View(4, 28, 8, 8, wrap="x"), View(4, 28, 8, 8)]
    around, cut = shares(mask, views, (32, 32))[:, 0]
    assert around == pytest.approx(mask[0, 4:12, [28, 29, 30, 31, 0, 1, 2, 3]].mean())
    assert cut == pytest.approx(mask[0, 4:12, 28:].mean())


def test_an_annotator_sees_beyond_the_edge() -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (40, 100, 3)).astype(np.uint8)
    around = np.asarray(beyond_the_edges(Image.fromarray(pixels), "x"))
    assert around.shape == (40, 228, 3)
    assert np.array_equal(around[:, 64:164], pixels)
    assert np.array_equal(around[:, :64], pixels[:, 36:])


def test_a_reference_patch_may_cross_the_edge() -> None:
    plugin = StyleAlignment(alpha=1.0, reference=Reference(patch=(120, 0)))
    with pytest.raises(RecipeError, match="does not lie on the canvas"):
        tiny_plan([plugin], size=(160, 64))
    (stage,) = tiny_plan([Ring(), plugin], size=(160, 64)).stages
    noise = normal(*stage.shape)
    assert plugin.reference.noise_of(stage, noise).equal(noise.roll(-15, -1)[..., :8])
