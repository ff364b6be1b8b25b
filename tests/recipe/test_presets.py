"""Presets: what a recipe leaves open is filled, what it says stays, and pictures need no preset to be drawn again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fusionkit import Fusion
from fusionkit.cli import main
from fusionkit.errors import RecipeError
from fusionkit.foreign import entries_of
from fusionkit.loop.misfits import clash
from fusionkit.loop.model import ModelInfo
from fusionkit.pictures.carried import read_recipe as read_carried
from fusionkit.recipe import Recipe, presets
from fusionkit.recipe import offered as catalogue
from fusionkit.recipe.made import changed, make_recipe
from fusionkit.recipe.presets import filled, outranked, read_preset
from fusionkit.recipe.recipe_file import read_recipe
from fusionkit.registry import tables
from fusionkit.runs.plan import completed

EPSILON = ModelInfo("m", "sd", 4, 8, (96, 64), "DDIMScheduler", defaults={"steps": 30, "guidance-scale": 4})
FEW = ModelInfo("m", "sd", 4, 8, (64, 64), "LCMScheduler", defaults={"steps": 4})


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that lets a package offer a preset, `mine`, with this text."""

    def offer(text: str) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        monkeypatch.setattr(catalogue, "tables", lambda group: ({**tables(group)[0], "mine": path}, {}, []))

    return offer


MINE = """
summary: for tests
rules:
  - {with: [style-alignment], set: {steps: 7}}
  - predicts: [epsilon]
    unless: [scheduler]
    own-steps-from: 15
    set: {scheduler: euler, steps: 12, guidance-interval: [0, 0.5]}
  - set: {plugins: {multidiffusion: {stride: {share-of-window: 3/4}, jitter: 8}, guided-fusion: true}}
  - {with: [variance-corrected-fusion], set: {plugins: {variance-corrected-fusion: false}}}
"""


def whole(info: ModelInfo = EPSILON, **fields: Any) -> Recipe:
    return completed(make_recipe(model="m", **fields), info)


def test_what_is_open_is_filled_and_what_is_said_stays(offered: Any) -> None:
    offered(MINE)
    plain = whole(preset="mine")
    assert (plain.scheduler.name, plain.steps, plain.guidance_scale) == ("euler", 12, 4)
    assert plain.guidance_interval == (0.0, 0.5)
    assert [each.plugin_name for each in plain.plugins] == ["multidiffusion", "guided-fusion"]
    # Three quarters of 96x64 pixels, in whole latent pixels.
    assert plain.dump()["plugins"][0]["multidiffusion"] | {"noise": 0, "later": {}} == {
        "stride": "72x48",
        "jitter": 8,
        "jitter-edges": "keep",
        "noise": 0,
        "later": {},
    }
    assert plain.preset is None
    said = whole(preset="mine", steps=20, plugins=[{"multidiffusion": {"stride": 32}}, "variance-corrected-fusion"])
    assert (said.scheduler.name, said.steps) == ("euler", 20)
    kept = said.dump()["plugins"]
    assert (kept[0]["multidiffusion"]["stride"], kept[0]["multidiffusion"]["jitter"]) == (32, 8)
    assert [each.plugin_name for each in said.plugins] == [
        "multidiffusion",
        "variance-corrected-fusion",
        "guided-fusion",
    ]


def test_rules_apply_where_all_of_their_conditions_hold(offered: Any) -> None:
    offered(MINE)
    assert whole(preset="mine", scheduler="ddim").steps == 30, "steps belong to the scheduler that they are for"
    assert whole(FEW, preset="mine").steps == 4, "few-step models are left alone"
    assert whole(preset="mine", plugins=["style-alignment"]).steps == 7, "the first rule that says a key decides"


def test_the_example_of_the_docs_is_a_preset(offered: Any) -> None:
    offered((Path(__file__).parents[2] / "docs" / "example_preset" / "night-shift.yaml").read_text())
    drawn = whole(preset="mine")
    assert (drawn.scheduler.name, drawn.steps) == ("dpm++-2m", 60)
    assert drawn.dump()["plugins"][0]["multidiffusion"]["stride"] == "24x16"


