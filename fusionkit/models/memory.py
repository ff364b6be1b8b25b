"""Rough estimates of memory, before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from fusionkit.foreign import guarded
from fusionkit.loop.in_strips import STRIP
from fusionkit.loop.model import ModelInfo
from fusionkit.loop.ring import MARGIN

if TYPE_CHECKING:
    import torch

    from fusionkit.loop.stage import StagePlan
    from fusionkit.models.families import Family
    from fusionkit.recipe.recipe import Recipe

IN_STRIPS = (".tif", ".tiff", ".dzi")
"""Pictures that are written strip by strip."""

GIB = 2**30
# The estimate is rough, so that only a run that needs clearly more than there is gets refused.
_DOUBT = 1.25

# Peak of the VAE's decoder, in units of its last feature map (channels x height x width): measured 7.5 to 8.0, on SD's
# own as well.
_DECODER_MAPS = 8
# Largest share of the weights that is on the GPU at one time: the denoiser; one layer.
# By groups: two blocks of the denoiser, of which the largest families' have 19 and more, and what is in no block.
_RESIDENT = {"none": 1.0, "model": 0.8, "group": 0.15, "sequential": 0.05}
LARGEST_BATCH = 32
"""Views in one forward pass, at most, where the recipe does not say."""
# Of a picture in memory: the 8-bit pixels, and Pillow's own four bytes.
_PICTURE = 7
# Canvases that are alive at one time: latents, prediction, noise, clean estimate, a scheduler's history, and views.
_CANVASES = 24


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run needs where it computes, by what needs them.

    Args:
        weights: The weights of the models and of plugins' networks, in their type.
        canvas: Latents and what is computed of them.
        forward: One forward pass, conditional and unconditional together.
        decode: Turning the largest stage's latents into a picture.
    """

    weights: int
    canvas: int
    forward: int
    decode: int

    @property
    def total(self) -> int:
        """The peak: forward passes and decoding do not meet."""
        return self.weights + self.canvas + max(self.forward, self.decode)


def estimate_memory(
    info: ModelInfo,
    recipe: Recipe,
    stages: Sequence[StagePlan],
    beside: Sequence[ModelInfo] = (),
    most: int | None = None,
    *,
    on_disk: bool = False,
) -> MemoryEstimate:
    """A rough estimate of a run's peak memory, in bytes.

    Weights are parameters times the size of their type. A forward pass is what the model's family says of one view,
    times the views in a batch, of which there are at `most` as many as in the largest group; decoding is a multiple of
    the decoder's last feature map. Networks that plugins load beside the models are on the device,
    whatever is offloaded.
    Decoding in tiles keeps the ends of a row of them, and the picture, unless that is in a file and is written from
    there. Each of the models `beside` it adds its denoiser's weights. `on_disk`, canvas and picture are in files. The
    multiples were measured on a CPU in float32: the estimate is 0 to 20% above the tensors alive at the peak. Not
    counted: torch itself (about 0.3 GB, more with CUDA), buffers of convolution libraries, and what plugins keep.
    """
    from fusionkit.models.devices import devices_of, pick_device, pick_dtype

    device = pick_device(devices_of(recipe)[0])
    itemsize = pick_dtype(recipe.dtype, device, _family(info).half).itemsize
    window = recipe.window or info.window
    view = window[1] // info.factor, window[0] // info.factor
    batch = recipe.batch_size or views_per_pass(info, view, itemsize, free=None)
    batch = batch if most is None else min(batch, most)
    pixels = max(width * height for width, height in (stage.size for stage in stages))
    whole = max(_with_margins(stage, info.factor) for stage in stages)
    decoded = min(whole, info.window[0] * info.window[1]) if recipe.vae_tiling else whole
    canvas = _CANVASES * 4 * info.channels * pixels // info.factor**2
    if on_disk:
        canvas = min(canvas, _CANVASES * 4 * STRIP) + 8 * pixels // info.factor**2
    picture = 4 * 3 * pixels
    if recipe.vae_tiling:
        # The last rows of the tiles above, a quarter of them, in floats; they overlap by as much.
        row = 4 * info.window[1] * max(stage.size[0] for stage in stages)
        picture = row + (0 if on_disk and in_strips(recipe) else _PICTURE * pixels)
    resident = _parameters(info, beside, recipe.offload) * _RESIDENT[recipe.offload] + sum(_networks(recipe).values())
    return MemoryEstimate(
        weights=int(resident * itemsize),
        canvas=canvas,
        forward=batch * _family(info).view_bytes(info, view, itemsize) * info.passes(recipe.guidance_scale) // 2,
        # The VAE of most models is kept in float32, and so is the picture.
        decode=_DECODER_MAPS * 4 * info.vae_channels * decoded + picture,
    )


def in_strips(recipe: Recipe) -> bool:
    """Whether a recipe's picture is written without being in memory as a whole."""
    return recipe.output.suffix.lower() in IN_STRIPS


