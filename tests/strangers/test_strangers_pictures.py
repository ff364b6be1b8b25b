"""Pictures and comparisons' folders from a stranger: nothing is asked, started or run, nothing private is opened."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from watched import CHECKPOINTS, Watched, World, faults, watch

from fusionkit.pictures.image import save_image

TINY = CHECKPOINTS / "tiny-sd"
RECIPE = "prompt: a hill\nsize: 64x64\nsteps: 1\n"
HARMLESS = f"model: {TINY}\nprompt: a hill\nsize: 128x128\nsteps: 1\n"


def recipes(world: World) -> dict[str, str]:
    """Recipes that a stranger's picture may carry, by name."""
    private = world.private
    plugins = f"model: tinyworld/scenes\n{RECIPE}plugins:\n  - "
    align = plugins + "style-alignment: {{reference: {{{what}: {path}}}}}\n"
    control = plugins + "controlnet: {{model: {model}, from: {path}}}\n"
    return {
        "hub": f"model: a-stranger/model\n{RECIPE}",
        "hub-lora": f"model: tinyworld/scenes\n{RECIPE}loras: [{{path: a-stranger/lora}}]\n",
        "hub-controlnet": control.format(model="a-stranger/net", path="strange/hub-controlnet.png"),
        "folder": f"model: {private / 'model'}\n{RECIPE}",
        "share": f"model: '\\\\a-stranger\\share'\n{RECIPE}",
        "slashes": f"model: //a-stranger/share\n{RECIPE}",
        "file": f"model: {private / 'model.safetensors'}\n{RECIPE}",
        "lora": f"model: tinyworld/scenes\n{RECIPE}loras: [{{path: {private / 'lora.safetensors'}}}]\n",
        "picture": f"{plugins}progressive-upscaling: {{from: {private / 'photo.png'}}}\n",
        "reference": align.format(what="image", path=private / "photo.png"),
        "noise": align.format(what="noise", path=private / "lora.safetensors"),
        "controlnet": control.format(model=private / "net", path=private / "photo.png"),
        "fifo": f"model: {world.private / 'fifo'}\n{RECIPE}",
        "extends": f"extends: {private / 'recipe.yaml'}\n{RECIPE}",
        "number": "5",
        "prompts": f"model: tinyworld/scenes\n{RECIPE.replace('a hill', '[a hill, a lake]')}",
        "long": "prompt: " + "x" * 200_000,
        "broken": "prompt: [",
    }


