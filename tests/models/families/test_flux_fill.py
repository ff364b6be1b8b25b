"""Flux.1 Fill: told mask and picture as its own pipeline tells it, each window its own part, by folder and by file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from begun import begun, begun_by_diffusers, drawing
from on_families import PROMPT, apart
from PIL import Image
from tiny_flux import CASES, FILL

from fusionkit import Fusion, RecipeError
from fusionkit.errors import ModelError
from fusionkit.loop.canvas import gather
from fusionkit.models.inspect import inspect_model
from fusionkit.models.load import load_pipeline, wrap_pipeline
from fusionkit.pictures.picture import open_picture
from fusionkit.recipe.made import make_recipe
from fusionkit.runs.run import execute, prepare
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_pictures import Inpaint
from fusionkit_regions import Box, Regions

# Not along latent pixels: it is told the mask pixel by pixel.
BOX = (37, 13, 59, 50)


@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_one_window_is_its_own_pipeline(strength: float, tmp_path: Path) -> None:
    picture = drawing(tmp_path / "picture.png")
    plan, ours = begun(FILL, [Inpaint(from_=picture, box=BOX, softness=0, strength=strength)])
    mask = Image.new("L", (128, 128))
    mask.paste(255, (BOX[0], BOX[1], BOX[0] + BOX[2], BOX[1] + BOX[3]))
    given = {"image": open_picture(picture), "mask_image": mask, "strength": strength}
    theirs = begun_by_diffusers(FILL, "FluxFillPipeline", plan.stages[0], **given)
    assert apart(ours, theirs) < 1e-4 * float(theirs.abs().max())


def test_each_window_is_told_its_own_part_around_a_ring_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = wrap_pipeline(FILL.make())
    made: list[Any] = []
    beside = type(model.family).beside

    def noting(family: Any, *told: Any) -> Any:
        made.append(told)
        return beside(family, *told)

    monkeypatch.setattr(type(model.family), "beside", noting)
    picture = drawing(tmp_path / "wide.png", (256, 144))
    plugins = [Ring(), MultiDiffusion(stride=64), Inpaint(from_=picture, box=(60, 8, 120, 90))]
    recipe = make_recipe(prompt=PROMPT, plugins=plugins, steps=2, window=(128, 128))
    drawn = []
    for size in (1, 5):
        plan = prepare(recipe.model_copy(update={"batch_size": size}), model.info)
        before = model.forward_passes
        drawn.append(execute(plan, model))
        # It is told the guidance scale, in place of a second pass.
        assert model.forward_passes - before == plan.forward_passes == 2 * 8
    assert len(made) == 2, "once a stage, of two steps"
    (stage,) = plan.stages
    views = plan.hooks.ask("views", stage=stage, at=stage.steps[0])[0].views
    told = model.beside(stage, views)
    assert told.shape == (len(views), 16 + 64, 16, 16)
    assert told[:, :16].equal(gather(stage.masked.picture, views))
    pixels = torch.nn.functional.pixel_shuffle(told[:, 16:], 8)
    assert pixels[0].equal(stage.masked.mask[0, :, :128, :128])
    assert any(view.left + view.width > stage.canvas[1] for view in views)
    assert apart(*drawn) < 1e-4 * float(drawn[0].abs().max())


def test_of_several_models_each_is_told_what_it_takes(tmp_path: Path) -> None:
    """The plain one draws the right half, and what is to stay is held for it."""
    picture = drawing(tmp_path / "wide.png", (256, 128))
    models = {"fills": wrap_pipeline(FILL.make()), "plain": wrap_pipeline(CASES[0].make())}
    boxes = {"right": Box(box=(0.5, 0, 0.5, 1), prompt=PROMPT, model="plain", soft_border=0)}
    plugins = [
        MultiDiffusion(stride=128),
        Regions(boxes=boxes),
        Inpaint(from_=picture, box=(0, 0, 256, 64), softness=0),
    ]
    recipe = make_recipe(prompt=PROMPT, plugins=plugins, steps=2, window=(128, 128))
    plan = prepare(recipe, models["fills"].info, infos={name: model.info for name, model in models.items()})
    drawn = execute(plan, models["fills"], models)
    assert plan.stages[0].previous is not None
    assert drawn[..., 8:, :].equal(plan.stages[0].previous[..., 8:, :])
    assert not drawn[..., :8, :].allclose(plan.stages[0].previous[..., :8, :], atol=0.1)


def test_a_folder_and_a_file_are_known_before_they_load(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "fill.safetensors"
    FILL.make().save_pretrained(folder)
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").rename(file)
    with pytest.raises(ModelError) as caught:
        inspect_model(str(file))
    assert str(caught.value).endswith("hub id: base: black-forest-labs/FLUX.1-Fill-dev")
    info = inspect_model(str(file), base=str(folder))
    assert (info.kind, info.channels, info.fills_masks, info.takes_guidance) == ("flux", 16, True, True)
    assert info.defaults == {"guidance-scale": 30.0, "steps": 50}
    pipe = load_pipeline(str(file), "flux", base=str(folder), dtype=torch.float32)
    ours, theirs = pipe.transformer.state_dict(), FILL.make().transformer.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    file.rename(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    fields: Any = {"device": "cpu", "window": (128, 128), "steps": 1}
    with pytest.raises(RecipeError, match=r"fills in masked parts of a picture, and nothing here says which; add inp"):
        Fusion.from_pretrained(folder, **fields)(PROMPT, size=(128, 128), progress=False)
    picture = drawing(tmp_path / "picture.png")
    plugins = [Inpaint(from_=picture, box=(0, 0, 128, 64), softness=0)]
    result = Fusion.from_pretrained(folder, plugins=plugins, **fields)(PROMPT, progress=False)
    lower = (0, 64, 128, 128)
    assert result.image.crop(lower).tobytes() == open_picture(picture).crop(lower).tobytes()
    assert result.recipe.guidance_scale == 30
