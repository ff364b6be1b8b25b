"""A recipe from standard input, in place of its file: what it extends, what it names, what is wrong, and its name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import CHECKPOINTS, RECIPE, Run

from fusionkit.recipe.limits import FILE_BYTES

Piped = Callable[..., None]


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Piped:
    """Puts a text, or bytes, onto standard input."""

    def put(text: str | bytes, terminal: bool = False) -> None:
        source = io.TextIOWrapper(io.BytesIO(text.encode() if isinstance(text, str) else text))
        monkeypatch.setattr(source, "isatty", lambda: terminal)
        monkeypatch.setattr("sys.stdin", source)

    return put


def test_a_recipe_is_drawn_from_standard_input_as_from_its_file(fusionkit: Run, piped: Piped) -> None:
    small = ("--set", "size=128x128", "--set", "steps=1", "-q")
    assert fusionkit("run", "r.yaml", *small).out == "out/r-0.png\n"
    piped(RECIPE)
    ran = fusionkit("run", "-", *small, "--json")
    (told,) = json.loads(ran.out)["pictures"]
    assert told["path"] == "out/recipe-0.png", "a recipe without a name is called so"
    assert told["latents"] == json.loads(fusionkit("replay", "out/r-0.png", "-q", "--json").out)["latents"]
    piped(RECIPE.replace("output: out/{recipe}-{seed}.png", "name: sea\noutput: '{recipe}-{seed}.png'"))
    assert fusionkit("run", "-", *small, "--seed", "3").out == "sea-3.png\n"


def test_other_commands_take_it_too(fusionkit: Run, piped: Piped) -> None:
    piped(RECIPE)
    assert fusionkit("validate", "-").out == "standard input: valid (1 picture, 256x128, 4 plugins)\n"
    piped(RECIPE)
    plan = fusionkit("plan", "-", "--set", "steps=2")
    assert plan.code == 0
    assert plan.out == fusionkit("plan", "r.yaml", "--set", "steps=2").out.replace("/r-0", "/recipe-0")


def test_what_it_extends_and_names_is_from_the_working_folder(fusionkit: Run, piped: Piped, folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "base.yaml").write_text("extends: ../r.yaml\nsize: 128x128\n")
    piped("extends: inner/base.yaml\nplugins:\n  style-alignment: false\n")
    assert fusionkit("validate", "-").out == "standard input: valid (1 picture, 128x128, 3 plugins)\n"
    piped("extends: base.yaml\n")
    assert fusionkit("validate", "-").err.startswith("standard input:1:10: no recipe 'base.yaml'")
    piped(f"model: {CHECKPOINTS / 'tiny-sd'}\nplugins:\n  - image-to-image: {{from: inner/sea.png}}\n")
    ran = fusionkit("validate", "-")
    assert ran.err.splitlines()[0] == (
        "standard input:3:5: image-to-image: picture of 'from' 'inner/sea.png' does not exist"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "standard input: is empty; a recipe has at least a model and a prompt"),
        ("steps: many\nsizes: 2", "standard input:1:8: 'steps' must be a whole number"),
        ("a: [", "standard input:1:5: not YAML: "),
        ("settings: {}", "standard input: is a comparison, not a recipe; run it with: fusionkit compare FILE"),
        (b"model: \xff", "standard input:1:8: not UTF-8: byte 0xff"),
        (b"#" * (FILE_BYTES + 1), f"standard input: is larger than {FILE_BYTES:,} bytes"),
    ],
)
def test_what_is_wrong_is_in_standard_input(fusionkit: Run, piped: Piped, text: str | bytes, says: str) -> None:
    for command in ("run", "bench"):
        piped(text)
        ran = fusionkit(command, "-")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(says)


def test_a_later_problem_has_its_line_too(fusionkit: Run, piped: Piped) -> None:
    piped(RECIPE.replace("stride: 64", "stride: 63"))
    assert fusionkit("run", "-").err.startswith("standard input:10:5: multidiffusion: ")


def test_in_a_terminal_it_is_said_how_to_end_it(fusionkit: Run, piped: Piped) -> None:
    piped(RECIPE, terminal=True)
    assert fusionkit("validate", "-").err == "reading a recipe from standard input; Ctrl-D ends it\n"
    piped(RECIPE)
    assert fusionkit("validate", "-").err == ""


def test_none_at_all_is_told(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert fusionkit("validate", "-").err == "standard input: is closed; give a recipe's file\n"


def test_it_extends_a_picture_with_care(fusionkit: Run, piped: Piped) -> None:
    small = ("--set", "size=128x128", "--set", "steps=1", "-q")
    assert fusionkit("run", "r.yaml", *small).code == 0
    piped("extends: out/r-0.png\noutput: again.png\n")
    ran = fusionkit("run", "-", "--set", "steps=2")
    assert ran.out.startswith("again.png\n")
    assert "note: not as in out/r-0.png: steps 1 -> 2\n" in ran.err
    assert "the recipe inside names, and this opens: " in ran.err
