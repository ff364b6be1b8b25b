"""`extends`, `--set`, several prompts, defaults of a model, and what a recipe is when it is written down again."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from fusionkit import hookimpl
from fusionkit.errors import RecipeError
from fusionkit.plugin import Plugin
from fusionkit.recipe import Lora, ModelSpec, Recipe, SchedulerSpec
from fusionkit.recipe.assemble import bundled_recipes
from fusionkit.recipe.recipe_file import load_recipes, parse_recipe, read_recipe

BASE = """
model: here/there
prompt: a hill
scheduler: {ddim: {eta: 1.0}}
plugins:
  - style-alignment: {alpha: 0.3}
  - guided-fusion
  - variance-corrected-fusion
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)


def one(text: str, *sets: str) -> Recipe:
    Path("r.yaml").write_text(text)
    (recipe,) = load_recipes("r.yaml", sets)
    return recipe


def plugins(recipe: Recipe) -> list[tuple[str, dict[str, object]]]:
    return [(each.plugin_name, each.options()) for each in recipe.plugins]


def test_a_recipe_replaces_what_it_gives_and_keeps_the_rest() -> None:
    recipe = one("extends: base.yaml\nprompt: a lake\nscheduler: ddpm\nseed: 3")
    assert (recipe.name, recipe.model, recipe.prompt, recipe.seed) == ("r", "here/there", "a lake", 3)
    assert recipe.scheduler == SchedulerSpec(name="ddpm")
    assert plugins(recipe) == [
        ("style-alignment", {"alpha": 0.3}),
        ("guided-fusion", {}),
        ("variance-corrected-fusion", {}),
    ]


def test_extends_is_relative_to_the_file_that_says_it() -> None:
    Path("inner").mkdir()
    Path("inner/middle.yaml").write_text("extends: ../base.yaml\nsteps: 9")
    assert one("extends: inner/middle.yaml").model_dump(include={"steps", "prompt"}) == {"steps": 9, "prompt": "a hill"}


def test_a_list_replaces_the_plugins_and_a_mapping_changes_them() -> None:
    assert plugins(one("extends: base.yaml\nplugins: [guided-fusion]")) == [("guided-fusion", {})]
    changed = "{style-alignment: {alpha: 0.6}, guided-fusion: false, multidiffusion: {jitter: 8}}"
    assert plugins(one(f"extends: base.yaml\nplugins: {changed}")) == [
        ("style-alignment", {"alpha": 0.6}),
        ("variance-corrected-fusion", {}),
        ("multidiffusion", {"jitter": 8}),
    ]


def test_a_flag_s_value_may_be_a_list_of_mappings() -> None:
    loras = [{"path": "style.safetensors", "scale": 0.5}, {"path": "more"}]
    file = read_recipe("base.yaml", options={"loras": loras})
    assert file.recipes[0].loras == [Lora(path="style.safetensors", scale=0.5), Lora(path="more")]
    assert file.tree.find(("loras", 0, "scale")).place.source == "--loras"


def test_set_changes_keys_options_and_the_list_of_plugins() -> None:
    recipe = one(
        BASE,
        "steps=9",
        "size=128x64",
        "plugins.style-alignment.alpha=0.6",
        "plugins.guided-fusion=false",
        "plugins.multidiffusion={stride: 32}",
    )
    assert (recipe.steps, recipe.size) == (9, (128, 64))
    assert plugins(recipe) == [
        ("style-alignment", {"alpha": 0.6}),
        ("variance-corrected-fusion", {}),
        ("multidiffusion", {"stride": 32}),
    ]
    assert plugins(one(BASE, "plugins=[guided-fusion]")) == [("guided-fusion", {})]
    assert one(BASE, "scheduler.ddim.thresholding=true").scheduler == SchedulerSpec(
        name="ddim", options={"eta": 1.0, "thresholding": True}
    )
    assert one(BASE, "scheduler.euler.s_churn=2").scheduler == SchedulerSpec(name="euler", options={"s_churn": 2})


