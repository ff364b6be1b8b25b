"""Pictures of the embedded worlds: what they were taught, and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drawn.sheets import SETS, enlarged, plugins, stacked

if TYPE_CHECKING:
    from PIL.Image import Image


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
