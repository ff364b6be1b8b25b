"""What a single `.safetensors` file holds, from its header alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from fusionkit.errors import ModelError
from fusionkit.loop.model import ModelInfo
from fusionkit.models.families import FAMILIES, Family
from fusionkit.models.families.in_file import DENOISER, denoiser_in
from fusionkit.models.families.unets import FIRST, LATENTS, TEXT, unknown_channels
from fusionkit.models.files.weights import Shapes, read_header

_REFINER = "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias"
# What beside the weights tells how other programs have quantised them; diffusers would leave it out.
_QUANTISED = (".scale_weight", ".weight_scale", ".input_scale", ".comfy_quant", ".absmax", ".quant_map", "scaled_fp8")


@dataclass(frozen=True)
class SingleFile:
    """A single file, by its header.

    Args:
        path: The file.
        shapes: The shape of each of its tensors.
        family: Which family's denoiser it holds; None where no layout that diffusers reads is found.
    """

    path: Path
    shapes: Shapes
    family: Family | None

    @property
    def denoiser(self) -> Shapes:
        """The shapes of its denoiser, by names without a prefix."""
        return denoiser_in(self.shapes)

    def parts(self, family: Family) -> tuple[str, ...]:
        """The parts of a family's models that it holds, the denoiser first."""
        others = family.in_file.others(self.shapes) if family.in_file is not None else []
        return (family.denoiser, *others)

    def lacking(self, family: Family) -> list[str]:
        """The parts that a picture needs, and it does not hold."""
        held = self.parts(family)
        return [part for part in ("vae", *family.encoders) if part not in (*held, *family.optional)]


def read_single_file(source: str, path: Path) -> SingleFile:
    """A single file that may be a model.

    Raises:
        ModelError: It can't be read, or its weights are quantised.
    """
    shapes = read_header(path, f"model '{source}'")
    if odd := next((name for name in shapes if name.endswith(_QUANTISED)), None):
        raise ModelError(
            f"model '{source}' has quantised weights ('{odd:.80}'), of which diffusers would leave out the scales; "
            f"get the file in bfloat16 or float16"
        )
    inner = denoiser_in(shapes)
    found = (each for each in FAMILIES.values() if each.in_file is not None and each.in_file.holds(inner))
    return SingleFile(path, shapes, next(found, None))


def default_base(source: str, single: SingleFile) -> str:
    """The hub's id of the model whose configuration a file has that holds all parts of a transformer's model.

    Raises:
        ModelError: It does not hold all, or is no model that can be drawn with.
    """
    family, what = single.family, f"model '{source}'"
    if family is None or family.denoiser == "unet":
        whole = "a single file must be a whole SD 1, 2 or XL checkpoint, or hold a transformer that diffusers knows"
        is_unet = "conv_in.weight" in single.shapes or family is not None
        raise ModelError(f"{what} is {'the UNet alone' if is_unet else 'no Stable Diffusion checkpoint'}; {whole}")
    base = family.base_of(single.denoiser)
    if lacking := single.lacking(family):
        raise ModelError(
            f"{what} holds a {family.title} model without its {', '.join(lacking)}; say where those are, as a folder "
            f"or a hub id: base: {base}"
        )
    return base


def inspect_header(source: str, single: SingleFile) -> ModelInfo | None:
    """What a checkpoint in the original layout of Stable Diffusion 1, 2 or XL is, by its keys and shapes.

    A header does not tell all: the size that the model was trained at, and an SD 2 model's prediction type.
    'v_prediction' is taken, as diffusers does, of the 768-pixel models; a recipe for a 512-pixel "base" model says
    `scheduler: {ddim: {prediction-type: epsilon}}`. What was taken is told in the notes, with the key that changes it.

    Returns:
        None where the file is none in that layout.

    Raises:
        ModelError: It is, and can't be drawn with.
    """
    shapes = single.shapes
    if FIRST not in shapes:
        return None
    if _REFINER in shapes:
        raise ModelError(f"model '{source}' is an SDXL refiner, which can't draw a picture of its own")
    if len(shapes[FIRST]) != 4 or not shapes.get(TEXT, (0, 768)):
        raise ModelError(f"model '{source}' is no Stable Diffusion checkpoint: its first layers have other shapes")
    if problem := unknown_channels(shapes[FIRST][1], LATENTS):
        raise ModelError(f"model '{source}' {problem}")
    answers = ((each, each.told_by_file(shapes)) for each in FAMILIES.values())
    family, told = next((family, told) for family, told in answers if told is not None)
    return ModelInfo(
        name=source,
        kind=family.kind,
        told_size=family.crops,
        parameters=sum(map(prod, shapes.values())),
        denoiser_parameters=sum(prod(shape) for name, shape in shapes.items() if name.startswith(DENOISER)),
        **told,
    )