def kept_bytes(info: ModelInfo, recipe: Recipe, stages: Sequence[StagePlan], with_canvas: bool = True) -> int:
    """What a run keeps that may be in files in place of memory: its canvas, and its picture, if decoded in tiles."""
    pixels = _pixels(stages)
    canvas = _CANVASES * 4 * info.channels * pixels // info.factor**2 if with_canvas else 0
    return canvas + (_PICTURE * pixels if recipe.vae_tiling else 0)


def _pixels(stages: Sequence[StagePlan]) -> int:
    return max(width * height for width, height in (stage.size for stage in stages))


def _family(info: ModelInfo) -> Family:
    # Whoever only wants this module's constants, as the help of a command does, is not to look for families.
    from fusionkit.models.families import FAMILIES

    return FAMILIES[info.kind]


def _with_margins(stage: StagePlan, factor: int) -> int:
    """Pixels of a stage's picture as it is decoded: a ring is continued beyond its edges."""
    sides = (side + 2 * MARGIN * factor * (axis in stage.wrap) for axis, side in zip("xy", stage.size, strict=True))
    return prod(sides)


def models_beside(infos: Mapping[str, ModelInfo], recipe: Recipe) -> list[ModelInfo]:
    """What is known of each model beside the main one that has weights of its own: two names may be one model."""
    specs = recipe.specs
    distinct: dict[str, ModelInfo] = {}
    for name, info in infos.items():
        distinct.setdefault(str(specs.get(name, name)), info)
    return list(distinct.values())[1:]


def _parameters(info: ModelInfo, beside: Sequence[ModelInfo], offload: str) -> int:
    main = info.parameters or _family(info).parameters
    # Under offload only the denoiser at work is on the device.
    there = beside if offload == "none" else ()
    return main + sum(each.denoiser_parameters or _family(each).parameters * 3 // 4 for each in there)


def _networks(recipe: Recipe) -> dict[str, int]:
    """The weights of each network that a recipe's plugins load beside its models, by name.

    Raises:
        PluginError: Somebody's plugin can't say.
    """
    found: dict[str, int] = {}
    for plugin in recipe.plugins:
        with guarded(f"plugin '{plugin.plugin_name}' failed in 'networks'"):
            found.update({str(name): int(count) for name, count in plugin.networks.items()})
    return found


def machine_memory(device: torch.device) -> int:
    """Bytes of memory where a run computes: the GPU's, or else the machine's."""
    if device.type in ("cuda", "xpu"):
        import torch

        backend = torch.cuda if device.type == "cuda" else torch.xpu
        return int(backend.get_device_properties(device).total_memory)
    import psutil

    return int(psutil.virtual_memory().total)


def room_for(recipe: Recipe) -> int:
    """Bytes of memory that a recipe's model has where it computes: the least, where it is on several devices.

    Those that are on one device share its memory.
    """
    from fusionkit.models.devices import devices_of, pick_device

    devices = [pick_device(name) for name in devices_of(recipe)]
    return min(machine_memory(device) // devices.count(device) for device in devices)


def memory_problems(
    info: ModelInfo,
    recipe: Recipe,
    stages: Sequence[StagePlan],
    *,
    beside: Sequence[ModelInfo] = (),
    canvas_only: bool,
    most: int | None = None,
    on_disk: bool = False,
) -> list[str]:
    """Why a run can't fit into this machine's memory, in one line; none where it may.

    Args:
        info: The model, or the main one.
        recipe: The completed recipe.
        stages: The planned stages.
        beside: The other models that have weights of their own.
        canvas_only: Compare the canvas alone, which no option makes smaller, in place of everything.
        most: The number of views in the largest group, where it is known.
        on_disk: Whether canvas and picture are in files.
    """
    from fusionkit.pictures.image import in_bytes

    needs = estimate_memory(info, recipe, stages, beside, most, on_disk=on_disk)
    room = room_for(recipe)
    needed = needs.canvas if canvas_only else needs.total
    if needed <= room * (1 if canvas_only else _DOUBT):
        return []
    width, height = max((stage.size for stage in stages), key=lambda size: size[0] * size[1])
    advice = [] if recipe.vae_tiling or needs.decode < needs.forward else ["'vae-tiling: true'"]
    advice += ["a smaller batch-size"] if needs.forward > room else []
    advice += ["'canvas: disk'"] if not on_disk and (recipe.vae_tiling or canvas_only) else []
    advice += ["an output in .tif or .dzi"] if recipe.vae_tiling and not in_strips(recipe) else []
    return [
        f"size {width}x{height} needs about {in_bytes(needed)} of memory, and there are {in_bytes(room)}; "
        f"use {', '.join([*advice, 'a smaller size'])}"
    ]


def views_per_pass(info: ModelInfo, view: tuple[int, int], itemsize: int, free: int | None) -> int:
    """How many views to predict in one forward pass, where the recipe does not say.

    Args:
        info: The model.
        view: (height, width) in latent pixels.
        itemsize: Bytes of one number.
        free: Free memory of the GPU, in bytes, of which half is used, by at most 32 views; None, on a CPU, is 2 GiB and
            8 views, since larger batches are no faster there.
    """
    room, most = (2 * GIB, 8) if free is None else (free // 2, LARGEST_BATCH)
    return max(1, min(most, room // _family(info).view_bytes(info, view, itemsize)))