def fill(world: World) -> None:
    """Somebody's private files, and the stranger's."""
    private, strange = world.private, world.work / "strange"
    photo = Image.new("RGB", (64, 64), (1, 2, 3))
    photo.save(private / "photo.png")
    (private / "keep.png").write_bytes((private / "photo.png").read_bytes())
    (private / "recipe.yaml").write_text("model: tinyworld/scenes\n")
    for name in ("model", "net"):
        (private / name).mkdir()
        (private / name / "model_index.json").write_text("{}")
        (private / name / "config.json").write_text("{}")
    for name in ("model.safetensors", "lora.safetensors"):
        (private / name).write_bytes((8).to_bytes(8, "little") + b"{}      ")
    if hasattr(os, "mkfifo"):
        os.mkfifo(private / "fifo")
    strange.mkdir()
    for name, text in recipes(world).items():
        told = {"recipe": text, "latents": "0" * 64, "versions": None, "seed": [1]}
        save_image(photo, strange / f"{name}.png", told)
    deep = json.dumps({"recipe": HARMLESS, "x": 0}).replace("0", "[" * 100_000 + "]" * 100_000)
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("fusionkit", deep)
    photo.save(strange / "deep.png", pnginfo=info)
    photo.save(strange / "plain.png")
    exif = Image.Exif()
    exif[0x010E] = 7
    photo.save(strange / "exif.jpg", exif=exif)
    greedy = HARMLESS + f"output: {private / 'keep.png'}\noverwrite: true\npreview-every: 1\n"
    save_image(photo, world.work / "greedy.png", {"recipe": greedy, "latents": "0" * 64, "versions": None})
    wrong = world.work / "wrong"
    wrong.mkdir()
    photo.save(wrong / "good.png")
    (wrong / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(x) print\n%%EOF\n")
    (wrong / "empty.png").write_bytes(b"")
    comparison(world)


def comparison(world: World) -> None:
    """A comparison's folder that lists what is not in it, with links that lead out."""
    folder = world.out / "theirs"
    (folder / "pictures" / "r").mkdir(parents=True)
    names = ["../../../../private/keep.png", str(world.private / "keep.png"), "pictures/r/p000-s0.png"]
    (folder / "comparison.json").write_text(
        json.dumps({"title": "</script>", "pictures": dict.fromkeys(names, "0" * 16)})
    )
    (folder / ".written").write_text("".join(f"{'0' * 64}  {name}\n" for name in names))
    (folder / "index.html").write_text("<script src='https://a-stranger.test/x.js'></script>")
    (folder / "pictures" / "r" / "p000-s0.png").symlink_to(world.private / "keep.png")
    (folder / "reference").symlink_to(world.private)
    (world.work / "r.yaml").write_text(HARMLESS)
    (world.work / "extending.yaml").write_text("extends: strange/hub.png\nsteps: 2\n")


REPLAYED = (
    "hub",
    "hub-lora",
    "hub-controlnet",
    "share",
    "slashes",
    "fifo",
    "extends",
    "number",
    "prompts",
    "long",
    "broken",
)
RUN = ("hub-lora", "hub-controlnet", "share", "fifo", "extends", "prompts", "broken")
COMPARE = ("compare", "r.yaml", "--seeds", "0", "--metrics", "variance", "-q", "--out", "out/theirs")
COMMANDS: dict[str, tuple[str, ...]] = {
    "evaluate": ("evaluate", "strange", "-q"),
    "evaluate-named": ("evaluate", "strange", "--metrics", "variance", "--crop", "64x64", "--json", "out/scores.json"),
    "evaluate-windows": ("evaluate", "strange", "--metrics", "seam"),
    "evaluate-wrong": ("evaluate", "wrong", "--metrics", "variance", "--crop", "64x64", "-q"),
    **{f"replay-{name}": ("replay", f"strange/{name}.png", "-o", "out/new.png") for name in REPLAYED},
    "replay-deep": ("replay", "strange/deep.png", "-o", "out/new.png"),
    "replay-exif": ("replay", "strange/exif.jpg", "-o", "out/new.png"),
    "replay-greedy": ("replay", "greedy.png", "-o", "out/new.png", "-q"),
    **{name: (name, "strange/hub.png") for name in ("validate", "plan", "run", "recipes")},
    **{f"run-{name}": ("run", f"strange/{name}.png", "-o", "out/new.png") for name in RUN},
    **{f"validate-{name}": ("validate", f"strange/{name}.png") for name in RUN},
    "run-deep": ("run", "strange/deep.png", "-o", "out/new.png"),
    "run-exif": ("run", "strange/exif.jpg", "-o", "out/new.png"),
    "run-greedy": ("run", "greedy.png", "-o", "out/again.png", "-q"),
    "plan-greedy": ("plan", "greedy.png"),
    "run-extending": ("run", "extending.yaml", "-o", "out/new.png"),
    "bench-hub": ("bench", "strange/hub.png"),
    "compare": COMPARE,
    "compare-show": (*COMPARE, "--show"),
    "compare-replace": (*COMPARE, "--replace"),
}


@pytest.fixture(scope="module")
def done(world: World) -> dict[str, Watched]:
    fill(world)
    return dict(zip(COMMANDS, watch(world, list(COMMANDS.values())), strict=True))


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_done_that_nobody_asked_for(world: World, done: dict[str, Watched], name: str) -> None:
    named = [world.work / each for each in COMMANDS[name] if (world.work / each).exists()]
    if name.endswith("-greedy"):
        named.append(TINY)
    if name == "run-extending":
        named.append(world.work / "strange" / "hub.png")
    # Whether the new picture could be written beside the old one is tried.
    written = [path.parent for path in named if name.startswith(("run", "plan", "validate", "bench"))]
    assert faults(world, done[name], named, written) == []
    assert "Traceback" not in done[name].err
    assert "see where with" not in done[name].err, "an internal error"


def test_what_is_private_is_as_it_was(world: World, done: dict[str, Watched]) -> None:
    assert (world.private / "keep.png").read_bytes() == (world.private / "photo.png").read_bytes()
    names = ["fifo"] if hasattr(os, "mkfifo") else []
    expected = [*names, "keep.png", "lora.safetensors", "model", "model.safetensors", "net", "photo.png", "recipe.yaml"]
    assert sorted(path.name for path in world.private.iterdir()) == expected


def test_odd_pictures_are_scored_with_the_others_and_named(world: World, done: dict[str, Watched]) -> None:
    ran = done["evaluate-named"]
    assert ran.code == 0, ran.err
    document = json.loads((world.out / "scores.json").read_text())
    assert [each["scores"]["variance"] is not None for each in document["pictures"]] == [True] * len(
        document["pictures"]
    )
    assert len(document["pictures"]) == len(recipes(world)) + 3
    assert "broken.png: counts as a foreign picture" in "\n".join(document["notes"])
    refused = done["evaluate-windows"]
    assert refused.code == 2
    assert "is not on this machine, and what a picture names is not downloaded" in refused.err
    assert "is named by a picture, and so is not opened; --trust opens it" in refused.err


def test_unreadable_pictures_are_named_and_the_exit_tells(done: dict[str, Watched]) -> None:
    ran = done["evaluate-wrong"]
    assert ran.code == 2
    assert [line.partition(": ")[0] for line in ran.err.splitlines()] == ["wrong/empty.png", "wrong/script.png"]


SAID = {
    "hub": "model 'a-stranger/model' is not on this machine, and what a picture names is not downloaded; --download",
    "share": r"model '\\a-stranger\share' is on another machine, which is not asked for what a picture names",
    "slashes": "model '//a-stranger/share' is on another machine, which is not asked for what a picture names",
    "fifo": "is no ordinary file, and so is not opened",
    "extends": "a recipe has no option 'extends'",
    "prompts": "strange/prompts.png: carries a recipe of 2 prompts; a picture is drawn from one",
}


@pytest.mark.parametrize("name", REPLAYED)
def test_a_replay_that_is_refused_says_why_in_lines(done: dict[str, Watched], name: str) -> None:
    ran = done[f"replay-{name}"]
    assert ran.code in (1, 2)
    assert ran.err
    assert SAID.get(name, "strange/") in ran.err
    assert len(ran.err.splitlines()) <= 3


@pytest.mark.parametrize("name", [f"{command}-{name}" for command in ("run", "validate") for name in RUN])
def test_a_run_that_is_refused_says_why_in_a_line(done: dict[str, Watched], name: str) -> None:
    ran, of = done[name], name.partition("-")[2]
    assert ran.code in (1, 2)
    assert SAID.get(of, f"strange/{of}.png") in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["run-extending", "bench-hub"])
