"""How recorded arrays are kept small, and read again; `README.md` beside this says what is kept.

    python tests/golden/arrays.py RECORDED.npz KEPT.npz [STEPS]

With STEPS only the first ones are kept, of canvases and of arrays named `s0_...`, `s1_...`.

A file stays one that `numpy.load` reads. The end of an array's name says how it is kept:

- `.steps2`, `.steps4` and `.last`: of arrays (steps, ..., H, W) all but the last step at every second, or fourth, row
  and column, and the last step whole.
- `.grid2`, `.grid4`, `.grid8`: (..., H, W) at every second, fourth, or eighth row and column.
- `.planes`: float32 as its four bytes, each byte of all numbers together, (4, ...): those with sign and exponent then
  compress well.

What was left out is read as NaN, in the recorded shape, and `recorded` tells where.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Of these systems the noise is what torch draws from the seed, one tensor after another, so that it need not be kept;
# and their canvases are kept sparsely, of every step alike.
SEEDED = ("attn_sf", "fouriscale", "hidiffusion", "scalecrafter")
SEEDED_RULES: tuple[tuple[str, str], ...] = ((r"canvas_after_step$", "grid4"), (r"params$|window_random$", "whole"))

# Of each array, by the beginning of its name, what is kept: the first pattern counts; after `or`, what of large ones.
RULES: tuple[tuple[str, str], ...] = (
    (r"(c\d+_)?(down|up)_cross_\d+$|canny_1$", "whole"),
    (r"stage1_latents_after_step$", "steps2"),
    (r"canvas_after_step$", "steps2 or steps4"),
    (r"latents_after_step$|stage\d_latents_after_step$", "steps4"),
    (r"(latent|eps)_patches$", "one step"),
    (r"eps_first_step$", "one step or grid4"),
    (r"e_(un)?cond_model0?_step0$", "first sample, grid2"),
    (r"c\d+_(e_t|x_prev|pred_x0|saliency_softmax_model_model0)$|set\d+_x$", "grid4"),
    (r"stage[2-9]_final_latents$|out$", "grid2"),
    (r"c\d+_out$", "grid4"),
    # Of the nine views of the first pass with a ControlNet: a corner, the middle, and the opposite corner.
    (r"unet_s2_i0_c0_in$", "three views"),
    (r"unet_s2_i0_c0_out$", "three views, grid2"),
    # No test reads them, or they are another array's numbers again: the last canvas, the first views, an edge picture.
    (
        r"unet_|text_embeds|stage\d_(cosine_factor|c\d|value_|count_|latents_gaussian|condition)|(image|canny)_\d",
        "nothing",
    ),
    (r"pooled$|e_t_step0$|ddim_alphas|(c\d+_)?mid_cross|final_latents$|final$|stage1_final_latents$", "nothing"),
)

# Of the systems in these folders, before those: of each step the same few pixels, the last one's too.
OWN: Mapping[str, tuple[tuple[str, str], ...]] = {
    "spotdiffusion": ((r"canvas_after_step$", "grid4"), (r"canvas_before_shift$|image$|views$", "nothing")),
    "elasticdiffusion": (
        (r"canvas_after_step$", "grid4"),
        (r"(s\d_undo_noise|s\d_p\d_sample_index|(row|col)_candidates|bg_.*|initial_noise|views|params)$", "whole"),
        (r".*", "nothing"),
    ),
    "freescale": (
        (r"stage\d_latents_after_step$", "grid4"),
        (r"stage\d_(noise|encoded_latents|views_block\d+)$|initial_noise$|params$", "whole"),
        (r".*", "nothing"),
    ),
    "cutdiffusion": (
        (r"canvas_after_step$|structure_latents_after_step$", "grid4"),
        (r"(views|shuffle_index|timesteps|params)$", "whole"),
        (r".*", "nothing"),
    ),
    "syncdiffusion": (
        (r"canvas_after_step$", "first sample, grid4"),
        (r"gradients_step_x_view$", "grid8"),
    ),
}


def load(path: Path) -> dict[str, Array]:
    """The arrays of a file, in the shapes that were recorded; NaN where nothing is kept."""
    with np.load(path) as file:
        stored = dict(_joined(name, file[name]) for name in file.files)
    found: dict[str, Array] = {}
    for name, array in stored.items():
        stem, _, how = name.rpartition(".")
        if how.startswith("steps"):
            found[stem] = np.concatenate([_spread(array, int(how[-1])), stored[f"{stem}.last"][None]])
        elif how.startswith("grid"):
            found[stem] = _spread(array, int(how[-1]))
        elif how != "last":
            found[name] = array
    return found


def save(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays as the rules say."""
    kept: dict[str, Array] = {}
    seeded = json.loads(str(arrays["params"])).get("system") in SEEDED
    own = OWN.get(path.parent.name, ())
    rules = (*SEEDED_RULES, (".*", "nothing")) if seeded else (*own, *RULES)
    for name, array in arrays.items():
        for end, part in _parts(name, array, rules):
            kept |= dict([_split(f"{name}{end}", part)])
    np.savez_compressed(path, **kept)


def _parts(name: str, array: Array, rules: tuple[tuple[str, str], ...]) -> list[tuple[str, Array]]:
    rule = next((rule for pattern, rule in rules if re.match(pattern, name)), "whole")
    if " or " in rule:
        rule = rule.split(" or ")[array.shape[-1] > 64 or array.shape[-2] > 32]
    if rule == "one step":
        return [("", array[:1])]
    if rule.startswith("three views"):
        # Recorded are, for each view, the unconditional and the conditional row.
        array = array.reshape(-1, 2, *array.shape[1:])[[0, 4, 8]].reshape(6, *array.shape[1:])
    if rule.startswith("steps"):
        step = int(rule[-1])
        return [(f".steps{step}", _thinned(array[:-1], step)), (".last", array[-1])]
    if rule.endswith(("grid2", "grid4", "grid8")):
        step = int(rule[-1])
        return [(f".grid{step}", _thinned(array[:1] if rule.startswith("first") else array, step))]
    return [] if rule == "nothing" else [("", array)]


def _thinned(array: Array, step: int) -> Array:
    assert not array.shape[-1] % step
    assert not array.shape[-2] % step
    return array[..., ::step, ::step]


def _spread(array: Array, step: int) -> Array:
    *outer, height, width = array.shape
    whole = np.full((*outer, step * height, step * width), np.nan, array.dtype)
    whole[..., ::step, ::step] = array
    return whole


def _split(name: str, array: Array) -> tuple[str, Array]:
    if array.dtype != np.float32 or array.size < 256:
        return name, array
    planes = np.ascontiguousarray(array).view(np.uint8).reshape(*array.shape, 4)
    return f"{name}.planes", np.ascontiguousarray(np.moveaxis(planes, -1, 0))


def _joined(name: str, array: Array) -> tuple[str, Array]:
    if not name.endswith(".planes"):
        return name, array
    together = np.ascontiguousarray(np.moveaxis(array, 0, -1))
    return name.removesuffix(".planes"), together.view(np.float32)[..., 0]


def main() -> None:
    """Make one recorded file small."""
    source, target = map(Path, sys.argv[1:3])
    with np.load(source) as file:
        arrays = {name: file[name] for name in file.files}
    if len(sys.argv) > 3:
        steps = int(sys.argv[3])
        later = [name for name in arrays if (found := re.match(r"s(\d+)_", name)) and int(found[1]) >= steps]
        arrays = {name: each for name, each in arrays.items() if name not in later}
        arrays["canvas_after_step"] = arrays["canvas_after_step"][:steps]
    save(target, arrays)


if __name__ == "__main__":
    main()
