"""Makes every picture of the documentation, from the embedded models and fixed seeds.

Run it:  python docs/make_pictures.py
         python docs/make_pictures.py --only noise
         python docs/make_pictures.py --only noise --set steps=4

Each row of a picture is one run of a bundled recipe with a few changes, the same that `fusionkit run RECIPE --set ...`
takes. Pictures of tinyworld are shown at twice their size, since its windows have only 64 pixels.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fusionkit import Patches, Stage, Step

IMAGES = Path(__file__).resolve().parent / "images"
RECIPE = "panorama"
WIDE = ("size=768x128", "steps=20")
MOUNTAINS = (*WIDE, "prompt=a landscape poster of mountains at sunset in clear weather", "scheduler=ddim", "seed=3")
COAST = (*WIDE, "prompt=a landscape poster of a rocky coast at dawn in clear weather", "scheduler=ddpm", "seed=2")
DAWN = "a landscape poster of a mountain lake at dawn in mist"
LAKE = ("steps=30", "seed=2")
GAP, LABEL, ZOOM = 6, 22, 2
BLENDING = "plugins.saliency-noise-blending"


def plugins(*entries: str) -> str:
    """A change that replaces the recipe's plugins."""
    return f"plugins=[{', '.join(entries)}]"


# Picture: {label of a row: changes of the recipe}.
ROWS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "hero": {"": ()},
    "regions": {
        "each window is told: with a sailboat": (*LAKE, f"prompt={DAWN} with a sailboat", "plugins.regions=false"),
        "regions: a sailboat, and a balloon": (
            *LAKE,
            f"prompt={DAWN}",
            plugins(
                "style-alignment",
                "multidiffusion: {stride: 64}",
                "guided-fusion",
                "variance-corrected-fusion",
                "regions: {boxes: {boat: {box: [240, 40, 112, 88], adds: with a sailboat}, "
                "balloon: {box: [656, 0, 112, 84], adds: with a balloon}}}",
            ),
        ),
    },
    "strides": {
        f"stride {stride}": (*MOUNTAINS, plugins(f"multidiffusion: {{stride: {stride}}}"))
        for stride in (128, 96, 64, 32)
    },
    "jitter": {
        f"jitter {jitter}": (*MOUNTAINS, plugins(f"multidiffusion: {{stride: 96, jitter: {jitter}}}"))
        for jitter in (0, 16)
    },
    "guided-fusion": {
        "equal weights": (*MOUNTAINS, plugins("multidiffusion: {stride: 96}")),
        "guided-fusion": (*MOUNTAINS, plugins("multidiffusion: {stride: 96}", "guided-fusion")),
    },
    "noise": {
        "averaged": (*COAST, plugins("multidiffusion: {stride: 32, noise: averaged}")),
        "variance-corrected-fusion": (
            *COAST,
            plugins("multidiffusion: {stride: 32}", "variance-corrected-fusion"),
        ),
        "canvas (without a plugin)": (*COAST, plugins("multidiffusion: {stride: 32}")),
    },
    "shifted-windows": {
        "multidiffusion, windows that only touch: 6 a step": (*MOUNTAINS, plugins("multidiffusion: {stride: 128}")),
        "shifted-windows: 6 a step": (*MOUNTAINS, plugins("shifted-windows: {axes: x}")),
        "shifted-windows, overlapping in the first quarter": (
            *MOUNTAINS,
            plugins("shifted-windows: {axes: x, overlap-first: 0.25}"),
        ),
        "multidiffusion, stride 32: 21 a step": (*MOUNTAINS, plugins("multidiffusion: {stride: 32}")),
    },
    "sync-diffusion": {
        f"weight {weight}": (
            *WIDE,
            "prompt=a landscape poster of a mountain lake in clear weather",
            "scheduler=ddim",
            "seed=2",
            plugins("multidiffusion: {stride: 64}", f"sync-diffusion: {{weight: {weight}}}"),
        )
        for weight in (0, 20, 100)
    },
    "style-alignment": {
        f"alpha {alpha}": (
            *WIDE,
            "prompt=a landscape poster of a mountain lake in clear weather",
            "seed=2",
            "plugins.regions=false",
            f"plugins.style-alignment.alpha={alpha}",
        )
        for alpha in (0, 0.4, 0.8)
    },
}


