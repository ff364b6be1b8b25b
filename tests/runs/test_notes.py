"""What can be drawn and is hardly what is meant: canvases that become several pictures, and words nobody knows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionkit import Fusion, ModelInfo, Plugin, Recipe, RecipeError, RecipeWarning, Stage, hookimpl
from fusionkit.errors import FusionError
from fusionkit.loop.manager import Manager
from fusionkit.models.embedded import embedded_models
from fusionkit.models.inspect import inspect_model
from fusionkit.pictures.pillow import OPENED_AT_MOST
from fusionkit.recipe import PromptText
from fusionkit.recipe.assemble import bundled_recipes
from fusionkit.recipe.made import make_recipe
from fusionkit.recipe.recipe_file import RecipeFile, load_recipes, read_recipe
from fusionkit.registry import load
from fusionkit.runs.checks import check_file, named_scheduler, stages_of
from fusionkit.runs.notes import notes_of
from fusionkit.runs.plan import completed
from fusionkit.testing import tiny_pipeline

WIDE, HIGH, SQUARE = (512, 128), (128, 256), (256, 256)


class Whole(Plugin):
    """Somebody's method that keeps one composition."""

    keeps: bool = True

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        return self.keeps


def plugin(name: str, **options: Any) -> Plugin:
    return load(name)(**options)


def noted(recipes: Sequence[Recipe], infos: Mapping[str, ModelInfo]) -> list[str]:
    """What is noted of recipes that differ in their prompts, without torch."""
    info = next(iter(infos.values()))
    recipe = completed(recipes[0], info)
    hooks = Manager(recipe.plugins)
    plans = hooks.ask("plan_stages", recipe=recipe, info=info)
    return notes_of(recipes, infos, stages_of(recipe, infos, named_scheduler(recipe, info), plans), hooks)


def notes(*plugins: Plugin, model: str = "vista/scenes", **fields: Any) -> list[str]:
    recipe = make_recipe(**{"model": model, "size": SQUARE, "prompt": "a poster", **fields}, plugins=list(plugins))
    return noted([recipe], {name: inspect_model(spec.model) for name, spec in recipe.specs.items()})


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(np.full((256, 256, 3), 90, np.uint8)).save(path)
    return path


def test_a_canvas_higher_than_a_scene_is_told_with_what_to_use() -> None:
    assert notes(size=HIGH) == [
        "size 128x256 is 2 times as high as a window of 128x128, and no plugin keeps one composition: scenes may be "
        "stacked on each other; enlarge one picture (--set plugins.progressive-upscaling=true), give parts of the "
        "height prompts of their own (regions), begin with a picture (image-to-image), or make it no higher than the "
        "window"
    ]
    (both,) = notes(size=(512, 320))
    assert both.startswith("size 512x320 is 2.5 times as high as a window of 128x128, and no plugin keeps one")
    assert "a scene may be drawn in each window" in both


@pytest.mark.parametrize("size", [WIDE, (128, 128), (512, 184)])
def test_panoramas_of_about_a_window_s_height_are_left_alone(size: tuple[int, int]) -> None:
    assert notes(size=size) == []
    assert len(notes(size=(size[0], 192))) == 1


def test_the_recipe_s_window_counts_until_it_is_far_beyond_the_model_s() -> None:
    assert notes(size=(256, 192), window=(192, 192)) == []
    (line,) = notes(window=SQUARE)
    assert line.startswith("window 256x256 is larger than 128x128, which the model was trained at, and no plugin keeps")
    assert "--set window=null --set plugins.progressive-upscaling=true" in line


ONE_VIEW = ("re-dilation", "fouriscale", "resolution-aware-unet", "restrained-dilation")


@pytest.mark.parametrize("name", ONE_VIEW)
def test_methods_of_one_large_view_keep_it_one_picture_and_windows_of_theirs_do_not(name: str) -> None:
    assert notes(plugin(name), window=SQUARE) == []
    assert len(notes(plugin(name))) == 1


@pytest.mark.parametrize(
    ("name", "keeping", "not_keeping"),
    [
        ("progressive-upscaling", {}, {"times": 2}),
        ("dilated-sampling", {}, {"window_interaction": False}),
        ("cut-diffusion", {}, {"shuffle": False}),
        ("elastic-diffusion", {}, None),
        ("re-dilation", None, {"until": 0}),
        ("attention-scaling", None, {}),
        ("multidiffusion", None, {}),
        ("guided-fusion", None, {}),
        ("style-alignment", None, {}),
        ("sync-diffusion", None, {}),
        ("ring", {"axes": "xy"}, {"axes": "x"}),
    ],
)
def test_plugins_declare_whether_they_keep_one_composition(name: str, keeping: Any, not_keeping: Any) -> None:
    if keeping is not None:
        assert notes(plugin(name, **keeping)) == []
    if not_keeping is not None:
        assert len(notes(plugin(name, **not_keeping))) == 1


def test_an_enlarged_stage_without_its_residual_is_a_new_picture() -> None:
    assert len(notes(plugin("progressive-upscaling", skip_residual="off"))) == 1
    assert notes(plugin("progressive-upscaling", skip_residual="off", strength=0.5)) == []


