"""`--json`: one document in standard output and nothing else, whatever the command; and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import CHECKPOINTS, Run

from fusionkit.pictures.image import read_metadata, save_image


def document(fusionkit: Run, *args: str, code: int = 0) -> dict[str, Any]:
    ran = fusionkit(*args, "--json")
    assert ran.code == code, ran.err
    found = json.loads(ran.out)
    assert isinstance(found, dict)
    return found


def test_run_and_replay(fusionkit: Run) -> None:
    found = document(fusionkit, "run", "r.yaml", "--seeds", "1-2", "--save-maps", "--set", "steps=1")
    assert found["sheet"] == "out/r-sheet.png"
    first, second = found["pictures"]
    told = read_metadata(Path("out/r-1.png"))
    assert (first["path"], first["seed"], first["prompt"], first["drawn"]) == ("out/r-1.png", 1, "a hill", True)
    assert (first["latents"], first["size"], first["forward-passes"]) == (told["latents"], [256, 128], 6)
    assert first["recipe"]["steps"] == 1
    assert all(Path(each).is_file() for each in second["maps"])
    there = document(fusionkit, "run", "r.yaml", "--seed", "1", "--skip-existing", "--set", "steps=1")
    assert there == {
        "pictures": [{"path": "out/r-1.png", "prompt": "a hill", "seed": 1, "drawn": False}],
        "sheet": None,
        "notes": [],
    }
    again = document(fusionkit, "replay", "out/r-1.png")
    assert (again["equal"], again["latents"], again["path"]) == (True, told["latents"], "out/r-1-2.png")
    assert again["verdict"].startswith("equal: ")
    changed = document(fusionkit, "replay", "out/r-1.png", "--set", "seed=3")
    assert (changed["equal"], changed["latents-before"]) == (None, told["latents"])
    from PIL import Image

    with Image.open("out/r-1.png") as image:
        save_image(image, Path("other.png"), {**told, "latents": "0" * 64})
    other = document(fusionkit, "replay", "other.png", code=1)
    assert (other["equal"], other["latents-before"]) == (False, "0" * 64)


def test_plan_and_validate(fusionkit: Run) -> None:
    found = document(fusionkit, "plan", "r.yaml")
    (stage,) = found["stages"]
    assert stage == {
        "name": "",
        "size": [256, 128],
        "frame": [256, 128],
        "steps": 3,
        "scheduler": "DDPMScheduler",
        "strength": None,
        "wrap": "",
        "views": 9,
        "forward-passes": 18,
        "coverage": [1, 2],
    }
    assert found["forward-passes"] == 18
    assert found["outputs"] == ["out/r-0.png"]
    assert found["memory"]["total"] >= found["memory"]["weights"] > 0
    assert found["models"] == [
        {
            "name": "model",
            "model": str(CHECKPOINTS / "tiny-sd"),
            "kind": "sd",
            "parameters": found["models"][0]["parameters"],
        }
    ]
    Path("bad.yaml").write_text("model: tinyworld/scenes\nsed: 1\n")
    found = document(fusionkit, "validate", "r.yaml", "bad.yaml", code=2)
    good, bad = found["recipes"]
    about = "1 picture, 256x128, 4 plugins"
    assert good == {"source": "r.yaml", "valid": True, "about": about, "problems": [], "notes": []}
    assert (bad["source"], bad["valid"]) == ("bad.yaml", False)
    assert bad["problems"] == ["bad.yaml:2:1: a recipe has no option 'sed'; did you mean 'seed'?"]


def test_notes_are_in_the_documents_and_on_standard_error(fusionkit: Run) -> None:
    Path("high.yaml").write_text("model: tinyworld/scenes\nsize: 64x128\nprompt: a photo of a unicorn\n")
    changes = ("--set", "steps=1", "--json")
    documents = [fusionkit(command, "high.yaml", *changes) for command in ("plan", "validate", "run")]
    plan, validated, drawn = [json.loads(each.out) for each in documents]
    high, unknown = plan["notes"]
    assert high.startswith("high.yaml:2:7: size 64x128 is 2 times as high as a window of 64x64, and no plugin keeps")
    assert unknown.startswith("high.yaml:3:9: 'prompt': tinyworld/scenes does not know 'unicorn'")
    assert plan["notes"] == validated["recipes"][0]["notes"] == drawn["notes"]
    assert all(each.err.startswith(f"note: {high}\nnote: {unknown}\n") for each in documents)
    assert not any("RecipeWarning" in each.err for each in documents)


def test_lists(fusionkit: Run) -> None:
    plugins = {each["name"]: each for each in document(fusionkit, "plugins")["plugins"]}
    assert plugins["guided-fusion"]["package"] == "fusionkit"
    assert plugins["guided-fusion"]["broken"] is None
    one = document(fusionkit, "plugins", "multidiffusion")
    assert "stride" in one["options"]["properties"]
    assert one["hooks"]["views"] == "gives the answer"
    models = {each["name"]: each for each in document(fusionkit, "models")["models"]}
    assert models["tinyworld/scenes"]["window"] == [64, 64]
    recipes = {each["name"]: each for each in document(fusionkit, "recipes")["recipes"]}
    assert recipes["panorama"]["kind"] == "recipe"
    assert recipes["papers/table-1-tinyworld"]["kind"] == "comparison"
    assert document(fusionkit, "recipes", "r.yaml")["recipe"] == Path("r.yaml").read_text()


@pytest.mark.parametrize("command", ["run", "plan", "replay"])
def test_a_failure_prints_no_document(fusionkit: Run, command: str) -> None:
    ran = fusionkit(command, "none.png", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