SETS: list[str] = []
"""Changes of every picture, from the command line."""

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


def run(changes: Sequence[str], recipe: str = RECIPE, shown: str = "") -> Image:
    """The picture of a recipe with some changes, or one of its maps."""
    from fusionkit import Fusion
    from fusionkit.recipe.recipe_file import load_recipes

    changes = [*changes, *SETS]
    result = Fusion.from_recipe(load_recipes(recipe, changes)[0])(progress=False, maps=bool(shown))
    print(f"  {shlex.join(['fusionkit', 'run', recipe, *(part for each in changes for part in ('--set', each))])}")
    return result.maps[shown] if shown else result.image


def enlarged(image: Image, zoom: int = ZOOM) -> Image:
    """A picture at a multiple of its size."""
    from PIL.Image import Resampling

    return image.resize((image.width * zoom, image.height * zoom), Resampling.LANCZOS)


def sharpness(image: Image) -> float:
    """Mean absolute difference of neighbouring pixels, of 255."""
    import numpy as np

    pixels = np.asarray(image.convert("L"), dtype=float)
    return float(np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean()) / 2


def stacked(rows: Mapping[str, Image]) -> Image:
    """Pictures below each other, with their labels."""
    from PIL import Image, ImageDraw, ImageFont

    label = LABEL if any(rows) else 0
    width = max(image.width for image in rows.values())
    height = sum(image.height + label for image in rows.values()) + GAP * (len(rows) - 1)
    sheet = Image.new("RGB", (width, height), "white")
    draw, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(15), 0
    for text, image in rows.items():
        draw.text((2, top + 1), text, fill="black", font=font)
        sheet.paste(image, (0, top + label))
        top += image.height + label + GAP
    return sheet


def rows(name: str) -> Image:
    """The rows of a picture, and how sharp each one is."""
    made = {label: run(changes) for label, changes in ROWS[name].items()}
    for label, image in made.items():
        print(f"  {label or name}: sharpness {sharpness(image):.2f}")
    return stacked(made)


def beside(columns: Mapping[str, Image]) -> Image:
    """Pictures beside each other, with their labels."""
    from PIL import Image

    labelled = [stacked({label: image}) for label, image in columns.items()]
    width = sum(image.width for image in labelled) + GAP * (len(labelled) - 1)
    sheet = Image.new("RGB", (width, max(image.height for image in labelled)), "white")
    left = 0
    for image in labelled:
        sheet.paste(image, (left, 0))
        left += image.width + GAP
    return sheet


def controlnet() -> Image:
    """An upscaled picture without a ControlNet, and with one at two strengths."""
    recipe, changes = "accdiffusion-v2-tinyworld", ("prompt=a landscape cartoon of mountains at noon", "seed=4")
    columns = {"without": run([*changes, "plugins.controlnet=false"], recipe)}
    for scale in (0.5, 1):
        columns[f"scale {scale}"] = run([*changes, f"plugins.controlnet.scale={scale}"], recipe)
    return beside(columns)


def elastic_diffusion() -> Image:
    """A canvas of twice the window's sides by plain windows, and by a small picture that says what is where."""
    thing = "prompt=a landscape poster of the sea at dawn in clear weather with a sailboat"
    changes = ("size=256x256", "steps=20", "scheduler=ddim", "seed=5", thing)
    return beside(
        {
            "multidiffusion": run([*changes, plugins("multidiffusion: {stride: 64}")]),
            "elastic-diffusion": run([*changes, plugins("elastic-diffusion: {resampling: 6}")]),
            "without resampling": run([*changes, plugins("elastic-diffusion: {resampling: 0}")]),
        }
    )


