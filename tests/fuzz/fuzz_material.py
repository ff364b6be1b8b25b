"""What the fuzzer starts from and puts in: recipes, comparisons, changes, configurations, options, and odd values."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

from fusionkit.comparison.document import bundled_comparisons
from fusionkit.models.schedulers.by_name import CLASS_NAMES, SHORT_NAMES, UNSUITABLE
from fusionkit.recipe import Recipe
from fusionkit.recipe.assemble import bundled_recipes
from fusionkit.recipe.document import read_yaml
from fusionkit.recipe.problems import options_of
from fusionkit.registry import load, offered

CHECKPOINTS = Path(__file__).parents[1] / "golden" / "checkpoints"
PICTURE = Path(__file__).parents[2] / "recipes" / "drawing.png"
MODEL = "tiny"
"""The folder of the model whose configurations are changed."""


class Raw(str):
    """A piece of YAML that is written as it is."""

    __slots__ = ()


NUMBERS = (
    *(0, -1, 1, 2, 3, 4, 7, 8, 16, 32, 64, 1000, 1001, 2**31, 2**63 - 1, 2**63, 2**64, 10**20, -(10**30), 10**90),
    *(0.0, -0.0, 0.5, 1.5, 1e-300, 1e30, 1e308, -1e308),
    *(
        Raw(".nan"),
        Raw(".inf"),
        Raw("-.inf"),
        Raw("9" * 4301),
        Raw("1e999"),
        Raw("0x" + "f" * 40),
        Raw("-_"),
        Raw("0o17"),
    ),
)
TEXTS = (
    *(
        "",
        " ",
        "a",
        "a" * 300,
        "é" * 200,
        "画" * 90,
        "\U0001f600",
        "\ud800",
        "\udc80x",
        "\0",
        "\x1b[31m",
        "a\nb",
        "a\rb",
    ),
    *("a\u2028b", "\u202eabc", "\ufeff", "~", "~nouser/x", "~/x", "a/..", "../..", "a//b", "a/b/c", "-a/b", "a/b.git"),
    *(
        "/",
        ".",
        "..",
        "/dev/zero",
        "/dev/null",
        "/dev/tty",
        "fifo",
        "drawing.png",
        "r.yaml",
        "none.png",
        "x.bin",
        "a\\b",
    ),
    *("tinyworld/scenes", "tinyworld/rocket", "tinyworld/flower", "tinyworld/canny", "tinyworld/nope", "random", "off"),
    *(
        "64x64",
        "128x64",
        "64x0",
        "9999999x9",
        "٣x٣",
        "1x1",
        "64 x 64",
        "on",
        "no",
        "null",
        "none",
        "true",
        "1e5",
        "0x10",
    ),
    *(
        "{seed}.png",
        "{prompt}.png",
        "{recipe!r:>{size}}.png",
        "{0}.png",
        "{seed:99999999}.png",
        "~{seed}/a.png",
        "a.png/",
    ),
    *(
        "cuda",
        "cuda:99999",
        "mps",
        "cpu",
        "float16",
        "model",
        "sequential",
        "previous",
        "canny",
        "(a:1.3)",
        "<lora:x:1>",
    ),
)
TREES = (
    *(
        [],
        {},
        [[]],
        {"a": 1},
        [1, 2],
        ["a"],
        [None],
        {"": None},
        None,
        True,
        False,
        [0, 0],
        [10**6, 1],
        {"x": {"y": []}},
    ),
    *(Raw("&a [*a]"), Raw("*nothing"), Raw("!!pairs [a: 1]"), Raw("!!python/object:os.system x"), Raw("!!binary aGk=")),
    *(
        Raw("2001-13-45"),
        Raw("2001-01-01"),
        Raw("{<<: {a: 1}}"),
        Raw("{<<: 3}"),
        Raw("? [a]"),
        Raw("[" * 500),
        Raw("{? a}"),
    ),
    *(
        Raw("[&b [&c [x,x,x,x,x,x,x,x],*c,*c,*c,*c,*c,*c],*b,*b,*b,*b,*b]"),
        Raw("!!set {a, b}"),
        Raw("!!str 5"),
        Raw("="),
    ),
)
SCHEDULER_OPTIONS = (
    *("eta", "s_churn", "s_noise", "gamma", "use_karras_sigmas", "num_train_timesteps", "beta_start", "beta_end"),
    *("beta_schedule", "trained_betas", "prediction_type", "thresholding", "sample_max_value", "timestep_spacing"),
    *("steps_offset", "rescale_betas_zero_snr", "clip_sample", "clip_sample_range", "algorithm_type", "solver_type"),
    *("solver_order", "lower_order_final", "variance_type", "skip_prk_steps", "set_alpha_to_one", "final_sigmas_type"),
    *("use_exponential_sigmas", "use_beta_sigmas", "use_flow_sigmas", "sigma_min", "sigma_max", "rho", "order", "nope"),
)
WORDS = (
    *("linear", "scaled_linear", "squaredcos_cap_v2", "epsilon", "v_prediction", "sample", "leading", "trailing"),
    *("linspace", "dpmsolver++", "sde-dpmsolver++", "dpmsolver", "midpoint", "heun", "bh1", "fixed_small", "learned"),
)
ALL_SCHEDULERS = (*SHORT_NAMES, *CLASS_NAMES, *UNSUITABLE)


def odd_value(dice: random.Random) -> Any:
    """A value that somebody might write by mistake, or on purpose."""
    # A copy: what is put into a tree may be changed there.
    return deepcopy(
        dice.choice(dice.choice((NUMBERS, TEXTS, TREES, (0, 1, 2, 0.5, 8, 16, 32, True, False, None), WORDS)))
    )


def plain_value(dice: random.Random) -> Any:
    """A value that may be right."""
    return dice.choice((0, 1, 2, 3, 4, 8, 16, 32, 64, 0.1, 0.3, 0.5, 0.9, 1.0, 1.5, True, False, *WORDS))


def scheduler(dice: random.Random) -> Any:
    """A scheduler, often with options."""
    name = dice.choice(ALL_SCHEDULERS)
    count = dice.choice((0, 0, 1, 1, 2, 3))
    options = {
        dice.choice(SCHEDULER_OPTIONS): (plain_value if dice.random() < 0.7 else odd_value)(dice) for _ in range(count)
    }
    return {name: options} if options else name


def plugin(dice: random.Random) -> Any:
    """An installed plugin, with options of its own."""
    name = dice.choice(sorted(offered()))
    kind = load(name)
    options = {}
    for _ in range(dice.choice((0, 1, 1, 2, 3))):
        option = dice.choice([*options_of(kind), "nope"]) if dice.random() < 0.97 else "nope"
        options[option] = (plain_value if dice.random() < 0.6 else odd_value)(dice)
    return {name: options} if options else name


def option(dice: random.Random) -> tuple[str, Any]:
    """A key of a recipe with a value."""
    key = dice.choice(options_of(Recipe))
    if key == "scheduler":
        return key, scheduler(dice)
    if key == "plugins":
        return key, [plugin(dice) for _ in range(dice.randint(0, 4))]
    return key, (plain_value if dice.random() < 0.4 else odd_value)(dice)


def recipes() -> list[tuple[str, Any]]:
    """Texts and trees of the bundled recipes that run on the embedded model."""
    paths = [path for name, path in bundled_recipes().items() if name.endswith("-tinyworld")]
    return [(path.read_text(encoding="utf-8"), read_yaml(path, path.name).plain()) for path in paths]


def comparisons() -> list[tuple[str, Any]]:
    """Texts and trees of the bundled comparisons on the embedded model."""
    paths = [path for name, path in bundled_comparisons().items() if name.endswith("-tinyworld")]
    return [(path.read_text(encoding="utf-8"), read_yaml(path, path.name).plain()) for path in paths]


def configurations() -> dict[str, Any]:
    """The configurations of a tiny model, by their paths inside of it."""
    folder = CHECKPOINTS / "tiny-sd"
    return {
        str(path.relative_to(folder)): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.json"))
        if path.name in ("model_index.json", "config.json", "scheduler_config.json", "tokenizer_config.json")
    }