def test_a_picture_to_begin_with_holds_the_composition_unless_little_of_it_is_left(photo: Path) -> None:
    assert notes(plugin("image-to-image", from_=photo, strength=0.8)) == []
    assert len(notes(plugin("image-to-image", from_=photo, strength=0.9))) == 1
    assert notes(plugin("inpaint", from_=photo, box=(0, 0, 256, 100))) == []
    assert len(notes(plugin("inpaint", from_=photo, box=(0, 0, 256, 220)))) == 1
    assert notes(plugin("controlnet", model="vista/canny", from_=photo)) == []
    assert len(notes(plugin("controlnet", model="vista/canny", from_=photo, scale=0))) == 1


def test_of_a_picture_that_is_cropped_counts_what_is_on_the_canvas(tmp_path: Path) -> None:
    tall = tmp_path / "tall.png"
    Image.new("RGB", (64, 256), "grey").save(tall)
    # Its middle quarter is all of a square canvas, and of the uppermost nothing is there.
    (line, _) = notes(plugin("inpaint", from_=tall, box=(0, 0.375, 1, 0.25)))
    assert "no plugin keeps one composition" in line
    (line,) = notes(plugin("inpaint", from_=tall, box=(0, 0, 1, 0.25)))
    assert "is cropped" in line


def test_a_file_that_many_programs_refuse_to_open_is_named() -> None:
    assert 2 * (Image.MAX_IMAGE_PIXELS or 0) == OPENED_AT_MOST
    huge = {"size": (1_500_000, 128)}
    (line,) = notes(**huge, output="a.png")
    assert line == (
        "output 'a.png': the picture has 192 megapixels, and programs that read by Pillow refuse more than 179; "
        "use .tif or .dzi, which are read in parts"
    )
    assert notes(**huge, output="a.dzi") == notes(size=(1_300_000, 128), output="a.png") == []


def test_regions_hold_it_that_divide_the_height(photo: Path) -> None:
    def of(*boxes: tuple[float, float, float, float], **said: Any) -> list[str]:
        told = said or {"prompt": "a poster of the sky"}
        return notes(plugin("regions", boxes={f"part{n}": {"box": box, **told} for n, box in enumerate(boxes)}))

    assert of((0, 0, 1, 0.5)) == []
    assert of((0, 0, 1, 0.5), (0, 0.5, 1, 0.5)) == []
    assert len(of((0, 0, 1, 0.2))) == 1
    assert len(of((0, 0, 0.3, 0.5))) == 1
    assert len(of((0, 0, 1, 0.5), guidance_scale=5)) == 1
    assert len(notes(plugin("regions", once="a balloon"))) == 1


def test_a_painted_region_divides_it_too(tmp_path: Path) -> None:
    painted = np.zeros((64, 64), np.uint8)
    painted[:32] = 255
    Image.fromarray(painted).save(tmp_path / "sky.png")
    region = {"mask": tmp_path / "sky.png", "prompt": "a poster of the sky"}
    assert notes(plugin("regions", masks={"sky": region})) == []
    painted[8:] = 0
    Image.fromarray(painted).save(tmp_path / "sky.png")
    assert len(notes(plugin("regions", masks={"sky": region}))) == 1


def test_anybody_s_plugin_can_declare_it() -> None:
    assert notes(Whole()) == []
    assert len(notes(Whole(keeps=False))) == 1


def stand_in(name: str) -> ModelInfo:
    """What is known of a model of the hub, as far as notes ask."""
    side = 512 if "v1-5" in name or "diffusion-2" in name else 1024
    return replace(inspect_model("tinyworld/scenes"), name=name, window=(side, side), factor=8, words=frozenset())


def test_of_the_bundled_recipes_one_method_s_draw_things_twice_as_its_page_says() -> None:
    known: dict[str, ModelInfo] = {name: inspect_model(name) for name in embedded_models()}
    told = {}
    for name, path in bundled_recipes().items():
        recipes = load_recipes(path)
        models = {key: spec.model for key, spec in recipes[0].specs.items()}
        known |= {each: stand_in(each) for each in models.values() if each not in known}
        told[name] = []
        with suppress(FusionError):  # pictures of the user's own are not there, and stand-ins are no flows
            told[name] = noted(recipes, {key: known[each] for key, each in models.items()})
    assert len(told) > 70
    # Of pictures that are made smaller, other tests are.
    others = [name for name, lines in told.items() if not all(line.startswith("picture '") for line in lines)]
    assert others == ["attention-scaling-vista", "attention-scaling"]


def test_words_that_the_model_was_never_taught_are_told_once_with_near_ones() -> None:
    assert notes(prompt="a poster of a Lighthose and a dragon, (dragon:1.3)", negative_prompt="blurry", size=WIDE) == [
        "'prompt' and 'negative-prompt': vista/scenes does not know 'lighthose' (near: 'lighthouse'), 'and', 'dragon' "
        "and 'blurry'; 'fusionkit models' lists its words"
    ]
    assert notes(prompt="a poster of a DRAGON", model="vista/expert", size=WIDE) == []


