"""Help, version and lists: at once, without torch, and whatever the installed packages are like."""

from __future__ import annotations

import subprocess
import sys

import pytest
from command_line import CHECKPOINTS, Run

CONTROLLED = "  - progressive-upscaling\n  - controlnet: {model: tinyworld/canny}"
COMMANDS = (
    *("run", "validate", "plan", "recipes", "new-recipe", "upscale", "studio", "compare", "evaluate", "bench"),
    *("plugins", "new-plugin", "models", "schema", "replay", "decode", "doctor", "vista"),
)
HEAVY = ("torch", "numpy", "diffusers", "transformers", "cv2", "PIL")


def modules_after(*args: str) -> set[str]:
    """The modules that a command has imported when it ends, and that it ended well."""
    code = (
        "import sys\nfrom fusionkit.cli import main\n"
        f"try:\n    main({list(args)!r}, prog_name='fusionkit')\n"
        "except SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES ")[2].split())


@pytest.mark.parametrize("args", [("--help",), *((name, "--help") for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(args: tuple[str, ...]) -> None:
    assert not modules_after(*args) & {*HEAVY, "pydantic", "ruamel.yaml"}


@pytest.mark.parametrize(
    "args",
    [("validate", "r.yaml"), ("recipes",), ("plugins",), ("plugins", "style-alignment"), ("models",), ("schema",)],
    ids=" ".join,
)
def test_what_needs_no_torch_imports_none(args: tuple[str, ...]) -> None:
    assert not modules_after(*args) & {*HEAVY} - {"PIL"}


def test_help_names_every_command_and_a_first_thing_to_do(fusionkit: Run) -> None:
    ran = fusionkit("--help")
    assert ran.code == 0
    assert "fusionkit run panorama\n" in ran.out
    listed = [line.split()[0] for line in ran.out.partition("Commands:\n")[2].splitlines()]
    assert listed == list(COMMANDS)
    assert "..." not in ran.out.partition("Commands:\n")[2], "a summary is cut off"


def test_every_option_has_help() -> None:
    import click

    from fusionkit.cli import main

    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.short_help
        assert command.help
        for option in command.params:
            assert isinstance(option, click.Argument) or getattr(option, "help", None), (name, option.name)


def test_version(fusionkit: Run) -> None:
    from importlib.metadata import version

    assert fusionkit("--version").out == f"fusionkit {version('fusionkit')}\n"


def test_a_misspelt_command(fusionkit: Run) -> None:
    ran = fusionkit("validat", "r.yaml")
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == "Error: no command 'validat'; did you mean 'validate'?"


def test_recipes_are_listed_and_printed(fusionkit: Run) -> None:
    from fusionkit.comparison.document import bundled_comparisons
    from fusionkit.recipe.assemble import bundled_recipes
    from fusionkit.recipe.presets import presets

    listed = fusionkit("recipes").out.splitlines()
    offered = [f"presets/{name}" for name in presets()]
    assert [line.split()[0] for line in listed] == [*bundled_recipes(), *bundled_comparisons(), *offered]
    assert all(len(line.split()) > 5 for line in listed)
    assert fusionkit("recipes", "panorama").out == bundled_recipes()["panorama"].read_text()
    ran = fusionkit("recipes", "panoramma")
    assert (ran.code, ran.err) == (2, "no recipe 'panoramma'; did you mean 'panorama'?\n")


def test_a_plugin_in_detail(fusionkit: Run) -> None:
    from importlib.metadata import version

    assert fusionkit("plugins", "multidiffusion").out == (
        f"multidiffusion  (fusionkit {version('fusionkit')}, fusionkit_multidiffusion:MultiDiffusion)\n"
        + fusionkit("plugins", "multidiffusion").out.partition("\n")[2]
    )
    detail = fusionkit("plugins", "style-alignment").out
    assert "\nhooks\n  check       names problems before the run\n  init_noise  changes the answer\n" in detail
    assert "\noptions\n  alpha: number from 0 to 1, default 0.4\n      How far: 0 leaves" in detail
    assert detail.endswith("\nin a recipe\n  plugins:\n    - style-alignment: {alpha: 0.4}\n")
    assert "\noptions\n  none\n" in fusionkit("plugins", "guided-fusion").out
    ran = fusionkit("plugins", "stile-alignment")
    assert (ran.code, ran.err) == (2, "no plugin 'stile-alignment'; did you mean 'style-alignment'?\n")


def test_models_are_listed(fusionkit: Run) -> None:
    out = fusionkit("models").out
    names = [line.split()[0] for line in out.splitlines() if line.startswith("tinyworld/")]
    assert names == [f"tinyworld/{each}" for each in ("cartoon", "flower", "rocket", "scenes", "canny")]
    assert "\n  windows   64x64 pixels\n" in out
    assert "\nControlNets, for the plugin controlnet:\ntinyworld/canny  " in out
    assert "\n  annotator  canny\n  licence    Apache-2.0\n" in out


def test_a_recipe_with_a_controlnet_is_checked_without_torch() -> None:
    from pathlib import Path

    recipe = Path("r.yaml").read_text().replace("  - guided-fusion", CONTROLLED)
    Path("r.yaml").write_text(recipe.replace(str(CHECKPOINTS / "tiny-sd"), "tinyworld/scenes"))
    assert not modules_after("validate", "r.yaml") & {*HEAVY, "controlnet_aux"} - {"PIL"}


def test_a_recipe_with_a_mean_of_models_is_checked_without_torch() -> None:
    from pathlib import Path

    models = "models: {scenes: tinyworld/scenes, flower: tinyworld/flower}"
    boxes = "{left: {box: [0, 0, 0.5, 1], weights: {flower: 1}}}"
    mean = f"weighted-mean: {{models: {{scenes: 0.7, flower: 0.3}}, boxes: {boxes}}}"
    recipe = Path("r.yaml").read_text().replace("  - guided-fusion", f"  - {mean}")
    Path("r.yaml").write_text(recipe.replace(f"model: {CHECKPOINTS / 'tiny-sd'}", models))
    assert not modules_after("validate", "r.yaml") & {*HEAVY} - {"PIL"}


def test_the_schema_is_printed_or_written_over_nothing_but_an_older_one(fusionkit: Run) -> None:
    import json
    from pathlib import Path

    from fusionkit.recipe.schema import recipe_schema

    assert json.loads(fusionkit("schema").out) == recipe_schema()
    for _ in range(2):
        assert fusionkit("schema", "-o", "s.json") == (0, "s.json\n", "")
        assert json.loads(Path("s.json").read_text()) == recipe_schema()
    before = Path("r.yaml").read_text()
    line = "'r.yaml' is there and is no schema of fusionkit; it is left as it is\n"
    assert fusionkit("schema", "-o", "r.yaml") == (1, "", line)
    assert Path("r.yaml").read_text() == before
    assert fusionkit("schema", "-o", "new/s.json") == (0, "new/s.json\n", "")
    assert fusionkit("schema", "-o", "r.yaml/s.json") == (
        1,
        "",
        "'r.yaml/s.json' can't be written: 'r.yaml' is a file\n",
    )
