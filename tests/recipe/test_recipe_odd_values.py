"""Odd values are refused in our words, at their place: names, paths, letters, tags, nothing, and what --set gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionkit.errors import RecipeError
from fusionkit.recipe.recipe_file import load_recipes, read_recipe
from fusionkit.runs.checks import check_file


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(text: str, *sets: str) -> list[str]:
    Path("r.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        check_file(read_recipe("r.yaml", sets))
    return caught.value.problems


LONG = "é" * 150
ODD = {
    "a home of nobody": (
        "model: ~nouser/x",
        "r.yaml:1:8: 'model' begins with the home folder of a user that is not there: ~nouser",
    ),
    "output of nobody": (
        "output: ~nouser/x.png",
        "r.yaml:1:9: 'output' begins with the home folder of a user that is not there: ~nouser",
    ),
    "a long name": (
        f"loras: [{{path: a/{LONG}}}]",
        f"r.yaml:1:16: 'loras.1.path' has a name of 300 bytes; file systems hold 255: {LONG[:40]}...",
    ),
    "a long model": (
        f"model: {'a' * 256}",
        f"r.yaml:1:8: 'model' has a name of 256 bytes; file systems hold 255: {'a' * 40}...",
    ),
    "half of a letter": (
        r'prompt: "\ud800"',
        r"r.yaml:1:9: the text has \ud800, which is half of a letter; write the whole one",
    ),
    "NUL": (r'prompt: "a\0"', r"r.yaml:1:9: the text has the control character \x00; leave it out"),
    "an escape": (r'model: "\e[31m"', r"r.yaml:1:8: the text has the control character \x1b; leave it out"),
    "two lines": (r'model: "a\nb"', "r.yaml:1:8: 'model' must be one line"),
    "pairs": ("prompt: !!pairs [a: 1]", "r.yaml:1:9: tags such as !!pairs are not allowed in a recipe"),
    "bytes": ("prompt: !!binary aGk=", "r.yaml:1:9: tags such as !!binary are not allowed in a recipe"),
    "a key of two": ("[a, b]: 3", "r.yaml:1:1: a key must be text, not a mapping or a list"),
    "merging a number": ("<<: 3", "r.yaml:1:1: '<<' merges a mapping, or a list of mappings, and nothing else"),
    "an old YAML": (
        "%YAML 1.1\n---\nprompt: no",
        "r.yaml:2:1: is written in YAML 1.2; take the line with %YAML out",
    ),
    "nothing": (
        "steps: 3\nnegative-prompt:",
        "r.yaml:2:1: 'negative-prompt' is empty; give it a value, or leave it out",
    ),
    "no size": ("size:", "r.yaml:1:1: 'size' is empty; give it a value, or leave it out"),
    "nothing in an option": (
        "plugins:\n  - style-alignment: {alpha: }",
        "r.yaml:2:23: 'alpha' of style-alignment is empty; give it a value, or leave it out",
    ),
    "a picture with a long name": (
        f"plugins: [{{progressive-upscaling: {{from: {LONG}}}}}]",
        f"r.yaml:1:42: 'from' of progressive-upscaling has a name of 300 bytes; file systems hold 255: {LONG[:40]}...",
    ),
}


@pytest.mark.parametrize(("text", "line"), ODD.values(), ids=ODD)
def test_an_odd_value_is_one_line(text: str, line: str) -> None:
    assert line in problems(text)


@pytest.mark.parametrize("source", ["a/..", "../..b/c", "a--b/c", "a/b.git", ".a/b", "a/b-", "é/b"])
def test_what_is_no_hub_id(source: str) -> None:
    assert problems(f"model: {source}") == [
        f"r.yaml:1:8: model '{source}': no such folder, and no hub id such as 'owner/name'"
    ]


def test_what_is_text_in_yaml_stays_text() -> None:
    Path("r.yaml").write_text('prompt: ["\\ud83d\\ude00", 2001-01-01, on, -_, "a\\tb\\nc", 12:30:45]\n')
    prompts = [recipe.prompt for recipe in load_recipes("r.yaml")]
    assert prompts == ["\U0001f600", "2001-01-01", "on", "-_", "a\tb\nc", "12:30:45"]


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ('"OPEN" neon sign', ['"OPEN" neon sign']),
        ("'tis a hill", ["'tis a hill"]),
        ('a sign: "no entry" # 3', ['a sign: "no entry" # 3']),
        ("'it''s'", ["it's"]),
        (' "a hill" ', ["a hill"]),
        ('"a" and "b"', ['"a" and "b"']),
        ("[a hill, a lake]", ["a hill", "a lake"]),
        ("[neon] sign", ["[neon] sign"]),
        ("[a hill", ["[a hill"]),
        ("", [""]),
        ("''", [""]),
        ("null", ["null"]),
    ],
)
def test_a_prompt_on_the_command_line_stays_text(text: str, prompts: list[str]) -> None:
    Path("r.yaml").write_text("model: a/b")
    assert [recipe.prompt for recipe in load_recipes("r.yaml", [f"prompt={text}"])] == prompts


@pytest.mark.parametrize("nothing", ["null", "~", "", "''", '""', "false"])
def test_set_takes_a_key_away(nothing: str) -> None:
    Path("r.yaml").write_text("model: a/b\nvariant: fp16\nrevision: main\nsize: 64x64\nsteps: 3")
    sets = [f"variant={nothing}", f"revision={nothing}", f"size={nothing}", "steps=null"]
    (recipe,) = load_recipes("r.yaml", sets)
    assert recipe.model_fields_set == {"name", "model", "prompt"}


def test_set_takes_the_variant_of_one_of_several_models_away() -> None:
    Path("r.yaml").write_text("models: {a: {model: b/c, variant: fp16}, d: {model: e/f, variant: fp16}}")
    (recipe,) = load_recipes("r.yaml", ["models.a.variant=null"])
    assert [spec.variant for spec in recipe.specs.values()] == [None, "fp16"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("steps=", "--set steps: 'steps' is empty; give it a value, or null to leave the key out"),
        ("plugins.=1", "--set plugins.: no key of a recipe; write KEY, plugins.NAME.OPTION or models.NAME.KEY"),
        ("a\nb=1", "--set a\\nb: the key must be one line"),
        ("prompt=a\x1b[31m", "--set prompt: the text has the control character \\x1b; leave it out"),
    ],
)
def test_odd_changes(change: str, line: str) -> None:
    assert problems("model: tinyworld/scenes", change) == [line]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("size=450x64", "--set size: size 450x64 is not divisible by 4, as tinyworld/scenes needs; try 448x64"),
        (
            "plugins.multidiffusion.stride=96",
            "--set plugins.multidiffusion.stride: multidiffusion: stride 96 is larger than the window, 64x64: pixels "
            "between two windows would stay empty; use at most 64x64",
        ),
        ("scheduler=dppm", "--set scheduler: no scheduler 'dppm'; did you mean 'ddpm'?"),
        ("model=a/..", "--set model: model 'a/..': no such folder, and no hub id such as 'owner/name'"),
        (
            "scheduler=ddim",
            "--set scheduler: variance-corrected-fusion: DDIMScheduler draws no noise, so there is no variance to "
            "correct; use a scheduler that does, such as ddpm, euler-a or ddim: {eta: 1.0}, or leave the plugin out",
        ),
    ],
)
def test_what_is_found_later_points_at_set(change: str, line: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_file(read_recipe("panorama-tinyworld", [change]))
    assert caught.value.problems == [line]


def test_of_several_models_the_one_that_is_wrong_is_blamed() -> None:
    text = (
        "prompt: a\nmodels:\n  a: tinyworld/scenes\n  b: tinyworld/nothing\n"
        "  c: {model: x/.., loras: [{path: y.safetensors}]}\n"
    )
    places = [line.partition(" ")[0] for line in problems(text)]
    assert places == ["r.yaml:4:6:", "r.yaml:5:6:", "r.yaml:5:27:"]


@pytest.mark.parametrize("name", ["nofile.yaml", "here/none.yml", "entirely-else"])
def test_a_file_that_is_not_there_lists_no_recipes(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_recipe(name)
    assert caught.value.problems == [
        f"no recipe '{name}'; there is no such file, and no bundled recipe of that name (see 'fusionkit recipes')"
    ]


SCHEDULERS = {
    "eta: a": "scheduler 'ddim': 'eta' must be a number, not 'a'",
    "eta: 1.5": "scheduler 'ddim': 'eta' must be 0 to 1, not 1.5",
    "etaa: 1": "scheduler 'ddim' has no option 'etaa'; did you mean 'eta'?",
    "num-train-timesteps: 1000000000": "scheduler 'ddim': 'num-train-timesteps' must be 1 to 10000, not 1000000000",
}


@pytest.mark.parametrize(("options", "line"), SCHEDULERS.items())
def test_validate_refuses_what_a_scheduler_would(options: str, line: str) -> None:
    (found,) = problems(f"model: tinyworld/scenes\nscheduler: {{ddim: {{{options}}}}}")
    assert found.startswith(f"r.yaml:2:12: {line}")
