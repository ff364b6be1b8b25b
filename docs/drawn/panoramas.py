"""Pictures of panoramas, a row for each run, and of what makes their windows one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drawn.sheets import IMAGES, enlarged, plugins, run, sharpness, stacked

if TYPE_CHECKING:
    from PIL.Image import Image

WIDE = ("size=768x128", "steps=20")
MOUNTAINS = (*WIDE, "prompt=a landscape poster of mountains at sunset in clear weather", "scheduler=ddim", "seed=3")
COAST = (*WIDE, "prompt=a landscape poster of a rocky coast at dawn in clear weather", "scheduler=ddpm", "seed=2")
DAWN = "a landscape poster of a mountain lake at dawn in mist"
LAKE = ("steps=30", "seed=2")


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


def rows(name: str) -> Image:
    """The rows of a picture, and how sharp each one is."""
    made = {label: run(changes) for label, changes in ROWS[name].items()}
    for label, image in made.items():
        print(f"  {label or name}: sharpness {sharpness(image):.2f}")
    return stacked(made)


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


def image_prompt_masks() -> Image:
    """The mask of a picture that is looked at in a box of a canvas, and each window's part of it."""
    from PIL import Image, ImageOps

    from fusionkit.loop.canvas import crop_pixels
    from fusionkit.testing import tiny_plan
    from fusionkit_ipadapter.places import mask_of
    from fusionkit_multidiffusion import MultiDiffusion

    plan = tiny_plan([MultiDiffusion(stride=32)], size=(192, 64))
    (stage,) = plan.stages
    (group,) = plan.hooks.ask("views", stage=stage, at=stage.steps[0])
    mask = mask_of(stage, (0.4, 0.1, 0.35, 0.8), None, 24)
    assert mask is not None

    def drawn(values: Any) -> Image.Image:
        grey = Image.fromarray((values[0] * 255).round().byte().numpy())
        return ImageOps.expand(grey.resize((2 * grey.width, 2 * grey.height)), 1, 160)

    windows = [drawn(each) for each in crop_pixels(mask, group.views, stage.factor)]
    sheet = Image.new("RGB", (sum(each.width for each in windows) + 10 * (len(windows) - 1), 270), "white")
    whole = drawn(mask[0])
    sheet.paste(whole, ((sheet.width - whole.width) // 2, 0))
    for number, window in enumerate(windows):
        sheet.paste(window, (number * (window.width + 10), whole.height + 10))
    return sheet


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
