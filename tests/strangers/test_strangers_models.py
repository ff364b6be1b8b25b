"""Model folders and LoRAs from a stranger: no code of theirs runs, no pickle is opened, no address is asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from watched import CHECKPOINTS, Watched, World, faults, watch

TINY = CHECKPOINTS / "tiny-sd"
CODE = "from pathlib import Path\nPath('/tmp', 'ran').touch()\nclass Model:\n    pass\n"
RECIPE = "model: {model}\nprompt: a hill\nsize: 128x128\nsteps: 1\noutput: out/{name}.png\n"
WEIGHTS = "diffusion_pytorch_model.safetensors"


def a_pickle() -> bytes:
    """Bytes that write a file when they are unpickled."""
    return b"cposix\nsystem\n(S'touch ran-by-pickle'\ntR."


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def pickled_beside(folder: Path) -> None:
    """Whole weights, and pickles of the names that libraries look for."""
    for part in ("unet", "vae"):
        (folder / part / "diffusion_pytorch_model.bin").write_bytes(a_pickle())
    (folder / "text_encoder" / "pytorch_model.bin").write_bytes(a_pickle())


def sharded(folder: Path, other: str) -> None:
    """Weights of two files by an index, the second of which is another one than it seems."""
    whole, first = folder / "unet" / WEIGHTS, "diffusion_pytorch_model-00001-of-00002.safetensors"
    header = whole.read_bytes()[8 : 8 + int.from_bytes(whole.read_bytes()[:8], "little")]
    names = [name for name in json.loads(header) if name != "__metadata__"]
    whole.rename(folder / "unet" / first)
    weight_map = {**dict.fromkeys(names, first), names[0]: other}
    index = {"metadata": {"total_size": 8}, "weight_map": weight_map}
    (folder / "unet" / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def pickled_shards(folder: Path) -> None:
    """An index of safetensors that names a pickle."""
    (folder / "unet" / "part.bin").write_bytes(a_pickle())
    sharded(folder, "part.bin")


def shards_elsewhere(folder: Path) -> None:
    """An index of safetensors that leads out of the folder."""
    sharded(folder, "../../../private/w.safetensors")


def code_of_its_own(folder: Path) -> None:
    """A component that is a class of the folder's own."""
    (folder / "unet" / "mine.py").write_text(CODE)
    edit(folder / "model_index.json", unet=["mine", "Model"])


def a_pipeline_of_its_own(folder: Path) -> None:
    (folder / "pipeline.py").write_text(CODE)
    edit(folder / "model_index.json", _class_name=["pipeline", "Model"])


def automatic_classes(folder: Path) -> None:
    """What transformers takes for permission to look for code."""
    (folder / "text_encoder" / "mine.py").write_text(CODE)
    auto = {"AutoModel": "mine.Model", "AutoConfig": "mine.Model"}
    edit(folder / "text_encoder" / "config.json", auto_map=auto, model_type="mine")
    edit(folder / "tokenizer" / "tokenizer_config.json", auto_map={"AutoTokenizer": ["mine.Model", None]})


def parts_of_the_hub(folder: Path) -> None:
    """Parts that name an address."""
    edit(folder / "unet" / "config.json", _name_or_path="a-stranger/unet")
    edit(folder / "text_encoder" / "config.json", _name_or_path="a-stranger/encoder", name_or_path="a-stranger/encoder")
    edit(folder / "tokenizer" / "tokenizer_config.json", name_or_path="a-stranger/tokenizer", tokenizer_file=None)


FOLDERS = {
    each.__name__: each
    for each in (
        pickled_beside, pickled_shards, shards_elsewhere, code_of_its_own, a_pipeline_of_its_own, automatic_classes,
        parts_of_the_hub,
    )
}  # fmt: skip


def pickled_lora(folder: Path) -> None:
    (folder / "pytorch_lora_weights.bin").write_bytes(a_pickle())


def renamed_lora(folder: Path) -> None:
    (folder / "lora.safetensors").write_bytes(a_pickle())


def lora_shards(folder: Path) -> None:
    (folder / "part.bin").write_bytes(a_pickle())
    index = {"metadata": {"total_size": 8}, "weight_map": {"unet.x": "part.bin"}}
    (folder / "pytorch_lora_weights.safetensors.index.json").write_text(json.dumps(index))


LORAS = {each.__name__: each for each in (pickled_lora, renamed_lora, lora_shards)}
COMMANDS = {
    f"{command}-{name}": (command, f"{name}.yaml", *(("-q",) if command == "run" else ()))
    for name in (*FOLDERS, *LORAS)
    for command in ("validate", "plan", "run")
}


@pytest.fixture(scope="module")
def done(world: World) -> dict[str, Watched]:
    (world.private / "w.safetensors").write_bytes((TINY / "unet" / WEIGHTS).read_bytes())
    for name, change in FOLDERS.items():
        shutil.copytree(TINY, world.work / name)
        change(world.work / name)
        (world.work / f"{name}.yaml").write_text(RECIPE.format(model=f"./{name}", name=name))
    for name, change in LORAS.items():
        (world.work / name).mkdir()
        change(world.work / name)
        text = RECIPE.format(model=TINY, name=name) + f"loras: [{{path: ./{name}}}]\n"
        (world.work / f"{name}.yaml").write_text(text)
    return dict(zip(COMMANDS, watch(world, list(COMMANDS.values())), strict=True))


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_of_the_strangers_runs_and_nobody_is_asked(world: World, done: dict[str, Watched], name: str) -> None:
    named = [world.work / COMMANDS[name][1].removesuffix(".yaml"), world.work / COMMANDS[name][1]]
    assert faults(world, done[name], named) == []
    assert not list(world.folder.rglob("ran*"))
    assert "Traceback" not in done[name].err
    assert "see where with" not in done[name].err, "an internal error"


REFUSED = {*FOLDERS, *LORAS} - {"pickled_beside", "automatic_classes", "parts_of_the_hub"}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_used_is_refused_before_anything_loads(done: dict[str, Watched], name: str) -> None:
    ran = done[f"validate-{name}"]
    assert ran.code == 2
    assert name in ran.err


@pytest.mark.parametrize("name", ["pickled_beside", "parts_of_the_hub"])
def test_what_is_only_beside_the_weights_is_passed_over(world: World, done: dict[str, Watched], name: str) -> None:
    assert done[f"run-{name}"].code == 0, done[f"run-{name}"].err
    assert (world.out / f"{name}.png").is_file()