def cut_diffusion() -> Image:
    """A canvas of twice the window's sides by plain windows, and by interleaved pictures of the whole at first."""
    changes = ("steps=20", "seed=2")
    columns = {
        "multidiffusion": "plugins.cut-diffusion=false",
        "until 0.25": "plugins.cut-diffusion.until=0.25",
        "until 0.5": "plugins.cut-diffusion.until=0.5",
        "0.5, no shuffle": "plugins.cut-diffusion={until: 0.5, shuffle: false}",
    }
    return beside({label: run([*changes, change], "cutdiffusion-vista") for label, change in columns.items()})


def larger_views() -> Image:
    """One view of twice the model's side: direct, and with what makes a UNet fit for it."""
    columns = {
        "direct": (),
        "attention-scaling": ("attention-scaling",),
        "re-dilation": ("re-dilation",),
        "with dispersion": ("re-dilation", "dispersion"),
        "with damped guidance": ("re-dilation", "noise-damped-guidance: {levels: [1.5]}"),
        "HiDiffusion": ("resolution-aware-unet", "windowed-attention"),
    }
    return beside({label: run([plugins(*entries)], "scalecrafter-vista") for label, entries in columns.items()})


def fouriscale() -> Image:
    """One view of three times the model's side: direct, and with kernels that are spread in three ways."""
    columns = {
        "direct": (),
        "re-dilation": ("re-dilation",),
        "fouriscale": ("fouriscale",),
        "with fouriscale-guidance": ("fouriscale", "fouriscale-guidance"),
    }
    size = ("size=384x384", "window=384x384")
    return beside({label: run([*size, plugins(*entries)], "fouriscale-vista") for label, entries in columns.items()})


def freescale() -> Image:
    """Twice the model's side: direct, and FreeScale from its stages alone to the whole."""
    stages = "progressive-upscaling: {{first: 128x128, enlarge: {}, strength: 0.7, skip-residual: 2, anchor: false}}"
    latents, pixels = stages.format("latents"), stages.format("pixels")
    columns = {
        "direct": (),
        "stages in latents": (latents,),
        "stages in pixels": (pixels,),
        "with restrained-dilation": (pixels, "restrained-dilation"),
        "with scale-fusion": (pixels, "restrained-dilation", "scale-fusion"),
    }
    return beside({label: run([plugins(*entries)], "freescale-vista") for label, entries in columns.items()})


def side_by_side(images: Sequence[Image]) -> Image:
    """Pictures of one size beside each other, enlarged."""
    return joined([enlarged(image) for image in images])


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


def patch_content_prompts() -> Image:
    """The views of the last stage with their prompts."""
    return run([], "accdiffusion-tinyworld", shown="prompts")


def guided_upscaling() -> Image:
    """AccDiffusion with guided fusion, style alignment and variance-corrected noise."""
    return run([], "accdiffusion-guided-tinyworld")


def guidance_map() -> Image:
    """The weights of a square, a wide and a high window."""
    from PIL import Image

    from fusionkit_gvcf.guided_fusion import guidance_map

    sizes = ((160, 160), (160, 320), (160, 80))
    sheet = Image.new("RGB", (sum(width for _, width in sizes) + 2 * 10, 160), "white")
    left = 0
    for height, width in sizes:
        weights = (guidance_map(height, width)[0, 0] * 255).round().byte().numpy()
        sheet.paste(Image.fromarray(weights), (left, 0))
        left += width + 10
    return sheet


def tinyworld() -> Image:
    """All scenes at all times of day, as photo and as cartoon."""
    from PIL import Image

    from fusionkit import Fusion
    from fusionkit.recipe.recipe_file import load_recipes
    from fusionkit_tinyworld.captions import SCENE_PHRASES, STYLES, TIMES

    fusion = Fusion.from_recipe(
        load_recipes("panorama-tinyworld", ["size=64x64", "scheduler=ddim", "steps=30", plugins(), *SETS])[0]
    )
    sheet = Image.new("RGB", (len(STYLES) * len(TIMES) * 68 - 4, len(SCENE_PHRASES) * 68 - 4), "white")
    for row, scene in enumerate(SCENE_PHRASES.values()):
        for column, (style, time) in enumerate((style, time) for style in STYLES for time in TIMES):
            prompt = f"a landscape {style} of {scene} at {time}"
            sheet.paste(fusion(prompt, seed=row, progress=False).image, (column * 68, row * 68))
    return enlarged(sheet)


