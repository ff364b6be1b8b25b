"""The recipe that enlarges a photo: what it is made of, for photos and models of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionkit import Recipe, RecipeError
from fusionkit.models.inspect import inspect_model
from fusionkit.recipe.made import make_recipe
from fusionkit.runs.run import prepare
from fusionkit.testing import tiny_network
from fusionkit_pictures import photo_recipe

SDXL = str(Path(__file__).parents[1] / "golden" / "checkpoints" / "tiny-sdxl")


def photo(folder: Path, size: tuple[int, int]) -> Path:
    path = folder / "x.png"
    Image.new("RGB", size, (90, 120, 150)).save(path)
    return path


def options(recipe: Recipe, name: str) -> dict[str, Any]:
    (found,) = (each for each in recipe.plugins if each.plugin_name == name)
    return found.model_dump(by_alias=True, exclude_unset=True)


def test_what_is_particular_to_a_photo_is_put_into_the_bundled_recipe(tmp_path: Path) -> None:
    path = photo(tmp_path, (640, 427))
    recipe = photo_recipe(path, 1.5, model=SDXL, strength=0.4, steps=20, seed=3, scheduler="ddim")
    assert (recipe.model, recipe.steps, recipe.seed, recipe.guidance_scale) == (SDXL, 20, 3, 1)
    assert options(recipe, "image-to-image") == {"from": path, "strength": 0.4, "keep-exif": True}
    assert options(recipe, "exact-size") == {"from": path, "times": 1.5, "canvas": "window"}
    # What is larger than a pixel of the photo is the photo's: 2^levels pixels.
    assert options(recipe, "colour-match") == {"by": "wavelet", "to": str(path), "levels": 1}
    assert options(photo_recipe(path, 4, model=SDXL), "colour-match")["levels"] == 2
    assert options(photo_recipe(path, 4, model=SDXL, keep="colours"), "colour-match")["levels"] == 5
    kept = photo_recipe(path, 4, model=SDXL, keep="nothing")
    assert "colour-match" not in [each.plugin_name for each in kept.plugins]
    plan = prepare(recipe, inspect_model(SDXL))
    ((stage,), info) = plan.stages, plan.info
    assert (stage.plan.size, stage.frame, stage.sampling_steps) == ((960, 640), (960, 640), 8)
    assert plan.forward_passes == plan.views[0]
    # A prompt counts, and so does the model's own guidance.
    said = photo_recipe(path, model=SDXL, prompt="a lake")
    assert (said.prompt, "guidance_scale" in said.model_fields_set) == ("a lake", False)
    assert info.window == (256, 256)


def test_a_small_photo_has_a_canvas_of_one_window_and_a_large_one_is_decoded_in_tiles(tmp_path: Path) -> None:
    info = inspect_model(SDXL)
    plan = prepare(photo_recipe(photo(tmp_path, (20, 90)), model=SDXL), info)
    assert (plan.recipe.size, plan.stages[0].frame, plan.recipe.vae_tiling) == ((256, 256), (40, 180), False)
    # 32 bytes for each of the decoder's channels and pixels, and 8 GiB of them.
    side = int((2**33 / (32 * info.vae_channels)) ** 0.5 / 32)
    for more, tiled in ((0, False), (1, True)):
        assert photo_recipe(photo(tmp_path, (side + more,) * 2), 32, model=SDXL).vae_tiling == tiled


def test_doubling_goes_by_stages_of_one_shape(tmp_path: Path) -> None:
    path = photo(tmp_path, (301, 203))
    plan = prepare(photo_recipe(path, 6, model=SDXL, doubling=True, strength=0.3), inspect_model(SDXL))
    # 1.5, 3 and 6 times, each canvas twice the one before.
    assert [(stage.plan.size, stage.frame, stage.plan.strength) for stage in plan.stages] == [
        ((456, 312), (452, 304), 0.3),
        ((912, 624), (903, 609), 0.3),
        ((1824, 1248), (1806, 1218), 0.3),
    ]
    at_once = prepare(photo_recipe(path, 6, model=SDXL, strength=0.3), inspect_model(SDXL))
    assert [(stage.plan.size, stage.frame) for stage in at_once.stages] == [((1808, 1224), (1806, 1218))]


def test_stages_of_one_s_own_recipe_have_its_strength_and_its_window(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(
        f"model: {SDXL}\nwindow: 128x128\nplugins:\n  - multidiffusion\n"
        "  - image-to-image: {from: other.png, strength: 0.7}\n"
    )
    info, path = inspect_model(SDXL), photo(tmp_path, (40, 30))

    def stages(**fields: Any) -> list[Any]:
        plan = prepare(photo_recipe(path, 4, recipe=own, doubling=True, **fields), info)
        return [(stage.plan.size, stage.plan.strength) for stage in plan.stages]

    assert stages() == [((128, 128), 0.7), ((256, 256), 0.7)]
    assert stages(strength=0.5) == [((128, 128), 0.5), ((256, 256), 0.5)]
    assert stages(window=(64, 64))[0] == ((80, 64), 0.7)


def test_a_controlnet_is_shown_the_photo_and_a_network_enlarges_it(tmp_path: Path) -> None:
    path, network = photo(tmp_path, (64, 43)), tiny_network(tmp_path / "twice.safetensors")
    recipe = photo_recipe(path, model=SDXL, controlnet="some/tile", network=network, strength=0.5)
    assert options(recipe, "controlnet") == {"model": "some/tile", "annotator": "none", "from": str(path)}
    assert options(recipe, "image-to-image")["network"] == network
    # One that fusionkit carries knows what it is shown, also from Python.
    embedded = photo_recipe(path, model="tinyworld/scenes", controlnet="tinyworld/canny")
    assert options(embedded, "controlnet")["annotator"] == "canny"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"scale": 0.9}, "a photo is never made smaller"),
        ({"strength": 2}, "--strength 2: use a number above 0"),
        ({"scale": 3, "long_side": 400}, "--scale and --long-side: give one of them"),
        ({"long_side": 100}, "has 301x203 pixels, and is never made smaller"),
        ({"stepz": 3}, "stepz"),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path: Path, given: dict[str, Any], line: str) -> None:
    with pytest.raises(RecipeError, match=line):
        photo_recipe(photo(tmp_path, (301, 203)), **{"model": SDXL, **given})


def test_one_s_own_recipe_keeps_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(
        f"model: {SDXL}\nsteps: 9\nguidance-scale: 3\n"
        "plugins:\n  - multidiffusion: {stride: 64}\n  - image-to-image: {from: other.png, strength: 0.7}\n"
    )
    recipe = photo_recipe(photo(tmp_path, (64, 43)), 2, recipe="mine.yaml")
    assert (recipe.steps, recipe.guidance_scale) == (9, 3)
    assert options(recipe, "image-to-image") == {"from": tmp_path / "x.png", "strength": 0.7}
    assert [each.plugin_name for each in recipe.plugins] == [
        "multidiffusion",
        "image-to-image",
        "exact-size",
        "colour-match",
    ]
    assert make_recipe(**{name: getattr(recipe, name) for name in recipe.model_fields_set}) == recipe
