"""Makes every picture of the documentation, from the embedded models and fixed seeds.

Run it:  python docs/make_pictures.py
         python docs/make_pictures.py --only noise
         python docs/make_pictures.py --only noise --set steps=4

Each row of a picture is one run of a bundled recipe with a few changes, the same that `fusionkit run RECIPE --set ...`
takes. Pictures of tinyworld are shown at twice their size, since its windows have only 64 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from drawn import sheets
from drawn.begun import colour_match, exact_size, image_to_image, inpaint
from drawn.blends import (
    cross_domain_fusion,
    fine_grained_fusion,
    fine_grained_fusion_vista,
    magicfusion_panorama,
    magicfusion_shares,
    magicfusion_winners,
    recontextualisation,
    three_models,
    two_models,
    weighted_mean,
)
from drawn.larger import (
    controlnet,
    cut_diffusion,
    elastic_diffusion,
    fouriscale,
    freescale,
    guided_upscaling,
    larger_views,
    patch_content_prompts,
    vista_enlarged,
)
from drawn.panoramas import ROWS, guidance_map, image_prompt_masks, once, outline, ring, rows, two_prompts, two_styles
from drawn.tasks import (
    all_around,
    by_region,
    from_sketch,
    larger,
    one_of_nine,
    quick,
    removed,
    same_look,
    same_place,
    textures,
    turn,
)
from drawn.worlds import fifty_samples, tinyworld, vista_drawings

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES: Mapping[str, Callable[[], Image]] = {
    **{name: lambda name=name: rows(name) for name in ROWS},  # type: ignore[misc]
    "all-around": all_around,
    "by-region": by_region,
    "colour-match": colour_match,
    "controlnet": controlnet,
    "cross-domain-fusion": cross_domain_fusion,
    "cut-diffusion": cut_diffusion,
    "elastic-diffusion": elastic_diffusion,
    "exact-size": exact_size,
    "fifty-samples": fifty_samples,
    "fine-grained-fusion": fine_grained_fusion,
    "fine-grained-fusion-vista": fine_grained_fusion_vista,
    "fouriscale": fouriscale,
    "freescale": freescale,
    "from-sketch": from_sketch,
    "guidance-map": guidance_map,
    "guided-upscaling": guided_upscaling,
    "image-to-image": image_to_image,
    "inpaint": inpaint,
    "ip-adapter": image_prompt_masks,
    "larger": larger,
    "larger-views": larger_views,
    "magicfusion-panorama": magicfusion_panorama,
    "magicfusion-shares": magicfusion_shares,
    "magicfusion-winners": magicfusion_winners,
    "outline": outline,
    "patch-content-prompts": patch_content_prompts,
    "recontextualisation": recontextualisation,
    "one-of-nine": one_of_nine,
    "quick": quick,
    "removed": removed,
    "ring": ring,
    "same-look": same_look,
    "same-place": same_place,
    "textures": textures,
    "turn": turn,
    "three-models": three_models,
    "tinyworld": tinyworld,
    "two-models": two_models,
    "two-styles": two_styles,
    "once": once,
    "two-prompts": two_prompts,
    "vista-drawings": vista_drawings,
    "vista-enlarged": vista_enlarged,
    "weighted-mean": weighted_mean,
}


# Pictures of few colours, and those with small text, lose nothing; photographs and drawings are as good as they were.
EXACT = {
    "guidance-map",
    "hero",
    "ip-adapter",
    "magicfusion-shares",
    "magicfusion-winners",
    "patch-content-prompts",
    "two-models",
}


# Soft colours, and sheets of many drawings.
SOFT = {
    "all-around",
    "by-region",
    "from-sketch",
    "larger",
    "one-of-nine",
    "quick",
    "removed",
    "same-look",
    "same-place",
    "textures",
    "turn",
    "cut-diffusion",
    "fine-grained-fusion-vista",
    "elastic-diffusion",
    "colour-match",
    "exact-size",
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
    "weighted-mean",
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
        image.save(path := sheets.IMAGES / f"{name}.webp", **LOSSLESS)
    elif name in SOFT:
        image.save(path := sheets.IMAGES / f"{name}.webp", format="WEBP", quality=90, method=6)
    else:
        image.convert("RGB").save(path := sheets.IMAGES / f"{name}.jpg", **FINE)
    return path


@click.command()
@click.option("--only", type=click.Choice(sorted(PICTURES)), multiple=True, help="Make this picture; may be repeated.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change the recipe of every picture.")
def main(only: Sequence[str], sets: Sequence[str]) -> None:
    """Make the pictures of the documentation."""
    sheets.SETS.extend(sets)
    for name in only or PICTURES:
        print(name)
        path = written(name, PICTURES[name]())
        print(f"  docs/images/{path.name}, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