def test_a_rule_may_ask_for_several_plugins_and_for_keys_that_nobody_gave(offered: Any) -> None:
    offered(
        "summary: x\nrules:\n  - with: [multidiffusion, guided-fusion]\n    open: [plugins.multidiffusion.stride]\n"
        "    set: {steps: 5}\n"
    )
    both = ["multidiffusion", "guided-fusion"]
    assert whole(preset="mine", plugins=both).steps == 5
    assert whole(preset="mine", plugins=both[:1]).steps == 30
    given = make_recipe(model="m", plugins=[{"multidiffusion": {"stride": 32}}, "guided-fusion"])
    assert completed(changed(given, {"preset": "mine"}), EPSILON).steps == 30, "it is given, though farther inside"


def test_an_enlargement_keeps_its_scheduler_and_its_own_strength() -> None:
    plain = Fusion.from_recipe("accdiffusion-tinyworld", preset="fast").plan()
    assert plain.by_preset == {
        "plugins.progressive-upscaling.strength": 0.7,
        "plugins.dilated-sampling.skip-below": 0.3,
    }
    assert plain.forward_passes < 0.65 * Fusion.from_recipe("accdiffusion-tinyworld").plan().forward_passes
    given = {"progressive-upscaling": {"strength": 0.5}}
    recipe = Recipe(model="tinyworld/scenes", plugins=[given, "dilated-sampling"], size=(128, 128), prompt="the sea")
    assert list(Fusion.from_recipe(recipe, preset="fast").plan().by_preset) == ["plugins.dilated-sampling.skip-below"]


def test_a_plugin_that_would_clash_is_not_added(offered: Any) -> None:
    offered(MINE)
    moving = whole(preset="mine", plugins=["shifted-windows"])
    assert [each.plugin_name for each in moving.plugins] == ["shifted-windows", "guided-fusion"]


def test_without_a_preset_nothing_changes() -> None:
    recipe = make_recipe(model="m", steps=3, plugins=["guided-fusion"])
    assert filled(recipe, EPSILON, clash) == (
        {"model": "m", "steps": 3, "plugins": recipe.plugins},
        {},
    )


def test_a_preset_that_is_named_farther_outside_wins_over_what_is_said_farther_inside(
    offered: Any, tmp_path: Path
) -> None:
    offered(MINE)
    text = (
        "model: tinyworld/scenes\nscheduler: ddpm\nsteps: 60\nplugins: [multidiffusion: {stride: 16}, guided-fusion]\n"
    )
    (tmp_path / "base.yaml").write_text(text)
    (tmp_path / "inside.yaml").write_text(text + "preset: mine\n")
    (tmp_path / "outside.yaml").write_text("extends: base.yaml\npreset: mine\nsteps: 9\n")

    def drawn(name: str, *sets: str, **options: Any) -> tuple[str, int, Any]:
        recipe = completed(read_recipe(tmp_path / name, sets, options).recipes[0], EPSILON)
        return recipe.scheduler.name, recipe.steps, recipe.dump()["plugins"][0]["multidiffusion"]["stride"]

    assert drawn("inside.yaml") == ("ddpm", 60, 16)
    assert drawn("outside.yaml") == ("euler", 9, "72x48")
    assert drawn("base.yaml", preset="mine") == ("euler", 12, "72x48")
    assert drawn("base.yaml", "plugins.multidiffusion.stride=32", preset="mine", steps=5) == ("euler", 5, 32)
    assert drawn("base.yaml", "preset=mine", "scheduler=ddim") == ("ddim", 60, "72x48")
    recipe = read_recipe(tmp_path / "base.yaml").recipes[0]
    python = completed(changed(recipe, {"preset": "mine", "steps": 8}), EPSILON)
    assert (python.scheduler.name, python.steps) == ("euler", 8)


def test_what_is_said_of_a_part_keeps_the_whole() -> None:
    plugins = [("multidiffusion", ["stride", "jitter"]), ("guided-fusion", [])]
    asked = ["scheduler", "steps", "seed", "plugins"]
    assert outranked(asked, plugins, ["scheduler.ddim.eta", "plugins.multidiffusion.stride", "preset"]) == [
        "steps",
        "plugins.multidiffusion.jitter",
        "plugins.guided-fusion",
    ]
    assert outranked(asked, plugins, ["plugins"]) == ["scheduler", "steps"]


