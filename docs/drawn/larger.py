"""Pictures of what draws larger than the model, or enlarges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drawn.sheets import beside, enlarged, joined, plugins, run, sharpness, stacked

if TYPE_CHECKING:
    from PIL.Image import Image


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


def patch_content_prompts() -> Image:
    """The views of the last stage with their prompts."""
    return run([], "accdiffusion-tinyworld", shown="prompts")


def guided_upscaling() -> Image:
    """AccDiffusion with guided fusion, style alignment and variance-corrected noise."""
    return run([], "accdiffusion-guided-tinyworld")


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
