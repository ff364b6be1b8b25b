"""What the recorded cases of MagicFusion are, as plugins and runs, and its maths written down again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch
from replay import HERE
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from fusionkit import Plugin, Recipe
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.runs.plan import RunPlan
from fusionkit.runs.run import prepare
from fusionkit_magicfusion import SaliencyNoiseBlending

DATA = sorted((HERE / "data" / "magicfusion").glob("*.npz"))
# The general model is the main one; the reference calls it `model` and the expert `model0`.
GENERAL, EXPERT = "general", "expert"
THEIRS = {GENERAL: ("model", "ns0_model"), EXPERT: ("model0", "ns1_model0")}
TINY = torch.finfo(torch.float32).tiny


def files(kind: str) -> list[Path]:
    found = [path for path in DATA if path.stem.startswith(kind)]
    assert found, f"no case of {kind}"
    return found


def plugin_for(params: dict[str, Any], *, whole: bool = False, **options: Any) -> SaliencyNoiseBlending:
    """The plugin as a case of the reference has it; mode 1 blends after its start, mode 2 before it."""
    models = {name: {"prompt": name, "k": params[k]} for name, (_, k) in THEIRS.items()}
    models[GENERAL]["prompt"] = params.get("prompt1_for_model", "general")
    models[EXPERT]["prompt"] = params.get("prompt_for_model0", "expert")
    start = params["fusion_start"]
    # A timestep of 1 or less can be said by its fraction alone.
    limit = start if start > 1 else start / 1000
    span = {} if whole else {1: {"from": limit}, 2: {"to": limit}}[params["merge_mode"]]
    return SaliencyNoiseBlending(**{"models": models, "baseline": "shared", "blend": span, **options})


@cache
def pipeline(name: str) -> Any:
    """A checkpoint with its own scheduler; what it lacks is that of tiny-sd."""
    folder = HERE / "checkpoints" / name
    if (folder / "model_index.json").exists():
        # Not `checkpoint`, whose pipelines get the schedulers of other cases.
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
        pipe.set_progress_bar_config(disable=True)
        return pipe
    general = pipeline("tiny-sd")
    unet = diffusers.UNet2DConditionModel.from_pretrained(HERE / "checkpoints" / name, subfolder="unet")
    return type(general)(**{**general.components, "unet": unet}, requires_safety_checker=False)


def plan_of(plugins: Sequence[Plugin], size: tuple[int, int], *, steps: int, scale: float, **fields: Any) -> RunPlan:
    """A run of one view of `size`, (height, width) in latent pixels, with DDIM."""
    info = info_of_pipeline(pipeline("tiny-sd"))
    pixels = (size[1] * info.factor, size[0] * info.factor)
    recipe = Recipe(size=pixels, window=pixels, steps=steps, guidance_scale=scale, plugins=list(plugins), **fields)
    return prepare(recipe, info, infos={GENERAL: info, EXPERT: info})


# The reference's maths, written down again: a plain softmax in float32, and one in float64 where that underflows.


def softmaxes(pairs: dict[str, tuple[Tensor, Tensor]], params: dict[str, Any], dtype: torch.dtype) -> Tensor:
    """The logarithms of the softmax saliencies of the general model and the expert, (2, P, h, w)."""
    baseline = pairs[GENERAL][1]
    maps = []
    for name, (_, k) in THEIRS.items():
        response = (params["scale"] * (pairs[name][0] - baseline)).abs()
        smooth = interpolate(avg_pool2d(response, 4, 1, 1), response.shape[-2:], mode="bilinear").mean(1)
        maps.append((params[k] * smooth).to(dtype).flatten(1).log_softmax(1).view_as(smooth))
    return torch.stack(maps)


def decided(saliencies: Tensor) -> Tensor:
    """Where softmax saliencies (2, P, h, w) differ by 1e-5 of the larger or more, and do not underflow; (P, h, w)."""
    largest = saliencies.amax(0)
    return (largest >= TINY) & ((saliencies[0] - saliencies[1]).abs() >= 1e-5 * largest)


def check_mask(ours: Tensor, theirs: Tensor, saliencies: Tensor, exact: Tensor) -> Tensor:
    """Ours is theirs wherever that is decided, and where float32 underflows it is what float64 tells.

    Args:
        ours: Where the expert wins, (P, h, w).
        theirs: As the reference recorded it, (P, h, w).
        saliencies: The reference's softmax saliencies, (2, P, h, w), float32.
        exact: Their logarithms, (2, P, h, w), float64.

    Returns:
        Where the two masks can be compared, (P, h, w).
    """
    clear = decided(saliencies)
    assert int(((ours != theirs.bool()) & clear).sum()) == 0
    beneath = (saliencies.amax(0) < TINY) & ((exact[0] - exact[1]).abs() > 1e-3)
    assert ours[beneath].equal((exact[1] > exact[0])[beneath])
    return clear