def vista_drawings() -> Image:
    """Drawings of the embedded world `vista`: each scene as poster and as woodcut, and two wide ones."""
    import numpy as np
    from PIL import Image

    from fusionkit_vista.drawer import SCENES, STYLES, draw, sample_spec

    side, gap = 120, 4
    sheet = Image.new("RGB", (9 * (side + gap) - gap, 6 * (side + gap) - gap), "white")
    for row, style in enumerate((*STYLES, *STYLES)):
        for column, scene in enumerate(SCENES):
            spec = sample_spec(np.random.default_rng((9, row, column)), scene=scene, style=style)
            picture = Image.fromarray(draw(spec, size=(side, side)))
            sheet.paste(picture, (column * (side + gap), row * (side + gap)))
    for row, (scene, style, time, thing) in enumerate(
        (
            ("a mountain lake", "poster", "under northern lights", "sailboat"),
            ("green hills", "woodcut", "at dawn", "windmill"),
        ),
        4,
    ):
        rng = np.random.default_rng((9, row))
        spec = sample_spec(rng, scene=scene, style=style, time=time, thing=thing, number=3, width=sheet.width / side)
        sheet.paste(Image.fromarray(draw(spec, size=(sheet.width, side))), (0, row * (side + gap)))
    return sheet


def once() -> Image:
    """A thing that all windows hear of, and one that is to be there once."""
    told = "a landscape poster of green hills at noon in clear weather with a balloon"
    return stacked(
        {
            "each window is told: with a balloon": run([f"prompt={told}", "plugins.regions=false"], "once-vista"),
            "once: a balloon": run([], "once-vista"),
        }
    )


def two_prompts() -> Image:
    """A prompt for each half."""
    return stacked({"left: a city; right: a forest": run([], "two-prompts-vista")})


def two_styles() -> Image:
    """A panorama in two styles by either embedded world."""
    tinyworld = enlarged(run([], "two-styles-tinyworld"))
    return stacked({"vista/scenes: poster and woodcut": run([], "two-styles-vista"), "tinyworld/scenes": tinyworld})


