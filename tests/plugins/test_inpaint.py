"""Inpainting: what is drawn anew, what stays, and that it is diffusers' own where the canvas is one window."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flow_plans import flow_plan
from from_pictures import OfTheSeed, drawing, filling_pipeline, picture_of, plan_on, run_on, theirs
from PIL import Image

from fusionkit import Plugin, PluginError, RecipeError, hookimpl
from fusionkit.loop.canvas import gather
from fusionkit.loop.views import View
from fusionkit.models.load import wrap_pipeline
from fusionkit.pictures.picture import open_picture
from fusionkit.runs.run import execute
from fusionkit.testing import execute_tiny, tiny_model, tiny_pipeline, tiny_plan, tiny_run
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_pictures import ColourMatch, ImageToImage, Inpaint
from fusionkit_pictures.masks import region_of, softened

BOX = (16, 24, 32, 24)  # whole latent pixels: 2..6 across, 3..6 down


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return drawing(tmp_path / "picture.png", (64, 64))


def mask_picture(path: Path, size: tuple[int, int], box: tuple[int, int, int, int] | None, mode: str = "L") -> Path:
    image = Image.new("L", size, 0)
    if box is not None:
        image.paste(255, (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    image.convert(mode).save(path)
    return path


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize(("kind", "scheduler"), [("sd", "ddim"), ("sd", "euler"), ("sdxl", "dpm++-2m")])
def test_it_is_diffusers_own_inpainting(picture: Path, kind: Any, scheduler: str, strength: float) -> None:
    pipe = tiny_pipeline(kind)
    plugins = [Inpaint(from_=picture, box=BOX, softness=0, strength=strength), OfTheSeed()]
    plan, latents = run_on(pipe, plugins, scheduler=scheduler)
    assert plan.recipe.size == (64, 64)
    expected = theirs(
        pipe,
        plan.stages[0],
        "Inpaint",
        image=tiny_model(kind).encode(open_picture(picture)),
        mask_image=Image.open(mask_picture(picture.with_name("mask.png"), (64, 64), BOX)),
        masked_image_latents=torch.zeros(1, 4, 8, 8),  # of models of nine channels
        height=64,
        width=64,
        strength=strength,
    )
    assert float((latents - expected).abs().max()) < 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_models_of_nine_channels_are_told_mask_and_picture_as_by_diffusers(picture: Path, kind: Any) -> None:
    pipe = filling_pipeline(kind)
    plan, latents = run_on(pipe, [Inpaint(from_=picture, box=BOX, softness=0), OfTheSeed()])
    (stage,) = plan.stages
    assert stage.info.fills_masks
    expected = theirs(
        pipe,
        stage,
        "Inpaint",
        image=open_picture(picture),
        mask_image=Image.open(mask_picture(picture.with_name("mask.png"), (64, 64), BOX)),
        # Theirs is drawn from the encoder's distribution, ours its mean.
        masked_image_latents=stage.masked.picture,
        height=64,
        width=64,
        strength=1.0,
    )
    assert float((latents - expected).abs().max()) < 1e-4 * float(expected.abs().max())
    pixels = torch.from_numpy(np.array(open_picture(picture))).permute(2, 0, 1)[None] / 127.5 - 1
    pixels[..., 24:48, 16:48] = 0
    assert float((stage.masked.picture - wrap_pipeline(pipe).encode_pixels(pixels)).abs().max()) < 1e-5
    beside = wrap_pipeline(pipe).beside(stage, [View(0, 0, 8, 8)])
    assert beside[0, 0].nonzero().min(0).values.tolist() == [3, 2]
    assert int(beside[0, 0].sum()) == 3 * 4
    assert beside[:, 1:].equal(stage.masked.picture)


def test_each_view_is_told_its_own_part_and_batches_change_nothing(tmp_path: Path) -> None:
    pipe, picture = filling_pipeline("sd"), drawing(tmp_path / "wide.png", (160, 80))
    found = []
    for size in (1, 16):
        plugins = [MultiDiffusion(stride=40), Inpaint(from_=picture, box=(40, 8, 64, 48))]
        plan, latents = run_on(pipe, plugins, batch_size=size, steps=3)
        found.append(latents)
    (stage,) = plan.stages
    views = plan.hooks.ask("views", stage=stage, at=stage.steps[0])[0].views
    told = wrap_pipeline(pipe).beside(stage, views)
    assert told.shape == (len(views), 5, 8, 8)
    assert told[:, :1].equal(gather(torch.nn.functional.max_pool2d(stage.masked.mask, 8), views))
    assert told[:, 1:].equal(gather(stage.masked.picture, views))
    assert float((found[0] - found[1]).abs().max()) < 1e-4


def test_a_model_that_fills_in_needs_a_mask_and_may_be_one_of_several(picture: Path) -> None:
    pipe = filling_pipeline("sd")
    with pytest.raises(RecipeError) as caught:
        plan_on(pipe, [], size=(64, 64))
    (line,) = str(caught.value).splitlines()
    assert line == (
        "model 'StableDiffusionPipeline' fills in masked parts of a picture, and nothing here says which; add inpaint"
    )


@pytest.mark.parametrize("scheduler", ["ddpm", "euler-a", "heun", "unipc", "lcm", "pndm", "dpm++-2m-sde", "lms"])
def test_what_stays_stays_with_any_scheduler_and_on_any_canvas(tmp_path: Path, scheduler: str) -> None:
    picture = drawing(tmp_path / "picture.png", (163, 85))
    options: Any = {"pndm": {"skip-prk-steps": True}} if scheduler == "pndm" else scheduler
    plan = tiny_plan(
        [Inpaint(from_=picture, box=(40, 20, 60, 30), softness=8)], scheduler=options, steps=4, size=(160, 80)
    )
    latents = execute_tiny(plan)
    (stage,) = plan.stages
    assert stage.previous is not None
    free = torch.zeros(*stage.canvas, dtype=torch.bool)
    # Pixels 39..98 and 18..47 of the canvas, and 8 around.
    free[10 // 8 : 56 // 8, 31 // 8 : 107 // 8 + 1] = True
    assert latents[..., ~free].equal(stage.previous[..., ~free])
    before = np.asarray(Image.open(picture).convert("RGB"))[2:82, 1:161].astype(int)
    changed = np.abs(picture_of(plan, latents) - before).max(axis=2) > 0
    rows, columns = changed.nonzero()
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (31, 106, 10, 55)
    assert changed[18:48, 39:99].mean() > 0.95


def test_the_soft_border_is_let_go_later_the_farther_out_it_is(tmp_path: Path) -> None:
    region = np.zeros((8, 40), bool)
    region[:, :8] = True
    soft = softened(region, 15)[4]
    assert soft[:8].tolist() == [1] * 8
    assert soft[8:24].tolist() == pytest.approx([1 - d / 16 for d in range(1, 17)])
    assert not soft[23:].any()
    assert softened(region, 15, "x")[4, -15:].tolist() == pytest.approx([1 - d / 16 for d in range(15, 0, -1)])
    assert softened(region, 0).tolist() == region.tolist()

    picture = drawing(tmp_path / "picture.png", (160, 64))
    plan = tiny_plan(
        [Inpaint(from_=picture, box=(0, 0, 64, 64), softness=63)], scheduler="ddim", steps=8, size=(160, 64)
    )
    (stage,) = plan.stages
    stage.model = tiny_model()
    from fusionkit.runs.run import picture_latents

    stage.previous = picture_latents(plan)
    noise = plan.hooks.ask("init_noise", stage=stage)
    plan.hooks.ask("init_latents", stage=stage, noise=noise)
    from fusionkit import Fused

    held = []
    for at in stage.steps:
        before = torch.full(stage.shape, 9.0)
        after = plan.hooks.ask("step", stage=stage, at=at, latents=before, fused=Fused(torch.zeros(stage.shape)))
        known = (
            stage.previous
            if at.is_last
            else stage.scheduler.add_noise(stage.previous, noise, stage.steps[at.index + 1].timestep)
        )
        held.append(int((after == known).all(dim=1)[0].all(dim=0).sum()))
    # Of 20 columns 8 are in the box and 4 beyond the border; of the 8 between, each step lets one more go.
    assert held == [11, 10, 9, 8, 7, 6, 5, 4]


def test_everything_and_full_strength_is_the_run_without_it(picture: Path) -> None:
    without = tiny_run([], size=(64, 64))
    for given in (
        {"box": (0, 0, 64, 64)},
        {"mask": mask_picture(picture.with_name("m.png"), (64, 64), (0, 0, 64, 64))},
    ):
        plan = tiny_plan([Inpaint(from_=picture, **given)], size=(64, 64))
        assert plan.stages[0].plan.picture is None
        assert execute_tiny(plan).equal(without)
    # With less strength it is image-to-image.
    fields: Any = {"scheduler": "euler", "steps": 4, "size": (64, 64)}
    some = tiny_run([Inpaint(from_=picture, box=(0, 0, 64, 64), strength=0.7)], **fields)
    assert some.equal(tiny_run([ImageToImage(from_=picture, strength=0.7)], **fields))


def test_larger_stages_are_enlarged_and_smaller_ones_keep_what_stays(tmp_path: Path) -> None:
    picture = drawing(tmp_path / "picture.png", (128, 128))
    plugins = [ProgressiveUpscaling(), Inpaint(from_=picture, box=(0, 0, 128, 40), softness=0)]
    plan = tiny_plan(plugins, scheduler="ddim", steps=2, size=(192, 192))
    assert [stage.plan.size for stage in plan.stages] == [(64, 64), (128, 128), (192, 192)]
    latents = execute_tiny(plan)
    second, third = plan.stages[1:]
    assert third.previous is not None
    whole = tiny_model().encode(open_picture(picture))
    assert third.previous[..., 5:, :].equal(whole[..., 5:, :])
    assert picture_of(plan, latents).shape == (192, 192, 3)
    small = execute_tiny(tiny_plan(plugins, scheduler="ddim", steps=2, size=(128, 128)))
    assert small[..., 5:, :].equal(whole[..., 5:, :])
    assert second.canvas == (16, 16)


def test_it_goes_with_rings_variance_correction_several_models_and_masks_of_any_mode(tmp_path: Path) -> None:
    picture = drawing(tmp_path / "picture.png", (160, 80))
    mask = mask_picture(tmp_path / "mask.png", (160, 80), (0, 0, 160, 40), "RGB")
    plugins = [Ring(), GuidedFusion(), VarianceCorrectedFusion(), Inpaint(from_=picture, mask=mask, softness=4)]
    plan = tiny_plan(plugins, scheduler="ddpm")
    latents = execute_tiny(plan)
    changed = np.abs(picture_of(plan, latents) - np.asarray(open_picture(picture)).astype(int)).max(axis=2) > 0
    assert not changed[44:].any()
    assert changed[:40].mean() > 0.9
    # Filling and other models, of one latent space, in one picture.
    infos = {"fills": wrap_pipeline(filling_pipeline("sd")), "plain": tiny_model("sd", 1)}
    from fusionkit.recipe.made import make_recipe
    from fusionkit.runs.run import prepare
    from fusionkit_magicfusion import SaliencyNoiseBlending

    recipe = make_recipe(
        prompt="a hill",
        plugins=[
            SaliencyNoiseBlending(models={"fills": {}, "plain": {"prompt": "the sea"}}),
            Inpaint(from_=picture, mask=mask, softness=4),
        ],
        scheduler="ddim",
        steps=2,
    )
    both = prepare(recipe, infos["fills"].info, infos={name: model.info for name, model in infos.items()})
    drawn = execute(both, infos["fills"], infos)
    assert both.stages[0].previous is not None
    assert drawn[..., 6:, :].equal(both.stages[0].previous[..., 6:, :])


def test_on_a_flow_what_stays_is_noised_by_its_own_equation(tmp_path: Path) -> None:
    picture = drawing(tmp_path / "picture.png", (160, 80))
    seen: list[torch.Tensor] = []

    class Kept(Plugin):
        """Keeps the canvas that each step is given."""

        @hookimpl(wrapper=True)
        def step(self, latents: torch.Tensor) -> Any:
            seen.append(latents)
            return (yield)

    plugins = [Inpaint(from_=picture, box=(0, 0, 80, 80), softness=0), Kept()]
    plan = flow_plan(plugins, scheduler="flow-euler", steps=3)
    latents = execute_tiny(plan)
    (stage,) = plan.stages
    assert stage.previous is not None
    for at, canvas in zip(stage.steps[1:], seen[1:], strict=True):
        level = stage.scheduler.level(at.timestep)  # type: ignore[attr-defined]
        noised = (1 - level) * stage.previous + level * stage.noise("init")
        assert torch.allclose(canvas[..., 10:], noised[..., 10:], atol=1e-6)
    assert latents[..., 10:].equal(stage.previous[..., 10:])


def test_of_a_mask_half_is_the_border(tmp_path: Path) -> None:
    greys = np.arange(256, dtype=np.uint8)[None].repeat(8, 0)
    Image.fromarray(greys).save(tmp_path / "greys.png")
    assert region_of((256, 8), None, tmp_path / "greys.png")[0].tolist() == [False] * 128 + [True] * 128
    # What is transparent is white, as wherever a picture is read.
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 255))
    clear.paste((0, 0, 0, 0), (4, 4, 8, 8))
    clear.save(tmp_path / "clear.png")
    assert region_of((16, 16), None, tmp_path / "clear.png").sum() == 16


def test_a_box_in_shares_of_the_picture() -> None:
    region = region_of((64, 40), (0.25, 0.1, 0.5, 0.3), None)
    assert np.array_equal(region, region_of((64, 40), (16, 4, 32, 12), None))
    assert (region.sum(), region[4:16, 16:48].all()) == (12 * 32, True)
    # A third ends where the next one begins.
    thirds = [region_of((64, 40), (start / 3, 0, 1 / 3, 1), None) for start in range(3)]
    assert (sum(thirds) == 1).all()


def test_what_makes_no_sense_is_told_before_anything_loads(tmp_path: Path) -> None:
    picture = drawing(tmp_path / "picture.png", (64, 64))
    tiny = drawing(tmp_path / "small.png", (5, 7))
    other = mask_picture(tmp_path / "other.png", (64, 56), (0, 0, 8, 8))
    black = mask_picture(tmp_path / "black.png", (64, 64), None)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"from_": tmp_path / "none.png", "box": BOX}, f"picture of 'from' '{tmp_path}/none.png' does not exist"),
        ({"from_": tiny, "box": BOX}, f"picture of 'from' '{tiny}' has 5x7 pixels; it takes at least 8x8"),
        ({"mask": other}, f"mask '{other}' has 64x56 pixels, and the picture 64x64"),
        ({"mask": black}, f"mask '{black}' is black everywhere; make white what is to be drawn anew"),
        ({"mask": tmp_path / "none.png"}, f"mask '{tmp_path}/none.png' does not exist"),
        ({"box": (40, 0, 32, 8)}, "box [40, 0, 32, 8] reaches beyond the picture of 64x64; move or narrow it"),
        ({"box": (-8, 0, 32, 8)}, "box [-8, 0, 32, 8] reaches beyond the picture of 64x64; move or narrow it"),
        ({"box": (0.5, 0, 0.6, 1)}, "box [0.5, 0, 0.6, 1] reaches beyond the picture of 64x64; move or narrow it"),
        ({"box": (0, 0, 1, 0.001)}, "box [0, 0, 1, 0.001] covers no pixel of the picture of 64x64; make it larger"),
    ]
    for given, line in cases:
        with pytest.raises(RecipeError) as caught:
            tiny_plan([Inpaint(**{"from_": picture, **given})])
        assert caught.value.problems == [f"inpaint: {line}"]
    with pytest.raises(RecipeError, match=r"strength 0\.1 leaves none of 4 steps"):
        tiny_plan([Inpaint(from_=picture, box=BOX, strength=0.1)], steps=4)
    with pytest.raises(RecipeError, match="inpaint: 'colour-match' comes after it and would change what is to stay"):
        tiny_plan([Inpaint(from_=picture, box=BOX), ColourMatch()])
    with pytest.raises(
        PluginError, match="'image-to-image' and 'inpaint' both replace the hook 'default_size'; use one"
    ):
        tiny_plan(
            [ImageToImage(from_=drawing(tmp_path / "b.png", (64, 64), 1)), Inpaint(from_=picture, box=BOX)],
            size=(64, 64),
        )
    for given, said in [
        ({}, "takes either a 'mask' or a 'box'"),
        ({"box": BOX, "mask": black}, "has both a 'mask' and a 'box'; leave one of them out"),
        ({"box": (0, 0, 0, 8)}, "none of [0, 8] may be 0 or less"),
        ({"box": BOX, "strength": 1.5}, "less than or equal to 1"),
        ({"box": BOX, "strength": 0}, "greater than 0"),
    ]:
        with pytest.raises(ValueError, match=re.escape(said)):
            Inpaint(from_=picture, **given)
