"""Configurations with entries of any type and size: read, or refused in lines of our own; never an internal error."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_models import CHECKPOINTS

from fusionkit.errors import FusionError
from fusionkit.models.controlnet import inspect_controlnet
from fusionkit.models.inspect import inspect_model
from fusionkit.models.memory import views_per_pass
from fusionkit.models.schedulers.schedules import schedule_problems

FILES = (
    "model_index.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
)
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 3, 10**9, 10**400, -0.5, 1e308, float("nan"), float("inf"), "", "a", "\u0000", "\ud800", "1",
    [], [None], [0], ["a"], [[4]], [10**7] * 3, [1] * 30_000, {}, {"a": 1}, {"a": [{}]}, "UNet2DConditionModel",
)  # fmt: skip


def mutated(content: Any, chance: random.Random) -> Any:
    """A configuration with one to three of its entries changed, taken away, or added."""
    changed = dict(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        key = chance.choice([*changed, "auto_map", "another"]) if changed else "another"
        if chance.random() < 0.15:
            changed.pop(key, None)
        elif isinstance(changed.get(key), list) and changed[key] and chance.random() < 0.4:
            changed[key] = [*changed[key][:-1], chance.choice(VALUES)]
        else:
            changed[key] = chance.choice(VALUES)
    return changed if chance.random() < 0.97 else chance.choice(VALUES)


def looked_at(folder: Path) -> list[str]:
    """What is wrong with a model, in lines; none where nothing is."""
    try:
        info = inspect_model(str(folder))
        views_per_pass(info, (8, 8), 4, None)
        return schedule_problems(info, None, 5)
    except FusionError as error:
        return str(error).splitlines() or ["nothing said"]


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_mutated_configurations(kind: str, tmp_path: Path) -> None:
    chance = random.Random(f"configurations of {kind}")
    folder = Path(shutil.copytree(CHECKPOINTS / f"tiny-{kind}", tmp_path / "model"))
    whole = {name: json.loads((folder / name).read_text()) for name in FILES}
    refused = 0
    for _ in range(150):
        name = chance.choice(FILES)
        path, before = folder / name, time.process_time()
        path.write_bytes(json.dumps(mutated(whole[name], chance)).encode("utf-8", "surrogatepass"))
        lines = looked_at(folder)
        refused += bool(lines)
        assert all(line and len(line) < 2_000 for line in lines)
        assert time.process_time() - before < 5
        path.write_text(json.dumps(whole[name]))
    assert looked_at(folder) == []
    assert 60 < refused < 150


def test_mutated_headers(tmp_path: Path) -> None:
    chance = random.Random("headers")
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-sd", tmp_path / "model"))
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 2, 50))):
            damaged[chance.randrange(2_000)] = chance.randrange(256)
        path.write_bytes(damaged[: chance.choice((None, chance.randrange(len(whole))))])
        lines = looked_at(folder)
        assert len(lines) <= 1
        assert all("vae" in line or "safetensors" in line for line in lines)


def test_mutated_controlnets(tmp_path: Path) -> None:
    chance = random.Random("controlnets")
    folder = Path(shutil.copytree(CHECKPOINTS / "tiny-controlnet", tmp_path / "net"))
    whole, said = json.loads((folder / "config.json").read_text()), []
    for _ in range(150):
        content = json.dumps(mutated(whole, chance)).encode("utf-8", "surrogatepass")
        (folder / "config.json").write_bytes(content)
        try:
            inspect_controlnet(str(folder))
        except FusionError as error:
            said.append(str(error))
    assert 50 < len(said) < 150
    assert all(line.startswith(f"controlnet '{folder}'") for line in said)
