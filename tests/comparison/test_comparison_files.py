"""What is compared: recipes with varied values, comparison files, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionkit.comparison.document import bundled_comparisons, find_comparison, read_comparison
from fusionkit.comparison.jobs import jobs_of
from fusionkit.comparison.spec import Comparison, Setting, compared
from fusionkit.comparison.together import in_order_of
from fusionkit.errors import RecipeError
from fusionkit.recipe.nodes import Node, Place

RECIPE = """model: tinyworld/scenes
prompt: a landscape photo of mountains at noon
size: 128x64
steps: 2
plugins:
  - style-alignment: {alpha: 0}
  - multidiffusion
"""
FILE = """title: strides
recipe:
  extends: base.yaml
settings:
  MD: {}
  "GF: wide": {plugins.guided-fusion: true, plugins.multidiffusion.stride: 48}
vary: {plugins.style-alignment.alpha: [0, 0.4]}
prompts: [a landscape photo of the sea at noon, a landscape cartoon of the sea at noon]
seeds: 3-4
reference: {seeds: 0-2}
metrics: [fid, {kid: {subset-size: 2}}]
features: tinyworld
"""


SETTINGS = {
    "table-1": 6,
    "table-2-ddim": 4,
    "table-2-others": 5,
    "table-2-ddpm": 6,
    "figure-5": 11,
    "table-3": 8,
    "table-4": 4,
}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(RECIPE)


def read(text: str) -> Comparison:
    Path("c.yaml").write_text(text)
    return read_comparison(Path("c.yaml"))


def complaints(text: str) -> list[str]:
    with pytest.raises(RecipeError) as error:
        jobs_of(read(text))
    return error.value.problems


def test_every_combination_is_a_setting_with_a_name_and_a_title_of_its_own() -> None:
    found = compared(
        ["base.yaml"],
        vary=["plugins.style-alignment.alpha=0:0.4:0.4", "plugins.multidiffusion.stride=16,32"],
        sets=["steps=3"],
        seeds="1",
    )
    assert [setting.title for setting in found.settings] == [
        "alpha 0.0, stride 16",
        "alpha 0.0, stride 32",
        "alpha 0.4, stride 16",
        "alpha 0.4, stride 32",
    ]
    assert [setting.name for setting in found.settings] == [
        "alpha-0.0-stride-16",
        "alpha-0.0-stride-32",
        "alpha-0.4-stride-16",
        "alpha-0.4-stride-32",
    ]
    last = found.settings[3]
    assert last.changes == {"plugins.style-alignment.alpha": 0.4, "plugins.multidiffusion.stride": 32}
    assert [plugin.options() for plugin in last.recipe.plugins] == [{}, {"stride": 32}]
    assert (last.recipe.steps, found.seeds, found.prompts) == (3, [1], ["a landscape photo of mountains at noon"])


def test_recipes_are_compared_by_name_and_draw_the_first_ones_prompts() -> None:
    Path("other.yaml").write_text(RECIPE.replace("mountains", "the sea").replace("128x64", "192x64"))
    found = compared(["base.yaml", "other.yaml"], seeds="0")
    assert [setting.title for setting in found.settings] == ["base", "other"]
    assert {setting.recipe.prompt for setting in found.settings} == {"a landscape photo of mountains at noon"}
    assert found.notes == [
        "every setting draws the first one's prompt",
        "the settings differ in size, so that one seed does not give them the same starting noise",
    ]


def test_keys_that_end_alike_are_told_apart() -> None:
    Path("two.yaml").write_text(
        "model: tinyworld/scenes\nprompt: x\nplugins: [guided-fusion, multidiffusion]\nscheduler: {ddim: {eta: 0.0}}"
    )
    vary = ["scheduler.ddim.eta=0,1", "plugins.multidiffusion.noise=canvas,averaged"]
    found = compared(["two.yaml"], vary=vary, seeds="0")
    assert [setting.title for setting in found.settings][:2] == ["eta 0, noise canvas", "eta 0, noise averaged"]


def test_prompts_come_from_a_file_without_comments_and_empty_lines() -> None:
    Path("p.txt").write_text("# mine\na landscape photo of the sea at noon\n\n a landscape photo of a city at noon \n")
    found = compared(["base.yaml"], prompts=Path("p.txt"), seeds="0-1")
    assert found.prompts == ["a landscape photo of the sea at noon", "a landscape photo of a city at noon"]
    assert [(job.prompt, job.seed) for job in jobs_of(found)] == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_a_file_says_all_of_it() -> None:
    found = read(FILE)
    assert [setting.title for setting in found.settings] == [
        "MD, alpha 0",
        "MD, alpha 0.4",
        "GF: wide, alpha 0",
        "GF: wide, alpha 0.4",
    ]
    assert [type(plugin).__name__ for plugin in found.settings[2].recipe.plugins] == [
        "StyleAlignment",
        "MultiDiffusion",
        "GuidedFusion",
    ]
    assert (found.title, found.seeds, found.features) == ("strides", [3, 4], "tinyworld")
    assert found.metrics == ["fid", {"kid": {"subset-size": 2}}]
    assert len(found.prompts) == 2

    jobs = jobs_of(found)
    assert len(jobs) == 4 * 2 * 2 + 2 * 3
    assert [job.file for job in jobs[:5]] == [
        "pictures/md-alpha-0/p000-s3.png",
        "pictures/md-alpha-0.4/p000-s3.png",
        "pictures/gf-wide-alpha-0/p000-s3.png",
        "pictures/gf-wide-alpha-0.4/p000-s3.png",
        "pictures/md-alpha-0/p001-s3.png",
    ]
    assert len({job.fingerprint for job in jobs}) == len(jobs)


def test_the_reference_is_the_models_own_picture_of_one_window() -> None:
    reference = read(FILE).reference
    assert isinstance(reference, Setting)
    *_, last = jobs_of(read(FILE))
    assert (last.file, last.recipe.size, last.recipe.plugins, last.recipe.steps) == (
        "reference/p001-s2.png",
        (64, 64),
        [],
        2,
    )


def test_a_window_of_ones_own_is_the_references_size() -> None:
    text = FILE.replace("  extends: base.yaml\n", "  extends: base.yaml\n  window: 32x32\n")
    *_, last = jobs_of(read(text.replace("stride: 48", "stride: 16")))
    assert last.recipe.size == (32, 32)


def test_what_the_machine_decides_is_no_other_picture() -> None:
    first = jobs_of(read(FILE))[0]
    place = Place("--set")
    other = jobs_of(read_comparison(Path("c.yaml"), [("batch-size", Node(1, place, place))]))[0]
    changed = jobs_of(read_comparison(Path("c.yaml"), [("steps", Node(3, place, place))]))[0]
    assert first.fingerprint == other.fingerprint
    assert first.fingerprint != changed.fingerprint


def test_each_part_begins_with_a_share_of_its_own_and_goes_on_with_the_others() -> None:
    jobs = jobs_of(read(FILE))
    pairs = list(dict.fromkeys((job.prompt, job.seed) for job in jobs if job.setting.name != "reference"))
    for count, first in ((3, 0), (3, 1), (len(pairs), 0)):
        orders = [in_order_of(jobs, part, count) for part in range(first, first + count)]
        assert all(sorted(job.file for job in order) == sorted(job.file for job in jobs) for order in orders)
        begun = [{(job.prompt, job.seed) for job in order[:4]} for order in orders]
        assert all(len(each) == 1 for each in begun), "the settings of a prompt and seed stay together"
        assert len(set.union(*begun)) == min(count, len(pairs))
    assert in_order_of(jobs, 1, 1) == jobs


def test_every_mistake_of_a_file_is_one_line_with_its_place() -> None:
    assert complaints(
        "recipe: base.yam\nseed: 3\nseeds: 4-2\nvary: [1]\nprompts: 7\nmetrics: fid\nreference: {sed: 1}\n"
        "settings: {a: 5}\n"
    ) == [
        "c.yaml:2:1: a comparison has no option 'seed'; did you mean 'seeds'?",
        "c.yaml:1:9: no recipe 'base.yam'; did you mean 'base.yaml'?",
        "c.yaml:8:15: 'settings.a' must be a mapping of changes, such as {steps: 30}, not 5",
        "c.yaml:4:7: 'vary' must be a mapping, not [1]",
        "c.yaml:3:8: 'seeds' must count upwards: 2-4, not 4-2",
        "c.yaml:5:10: 'prompts' must be a list of texts, or a text file with one a line",
        "c.yaml:7:13: 'reference' has no option 'sed'; it has seeds",
        "c.yaml:6:10: 'metrics' must be a list, not 'fid'",
    ]


def test_mistakes_in_a_setting_name_their_line_in_the_file() -> None:
    text = FILE.replace("multidiffusion.stride: 48", "multidiffusion.strid: 48").replace("MD: {}", "MD: {stepz: 3}")
    assert complaints(text) == [
        "c.yaml:5:8: a recipe has no option 'stepz'; did you mean 'steps'?",
        "c.yaml:6:45: multidiffusion has no option 'strid'; did you mean 'stride'?",
    ]


def test_what_only_the_model_tells_is_said_once_for_all_settings() -> None:
    lines = complaints(FILE.replace("extends: base.yaml", "extends: base.yaml\n  size: 127x64"))
    assert len(lines) == 1
    assert "size 127x64 is not divisible by 4" in lines[0]


def test_comparisons_and_recipes_are_told_apart() -> None:
    Path("c.yaml").write_text(FILE)
    assert find_comparison("c.yaml") == Path("c.yaml")
    assert find_comparison("base.yaml") is None
    assert find_comparison("panorama-tinyworld") is None
    path = find_comparison("papers/table-1-tinyworld")
    assert path is not None
    assert path.name == "table-1-tinyworld.yaml"


@pytest.mark.parametrize("name", [name for name in bundled_comparisons() if name.endswith("-tinyworld")])
def test_the_papers_experiments_on_the_embedded_model_can_run(name: str) -> None:
    path = bundled_comparisons()[name]
    found = read_comparison(path)
    jobs = jobs_of(found)
    assert len(jobs) == len(found.settings) * len(found.prompts) * len(found.seeds) + (400 if found.reference else 0)
    assert len(found.settings) == SETTINGS[name.removeprefix("papers/").removesuffix("-tinyworld")]
    assert path.read_text(encoding="utf-8").startswith(f"# Run it:  fusionkit compare {name}\n# ")


@pytest.mark.parametrize("name", [name for name in bundled_comparisons() if not name.endswith("-tinyworld")])
def test_the_papers_experiments_have_a_twin_with_the_same_settings(name: str) -> None:
    full, twin = (read_comparison(bundled_comparisons()[each]) for each in (name, f"{name}-tinyworld"))
    assert [setting.title for setting in full.settings] == [setting.title for setting in twin.settings]
    if full.reference is not None:
        assert (len(full.prompts), len(full.seeds), len(full.reference_seeds)) == (10, 500, 3500)
    window = 512 / 64
    for one, other in zip(full.settings, twin.settings, strict=True):
        assert [type(plugin) for plugin in one.recipe.plugins] == [type(plugin) for plugin in other.recipe.plugins]
        assert one.recipe.size[1] == other.recipe.size[1] * window
        assert one.recipe.scheduler == other.recipe.scheduler