SEVERAL = "models:\n  scene: a/b\n  expert: {model: c/d, variant: fp16, loras: [{path: e}]}\n"


def test_several_models_are_named_in_their_order() -> None:
    recipe = one(SEVERAL)
    assert list(recipe.specs) == ["scene", "expert"]
    assert recipe.specs["scene"] == ModelSpec(model="a/b")
    assert recipe.specs["expert"] == ModelSpec(model="c/d", variant="fp16", loras=[Lora(path="e")])
    written = recipe.dump()["models"]
    assert written == {
        "scene": "a/b",
        "expert": {"model": "c/d", "variant": "fp16", "loras": [{"path": "e", "scale": 1.0}]},
    }
    (again,) = parse_recipe(recipe.to_yaml(), "text").recipes
    assert again.specs == recipe.specs


def test_a_recipe_with_one_model_calls_it_that() -> None:
    assert one(BASE).specs == {"model": ModelSpec(model="here/there")}
    assert one("prompt: a hill").specs == {}


def test_models_are_set_one_by_one_and_replaced_by_model() -> None:
    assert one(SEVERAL, "models.expert=f/g").specs["expert"] == ModelSpec(model="f/g")
    assert one(SEVERAL, "models.expert.variant=bf16").specs["expert"].variant == "bf16"
    assert list(one(SEVERAL, "models.third=h/i").specs) == ["scene", "expert", "third"]
    Path("several.yaml").write_text(SEVERAL)
    assert one("extends: several.yaml\nmodel: f/g").specs == {"model": ModelSpec(model="f/g")}
    assert list(one("extends: base.yaml\n" + SEVERAL).specs) == ["scene", "expert"]


def test_a_prompt_of_the_command_line_is_taken_literally() -> None:
    assert one(BASE, "prompt=a sign: no entry # here").prompt == "a sign: no entry # here"
    assert one(BASE, "prompt=007").prompt == "007"
    assert one(BASE, "prompt='quoted'").prompt == "quoted"


def test_options_of_the_command_line_win_over_set() -> None:
    (recipe,) = read_recipe("base.yaml", ["seed=1"], {"seed": 2, "device": None}).recipes
    assert (recipe.seed, recipe.device) == (2, "auto")


def test_a_plugin_that_is_listed_twice_can_not_be_changed_by_name() -> None:
    with pytest.raises(RecipeError) as caught:
        one("plugins: [guided-fusion, guided-fusion]", "plugins.guided-fusion=false")
    assert caught.value.problems == [
        "--set plugins.guided-fusion: 'guided-fusion' is 2 times in the recipe; change the file"
    ]


def test_one_picture_a_prompt() -> None:
    Path("r.yaml").write_text("prompt: [a hill, 'a lake: blue']\nseed: 4")
    recipes = load_recipes("r.yaml")
    assert [(each.prompt, each.seed) for each in recipes] == [("a hill", 4), ("a lake: blue", 4)]


def test_anchors_and_merge_keys_are_yaml_as_ever() -> None:
    recipe = one("loras:\n  - &one {path: a, scale: 0.5}\n  - {<<: *one, path: b}")
    assert [(each.path, each.scale) for each in recipe.loras] == [("a", 0.5), ("b", 0.5)]


def test_a_recipe_that_is_written_down_reads_back_the_same() -> None:
    recipe = one(BASE, "size=96x64", "negative-prompt=no: cars", "loras=[{path: a}]", "clip-skip=2")
    (again,) = parse_recipe(recipe.to_yaml(), "text").recipes
    assert again.dump() == recipe.dump()
    assert recipe.dump() == {
        "name": "r",
        "model": "here/there",
        "loras": [{"path": "a", "scale": 1.0}],
        "prompt": "a hill",
        "negative-prompt": "no: cars",
        "size": "96x64",
        "scheduler": {"ddim": {"eta": 1.0}},
        "steps": 50,
        "guidance-scale": 7.5,
        "guidance-interval": [0.0, 1.0],
        "clip-skip": 2,
        "seed": 0,
        "plugins": [
            {"style-alignment": {"alpha": 0.3, "reference": "random"}},
            "guided-fusion",
            "variance-corrected-fusion",
        ],
        "dtype": "auto",
        "device": "auto",
        "offload": "none",
        "vae-tiling": False,
        "canvas": "auto",
        "compile": False,
        "channels-last": False,
    }


