"""Whether a LoRA fits a model: another family's, layers that the model lacks, shapes. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fusionkit.errors import FusionError
from fusionkit.loop.model import ModelInfo
from fusionkit.models.families import FAMILIES
from fusionkit.models.families.base import Family
from fusionkit.models.families.unets import UNetFamily
from fusionkit.models.files.hub import cached_file
from fusionkit.models.files.reading import read_json
from fusionkit.models.files.weights import read_header
from fusionkit.models.inspect import locate
from fusionkit.models.lora.file import LoraFile, LoraLayer, Shape
from fusionkit.models.lora.names import (
    OTHER,
    TEXT,
    TEXT_2,
    TRANSFORMER,
    UNET,
    layers_per_block,
    named,
    of_stability,
    plain,
    split,
)
from fusionkit.models.offers import takes_loras

Layers = Mapping[str, Mapping[str, Shape] | None]
"""The shapes of a model's layers, by the pipeline's part and the layer's name; None where they are not known."""

_PARTS = (UNET, TRANSFORMER, TEXT, TEXT_2)
_DENOISER = "model.diffusion_model."
_WIDTHS = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 1280: "the SDXL refiner", 2048: "SDXL"}
_BLOCKS = ("down_blocks", "mid_block", "up_blocks", "input_blocks", "middle_block", "output_blocks")
_OTHERS = (
    (("single_transformer_blocks", "single_blocks", "double_blocks"), "Flux, or a model like it"),
    (("joint_blocks", "transformer_blocks", "add_k_proj"), "Stable Diffusion 3, or another transformer"),
)


@dataclass(frozen=True)
class Match:
    """One of a file's layers, and the model's layer that it changes."""

    layer: LoraLayer
    name: str


def match(file: LoraFile, layers: Layers, model: str = "the model") -> tuple[list[Match], list[str]]:
    """The model's layer of each of the file's, and what does not fit, in lines that read on from the file's name.

    A part whose layers are not known is taken to have what the file asks of it.
    """
    known = {part: _by_plain_name(part, shapes) for part, shapes in layers.items() if shapes is not None}
    depth = layers_per_block(known.get(UNET, {}))
    matches, missing, wrong, seen = [], [], [], set()
    for layer in file.layers:
        if layers.get(layer.part, {}) is None:
            continue
        spelled = of_stability(plain(layer.name), depth) if layer.part == UNET else plain(layer.name)
        found = known.get(layer.part, {}).get(spelled)
        if found is None:
            missing.append(f"{layer.part}: {layer.name}")
            continue
        name, shape = found
        if not _fits(layer.shapes, shape):
            wrong.append(f"{layer.part}: {layer.name} ({_taken(layer.shapes)} here, {_shown(shape)} there)")
        elif (layer.part, name) in seen:
            wrong.append(f"{layer.part}: {layer.name} (twice in the file)")
        seen.add((layer.part, name))
        matches.append(Match(layer, name))
    problems = []
    if missing:
        problems.append(
            f"changes {len(missing):,} of {len(file.layers):,} layers that {model} does not have: {named(missing)}"
        )
    if wrong:
        problems.append(f"does not fit {len(wrong):,} of the layers of {model}: {named(wrong)}")
    return matches, problems


def family_problem(file: LoraFile, info: ModelInfo) -> str:
    """A line where the file is for another family of models, empty where it may be for this one."""
    family = FAMILIES[info.kind]
    if family.denoiser == TRANSFORMER:
        return _of_no_transformer(file, family)
    # Projected tokens are of a length that says nothing of who made the model.
    projects = isinstance(family, UNetFamily) and family.projects
    own = "" if projects else _WIDTHS.get(info.cross_attention_dim, "")
    kind = own or family.title
    marked = tuple(mark for marks, _ in _OTHERS for mark in marks)
    foreign = [
        _spelled(each)
        for each in file.layers
        if each.part in (OTHER, TRANSFORMER) or plain(each.name).startswith(marked)
    ]
    if foreign:
        # A UNet's blocks hold transformers as well.
        told = [each for each in foreign if not any(block in each for block in _BLOCKS)]
        what = next((name for marks, name in _OTHERS if any(mark in each for mark in marks for each in told)), "")
        return f"is for {what or 'another kind of model'}, not for {kind}: it changes {named(foreign)}"
    width = _text_width(file.layers)
    if width and info.cross_attention_dim and width != info.cross_attention_dim:
        if width in _WIDTHS and own:
            return f"is for {_WIDTHS[width]}, not for {kind}"
        there = f"{info.cross_attention_dim} as '{info.name}' has"
        return f"is for a model whose text has {width} numbers a token, not {there}"
    if TEXT_2 not in family.encoders and any(layer.part == TEXT_2 for layer in file.layers):
        return f"is for SDXL, not for {kind}: it changes a second text encoder"
    return ""


