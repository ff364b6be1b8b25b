"""Families that begin with a picture, or fill in a part of one: as their own pipelines of diffusers do."""

from __future__ import annotations

from pathlib import Path

import pytest
from begun import begun, begun_by_diffusers, drawing
from on_families import apart
from PIL import Image
from tiny_chroma import CASES as CHROMA
from tiny_flux import CASES as FLUX
from tiny_kolors import CASES as KOLORS
from tiny_qwen_image import CASES as QWEN
from tiny_sana import CASES as SANA
from tiny_sd3 import CASES as SD3
from tiny_z_image import CASES as Z_IMAGE

from fusionkit.pictures.picture import open_picture
from fusionkit_pictures import ImageToImage, Inpaint

SPRINT = SANA[-1]
BOX = (32, 16, 64, 48)
IMG2IMG = {
    "ChromaImg2ImgPipeline": CHROMA[0],
    "FluxImg2ImgPipeline": FLUX[0],
    "KolorsImg2ImgPipeline": KOLORS[0],
    "QwenImageImg2ImgPipeline": QWEN[0],
    "SanaSprintImg2ImgPipeline": SPRINT,
    "StableDiffusion3Img2ImgPipeline": SD3[0],
    "ZImageImg2ImgPipeline": Z_IMAGE[0],
}
# Without Chroma's, which fails by itself (diffusers 0.42), and Flux.2 klein's, which shows the picture to the denoiser.
INPAINT = {
    "FluxInpaintPipeline": FLUX[1],
    "QwenImageInpaintPipeline": QWEN[0],
    "StableDiffusion3InpaintPipeline": SD3[1],
    "ZImageInpaintPipeline": Z_IMAGE[0],
}


@pytest.mark.parametrize("task", IMG2IMG)
def test_one_window_that_begins_with_a_picture_is_the_familys_own_image_to_image(task: str, tmp_path: Path) -> None:
    case, picture = IMG2IMG[task], drawing(tmp_path / "picture.png")
    plan, ours = begun(case, [ImageToImage(from_=picture, strength=0.6)])
    assert len(plan.stages[0].steps) == 3
    theirs = begun_by_diffusers(case, task, plan.stages[0], image=open_picture(picture), strength=0.6)
    assert apart(ours, theirs) < 1e-4 * float(theirs.abs().max())


@pytest.mark.parametrize("task", INPAINT)
def test_one_window_that_is_filled_in_is_the_familys_own_inpainting(task: str, tmp_path: Path) -> None:
    case, picture = INPAINT[task], drawing(tmp_path / "picture.png")
    plan, ours = begun(case, [Inpaint(from_=picture, box=BOX, softness=0, strength=0.6)])
    mask = Image.new("L", (128, 128))
    mask.paste(255, (BOX[0], BOX[1], BOX[0] + BOX[2], BOX[1] + BOX[3]))
    theirs = begun_by_diffusers(case, task, plan.stages[0], image=open_picture(picture), mask_image=mask, strength=0.6)
    assert apart(ours, theirs) < 1e-4 * float(theirs.abs().max())
