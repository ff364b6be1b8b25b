"""The inputs: each is decided by the run's seed and its own number alone."""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import fuzz_material as material
from fuzz_mutations import bomb, mutated, scrambled, written, written_in_lines

KINDS = ("recipe", "recipe", "recipe", "recipe", "comparison", "comparison", "set", "set", "model")


@dataclass
class Case:
    """One input: the files that it needs, and what `validate` is called with.

    Args:
        kind: "recipe", "comparison", "set" or "model".
        arguments: Of the command.
        files: By name.
        remove: A file of the model that is damaged, and what is left of it in bytes.
    """

    kind: str
    arguments: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    damaged: tuple[str, int] | None = None

    def write(self, folder: Path) -> None:
        """Put its files into an empty folder."""
        shutil.copy(material.PICTURE, folder / "drawing.png")
        if hasattr(os, "mkfifo"):
            os.mkfifo(folder / "fifo")
        if self.kind == "model":
            # The weights are the checkpoint's own.
            shutil.copytree(
                material.CHECKPOINTS / "tiny-sd", folder / material.MODEL, copy_function=lambda a, b: os.symlink(a, b)
            )
        for name, content in self.files.items():
            (folder / name).unlink(missing_ok=True)
            (folder / name).write_bytes(content)
        if self.damaged is not None:
            path = folder / material.MODEL / self.damaged[0]
            content = path.read_bytes()[: self.damaged[1]]
            path.unlink()
            path.write_bytes(content)


_recipes, _comparisons = lru_cache(material.recipes), lru_cache(material.comparisons)
_configurations = lru_cache(material.configurations)


def make_case(seed: int, number: int) -> Case:
    """One input."""
    dice = random.Random(f"{seed} {number}")
    kind = dice.choice(KINDS)
    return {"recipe": _recipe, "comparison": _comparison, "set": _set, "model": _model}[kind](dice)


def _recipe(dice: random.Random) -> Case:
    text, tree = dice.choice(_recipes())
    how = dice.random()
    if how < 0.12:
        content = scrambled(text, dice)
    elif how < 0.16:
        content = bomb(dice).encode()
    elif how < 0.5:
        # From scratch, so that more of them are right.
        tree = {
            "model": "tinyworld/scenes",
            "prompt": "a landscape photo of the sea at noon",
            "steps": dice.randint(1, 5),
        }
        tree["plugins"] = [material.plugin(dice) for _ in range(dice.choice((0, 1, 1, 2)))]
        if dice.random() < 0.6:
            tree["scheduler"] = material.scheduler(dice)
        if dice.random() < 0.5:
            tree["size"] = dice.choice(("64x64", "128x64", "96x64", "128x128", "60x68"))
        if dice.random() < 0.4:
            tree.update([material.option(dice)])
        content = written_in_lines(tree, dice).encode("utf-8", "surrogatepass")
    else:
        content = written_in_lines(mutated(tree, dice, material.option), dice).encode("utf-8", "surrogatepass")
    return Case("recipe", ["r.yaml"], {"r.yaml": content})


def _comparison(dice: random.Random) -> Case:
    text, tree = dice.choice(_comparisons())
    if dice.random() < 0.15:
        return Case("comparison", ["c.yaml"], {"c.yaml": scrambled(text, dice)})
    tree = mutated(tree, dice, _comparison_option)
    return Case("comparison", ["c.yaml"], {"c.yaml": written_in_lines(tree, dice).encode("utf-8", "surrogatepass")})


def _comparison_option(dice: random.Random) -> tuple[str, Any]:
    key = dice.choice(
        ("seeds", "vary", "prompts", "reference", "metrics", "features", "set", "settings", "recipe", "title")
    )
    ranges = (
        "0-3",
        "0-999999,5-999999,9-999999",
        "9-0",
        "1,2,x",
        "9" * 30,
        "0-" + "9" * 5000,
        "",
        ",",
        "-1",
        "0-99999",
    )
    values = ("0:1:0.1", "0:1e999999:1e999990", "0:1:0", "1:0:0.1", "0:1e9:1", "a,b", "", "[1", "0:1:1e-999999", "1,,2")
    if key in ("seeds", "reference") and dice.random() < 0.7:
        seeds = dice.choice(ranges)
        return key, seeds if key == "seeds" else {"seeds": seeds}
    if key in ("vary", "set") and dice.random() < 0.8:
        name = dice.choice(
            ("steps", "plugins.multidiffusion.stride", "scheduler", "size", "variant", "models.a", "a..b", "x")
        )
        value: Any = dice.choice((*values, [], [1, 2], [None], *material.TREES, *material.NUMBERS))
        return key, {name: value, **({"seed": [0, 1]} if dice.random() < 0.2 else {})}
    if key == "prompts" and dice.random() < 0.5:
        return key, dice.choice(
            ("fifo", "c.yaml", "/dev/zero", "none.txt", [], ["a", "a"], [1], "~nouser/p", "a" * 300)
        )
    return key, material.odd_value(dice)


def _set(dice: random.Random) -> Case:
    name = dice.choice(
        ("panorama-tinyworld", "accdiffusion-tinyworld", "upscale-picture-tinyworld", "three-models-tinyworld")
    )
    arguments = [name]
    for _ in range(dice.choice((1, 1, 2, 3))):
        key, value = material.option(dice)
        how = dice.randrange(6)
        if how == 0:
            plugin = material.plugin(dice)
            name, options = next(iter(plugin.items())) if isinstance(plugin, dict) else (plugin, {"": True})
            key, value = next((f"plugins.{name}.{option}".rstrip("."), each) for option, each in options.items())
        elif how == 1:
            key = dice.choice(
                ("models.scene", "models.scene.variant", "scheduler.ddim.eta", "plugins", "", ".", "a" * 300)
            )
        elif how == 2:
            key = dice.choice(
                ("plugins.", "models", "scheduler.", "x" + ".y" * 99, "loras.1", "prompt", "\ud800", "a\nb")
            )
        text = str(value) if dice.random() < 0.6 else written(value, dice)
        if dice.random() < 0.1:
            text = dice.choice(
                ("null", "~", "''", '"OPEN" neon sign', "[a, b]", "[a] b", "'it''s'", '"\\q"', "{a: 1}", "*a")
            )
        arguments += ["--set", f"{key}={text}"[:20_000]]
    return Case("set", arguments)


def _model(dice: random.Random) -> Case:
    configurations = _configurations()
    files = {}
    for _ in range(dice.choice((1, 1, 2))):
        name = dice.choice(list(configurations))
        tree = mutated(configurations[name], dice)
        if dice.random() < 0.1:
            content = scrambled(json.dumps(tree, default=str), dice)
        else:
            content = json.dumps(tree, default=str).encode("utf-8", "surrogatepass")
        files[f"{material.MODEL}/{name}"] = content
    recipe = f"model: {material.MODEL}\nprompt: a hill\nsize: 128x128\nsteps: 2\n"
    if dice.random() < 0.3:
        recipe += f"scheduler: {written(material.scheduler(dice), dice)}\n"
    if dice.random() < 0.3:
        recipe += f"plugins: [{written(material.plugin(dice), dice)}]\n"
    part = dice.choice(("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"))
    damaged = (part, dice.choice((0, 7, 8, 100, 9000))) if dice.random() < 0.1 else None
    return Case("model", ["r.yaml"], {**files, "r.yaml": recipe.encode("utf-8", "surrogatepass")}, damaged)