def test_nothing_is_fetched_for_a_recipe_that_comes_from_a_picture(done: dict[str, Watched], name: str) -> None:
    assert done[name].code == 2
    assert SAID["hub"] in done[name].err
    assert len(done[name].err.splitlines()) == 1


def test_a_picture_decides_nothing_but_what_is_drawn(world: World, done: dict[str, Watched]) -> None:
    ran = done["replay-greedy"]
    first, second = ran.out.splitlines()
    assert first == "out/new.png"
    assert second.startswith("not equal: the latents' hash was 0000000000000000 and is ")
    assert ran.code == 1
    assert done["run-greedy"].out == "out/again.png\n", done["run-greedy"].err
    assert sorted(path.name for path in world.out.glob("*.png")) == ["again.png", "new.png"], "no previews either"


def test_what_is_inside_a_picture_can_be_read(world: World, done: dict[str, Watched]) -> None:
    assert done["recipes"].out == recipes(world)["hub"]
    assert [done[name].code for name in ("validate", "plan", "run")] == [2, 2, 2]
    assert all(done[name].err.count("\n") == 1 for name in ("validate", "plan", "run"))


def test_a_strangers_comparison_is_refused_by_name(world: World, done: dict[str, Watched]) -> None:
    for name in ("compare", "compare-show", "compare-replace"):
        assert done[name].code == 2
    folder = Path("out/theirs")
    assert done["compare-replace"].err.splitlines() == [
        f"{folder / 'reference'}: is a link, which fusionkit never makes; delete it"
    ]
