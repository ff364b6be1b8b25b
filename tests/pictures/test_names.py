"""Names of pictures: what a template makes of any prompt, and what no file system takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fusionkit.pictures.image import output_path, output_problems
from fusionkit.pictures.names import beside, cut_to, name_problem, numbered, slug
from fusionkit.recipe import Recipe

CHINESE = "一座山在中午的风景照片" * 6
HINDI = "पहाड़ों की तस्वीर"
PROMPTS = [
    CHINESE,
    HINDI * 9,
    "ภูเขาในตอนเที่ยง" * 9,
    "תמונה של הר בצהריים " * 9,
    "산의 풍경 사진" * 9,
    "👩‍👩‍👧‍👦🏔️🌅" * 20,
    "e\u0301" * 200,
    "a" + "\u0301" * 400,
    "x" * 300,
    "\t/\\:*?<>|",
    "CON",
    "nul.",
    "com1.txt",
    "...",
    "",
]


@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
@pytest.mark.parametrize(
    "template", ["{prompt}.png", "{prompt}-{prompt}-{prompt}-{prompt}.png", "{prompt}/{recipe}-{model}-{prompt}.jpeg"]
)
def test_every_prompt_gives_a_name_that_can_be_written(prompt: str, template: str, tmp_path: Path) -> None:
    recipe = Recipe(name=CHINESE, model=CHINESE, prompt=prompt, output=tmp_path / template)
    path = output_path(recipe)
    assert output_problems([path], (8, 8)) == []
    assert path.suffix == Path(template).suffix
    names = [path, beside(path, "-stage2-step001"), beside(path, "-words-and-a-long-name-of-a-map", ".png")]
    for each in [*names, *(next(n for i, n in enumerate(numbered(path)) if i == 99),)]:
        each.parent.mkdir(exist_ok=True)
        each.touch(exist_ok=False)
        each.name.encode()  # no half of a letter
        assert not set(each.name) & set('\\:*?"<>|\0\n')
        assert each.stem.split(".")[0].lower() not in ("con", "nul", "com1")
    assert path.stem[-1] not in " .-"


def test_letters_are_kept_whole() -> None:
    assert slug(HINDI) == HINDI.replace(" ", "-")
    assert slug("e\u0301te\u0301") == "\u00e9t\u00e9"
    assert slug("A hill, at noon!") == "A-hill-at-noon"
    assert slug("CON") == "CON_"
    assert slug("con.fig") == "con_.fig"
    assert slug("\u200dx") == "x"
    assert slug("🏔") == "picture"
    # A heart that is coloured by a mark, a flag, a family; and a digit in a box, which is a digit.
    assert [slug(each) for each in ("❤️", "🇩🇪", "👩‍👩‍👧", "1️⃣")] == ["picture", "picture", "picture", "1️⃣"]
    assert slug("❤️ a fox") == "a-fox"
    assert slug("a\ud800b\0c\n") == "a-b-c"
    assert slug("a\ud800b\0c\n") == "a-b-c"
    # A consonant goes with its vowel: 11 bytes have room for three characters, and the third is left without its mark.
    assert cut_to("कखगि", 12) == "कखगि"
    assert cut_to("कखगि", 11) == "कख"
    assert cut_to("ab\u0301c", 3) == "a"
    assert cut_to("한국어", 8) == "한국"
    assert len(slug("長" * 99)) == 60


def test_what_is_given_is_shortened_last() -> None:
    recipe = Recipe(
        name="sunset", model="a/b", prompt=CHINESE, seed=7, output=Path("{recipe}-{model}-{seed}-{prompt}-{prompt}.png")
    )
    name = output_path(recipe).name
    assert name.startswith("sunset-b-7-一座山")
    assert 200 < len(os.fsencode(name)) <= 255 - len("-stage10-step1000-1000")
    # As long as there is room, nothing is.
    assert output_path(recipe.model_copy(update={"output": Path("{prompt}.png")})).stem == CHINESE[:60]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "x" * 252 + ".png",
            "has the name 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xx.png' of 256 bytes; at most 255 are possible there",
        ),
        ("山" * 84 + ".png", "of 256 bytes; at most 255 are possible there"),
        ("x" * 300 + "/a.png", "of 300 bytes; at most 255 are possible there"),
        ("/".join(["x" * 200] * 30) + "/a.png", "bytes; at most 4096 are possible"),
        ("a\ud800.png", "holds a character that no file's name can have"),
        ("a\0.png", "holds a character that no file's name can have"),
    ],
)
def test_what_no_file_can_be_called(name: str, says: str, tmp_path: Path) -> None:
    (problem,) = output_problems([tmp_path / name], (8, 8))
    assert problem.startswith("output '")
    assert says in problem
    assert problem.endswith("; use a shorter one" if "character" not in says else "; use another one")


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")
    assert name_problem(path) == ""
    assert output_problems([path], (8, 8)) == []
    path.touch()
    assert beside(path, "-step001").name == "x" * 243 + "-step001.png"
    assert [each.name for each, _ in zip(numbered(path), range(2), strict=False)] == [path.name, "x" * 249 + "-2.png"]


@pytest.mark.parametrize("template", ["{seed:9999999999}.png", "{prompt:>4000}.png", "{seed:{seed}}.png"])
def test_a_width_that_fills_the_memory_is_refused(template: str) -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match="is too wide"):
        Recipe(output=Path(template))
