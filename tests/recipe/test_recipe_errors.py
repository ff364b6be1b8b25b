"""Each mistake in a recipe file is one line that says where, what, whose, and what instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionkit.errors import RecipeError
from fusionkit.recipe.recipe_file import load_recipes, read_recipe

MISTAKES = {
    "misspelt key": ("promt: a hill", "r.yaml:1:1: a recipe has no option 'promt'; did you mean 'prompt'?"),
    "Python's spelling": (
        "guidance_scale: 4",
        "r.yaml:1:1: a recipe has no option 'guidance_scale'; here it is 'guidance-scale'",
    ),
    "wrong type": ("steps: many", "r.yaml:1:8: 'steps' must be a whole number, not 'many'"),
    "a fraction of a step": ("steps: 2.5", "r.yaml:1:8: 'steps' must be a whole number, not 2.5"),
    "true is no number": ("seed: true", "r.yaml:1:7: 'seed' must be a number, not true"),
    "too small": ("steps: 0", "r.yaml:1:8: 'steps' must be at least 1, not 0"),
    "not a number": ("guidance-scale: .nan", "r.yaml:1:17: 'guidance-scale' must be a number, not nan"),
    "size": ("size: 512", "r.yaml:1:7: 'size' must be width x height in pixels, such as 3584x512, not 512"),
    "size of nothing": ("size: 512x0", "r.yaml:1:7: 'size.2' must be at least 1, not 0"),
    "one of several words": (
        "offload: modell",
        "r.yaml:1:10: 'offload' must be 'none', 'model', 'group' or 'sequential', not 'modell'; did you mean 'model'?",
    ),
    "device": (
        "device: cudda",
        "r.yaml:1:9: 'device' must be auto, cpu, cuda, mps, xpu, or one of several such as cuda:1, not 'cudda'; "
        "did you mean 'cuda'?",
    ),
    "inside a list": (
        "loras:\n  - path: a\n    scle: 2",
        "r.yaml:3:5: 'loras.1' of a recipe has no option 'scle'; did you mean 'scale'?",
    ),
    "missing inside a list": ("loras:\n  - scale: 2", "r.yaml:2:5: 'loras.1.path' is missing"),
    "a model without a source": (
        "models:\n  scene: {variant: fp16}",
        "r.yaml:2:10: 'models.scene.model' is missing",
    ),
    "misspelt option of a model": (
        "models:\n  scene: {model: a, lora: []}",
        "r.yaml:2:21: 'models.scene' of a recipe has no option 'lora'; did you mean 'loras'?",
    ),
    "a model's name": (
        "models:\n  my scene: a",
        "r.yaml:2:3: 'models' has the name 'my scene'; use letters, digits and -",
    ),
    "one model and several": (
        "model: a\nmodels: {scene: b}",
        "r.yaml:1:1: a recipe has both 'models' and 'model'; name it there",
    ),
    "LoRAs beside several models": (
        "steps: 3\nmodels: {scene: b}\nloras: [{path: a}]",
        "r.yaml:2:1: a recipe has both 'models' and 'loras'; give each model its own: models.NAME.loras",
    ),
    "models as a list": ("models: [a, b]", "r.yaml:1:9: 'models' must be a mapping of options, not ['a', 'b']"),
    "scheduler of a wrong type": (
        "scheduler: [ddim]",
        "r.yaml:1:12: 'scheduler' must be a name, or one name with its options, such as ddim: {eta: 1.0}, not ['ddim']",
    ),
    "output name": (
        "output: out/{recip}.png",
        "r.yaml:1:9: 'output' has no name '{recip}'; did you mean 'recipe'?",
    ),
    "output format": (
        "output: out/a.gif",
        "r.yaml:1:9: 'output' must end in .png, .jpg, .jpeg, .webp, .tif, .tiff, .dzi, not '.gif'",
    ),
    "output template": (
        "output: out/{seed.png",
        "r.yaml:1:9: 'output' is no path template: expected '}' before end of string",
    ),
    "output that can't be filled in": (
        "output: out/{recipe:d}.png",
        "r.yaml:1:9: 'output' is no path template: Unknown format code 'd' for object of type 'str'",
    ),
    "misspelt plugin": (
        "plugins:\n  - gided-fusion",
        "r.yaml:2:5: no plugin 'gided-fusion'; did you mean 'guided-fusion'?",
    ),
    "misspelt option of a plugin": (
        "plugins:\n  - guided-fusion\n  - style-alignment: {alhpa: 0.4}",
        "r.yaml:3:23: style-alignment has no option 'alhpa'; did you mean 'alpha'?",
    ),
    "value of a plugin's option": (
        "plugins:\n  - style-alignment:\n      alpha: 3",
        "r.yaml:3:14: 'alpha' of style-alignment must be at most 1, not 3",
    ),
    "options that are no mapping": (
        "plugins:\n  - guided-fusion: 3",
        "r.yaml:2:5: options of 'guided-fusion' must be a mapping, such as guided-fusion: {...}, not 3",
    ),
    "no plugin entry": (
        "plugins:\n  - 7",
        "r.yaml:2:5: a plugin is a name, or one name with its options, such as name: {...}, not 7",
    ),
    "plugins as a mapping": (
        "plugins: {guided-fusion: {}}",
        "r.yaml:1:10: 'plugins' must be a list, not a mapping; "
        "a mapping can only change the plugins of a recipe that is extended",
    ),
    "empty prompt list": ("prompt: []", "r.yaml:1:9: 'prompt' is an empty list; give at least one prompt"),
    "a later prompt of a list": (
        "prompt: [a, b, '(c:99)']",
        "r.yaml:1:16: 'prompt.3' has the weight 99 at 'c:99'; a weight is between -10 and 10, and brackets that are "
        "meant as such are written \\( and \\)",
    ),
    "prompt that is no text": ("prompt: [a, 7]", "r.yaml:1:13: 'prompt.2' must be text, not 7"),
    "key given twice": ("steps: 3\nsteps: 4", "r.yaml:2:1: 'steps' is given twice"),
    "empty file": ("", "r.yaml: is empty; a recipe has at least a model and a prompt"),
    "only comments": ("# soon\n", "r.yaml: is empty; a recipe has at least a model and a prompt"),
    "list at top level": (
        "- a\n- b",
        "r.yaml:1:1: a recipe is a mapping such as 'model: vista/scenes', not a list",
    ),
    "text at top level": (
        "a sunset",
        "r.yaml:1:1: a recipe is a mapping such as 'model: vista/scenes', not 'a sunset'",
    ),
    "syntax": (
        "steps: [3\nseed: 1",
        "r.yaml:2:5: not YAML: while parsing a flow sequence, expected ',' or ']', but got ':'",
    ),
    "a colon in a text": ("prompt: sky: blue", "r.yaml:1:12: not YAML: mapping values are not allowed here"),
    "tab": (
        "\tsteps: 3",
        "r.yaml:1:1: not YAML: while scanning for the next token, found character '\\t' that cannot start any token",
    ),
    "control character": ('prompt: "a\x01"', "r.yaml:1:11: not YAML: special characters are not allowed"),
    "tag": (
        "model: !!python/object:os.system x",
        "r.yaml:1:8: tags such as !!python/object:os.system are not allowed in a recipe",
    ),
    "two documents": (
        "steps: 3\n---\nsteps: 4",
        "r.yaml:2:1: not YAML: expected a single document in the stream, but found another document",
    ),
    "contains itself": ("prompt: &a [*a]", "r.yaml:1:13: the alias 'a' is inside of what it stands for"),
    "nested too deeply": (
        "prompt: " + "[" * 700,
        "r.yaml:1:38: is nested too deeply: at most 30 mappings and lists inside each other",
    ),
    "no such alias": ("prompt: *a", "r.yaml:1:9: not YAML: found undefined alias 'a'"),
    "extends nothing": ("extends: panoramma", "r.yaml:1:10: no recipe 'panoramma'; did you mean 'panorama'?"),
    "extends a list": ("extends: [a, b]", "r.yaml:1:10: 'extends' is the name of one recipe, not ['a', 'b']"),
    "extends itself": ("extends: r.yaml", "r.yaml:1:10: recipes extend each other in a circle: r.yaml -> r.yaml"),
}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(text: str | bytes, *sets: str) -> list[str]:
    Path("r.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError) as caught:
        load_recipes("r.yaml", sets)
    return caught.value.problems


@pytest.mark.parametrize(("text", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(text: str, line: str) -> None:
    assert problems(text) == [line]


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = "steps: 0\nsize: wide\nplugins:\n  - gided-fusion\n  - style-alignment: {alhpa: 1, alpha: x}\nseeds: 3\n"
    assert problems(text) == [
        "r.yaml:1:8: 'steps' must be at least 1, not 0",
        "r.yaml:2:7: 'size' must be width x height in pixels, such as 3584x512, not 'wide'",
        "r.yaml:4:5: no plugin 'gided-fusion'; did you mean 'guided-fusion'?",
        "r.yaml:5:23: style-alignment has no option 'alhpa'; did you mean 'alpha'?",
        "r.yaml:5:40: 'alpha' of style-alignment must be a number, not 'x'",
        "r.yaml:6:1: a recipe has no option 'seeds'; one is 'seed'; fusionkit run RECIPE --seeds 0-3 draws a picture "
        "for each of several",
    ]


def test_not_utf8() -> None:
    assert problems("steps: 3\nprompt: café".encode("latin-1")) == [
        "r.yaml:2:12: not UTF-8: byte 0xe9; save it as UTF-8"
    ]
    assert problems("steps: 3".encode("utf-16")) == ["r.yaml:1:1: not UTF-8: byte 0xff; it looks like UTF-16"]


def test_a_byte_order_mark_is_no_mistake() -> None:
    Path("r.yaml").write_bytes("prompt: a hill".encode("utf-8-sig"))
    assert load_recipes("r.yaml")[0].prompt == "a hill"


def test_mistakes_of_the_command_line_are_named_by_their_option() -> None:
    sets = [
        "promt=a",
        "steps",
        "steps=x",
        "plugins.style-alignment.alhpa=1",
        "plugins.stile-alignment.alpha=1",
        "loras.1=2",
    ]
    assert problems("plugins: [style-alignment]", *sets) == [
        "--set steps: write it as KEY=VALUE, such as steps=30",
        "--set plugins.stile-alignment.alpha: the recipe has no plugin 'stile-alignment'; "
        "did you mean 'style-alignment'?",
        "--set loras.1: 'loras' is set as a whole: loras=...",
        "--set promt: a recipe has no option 'promt'; did you mean 'prompt'?",
        "--set plugins.style-alignment.alhpa: style-alignment has no option 'alhpa'; did you mean 'alpha'?",
        "--set steps: 'steps' must be a whole number, not 'x'",
    ]
    assert problems("steps: 3", "steps=[1") == [
        "--set steps: not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"
    ]


def test_what_a_change_makes_wrong_of_a_whole_is_the_changes() -> None:
    recipe = (
        "plugins:\n- inpaint: {from: a.png, box: [0, 0, 8, 8]}\n- regions: {boxes: {a: {box: [0, 0, 8, 8], adds: b}}}"
    )
    given = "plugins.inpaint.box", "plugins.inpaint.mask", "plugins.regions.boxes.a.adds"
    (line,) = problems(recipe, f"{given[0]}=null")
    assert line.startswith(f"--set {given[0]}: inpaint takes either")
    (line,) = problems(recipe, f"{given[1]}=m.png", "plugins.inpaint.softness=3")
    assert line.startswith(f"--set {given[1]}: inpaint has both")
    (line,) = problems(recipe, f"{given[2]}=null")
    assert line.startswith(f"--set {given[2]}: 'boxes.a' of regions: a region that says nothing")
    file = read_recipe("r.yaml", ["plugins.inpaint.from=b.png", "plugins.inpaint.softness=3"])
    assert file.located("inpaint: 'b.png' is none").startswith("--set plugins.inpaint.from: ")
    assert file.located("inpaint: 'a.png' is none").startswith("r.yaml:2:3")
    # What was wrong before is the file's, whatever else is changed of it.
    (line,) = problems("plugins: [inpaint: {from: a.png}]", "plugins.inpaint.softness=3")
    assert line.startswith("r.yaml:1:20: inpaint takes either")


def test_a_mistake_of_an_extended_file_names_that_file() -> None:
    Path("base.yaml").write_text("# base\nsteps: none\nsize: 64x64\n")
    assert problems("extends: base.yaml\nseed: -1\n") == [
        "r.yaml:2:7: 'seed' must be at least 0, not -1",
        "base.yaml:2:8: 'steps' must be a whole number, not 'none'",
    ]


def test_a_circle_of_three() -> None:
    Path("a.yaml").write_text("extends: b.yaml")
    Path("b.yaml").write_text("extends: r.yaml")
    assert problems("extends: a.yaml") == [
        "b.yaml:1:10: recipes extend each other in a circle: r.yaml -> a.yaml -> b.yaml -> r.yaml"
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("panoramma", "no recipe 'panoramma'; did you mean 'panorama'?"),
        ("recipes/panorama.yml", "no recipe 'recipes/panorama.yml'; did you mean 'panorama'?"),
        ("mine.yml", "no recipe 'mine.yml'; did you mean 'mine.yaml'?"),
        ("folder", "'folder' is a folder, not a recipe"),
    ],
)
def test_a_recipe_that_is_not_there(name: str, line: str) -> None:
    Path("mine.yaml").write_text("steps: 3")
    Path("folder").mkdir()
    with pytest.raises(RecipeError) as caught:
        load_recipes(name)
    assert caught.value.problems == [line]


def test_what_is_found_later_gets_its_place() -> None:
    Path("r.yaml").write_text("size: 64x64\nplugins:\n  - style-alignment: {alpha: 1}\n  - guided-fusion\n")
    located = read_recipe("r.yaml", options={"seed": 3}).located
    assert located("size 64x64 is odd") == "r.yaml:1:7: size 64x64 is odd"
    assert located("plugin 'guided-fusion' failed") == "r.yaml:4:5: plugin 'guided-fusion' failed"
    assert located("style-alignment: no such file") == "r.yaml:3:5: style-alignment: no such file"
    assert located("seed 3 is bad luck") == "--seed: seed 3 is bad luck"
    assert located("the hub can't be reached") == "r.yaml: the hub can't be reached"
