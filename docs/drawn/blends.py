"""Pictures that several models draw together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from drawn.sheets import SETS, beside, enlarged, run, side_by_side, stacked

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit import Patches, Stage, Step

BLENDING = "plugins.saliency-noise-blending"
SPANS = "plugins.weighted-mean.spans"
CASES = (
    ("mountains", "noon"),
    ("a city", "twilight"),
    ("a beach", "night"),
    ("a forest", "noon"),
    ("a desert", "twilight"),
    ("the sea", "night"),
)
"""A scene and a time of day for each column of a picture with several models; the column's number is its seed."""
KEPT = tuple((scene, time) for scene in ("mountains", "a forest") for time in ("noon", "twilight", "night"))
"""Likewise, of the scenes that the model of rockets still knows."""


def averaged(recipe: str, changes: Sequence[str]) -> Image:
    """What blending is compared with: the plain mean of the models' guided predictions, with the recipe's prompts."""
    import torch

    from fusionkit import Fusion, Plugin, Prompt, hookimpl
    from fusionkit.recipe.recipe_file import load_recipes
    from fusionkit_magicfusion import SaliencyNoiseBlending

    blended = load_recipes(recipe, [*changes, *SETS])[0]
    (blending,) = (plugin for plugin in blended.plugins if isinstance(plugin, SaliencyNoiseBlending))

    class Averaged(Plugin):
        @hookimpl
        def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
            predictions = []
            for name, role in blending.models.items():
                prompt = Prompt(role.prompt or blended.prompt, role.negative_prompt)
                asked = replace(patches, prompts=[prompt] * len(patches.views))
                predictions.append(stage.models[name].predict(stage, at, asked))
            return torch.stack(predictions).mean(0)

    return Fusion.from_recipe(blended, plugins=[Averaged()])(progress=False).image


def several(
    recipe: str,
    prompts: Mapping[str, str],
    around: str = "",
    rows: Mapping[str, Sequence[str]] | None = None,
    cases: Sequence[tuple[str, str]] = CASES,
) -> Image:
    """Models alone, their predictions averaged, and blended: a row each, with a column for each case.

    Args:
        recipe: A bundled recipe with several models.
        prompts: Prompts of its models, the main one first, with {scene} and {time}.
        around: The other models' negative prompt.
        rows: What each row of blending changes, by its label, with {scene} and {time}.
        cases: Scenes and times; the number of a case is its seed.
    """
    from fusionkit.recipe.recipe_file import load_recipes

    made: dict[str, list[Image]] = {}
    sources = {name: spec.model for name, spec in load_recipes(recipe)[0].specs.items()}
    one = len(set(sources.values())) == 1
    for seed, (scene, time) in enumerate(cases):
        main, *others = ((name, text.format(scene=scene, time=time)) for name, text in prompts.items())
        for name, text in (main, *others):
            alone = [f"{BLENDING}=false", f"models={{{name}: {sources[name]}}}", f"prompt={text}", f"seed={seed}"]
            label = f"{sources[name]} alone, prompt of '{name}'" if one else f"{sources[name]} alone"
            made.setdefault(label, []).append(run(alone, recipe))
        changes = [f"seed={seed}", f"prompt={main[1]}"]
        for name, text in others:
            changes.append(f"{BLENDING}.models.{name}.prompt={text}")
            if around:
                changes.append(f"{BLENDING}.models.{name}.negative-prompt={around.format(time=time)}")
        made.setdefault("averaged", []).append(averaged(recipe, changes))
        for label, more in (rows or {"blended": ()}).items():
            made.setdefault(label, []).append(
                run([*changes, *(each.format(scene=scene, time=time) for each in more)], recipe)
            )
    return stacked({label: side_by_side(images) for label, images in made.items()})