def test_a_choice_reads_back_from_what_it_writes() -> None:
    for preset in ("fast", {"name": "fast", "over": ["steps"]}):
        recipe = make_recipe(model="m", preset=preset)
        assert recipe.dump()["preset"] == preset
        assert make_recipe(**recipe.dump()).preset == recipe.preset


def test_unknown_names_and_wrong_files_are_told_in_a_line(offered: Any) -> None:
    with pytest.raises(RecipeError, match="'preset' is 'fats', and there is no such preset; did you mean 'fast'\\?"):
        make_recipe(preset="fats")
    offered("summary: x\nrules: [{set: {seed: 3}}]")
    with pytest.raises(RecipeError, match=r"mine.yaml: .*'seed', which a preset can't set"):
        read_preset("mine")
    offered("summary: x\nrules: [{set: {plugins: {multidiffusion: {strid: 8}}}}]")
    with pytest.raises(RecipeError, match="preset 'mine': multidiffusion has no option 'strid'; did you mean 'stride'"):
        whole(preset="mine")


@pytest.mark.parametrize("name", sorted(presets.presets()))
@pytest.mark.parametrize("model", ["tinyworld/scenes", "vista/scenes", "vista/flow"], ids=["eps", "v", "flow"])
def test_every_preset_can_be_planned_on_every_kind_of_model(name: str, model: str) -> None:
    size = (512, 128) if model.startswith("vista") else (256, 64)
    plan = Fusion.from_pretrained(model, preset=name, prompt="the sea at noon", size=size).plan()
    assert plan.preset == name
    assert plan.by_preset
    again = Fusion.from_recipe(Recipe.model_validate(plan.recipe.dump())).plan()
    assert again.recipe.dump() == plan.recipe.dump()
    assert again.forward_passes == plan.forward_passes


def test_a_picture_is_drawn_again_without_the_preset(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    asked = ["tinyworld/scenes", "steps=2", f"output={picture}", "size=128x64"]
    recipe = tmp_path / "r.yaml"
    recipe.write_text("model: tinyworld/scenes\nprompt: the sea at noon\npreset: fast\n")
    sets = [text for each in asked[1:] for text in ("--set", each)]
    result = CliRunner().invoke(main, ["run", str(recipe), "-q", *sets])
    assert result.exit_code == 0, result.output
    drawn = read_carried(picture)[0].recipes[0]
    assert drawn.preset is None
    assert [each.plugin_name for each in drawn.plugins] == ["multidiffusion", "guided-fusion"]
    replayed = CliRunner().invoke(main, ["replay", str(picture), "-q", "--json", "-o", str(tmp_path / "b.png")])
    assert json.loads(replayed.stdout)["equal"] is True


def test_a_plan_says_what_the_preset_said() -> None:
    result = CliRunner().invoke(main, ["plan", "panorama-tinyworld", "--preset", "fast", "--json"])
    told = json.loads(result.stdout)["preset"]
    assert told["name"] == "fast"
    assert told["set"]["plugins.multidiffusion.stride"] == 32
    lines = CliRunner().invoke(main, ["plan", "panorama-tinyworld", "--preset", "fast"]).stdout.splitlines()
    (line,) = (each for each in lines if each.startswith("preset"))
    assert "multidiffusion.stride 32" in line


def test_packages_offer_presets_by_entry_points() -> None:
    assert ("fusionkit", "fusionkit.recipes:PRESETS") in {
        (each.name, each.value) for each in entries_of(catalogue.GROUP)
    }
    assert set(presets.presets()) >= {"best", "fast"}


def test_presets_are_listed_and_printed_with_the_recipes() -> None:
    listed = json.loads(CliRunner().invoke(main, ["recipes", "--json"]).stdout)["recipes"]
    found = {each["name"]: each["summary"] for each in listed if each["kind"] == "preset"}
    assert set(found) >= {"presets/best", "presets/fast"}
    assert all(found.values())
    printed = CliRunner().invoke(main, ["recipes", "presets/fast"]).stdout
    assert printed == presets.presets()["fast"].read_text()
