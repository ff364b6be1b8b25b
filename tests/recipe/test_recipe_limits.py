"""What a recipe may cost before anything is drawn: small files that would be large are refused in a moment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionkit.comparison.document import read_comparison
from fusionkit.comparison.spec import read_prompts
from fusionkit.errors import RecipeError
from fusionkit.recipe import limits
from fusionkit.recipe.document import parse_yaml, read_yaml
from fusionkit.recipe.recipe_file import parse_recipe, read_recipe
from fusionkit.runs.checks import check_file

MODEL = "model: tinyworld/scenes\nprompt: a hill\n"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _in_a_moment() -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < 5


def problem(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        check_file(parse_recipe(text, "r.yaml"))
    (line,) = caught.value.problems
    return line


LISTS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{to}: &{to} [{','.join([f'*{of}'] * 9)}]\n" for of, to in zip("abcdefgh", "bcdefghi", strict=True)
)
MAPPINGS = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{to}: &{to} {{p: *{of}, q: *{of}, r: *{of}, s: *{of}}}\n"
    for of, to in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
MERGES = f"a: &a {{{', '.join(f'k{n}: 1' for n in range(1000))}}}\n" + "".join(f"m{n}: {{<<: *a}}\n" for n in range(99))
TOO_MANY = "has more than 50,000 values; what an alias stands for counts each time"

COSTLY = {
    "aliases of lists": (LISTS, f"r.yaml:5:23: {TOO_MANY}"),
    "aliases of mappings": (MAPPINGS, f"r.yaml:8:11: {TOO_MANY}"),
    "merged mappings": (MERGES, f"r.yaml:25:11: {TOO_MANY}"),
    "a long text, again and again": (
        f"a: &a {'x' * 300_000}\nprompt: [{'*a,' * 99}]",
        "r.yaml:2:16: has more than 1,048,576 letters; what an alias stands for counts each time",
    ),
    "many comments": ("# a comment\n" * 400_000, "r.yaml: is larger than 1,048,576 letters"),
    "many values": (f"steps: [{'1,' * 60_000}]", f"r.yaml:1:100003: {TOO_MANY}"),
    "deep lists": (
        f"prompt: {'[' * 20_000}",
        "r.yaml:1:38: is nested too deeply: at most 30 mappings and lists inside each other",
    ),
    "a long number": (f"steps: {'9' * 4301}", "r.yaml:1:8: a number of 4,301 letters; the most are 100"),
    "a long size": (
        f"size: {'9' * 4301}x64",
        "r.yaml:1:7: 'size' must be width x height in pixels, such as 3584x512, not '"
        "999999999999999999999999999999999999...",
    ),
    "many prompts": (f"prompt: [{'a,' * 10_001}]", "r.yaml:1:9: 'prompt' has 10,001 prompts; the most are 10,000"),
    "many plugins": (
        f"plugins: [{'guided-fusion,' * 101}]",
        "r.yaml:1:10: 'plugins' has 101 entries; the most are 100",
    ),
    "a side": (f"{MODEL}size: 99999999x64", "r.yaml:3:7: 'size.1' must be at most 10000000, not 99999999"),
    "pixels": (
        f"{MODEL}size: 100000x20000",
        "r.yaml:3:7: size 100000x20000 has 2,000,000,000 pixels; the most are 1,000,000,000",
    ),
    "stages": (
        f"{MODEL}size: 9999936x64\nplugins: [progressive-upscaling]",
        "r.yaml:3:7: size 9999936x64 makes 156,249 views in each step; the most are 10,000",
    ),
    "stages of a narrow picture": (
        f"{MODEL}size: 12800x12800\nwindow: 4x4\nplugins: [progressive-upscaling]\noutput: '{{seed}}.png'",
        "r.yaml:3:7: size 12800x12800 makes 10,240,000 views in each step; the most are 10,000",
    ),
    "stages of a picture that is enlarged too often": (
        f"{MODEL}size: 1024x128\nplugins: [progressive-upscaling: {{times: 100}}]",
        "r.yaml:3:7: size 102400x12800 of a stage has 1,310,720,000 pixels; the most are 1,000,000,000",
    ),
    "views": (
        f"{MODEL}size: 1024x1024\nplugins: [{{multidiffusion: {{stride: 4}}}}]",
        "r.yaml:4:11: multidiffusion: stride 4 makes 58,081 views in each step; the most are 10,000; use a larger "
        "stride",
    ),
    "dilated views": (
        f"{MODEL}size: 12800x64\nplugins: [dilated-sampling]",
        "r.yaml:4:11: dilated-sampling: size 12800x64 makes 40,000 views in each step; the most are 10,000",
    ),
    "steps": (f"{MODEL}steps: 1000000", "r.yaml:3:8: 'steps' must be at most 100000, not 1000000"),
    "views of all steps": (
        f"{MODEL}size: 2048x2048\nsteps: 1000",
        "r.yaml:4:8: steps: the run has at least 1,024,000 views in all; the most are 200,000: use fewer steps",
    ),
    "a format's width": (
        "output: out/{seed:999999999}.png",
        "r.yaml:1:9: 'output' is no path template: the format '999999999' of {seed} is too wide",
    ),
}


@pytest.mark.parametrize(("text", "line"), COSTLY.values(), ids=COSTLY)
def test_what_costs_too_much_is_refused_in_a_moment(text: str, line: str) -> None:
    assert problem(text) == line


def test_aliases_and_merges_within_the_limits_mean_what_they_say() -> None:
    text = "base: &b {x: 1, y: 2}\nmine: {y: 3, <<: *b}\nboth: {<<: [{x: 4}, *b]}\nagain: [*b, *b]\n"
    tree = parse_yaml(text, "r.yaml")
    assert tree.plain() == {
        "base": {"x": 1, "y": 2},
        "mine": {"y": 3, "x": 1},
        "both": {"x": 4, "y": 2},
        "again": [{"x": 1, "y": 2}] * 2,
    }
    assert str(tree.value["again"].value[1].place) == "r.yaml:4:13"


def test_comments_are_read_in_linear_time() -> None:
    text = "# a\n" * 200_000 + "steps: 3"
    began = time.process_time()
    assert parse_yaml(text, "r.yaml").plain() == {"steps": 3}
    assert time.process_time() - began < 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_pipes_and_devices_are_no_recipes() -> None:
    os.mkfifo("fifo")
    for name in ("fifo", "/dev/zero"):
        with pytest.raises(RecipeError) as caught:
            read_recipe(name)
        assert caught.value.problems == [f"'{name}' is no regular file, so no recipe"]
        with pytest.raises(RecipeError, match=f"{name}: is no regular file$"):
            read_prompts(Path(name))
        with pytest.raises(RecipeError, match=r"r\.yaml: is no regular file$"):
            read_yaml(Path(name), "r.yaml")


def test_a_long_chain_of_recipes() -> None:
    for number in range(limits.EXTENDED + 2):
        Path(f"r{number}.yaml").write_text(f"extends: r{number + 1}.yaml\n")
    with pytest.raises(RecipeError) as caught:
        read_recipe("r0.yaml")
    assert caught.value.problems == ["r20.yaml:1:10: more than 20 recipes extend each other"]


COMPARISON = "recipe: panorama-tinyworld\n"
COMPARED = {
    "seeds": ("seeds: 0-999999,0-999998,0-999997", "c.yaml:2:8: 'seeds' has 2,999,997 seeds; the most are 100,000"),
    "large seeds": (f"seeds: 0-{'9' * 5000}", None),
    "pictures": (
        "seeds: 0-99999\nprompts: [a, b]",
        "a comparison of 200,000 pictures; the most are 100,000: use fewer seeds",
    ),
    "reference": (
        "prompts: [a, b]\nreference: {seeds: 0-59999}",
        "a reference of 120,000 pictures; the most are 100,000: use fewer seeds",
    ),
    "settings": (
        "vary: {steps: '1:100:1', seed: '1:100:1'}",
        "a comparison of 10,000 settings; the most are 200: vary less",
    ),
    "nothing to vary": ("vary: {steps: []}", "c.yaml:2:15: 'steps' has no values to vary"),
    "a huge range": (
        "vary: {steps: '0:1e999999:1e999990'}",
        "c.yaml:2:15: 'steps' has numbers of more than 30 digits: '0:1e999999:1e999990'",
    ),
    "a fine range": (
        "vary: {steps: '0:1:1e-999999'}",
        "c.yaml:2:15: 'steps' has numbers of more than 30 digits: '0:1:1e-999999'",
    ),
    "nothing": ("metrics:", "c.yaml:2:1: 'metrics' is empty; give it a value, or leave it out"),
}


@pytest.mark.parametrize(("text", "line"), COMPARED.values(), ids=COMPARED)
def test_a_comparison_that_costs_too_much(text: str, line: str | None) -> None:
    Path("c.yaml").write_text(COMPARISON + text)
    with pytest.raises(RecipeError) as caught:
        read_comparison(Path("c.yaml"))
    assert caught.value.problems == [line] if line else "must be seeds" in caught.value.problems[0]