def _spelled(layer: LoraLayer) -> str:
    """A layer's name as the file has it; without its part's, where that is a part of this kind of model."""
    whole = split(next(iter(layer.keys.values())))
    return whole[0] if whole and layer.part == TRANSFORMER else layer.name


def _of_no_transformer(file: LoraFile, family: Family) -> str:
    """Why a file can't be for a transformer, or is not spelled as diffusers spells its layers."""
    if not takes_loras(family):
        return f"can't be put on {family.title} models, for which diffusers knows none"
    names = [plain(each.name) for each in file.layers if each.part not in (TEXT, TEXT_2)]
    if any(name.startswith(_BLOCKS) for name in names):
        return f"is for Stable Diffusion 1, 2 or XL, not for {family.title}"
    if names and not any(each.part == TRANSFORMER for each in file.layers):
        return (
            f"spells its layers as another program does ({named(names, 1)}); if it is for {family.title}, save it as "
            f"diffusers spells them: safetensors.torch.save_file({family.pipelines[0]}.lora_state_dict(FILE), NEW)"
        )
    return ""


def layers_of_model(source: str, revision: str | None = None) -> Layers:
    """The shapes of a model's layers, as far as the headers of its files are on this machine."""
    try:
        where = locate(source)
        if isinstance(where, Path) and where.is_file():
            return _layers_of_file(where)
        folder = where
        if isinstance(folder, str):
            found = cached_file(folder, "model_index.json", revision)
            if found is None:
                return dict.fromkeys(_PARTS)
            folder = found.parent
        index = read_json(folder / "model_index.json", f"model '{source}'")
        listed = {part: isinstance(index.get(part), list) and index[part][0] is not None for part in _PARTS}
        return {part: _layers_of_folder(folder / part) if there else {} for part, there in listed.items()}
    except (FusionError, OSError, ValueError, AttributeError):
        # What is wrong with the model is said where the model is looked at.
        return dict.fromkeys(_PARTS)


def _layers_of_folder(folder: Path) -> Mapping[str, Shape] | None:
    files = sorted(folder.glob("*.safetensors"))
    return _weights(item for file in files for item in read_header(file, file.name).items()) if files else None


def _layers_of_file(path: Path) -> Layers:
    """Of a single file in Stability's layout, the UNet: text encoders have other names there, as have transformers."""
    shapes = read_header(path, path.name).items()
    if not any(key.startswith(f"{_DENOISER}input_blocks.") for key, _ in shapes):
        return dict.fromkeys(_PARTS)
    inner = ((key.removeprefix(_DENOISER), shape) for key, shape in shapes if key.startswith(_DENOISER))
    return {UNET: _weights(inner) or None, TEXT: None, TEXT_2: None}


def _weights(shapes: Iterable[tuple[str, Shape]]) -> dict[str, Shape]:
    ends = ".weight"
    return {key[: -len(ends)]: shape for key, shape in shapes if key.endswith(ends) and len(shape) > 1}


def _by_plain_name(part: str, shapes: Mapping[str, Shape]) -> dict[str, tuple[str, Shape]]:
    spelled = {plain(name): (name, shape) for name, shape in shapes.items()}
    # A single file has Stability's names, and always two residual blocks in a block.
    return {of_stability(name): found for name, found in spelled.items()} if part == UNET else spelled


def _fits(shapes: Mapping[str, Shape], weight: Shape) -> bool:
    """Whether up times down has a layer's shape, where a 1x1 kernel and a matrix are one."""
    out, taken = shapes["up"][0], shapes["down"][1]
    kernel = shapes.get("mid", shapes["down"])[2:]
    return weight[:2] == (out, taken) and _kernel(kernel) == _kernel(weight[2:])


def _kernel(sides: Shape) -> Shape:
    return () if set(sides) <= {1} else sides


def _taken(shapes: Mapping[str, Shape]) -> str:
    kernel = shapes.get("mid", shapes["down"])[2:]
    return _shown((shapes["up"][0], shapes["down"][1], *kernel))


def _shown(shape: Shape) -> str:
    return "x".join(str(side) for side in shape)


def _text_width(layers: Iterable[LoraLayer]) -> int:
    """Length of a token's embedding, as the file's layers that look at the text take it; 0 without any."""
    ends = ("attn2_to_k", "attn2_to_v")
    widths = [each.shapes["down"][1] for each in layers if each.part == UNET and plain(each.name).endswith(ends)]
    return widths[0] if widths else 0
