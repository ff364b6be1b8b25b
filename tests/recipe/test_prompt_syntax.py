"""A prompt's syntax: what is a weight, what is told, and what is refused."""

from __future__ import annotations

import time

import pytest

from fusionkit.errors import RecipeError
from fusionkit.recipe.made import make_recipe
from fusionkit.recipe.prompt_syntax import (
    LONGEST,
    escaped,
    parse,
    prompt_notes,
    prompt_problems,
    weighted_parts,
    words_alone,
)
from fusionkit.recipe.recipe_file import parse_recipe


@pytest.mark.parametrize(
    ("prompt", "text", "weights"),
    [
        ("a (red hat:1.3) here", "a red hat here", [("red hat", 1.3)]),
        ("((a:1.2) b:1.5) c", "a b c", [("a", 1.8), ("b", 1.5)]),
        ("(a (b:0.5):-1)", "a b", [("a", -1.0), ("b", -0.5)]),
        ("(a : .5 )(b:2.)", "a b", [("a", 0.5), ("b", 2.0)]),
        (r"saber \(fate\), (big \(x\):1.1)", "saber (fate), big (x)", [("big (x)", 1.1)]),
        (r"(a \[b\]:1.1)", "a [b]", [("a [b]", 1.1)]),
        ("(猫:1.4) (🐱:0.5)", "猫 🐱", [("猫", 1.4), ("🐱", 0.5)]),
        ("(ratio 16:9)", "ratio 16", [("ratio 16", 9.0)]),
        ("(a:b:1.2)", "a:b", [("a:b", 1.2)]),
        # What is none.
        ("(word) [word] ((word))", "(word) [word] ((word))", []),
        ("(16:9) :) (: :1.3) ()", "(16:9) :) (: :1.3) ()", []),
        ("(a:1.3", "(a:1.3", []),
        ("a:1.3)", "a:1.3)", []),
        ("(a:1.2.3) (a:1,2) (a:x) (a:1e3)", "(a:1.2.3) (a:1,2) (a:x) (a:1e3)", []),
        ("[a:1.2] {a:1.3}", "[a:1.2] {a:1.3}", []),
        ("([a:1.2)", "([a:1.2)", []),
        (r"C:\dir\ ", r"C:\dir\ ", []),
    ],
)
def test_weights(prompt: str, text: str, weights: list[tuple[str, float]]) -> None:
    parsed = parse(prompt)
    assert parsed.text == words_alone(prompt) == text
    assert weighted_parts(prompt) == [(words, pytest.approx(weight)) for words, weight in weights]
    assert parsed.weighted == bool(weights)
    assert "".join(prompt[place] for place in parsed.places) == parsed.text


def test_breaks() -> None:
    assert parse("a BREAK b").breaks == (2,)
    assert parse("a, BREAK, b BREAK").breaks == (3, 7)
    assert parse("break BREAKFAST DAYBREAK").breaks == ()


def test_escaped_text_is_read_as_it_is() -> None:
    text = r"(a:1.3) [b] ((c)"
    assert parse(escaped(text)).text == text
    assert not parse(escaped(text)).weighted


@pytest.mark.parametrize(
    ("prompt", "notes"),
    [
        ("a cat, a dog", []),
        ("a (cat:1.3) :) (16:9) (:", []),
        (r"a \(cat\) \[dog\]", []),
        (
            "a (cat)",
            ["'(cat)' is taken as written: such brackets are a weight in web UIs, which is written (word:1.1)"],
        ),
        ("a ((cat))", ["'((cat))' is taken as written: such brackets are a weight"]),
        (
            "a [cat]",
            ["'[cat]' is taken as written: such brackets are a weight in web UIs, which is written (word:0.9)"],
        ),
        ("a [cat:dog:0.5]", ["'[cat:dog:0.5]' is taken as written: web UIs change the prompt between steps by it"]),
        ("a [cat|dog]", ["'[cat|dog]' is taken as written: web UIs change the prompt between steps by it"]),
        ("a {cat|dog}", ["'{cat|dog}' is taken as written: for one picture of each, give several prompts in a list"]),
        ("a __colour__ cat", ["'__colour__' is taken as written: for one picture of each, give several prompts"]),
        ("a cat AND a dog", ["'AND' is taken as written: web UIs draw two prompts at once by it"]),
        ("SALT AND PEPPER", []),
        ("a (cat:1.3 and", ["'(cat:1.3 and' is taken as written: its bracket is not closed"]),
        ("(a) (a) (b)", ["'(a)' is taken as written", "'(b)' is taken as written"]),
    ],
)
def test_what_only_web_uis_know_is_told(prompt: str, notes: list[str]) -> None:
    found = prompt_notes(prompt)
    assert len(found) == len(notes)
    assert all(line.startswith(note) and "\n" not in line for line, note in zip(found, notes, strict=True))


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        (
            "a <lora:toy:0.8> b",
            "holds '<lora:toy:0.8>'; a LoRA belongs to the recipe's loras: [{path: toy.safetensors, sc",
        ),
        ("<LyCO:toy>", "holds '<LyCO:toy>'; a LoRA belongs to the recipe's loras: [{path: toy.safetensors, scale: 1}]"),
        ("<hypernet:x:1>", "holds '<hypernet:x:1>', which is of web UIs and has no meaning here; leave it out"),
        ("(cat:11)", "has the weight 11 at 'cat:11'; a weight is between -10 and 10"),
        ("((cat:5):5)", "has the weight 25 at 'cat:5'; a weight is between -10 and 10"),
        ("x" * (LONGEST + 1), "has 20,001 letters; at most 20,000 are encoded"),
    ],
)
def test_what_can_not_be_meant_is_refused(prompt: str, problem: str) -> None:
    (found,) = prompt_problems(prompt)
    assert found.startswith(problem)
    for name in ("prompt", "negative-prompt"):
        with pytest.raises(RecipeError) as caught:
            parse_recipe(f"model: tinyworld/scenes\n{name}: '{prompt}'", "r.yaml")
        assert str(caught.value).startswith(f"r.yaml:2:{len(name) + 3}: '{name}' {problem}")
        with pytest.raises(RecipeError, match=r"^'(negative_)?prompt' h"):
            make_recipe(model="tinyworld/scenes", **{name.replace("-", "_"): prompt})


@pytest.mark.parametrize("text", ["(", "[", "(a:1.1)", "((a:", "\\(", "BREAK ", "{a|", "<lora:", "__a", "(a)", ":1.3)"])
def test_any_prompt_is_read_in_a_moment(text: str) -> None:
    prompt = (text * LONGEST)[:LONGEST]
    began = time.process_time()
    parsed = parse(prompt)
    prompt_notes(prompt), prompt_problems(prompt), weighted_parts(prompt)
    assert time.process_time() - began < 3
    assert len(parsed.text) == len(parsed.weights) == len(parsed.places)
