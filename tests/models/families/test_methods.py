"""What draws with Stable Diffusion draws with every family: panoramas, fused noise, upscaling, odd sizes, folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from on_families import NEGATIVE, PROMPT, model_of
from PIL import Image
from tiny_parts import Case, made

from fusionkit import Fusion, Plugin
from fusionkit_accdiffusion import DilatedSampling, ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion, StyleAlignment, VarianceCorrectedFusion
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_pictures import Inpaint
from fusionkit_regions import Mask, Regions


def picture(case: Case, *plugins: Plugin, size: tuple[int, int], least: float = 0.1, **fields: Any) -> Any:
    """What a recipe draws, in two steps, checked: every number finite, every pass as planned."""
    settings = {"steps": 2, "guidance_scale": 3.0, "negative_prompt": NEGATIVE, "window": (128, 128), "batch_size": 4}
    fusion = Fusion.from_pipe(case.make(), plugins=list(plugins), **{**settings, **fields})
    result = fusion(PROMPT, size=size, seed=1, progress=False)
    assert result.latents.isfinite().all()
    assert result.latents.std() > least
    assert result.forward_passes == fusion.plan(result.recipe).forward_passes
    return result


def test_panoramas(family: Case) -> None:
    plugins = [StyleAlignment(), MultiDiffusion(stride=64), GuidedFusion()]
    assert picture(family, *plugins, size=(256, 128)).image.size == (256, 128)


def test_fused_noise_keeps_its_variance(family: Case) -> None:
    plugins = [MultiDiffusion(stride=64), VarianceCorrectedFusion()]
    flow = model_of(family).info.prediction_type == "flow_prediction"
    picture(family, *plugins, size=(256, 128), scheduler="flow-euler-a" if flow else "euler-a")


def test_upscaling_with_jitter_and_dilated_samples(family: Case) -> None:
    plugins = [ProgressiveUpscaling(), MultiDiffusion(stride=64, jitter=8), DilatedSampling()]
    assert picture(family, *plugins, size=(256, 128)).image.size == (256, 128)


def test_a_part_of_a_picture_is_drawn_anew(family: Case, tmp_path: Path) -> None:
    """On a ring of odd sides, with a painted region, guidance in some steps, and the passes that were said."""
    info = model_of(family).info
    width, height = (side + info.factor * info.patch for side in (256, 128))
    before = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    before.save(tmp_path / "picture.png")
    mask = Image.new("L", (width * 3 // 16, height * 3 // 16))
    mask.paste(255, (5, 0, 21, mask.height))
    mask.save(tmp_path / "mask.png")
    plugins = [
        Ring(),
        Regions(masks={"dog": Mask(mask=tmp_path / "mask.png", prompt="a dog", guidance_scale=1)}),
        Inpaint(from_=tmp_path / "picture.png", box=(0, 0, width, 64), strength=0.5),
    ]
    after = picture(family, *plugins, size=(width, height), least=0.01, steps=4, guidance_interval=(0, 0.5)).image
    kept = (0, 80, width, height)
    assert after.crop(kept).tobytes() == before.crop(kept).tobytes()
    assert after.crop((0, 0, width, 64)).tobytes() != before.crop((0, 0, width, 64)).tobytes()


def test_views_of_odd_sides(family: Case) -> None:
    """A canvas that dilation does not divide: a view's sides need be no whole tokens."""
    factor = model_of(family).info.factor * model_of(family).info.patch
    size = (17 * factor, 9 * factor)
    plugins = [ProgressiveUpscaling(), MultiDiffusion(stride=64), DilatedSampling()]
    assert picture(family, *plugins, size=size).image.size == size


def test_a_picture_is_encoded_and_decoded_as_the_pipeline_does(case: Case) -> None:
    model = model_of(case)
    noise = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    image = Image.fromarray((noise[0].permute(1, 2, 0).numpy() * 255).astype("uint8"))
    latents = model.encode(image)
    assert latents.shape == (1, model.info.channels, 64 // model.info.factor, 128 // model.info.factor)
    assert model.decode(latents).size == image.size


TOLD = """
import sys
from fusionkit.models.inspect import inspect_model
for folder in sys.argv[1:]:
    info = inspect_model(folder)
    print(info.kind, info.channels, info.factor, info.patch, "torch" in sys.modules)
"""


def test_folders_are_told_without_torch(tmp_path: Path) -> None:
    folders = [str(tmp_path / case.name) for case in made()]
    for case, folder in zip(made(), folders, strict=True):
        case.make().save_pretrained(folder)

    told = subprocess.run([sys.executable, "-c", TOLD, *folders], capture_output=True, text=True, check=False)

    infos = [model_of(case).info for case in made()]
    known = [f"{info.kind} {info.channels} {info.factor} {info.patch} False" for info in infos]
    assert told.stdout.splitlines() == known, told.stderr
    assert [info.kind for info in infos] == [case.kind for case in made()]


def test_a_folder_draws_as_its_pipeline(case: Case, tmp_path: Path) -> None:
    pipe, folder = case.make(), tmp_path / "model"
    pipe.save_pretrained(folder)
    fields: dict[str, Any] = {"steps": 2, "window": (128, 128)}
    loaded, ours = (
        fusion(PROMPT, size=(128, 128), seed=1, progress=False).latents
        for fusion in (Fusion.from_pretrained(folder, device="cpu", **fields), Fusion.from_pipe(pipe, **fields))
    )
    assert (loaded - ours).abs().max() <= 1e-4
