"""Whatever is wrong with a `--set` is told as that `--set`'s, however deep in a plugin's options it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Run

ONE = """model: tinyworld/scenes
prompt: a hill
plugins:
  - style-alignment: {alpha: 0.4, reference: random}
  - multidiffusion
"""
TWO = """models: {scene: tinyworld/scenes, rocket: tinyworld/rocket}
prompt: a hill
plugins:
  - saliency-noise-blending: {models: {scene: {}, rocket: {prompt: a rocket}}}
"""
RING = """model: tinyworld/scenes
prompt: a hill
size: 128x64
plugins: [ring]
"""
BLENDING = "plugins.saliency-noise-blending"
CASES = [
    (ONE, "plugins.style-alignment.alpha=much", "'alpha' of style-alignment must be a number, not 'much'"),
    (ONE, "plugins.style-alignment.alpa=1", "style-alignment has no option 'alpa'; did you mean 'alpha'?"),
    (ONE, "plugins.style-alignment.reference.patch=3", "'reference.patch' of style-alignment must be a list, not 3"),
    (ONE, "plugins.style-alignment.reference.ptch=3", "'reference' of style-alignment has no option 'ptch'; did you"),
    (
        ONE,
        "plugins.style-alignment.reference.patch=[1, 1]",
        "style-alignment: reference patch [1, 1] is not a",
    ),
    (ONE, "plugins.stile-alignment.alpha=1", "the recipe has no plugin 'stile-alignment'; did you mean"),
    (ONE, "plugins.multidiffusion=7", "options of 'multidiffusion' must be a mapping, such as multidiffusion: {...}"),
    (ONE, "plugins.multidiffusion.stride=[3, x]", "'stride.2' of multidiffusion must be a whole number, not 'x'"),
    (ONE, "plugins.multidiffusion.stride.x=3", "'stride' of multidiffusion: a stride is a number of pixels, or"),
    (ONE, "plugins.multidiffusion.stride=7", "multidiffusion: stride 7 is not a multiple of the model's latent factor"),
    (ONE, "plugins=[{multidiffusion: {stride: x}}]", "'stride' of multidiffusion: a stride is a number of pixels, or"),
    (ONE, "plugins=[multidifusion]", "no plugin 'multidifusion'; did you mean 'multidiffusion'?"),
    (ONE, "plugins=multidiffusion", "'plugins' must be a list, not 'multidiffusion'"),
    (ONE, "scheduler={ddim: 3}", "'scheduler' must have a mapping of options, such as ddim: {eta: 1.0}, not 3"),
    (ONE, "scheduler.ddim.eta=x", "scheduler 'ddim': 'eta' must be a number, not 'x'"),
    (ONE, "loras=[{path: a, scle: 1}]", "'loras.1' of a recipe has no option 'scle'; did you mean 'scale'?"),
    (RING, "size=32x64", "ring: the size of 32x64 is narrower than the model's window of 64 pixels"),
    (ONE, "size=450x64", "size 450x64 is not divisible by 4, as tinyworld/scenes needs; try 448x64"),
    (TWO, f"{BLENDING}.models.rocket.k=0", "'models.rocket.k' of saliency-noise-blending must be more than 0, not 0"),
    (TWO, f"{BLENDING}.models.rocket.kk=0", "'models.rocket' of saliency-noise-blending has no option 'kk'; did you"),
    (TWO, f"{BLENDING}.models.x.prompt=y", "saliency-noise-blending: models names 'x', which is none of the recipe's"),
    (TWO, f"{BLENDING}.blend.from=x", "'blend.from' of saliency-noise-blending must be a number, not 'x'"),
    (TWO, f"{BLENDING}.blend=3", "'blend' of saliency-noise-blending must be a mapping of options, not 3"),
    (TWO, "models.rocket.mdel=x", "'models.rocket' of a recipe has no option 'mdel'; did you mean 'model'?"),
    (TWO, "models.rocket=3", "'models.rocket' must be a mapping of options, not 3"),
]


@pytest.mark.parametrize(("recipe", "change", "said"), CASES, ids=[change for _, change, _ in CASES])
def test_the_change_is_blamed(fusionkit: Run, recipe: str, change: str, said: str) -> None:
    Path("r.yaml").write_text(recipe)
    ran = fusionkit("validate", "r.yaml", "--set", change)
    (line,) = ran.err.splitlines()
    assert (ran.code, ran.out) == (2, "")
    assert line.startswith(f"--set {change.partition('=')[0]}: {said}")


def test_devices_that_are_not_there_are_told_in_their_order(fusionkit: Run) -> None:
    Path("r.yaml").write_text(ONE.replace("a hill", "the sea"))
    ran = fusionkit("run", "r.yaml", "-q", "--devices", "cuda:76,cuda:77")
    assert ran.code == 2
    told = [line.partition("; ")[0] for line in ran.err.splitlines()]
    assert told == [f"--devices: device 'cuda:{number}' is not there" for number in (76, 77)]


def test_all_of_several_are_told_at_once(fusionkit: Run) -> None:
    Path("r.yaml").write_text(ONE)
    changes = ["steps=many", "plugins.style-alignment.alpha=7", "seed=x"]
    ran = fusionkit("validate", "r.yaml", *[word for change in changes for word in ("--set", change)])
    assert sorted(ran.err.splitlines()) == [
        "--set plugins.style-alignment.alpha: 'alpha' of style-alignment must be at most 1, not 7",
        "--set seed: 'seed' must be a whole number, not 'x'",
        "--set steps: 'steps' must be a whole number, not 'many'",
    ]


def test_a_model_that_is_its_source_alone_can_be_given_a_key(fusionkit: Run) -> None:
    Path("r.yaml").write_text(TWO)
    ran = fusionkit("validate", "r.yaml", "--set", "models.rocket.loras=[{path: nowhere}]")
    assert ran.code == 2
    assert ran.err.startswith("--set models.rocket.loras: ")
    assert "nowhere" in ran.err


def test_the_key_of_a_recipe_is_blamed_for_a_plugin_that_another_one_lists(fusionkit: Run) -> None:
    Path("base.yaml").write_text(RING)
    for own, blamed in (("size: 32x64\n", "r.yaml:2:7"), ("steps: 3\nplugins: [ring]\n", "r.yaml:3:11")):
        Path("r.yaml").write_text(f"extends: base.yaml\n{own}")
        if "size" not in own:
            Path("base.yaml").write_text(RING.replace("128x64", "32x64"))
        (line,) = fusionkit("validate", "r.yaml").err.splitlines()
        assert line.startswith(f"{blamed}: ring: the size of 32x64 is narrower than the model's window")
