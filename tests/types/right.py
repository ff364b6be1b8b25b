"""What users write, in all the forms that a recipe's fields take: no type checker may object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL.Image import Image
from torch import Tensor

from fusionkit import Fusion, Plugin, Recipe, Result, Stage, Step, Wrapper, hookimpl
from fusionkit_accdiffusion import ControlNet, DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion, Reference, StyleAlignment, VarianceCorrectedFusion
from fusionkit_magicfusion import Role, SaliencyNoiseBlending, Span
from fusionkit_multidiffusion import MultiDiffusion

PLUGINS: list[Plugin] = [
    ControlNet(model="tinyworld/canny"),
    ControlNet(model=str(Path("canny")), annotator="none", from_="edges.png", sigma=0.2, scale=1, start=0.1, end=0.9),
    DilatedSampling(),
    DilatedSampling(window_interaction=False, sigma_exponent=2, skip_below=0),
    GuidedFusion(),
    MultiDiffusion(),
    MultiDiffusion(stride=32, jitter=8, noise="averaged"),
    MultiDiffusion(stride=(32, 16), jitter_edges="cross"),
    MultiDiffusion(stride="32x16"),
    PatchContentPrompts(),
    ProgressiveUpscaling(),
    ProgressiveUpscaling(stages=(2, "96x64"), from_=Path("small.png"), steps=4, skip_residual="off"),
    SaliencyNoiseBlending(models={"a": Role(), "b": Role(prompt="a fox", k=2)}, blend=Span(from_=1.0, to=0.5)),
    StyleAlignment(),
    StyleAlignment(alpha=0.4, reference=Reference(patch=(0, 0))),
    VarianceCorrectedFusion(),
]


class Own(Plugin, name="my-own"):
    """A plugin of a user, without any option."""

    @hookimpl(wrapper=True)
    def init_noise(self, stage: Stage) -> Wrapper[Tensor]:
        noise = yield
        return noise.flip(-1)


def ends(stage: Stage, at: Step, latents: Tensor) -> bool:
    return latents.shape == stage.shape and not at.is_last


def shows(image: Image, stage: Stage, at: Step) -> None:
    image.save(f"{at.index}.png")


def run(pipe: Any, recipe: Recipe) -> Result:
    fusion = Fusion.from_pretrained(
        Path("model"),
        plugins=[*PLUGINS, Own()],
        scheduler="ddpm",
        steps=30,
        size=(192, 64),
        dtype="bfloat16",
        loras=[{"path": "style.safetensors", "scale": 0.5}],
    )
    fusion = Fusion.from_pretrained({"a": "tinyworld/scenes", "b": Path("b")}, scheduler={"ddim": {"eta": 1.0}})
    fusion = Fusion.from_pipe(pipe, plugins=(GuidedFusion(),), prompt="a hill", clip_skip=None)
    fusion = Fusion.from_pipes({"a": pipe, "b": pipe}, guidance_scale=5)
    fusion = Fusion.from_recipe(recipe, plugins=["multidiffusion", {"style-alignment": {"alpha": 0.4}}], variant=None)
    fusion = Fusion.from_recipe("panorama-tinyworld", model="tinyworld/scenes", output="{seed}.png", seed=3)
    fusion.run(Recipe(model="tinyworld/scenes", size="192x64", scheduler="ddpm"), preview=shows, preview_every=2)
    return fusion("a hill", size="192x64", window=None, seed=7, steps=2, callback=ends, plugins=[StyleAlignment()])


latents: Tensor = run(None, Recipe(prompt="a hill", models={"a": "tinyworld/scenes"})).latents
