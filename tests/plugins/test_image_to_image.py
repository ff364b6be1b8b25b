"""Image to image: that it is diffusers' own, on any canvas, with stages after it, and on flows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flow_plans import flow_plan
from from_pictures import OfTheSeed, drawing, run_on, theirs
from PIL import Image

from fusionkit import PluginError, RecipeError
from fusionkit.pictures.picture import fitted, open_picture
from fusionkit.runs.run import execute, picture_latents
from fusionkit.testing import execute_tiny, tiny_model, tiny_pipeline, tiny_plan, tiny_run
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_pictures import ImageToImage


@pytest.mark.parametrize(("kind", "scheduler"), [("sd", "ddim"), ("sd", "dpm++-2m"), ("sdxl", "euler")])
def test_it_is_diffusers_own_image_to_image(tmp_path: Path, kind: Any, scheduler: str) -> None:
    pipe, picture = tiny_pipeline(kind), drawing(tmp_path / "picture.png", (64, 64))
    plan, latents = run_on(pipe, [ImageToImage(from_=picture), OfTheSeed()], scheduler=scheduler)
    start = tiny_model(kind).encode(open_picture(picture))
    expected = theirs(pipe, plan.stages[0], "Img2Img", image=start, strength=0.6)
    assert float((latents - expected).abs().max()) < 1e-4 * float(expected.abs().max())
    assert len(plan.stages[0].steps) == 3


def test_the_size_is_the_pictures_but_for_what_is_no_whole_latent_pixel(tmp_path: Path) -> None:
    picture = drawing(tmp_path / "picture.png", (163, 85))
    from fusionkit.models.inspect import info_of_pipeline
    from fusionkit.recipe.made import make_recipe
    from fusionkit.runs.run import prepare

    info = info_of_pipeline(tiny_pipeline())
    recipe = make_recipe(prompt="a hill", plugins=[ImageToImage(from_=picture)], steps=4)
    plan = prepare(recipe, info)
    assert plan.recipe.size == (160, 80)
    # It is cropped, not scaled: pixels are those of the picture.
    plan.stages[0].model = model = tiny_model()
    pixels = Image.open(picture).crop((1, 2, 161, 82))
    start = picture_latents(plan)
    assert start is not None
    assert start.equal(model.encode(pixels))
    assert np.array_equal(np.asarray(open_picture(picture, (160, 80), within=8)), np.asarray(pixels))
    # At sizes that are further away it is scaled, and no pixel is lost on purpose.
    assert fitted(Image.open(picture), (152, 80), 8).size == (152, 80)
    assert execute(plan, model).shape == (1, 4, 10, 20)
    # One that lies on its side counts as it is seen.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(picture).save(tmp_path / "turned.jpg", exif=exif)
    turned = prepare(make_recipe(plugins=[ImageToImage(from_=tmp_path / "turned.jpg")], steps=4), info)
    assert turned.recipe.size == (80, 160)
    # What the recipe says counts.
    assert prepare(recipe.model_copy(update={"size": (64, 72)}), info).recipe.size == (64, 72)


def test_full_strength_keeps_nothing_and_less_keeps_more(tmp_path: Path) -> None:
    picture = drawing(tmp_path / "picture.png", (160, 80))
    assert tiny_run([ImageToImage(from_=picture, strength=1)]).equal(tiny_run([]))
    changed = []
    for strength in (0.25, 0.5, 0.75):
        plan = tiny_plan([ImageToImage(from_=picture, strength=strength)], scheduler="euler", steps=4)
        latents = execute_tiny(plan)
        assert plan.stages[0].previous is not None
        changed.append(float((latents - plan.stages[0].previous).abs().mean()))
    assert changed == sorted(changed)


def test_stages_that_enlarge_come_after_it(tmp_path: Path) -> None:
    """What it draws is the first stage of them; as if there were no larger ones."""
    picture = drawing(tmp_path / "picture.png", (64, 64))
    plugins = [ImageToImage(from_=picture, strength=0.5), ProgressiveUpscaling(), MultiDiffusion(stride=32)]
    plan = tiny_plan(plugins, size=(128, 128), scheduler="ddim", steps=4)
    assert [(stage.plan.size, stage.plan.strength) for stage in plan.stages] == [((64, 64), 0.5), ((128, 128), None)]
    execute_tiny(plan)
    alone = tiny_run(plugins[:1], size=(64, 64), scheduler="ddim", steps=4)
    assert plan.stages[1].previous is not None
    assert plan.stages[1].previous.equal(alone)


def test_a_flow_noises_it_by_its_own_equation(tmp_path: Path) -> None:
    picture = drawing(tmp_path / "picture.png", (160, 80))
    seen = []
    from fusionkit import Plugin, hookimpl

    class Kept(Plugin):
        """Keeps the canvas that the first step is given."""

        @hookimpl(wrapper=True)
        def init_latents(self, noise: Any) -> Any:
            seen.append((yield))
            return seen[-1]

    for scheduler in ("flow-euler", "flow-euler-a"):
        plan = flow_plan(
            [ImageToImage(from_=picture, strength=0.5), Ring(), Kept()],
            scheduler=scheduler,
            steps=4,
        )
        (stage,) = plan.stages
        assert execute_tiny(plan).isfinite().all()
        level = stage.scheduler.level(stage.steps[0].timestep)  # type: ignore[attr-defined]
        assert 0.5 < level < 1
        assert stage.previous is not None
        assert torch.allclose(seen[-1], (1 - level) * stage.previous + level * stage.noise("init"), atol=1e-6)


def test_what_makes_no_sense_is_told_before_anything_loads(tmp_path: Path) -> None:
    picture = drawing(tmp_path / "picture.png", (128, 128))
    text = tmp_path / "text.png"
    text.write_text("no picture")
    for path, line in [
        (tmp_path / "none.png", "does not exist"),
        (text, "is no picture of a known format"),
        (drawing(tmp_path / "small.png", (7, 40)), "has 7x40 pixels; it takes at least 8x8"),
    ]:
        with pytest.raises(RecipeError) as caught:
            tiny_plan([ImageToImage(from_=path)])
        assert caught.value.problems == [f"image-to-image: picture of 'from' '{path}' {line}"]
    other = drawing(tmp_path / "other.png", (128, 128), 1)
    with pytest.raises(
        RecipeError, match=r"the run begins with another plugin's picture, '.*other\.png', already; leave"
    ):
        tiny_plan([ProgressiveUpscaling(from_=other), ImageToImage(from_=picture)], size=(128, 128))
    with pytest.raises(PluginError, match=r"both replace the hook 'default_size'"):
        tiny_plan([ImageToImage(from_=picture), ImageToImage(from_=picture)])
    for strength in (0, 1.01, -0.5, float("nan"), True):
        with pytest.raises(ValueError, match="strength"):
            ImageToImage(from_=picture, strength=strength)