def test_where_a_picture_goes_is_no_part_of_what_it_is() -> None:
    some, other = one(BASE), one(BASE, "output=/secret/folder/{seed}.png", "overwrite=true", "preview-every=3")
    assert some.to_yaml() == other.to_yaml()


def test_what_only_python_can_hold_is_named_in_the_text() -> None:
    class Holder(Plugin):
        thing: object = None

        @hookimpl
        def stage_done(self) -> None: ...

    recipe = Recipe(plugins=[Holder(thing=Path), Holder(thing=3)])
    assert recipe.dump()["plugins"] == [{"holder": {"thing": "<type>"}}, {"holder": {"thing": 3}}]


def test_plugins_in_python_are_objects_names_or_mappings() -> None:
    given = one(BASE).plugins[0]
    recipe = Recipe.model_validate({"plugins": [given, "guided-fusion", {"multidiffusion": {"jitter": 8}}]})
    assert recipe.plugins[0] is given
    assert plugins(recipe)[1:] == [("guided-fusion", {}), ("multidiffusion", {"jitter": 8})]
    with pytest.raises(ValidationError, match="no plugin 'gided-fusion'; did you mean 'guided-fusion'"):
        Recipe.model_validate({"plugins": ["gided-fusion"]})


def test_bundled_recipes_are_found_and_begin_with_their_own_command() -> None:
    bundled = bundled_recipes()
    assert {"panorama", "panorama-vista", "panorama-tinyworld", "panorama-sd2", "panorama-sdxl"} <= set(bundled)
    for name, path in bundled.items():
        first, second, *_ = path.read_text().splitlines()
        assert f"{first} ".startswith(f"# Run it:  fusionkit run {name} "), path
        assert second.startswith("# "), path
        (recipe,) = load_recipes(name)
        assert recipe.name == name
        sources = {spec.model for spec in recipe.specs.values()}
        if name.endswith("-tinyworld"):
            assert all(source.startswith("tinyworld/") for source in sources), path
        if name.endswith("-vista") or name == "panorama":
            assert all(source.startswith("vista/") for source in sources), path
        assert sources <= {
            "tinyworld/scenes",
            "tinyworld/rocket",
            "tinyworld/flower",
            "tinyworld/cartoon",
            "vista/scenes",
            "vista/expert",
            "vista/flow",
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "nitrosocke/Ghibli-Diffusion",
            "nitrosocke/Nitro-Diffusion",
            "stabilityai/stable-diffusion-2-base",
            "stabilityai/stable-diffusion-xl-base-1.0",
            "stabilityai/stable-diffusion-3.5-medium",
            "black-forest-labs/FLUX.1-dev",
            "Qwen/Qwen-Image",
            "Tongyi-MAI/Z-Image",
            "Tongyi-MAI/Z-Image-Turbo",
            "diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
        }, path


def test_a_mask_in_place_of_a_box_says_how_to_leave_that_out() -> None:
    Path("base.yaml").write_text("model: here/there\nplugins:\n  - inpaint: {from: a.png, box: [0, 0, 8, 8]}\n")
    mask = "plugins.inpaint.mask=m.png"
    with pytest.raises(RecipeError) as caught:
        load_recipes("base.yaml", [mask])
    (line,) = caught.value.problems
    assert line.endswith(
        ": inpaint has both a 'mask' and a 'box'; leave one of them out, such as --set plugins.inpaint.box=null"
    )
    (recipe,) = load_recipes("base.yaml", [mask, line.rpartition("--set ")[2]])
    (inpaint,) = recipe.plugins
    told = inpaint.model_dump()
    assert (told["box"], told["mask"]) == (None, Path("m.png"))