def fifty_samples() -> Image:
    """Fifty samples of `vista/scenes`, and fifty of `tinyworld/scenes` at twice their size: the first fifty."""
    import torch
    from PIL import Image

    from fusionkit_tinyworld import WEIGHTS
    from fusionkit_tinyworld.captions import caption
    from fusionkit_tinyworld.evaluate import choose_contents
    from fusionkit_tinyworld.pipeline import load_pipeline
    from fusionkit_tinyworld.pipeline import sample as tinyworld_sample
    from fusionkit_vista.evaluate.samples import OUT, chosen_captions, sample

    count = 50
    vista = [Image.fromarray(each) for each in sample(chosen_captions(count, 0), 0, folder=OUT)]
    pipeline = load_pipeline(WEIGHTS / "scenes", torch.device("cpu"))
    captions = [caption(each) for each in choose_contents(count, 0)]
    tiny = [enlarged(Image.fromarray(each)) for each in tinyworld_sample(pipeline, captions, 0)]
    step = vista[0].width + 4
    sheets = {}
    for label, pictures in (("vista/scenes", vista), ("tinyworld/scenes, at twice its size", tiny)):
        sheets[label] = sheet = Image.new("RGB", (10 * step - 4, count // 10 * step - 4), "white")
        for number, picture in enumerate(pictures):
            sheet.paste(picture, (number % 10 * step, number // 10 * step))
    return stacked(sheets)


def vista_enlarged() -> Image:
    """Two pictures at twice the side of the window and one at four times, each beside its first stage, enlarged."""
    recipe = "upscale-vista"
    sea = ("prompt=a landscape poster of the sea at sunset in clear weather with a sailboat", "seed=3")
    rows = []
    for cases, zoom in (((), sea), 2), ((sea,), 4):
        row = []
        for changes in cases:
            first = enlarged(run([*changes, "size=128x128", plugins()], recipe), zoom)
            larger = ("size=512x512", "plugins.progressive-upscaling.stages=[2]") if zoom == 4 else ()
            second = run([*changes, *larger], recipe)
            print(f"  sharpness {sharpness(first):.2f}, then {sharpness(second):.2f}")
            row += [first, second]
        rows.append(joined(row))
    return stacked({"2 times": rows[0], "4 times": rows[1]})


def joined(images: Sequence[Image]) -> Image:
    """Pictures of one size beside each other, as they are."""
    from PIL import Image

    step = images[0].width + GAP
    sheet = Image.new("RGB", (step * len(images) - GAP, images[0].height), "white")
    for number, image in enumerate(images):
        sheet.paste(image, (number * step, 0))
    return sheet


def outline() -> Image:
    """A line drawing, and panoramas along it by either embedded world."""
    from PIL import Image

    drawn = Image.open(IMAGES.parents[1] / "recipes" / "outline.png").convert("RGB")
    small = ("plugins.controlnet.model=tinyworld/canny", "plugins.multidiffusion.stride=32", "size=512x64")
    mountains = ("model=tinyworld/scenes", "prompt=a landscape photo of mountains at twilight", *small)
    return stacked(
        {
            "the line drawing": drawn,
            "vista/scenes with vista/canny": run([], "outline-vista"),
            "vista/scenes without": run(["plugins.controlnet=false"], "outline-vista"),
            "tinyworld/scenes with tinyworld/canny": enlarged(run(mountains, "outline-vista")),
        }
    )


def lake() -> Image:
    """The picture that comes with the recipes that begin with one."""
    from PIL import Image

    return Image.open(IMAGES.parents[1] / "recipes" / "lake.png").convert("RGB")


def image_to_image() -> Image:
    """A picture, and what three strengths make of it."""
    recipe = "image-to-image-vista"
    drawn = {
        f"strength {strength}": run([f"plugins.image-to-image.strength={strength}"], recipe)
        for strength in (0.4, 0.6, 0.8)
    }
    return stacked({"the picture": lake(), **drawn})


def inpaint() -> Image:
    """A picture whose sky is drawn anew, twice."""
    recipe = "inpaint-vista"
    sunset = ("prompt=a landscape poster of a mountain lake at sunset under clouds", "scheduler=euler-a")
    drawn = {"its sky under northern lights": run([], recipe), "its sky at sunset": run([*sunset], recipe)}
    for label, picture in drawn.items():
        rows = differing_rows(lake(), picture)
        print(f"  {label}: rows {rows[0]} to {rows[-1]} of {picture.height} differ")
    return stacked({"the picture": lake(), **drawn})


def differing_rows(one: Image, other: Image) -> Sequence[int]:
    """The numbers of the rows in which two pictures differ."""
    import numpy as np

    differs = (np.asarray(one) != np.asarray(other)).any(axis=(1, 2))
    return [int(row) for row in differs.nonzero()[0]]


def colour_match() -> Image:
    """A picture drawn anew, and with the colours that it had."""
    recipe, names = "image-to-image-vista", ("multidiffusion: {stride: 64}", "guided-fusion")
    begin = "image-to-image: {from: lake.png}"
    drawn = {
        f"colour-match: {{by: {by}}}": run([plugins(*names, begin, f"colour-match: {{by: {by}}}")], recipe)
        for by in ("mean-std", "wavelet")
    }
    return stacked({"the picture": lake(), "drawn anew": run([], recipe), **drawn})


def ring() -> Image:
    """A panorama without and with `ring`, rolled by half of its width; prints the steps at the edge and elsewhere."""
    import numpy as np
    from PIL import Image

    rolled = {}
    for axes in ("none", "x"):
        picture = run([f"plugins.ring.axes={axes}", "seed=1"], "ring-vista")
        grey = np.asarray(picture.convert("L"), float)
        steps, edge = np.abs(np.diff(grey)).mean(0), np.abs(grey[:, 0] - grey[:, -1]).mean()
        print(f"  axes {axes}: {edge:.1f} at the edge, {steps.mean():.1f} between columns, {steps.max():.1f} at most")
        half = np.roll(np.asarray(picture), picture.width // 2, axis=1)
        rolled["without ring" if axes == "none" else "with ring"] = Image.fromarray(half)
    return stacked(rolled)


PICTURES: Mapping[str, Callable[[], Image]] = {
    **{name: lambda name=name: rows(name) for name in ROWS},  # type: ignore[misc]
    "colour-match": colour_match,
    "controlnet": controlnet,
    "cross-domain-fusion": cross_domain_fusion,
    "cut-diffusion": cut_diffusion,
    "elastic-diffusion": elastic_diffusion,
    "fifty-samples": fifty_samples,
    "fine-grained-fusion": fine_grained_fusion,
    "fine-grained-fusion-vista": fine_grained_fusion_vista,
    "fouriscale": fouriscale,
    "freescale": freescale,
    "guidance-map": guidance_map,
    "guided-upscaling": guided_upscaling,
    "image-to-image": image_to_image,
    "inpaint": inpaint,
    "larger-views": larger_views,
    "magicfusion-panorama": magicfusion_panorama,
    "magicfusion-shares": magicfusion_shares,
    "magicfusion-winners": magicfusion_winners,
    "outline": outline,
    "patch-content-prompts": patch_content_prompts,
    "recontextualisation": recontextualisation,
    "ring": ring,
    "three-models": three_models,
    "tinyworld": tinyworld,
    "two-models": two_models,
    "two-styles": two_styles,
    "once": once,
    "two-prompts": two_prompts,
    "vista-drawings": vista_drawings,
    "vista-enlarged": vista_enlarged,
}


# Pictures of few colours, and those with small text, lose nothing; photographs and drawings are as good as they were.
EXACT = {"guidance-map", "hero", "magicfusion-shares", "magicfusion-winners", "patch-content-prompts", "two-models"}
# Soft colours, and sheets of many drawings.
SOFT = {
    "cut-diffusion",
    "fine-grained-fusion-vista",
    "elastic-diffusion",
    "colour-match",
    "fifty-samples",
    "fouriscale",
    "freescale",
    "guided-fusion",
    "image-to-image",
    "inpaint",
    "jitter",
    "noise",
    "outline",
    "regions",
    "ring",
    "shifted-windows",
    "strides",
    "style-alignment",
    "sync-diffusion",
    "two-styles",
    "once",
    "two-prompts",
    "vista-drawings",
    "vista-enlarged",
}
LOSSLESS = {"format": "WEBP", "lossless": True, "quality": 100, "method": 6}
FINE = {"format": "JPEG", "quality": 95, "subsampling": 0, "optimize": True}


def written(name: str, image: Image) -> Path:
    """Where a picture is, written in the form that suits it."""
    if name in EXACT:
        image.save(path := IMAGES / f"{name}.webp", **LOSSLESS)
    elif name in SOFT:
        image.save(path := IMAGES / f"{name}.webp", format="WEBP", quality=90, method=6)
    else:
        image.convert("RGB").save(path := IMAGES / f"{name}.jpg", **FINE)
    return path


@click.command()
@click.option("--only", type=click.Choice(sorted(PICTURES)), multiple=True, help="Make this picture; may be repeated.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change the recipe of every picture.")
def main(only: Sequence[str], sets: Sequence[str]) -> None:
    """Make the pictures of the documentation."""
    SETS.extend(sets)
    for name in only or PICTURES:
        print(name)
        path = written(name, PICTURES[name]())
        print(f"  docs/images/{path.name}, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