def fine_grained_fusion() -> Image:
    """A model of scenes and one of rockets."""
    prompts = {"scene": "a landscape photo of {scene} at {time}", "rocket": "a photo of a rocket at {time}"}
    return several("fine-grained-fusion-tinyworld", prompts, "a photo of the sky at {time}")


def recontextualisation() -> Image:
    """One model with two prompts."""
    prompts = {"around": "a landscape photo of {scene} at {time}", "rocket": "a photo of a rocket at {time}"}
    return several("recontextualisation-tinyworld", prompts, "a photo of the sky at {time}", cases=KEPT)


def cross_domain_fusion() -> Image:
    """A model of photos and one of bold cartoons, blended with and without smoothing."""
    prompts = {
        "photo": "a landscape photo of {scene} at {time}",
        "cartoon": "a landscape cartoon of {scene} at {time}",
    }
    cartoon = f"{BLENDING}.models.cartoon"
    against = (f"{cartoon}.negative-prompt=a landscape photo of {{scene}} at {{time}}", f"{cartoon}.k=0.5")
    rows = {
        "blended": (),
        "blended, with smoothing": (f"{BLENDING}.smoothing=true",),
        "blended, the photo's prompt as the cartoon's negative prompt, k 0.5": against,
    }
    return several("cross-domain-fusion-tinyworld", prompts, rows=rows)


def three_models() -> Image:
    """A model of scenes, one of rockets and one of flowers."""
    prompts = {
        "scene": "a landscape photo of {scene} at {time}",
        "rocket": "a photo of a rocket at {time}",
        "flower": "a photo of a flower at {time}",
    }
    return several("three-models-tinyworld", prompts, "a photo of the sky at {time}")


def magicfusion_panorama() -> Image:
    """A panorama by one model, and by two."""
    recipe = "magicfusion-panorama-tinyworld"
    alone = run([f"{BLENDING}=false", "models={scene: tinyworld/scenes}"], recipe)
    return stacked({"tinyworld/scenes alone": enlarged(alone), "with tinyworld/rocket": enlarged(run([], recipe))})


def magicfusion_winners() -> Image:
    """Which model won where."""
    return run([], "fine-grained-fusion-tinyworld", shown="winners")


def two_models() -> Image:
    """A picture of a transformer and a UNet, and who drew what of it: the last row of the map, with its legend."""
    winners = run([], "cross-architecture", shown="winners")
    return winners.crop((0, winners.height - 622, winners.width, winners.height))


def fine_grained_fusion_vista() -> Image:
    """A dragon over a coast, and who drew what of it."""
    winners = run([], "fine-grained-fusion-vista", shown="winners")
    return winners.crop((0, winners.height - 622, winners.width, winners.height))


def magicfusion_shares() -> Image:
    """How much each model won, step by step."""
    return run([], "fine-grained-fusion-tinyworld", shown="shares")


def weighted_mean() -> Image:
    """A poster and a watercolour by weights, each in its own part of the run, and each in its own place."""
    models, vista = "plugins.weighted-mean.models", "weighted-mean-vista"

    def weighed(poster: float, watercolour: float) -> Image:
        return run([f"{models}.poster={poster}", f"{models}.watercolour.weight={watercolour}"], vista)

    reverse = [f"{models}.poster=0", f"{models}.watercolour.weight=1"]
    reverse += [f"{SPANS}.paint.weights.{name}={weight}" for name, weight in (("poster", 1), ("watercolour", 0))]
    shares = {f"{100 - share}% and {share}%": weighed(1 - share / 100, share / 100) for share in (0, 25, 50, 75, 100)}
    others = {
        "poster first": run([], "weighted-mean-spans-vista"),
        "watercolour first": run(reverse, "weighted-mean-spans-vista"),
        "150% and -50%": weighed(1.5, -0.5),
    }
    places = run([], "weighted-mean-places-vista")
    rows = {"a poster and a watercolour": beside(shares), "in turns, and beyond": beside(others), "by place": places}
    return stacked(rows)