def test_regions_words_are_looked_at_too() -> None:
    regions = plugin("regions", boxes={"left": {"box": (0, 0, 0.5, 1), "prompt": "a poster of unicorns"}})
    (line,) = notes(regions, size=WIDE)
    assert line.startswith("'boxes.left.prompt' of regions: vista/scenes does not know 'unicorns'")
    once = plugin("regions", once="a submarine")
    assert notes(once, size=WIDE)[0].startswith("'once.once.adds' of regions: vista/scenes does not know 'submarine'")


def test_of_several_models_one_needs_to_know_a_word() -> None:
    models = {"a": "vista/scenes", "b": "vista/expert"}
    assert notes(model=None, models=models, prompt="a poster with a dragon", size=WIDE) == []
    (line,) = notes(model=None, models=models, prompt="a poster with a unicorn", size=WIDE)
    assert line.startswith("'prompt': vista/scenes and vista/expert do not know 'unicorn'")


def test_python_is_warned_at_the_caller_s_line_and_the_plan_tells() -> None:
    fusion = Fusion.from_pipe(tiny_pipeline(), size=(80, 160), steps=1, scheduler="ddim")
    (note,) = fusion.plan().notes
    assert note.startswith("size 80x160 is 2.5 times as high as a window of 64x64")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fusion("a hill", progress=False)
        fusion("a hill", size=(160, 80), progress=False)
    assert [(str(each.message), each.category, each.filename) for each in said] == [(note, RecipeWarning, __file__)]


def test_a_picture_that_is_cropped_or_made_smaller_is_told(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (640, 427)).save(path)
    begin = plugin("image-to-image", from_=path)
    was, keep = f"picture '{path}' of 640x427 pixels is", "to keep all of it, leave 'size' out and add exact-size"
    (line,) = notes(begin, size=(256, 256))
    assert line.startswith(f"{was} cropped to 427x427 and made smaller, 256x256; {keep}")
    (line,) = notes(begin, size=(1280, 640))
    assert line.startswith(f"{was} cropped to 640x320; {keep}")
    (line,) = notes(plugin("progressive-upscaling", from_=path), size=(960, 640))
    assert line.startswith(
        f"{was} cropped to 621x427 and made smaller, 128x88; to keep all of it, begin with it in one stage"
    )
    # Its own size, which loses three rows and no scale; and sizes that keep its shape.
    assert notes(begin, size=(640, 424)) == notes(begin, size=(1280, 856)) == []
    assert notes(begin, plugin("exact-size", from_=path, times=2), size=(1280, 896)) == []


def test_any_option_that_is_a_prompt_is_looked_at() -> None:
    class Says(Plugin):
        whole: PromptText = ""
        several: tuple[PromptText, ...] = ()
        named: dict[str, PromptText | None] = {}
        path: str = ""

    said = Says(whole="a zebra", several=("a gnu",), named={"x": "an emu", "y": None}, path="lion.png")
    (line,) = notes(said, size=WIDE)
    assert line.startswith("'whole' of says and 'several.1' of says and 'named.x' of says: vista/scenes does not know")
    assert [word in line for word in ("'zebra'", "'gnu'", "'emu'", "lion")] == [True, True, True, False]


def test_a_region_s_prompt_that_is_taken_as_written_is_told() -> None:
    regions = plugin("regions", boxes={"left": {"box": (0, 0, 0.5, 1), "prompt": "a poster of [a hill|the sea]"}})
    first, *_ = notes(regions, size=WIDE)
    assert first.startswith("'boxes.left.prompt' of regions: '[a hill|the sea]' is taken as written: web UIs change")


def test_python_is_told_of_a_picture_that_is_cropped(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("RGB", (160, 64)).save(path)
    begin = plugin("image-to-image", from_=path)
    (note,) = Fusion.from_pipe(tiny_pipeline(), size=(64, 64), steps=2, scheduler="ddim", plugins=[begin]).plan().notes
    assert note.startswith(f"picture '{path}' of 160x64 pixels is cropped to 64x64; to keep all of it")


class Breaks(Plugin):
    """Somebody's method that fails when it is asked."""

    by: str = "failing"

    @hookimpl
    def keeps_composition(self, stage: Stage) -> bool:
        # Before the run there are a scheduler's name and no more.
        return bool(stage.scheduler.timesteps is not None) if self.by == "asking" else bool(1 // 0)


def test_a_plugin_s_error_is_told_and_one_that_asks_for_more_gets_it() -> None:
    recipe = make_recipe(model="vista/scenes", size=SQUARE, prompt="a poster", plugins=[Breaks()])
    empty = read_recipe("panorama-vista").tree
    with pytest.raises(RecipeError, match="plugin 'breaks' failed in hook 'keeps_composition': ZeroDivisionError"):
        check_file(RecipeFile("r.yaml", [recipe], empty))
    asking = recipe.model_copy(update={"plugins": [Breaks(by="asking")]})
    assert check_file(RecipeFile("r.yaml", [asking], empty)).notes == []
