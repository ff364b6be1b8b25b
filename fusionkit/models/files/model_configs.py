"""The configurations of a model in diffusers' layout: its parts and their classes, checked before weights are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fusionkit.doctor import missing
from fusionkit.errors import ModelError
from fusionkit.models.families import FAMILIES, Family, family_of_denoiser
from fusionkit.models.families.unets import UNetFamily
from fusionkit.models.files.autoencoders import VAES, Vae
from fusionkit.models.files.configs import Index, TextEncoder, parsed, read_config, together
from fusionkit.models.files.denoisers import Transformer, UNet
from fusionkit.models.files.reading import read_json

_ENCODER = re.compile(r"(?!Auto)[A-Z]\w*(Model|ModelWithProjection|ForCausalLM|ForConditionalGeneration|Encoder)")
# Encoders that see pictures as well may have a processor of both, with the tokenizer inside.
_TOKENIZER = re.compile(r"(?!Auto)[A-Z]\w*(Tokenizer(Fast)?|TokenizersBackend|Processor)|TokenizersBackend")
_SCHEDULER = re.compile(r"[A-Z]\w*Scheduler")


@dataclass(frozen=True)
class ModelConfigs:
    """The configurations of a model in diffusers' layout, checked.

    Args:
        family: What kind of model it is.
        pipeline: The class of its pipeline, as it is named.
        denoiser: The denoiser's, as far as it is checked.
        told: The model's settings: all that the denoiser's holds, and what the index tells beside the parts.
        vae: The autoencoder's.
        scheduler: Its content.
        encoders: The text encoders', by the names of their parts.
        classes: The class of each part that is needed, by its name.
        brought: Where the class of a part is, `module:Class`, if it is one that the family brings.
    """

    family: Family
    pipeline: str
    denoiser: UNet | Transformer
    told: Mapping[str, Any]
    vae: Vae
    scheduler: Mapping[str, Any]
    encoders: Mapping[str, TextEncoder]
    classes: Mapping[str, str]
    brought: Mapping[str, str] = field(default_factory=dict)

    @property
    def absent(self) -> list[str]:
        """Parts that a folder of the family may lack, and this one does."""
        return sorted(part for part in self.family.optional if part not in self.classes)


def read_configs(read: Callable[[str], Path], what: str, folder: Path | None = None) -> ModelConfigs:
    """Read and check the configurations of a model; what it is, is told by its denoiser and its pipeline's name.

    Args:
        read: Answers where a file of the model is, by its path inside.
        what: Whose they are, as errors begin: "model 'name'".
        folder: The model's folder, which may lack parts that its index names; None of a model on the hub.

    Raises:
        ModelError: One is missing, wrong, or of a model that can't be used; all problems, one a line.
    """
    content = read_json(read("model_index.json"), what)
    index = parsed(Index, content, "model_index.json", what)
    part = next((each for each in ("unet", "transformer") if isinstance(content.get(each), list)), None)
    if part is None or not isinstance(index.class_name, str):
        raise ModelError(f"{what} is a {_named(index.class_name)}; {known()}")
    errors: list[ModelError] = []

    def collect(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except ModelError as error:
            errors.append(error)

    found = collect(lambda: _read_denoiser(read(f"{part}/config.json"), part, content, what))
    denoiser, told = (None, dict[str, Any]()) if found is None else found
    family = family_of_denoiser(index.class_name, part, told)
    if family is None:
        raise ModelError(f"{what} is a {_named(index.class_name)}; {known()}")
    errors += [ModelError(f"{what} is a {family.title} model, which {line}") for line in missing(family.needs)]
    parts = _needed(content, family, folder)
    brought = {part: path for part in parts if (path := _brought(content, part, family))}
    vae = collect(lambda: _read_vae(read("vae/config.json"), content, family, what))
    scheduler = collect(lambda: _read_scheduler(read("scheduler/scheduler_config.json"), content, what))
    encoders = {
        part: collect(partial(_read_encoder, read, part, content[part], what, own=part in brought))
        for part in parts
        if part.startswith("text_encoder") and _is_there(content, part)
    }
    errors += [ModelError(f"{what} {problem}") for problem in _wrong_parts(content, parts, family)]
    together(errors)
    assert denoiser is not None, "what could not be read is among the errors"
    classes = {part: content[part][1] for part in parts}
    told = {**settings_of(content), **told}
    configs = ModelConfigs(family, index.class_name, denoiser, told, vae, scheduler, encoders, classes, brought)
    if problem := next(_misfits(index, configs), ""):
        raise ModelError(f"{what} {problem}")
    return configs


def settings_of(index: Mapping[str, Any]) -> dict[str, Any]:
    """What a pipeline's configuration tells beside its parts, such as whether the model is distilled."""
    return {key: value for key, value in index.items() if not key.startswith("_") and isinstance(value, (bool, int))}


def known() -> str:
    """What can be drawn with, as a part of an error."""
    broken = "".join(f"; {line}" for line in FAMILIES.broken)
    return f"fusionkit draws with: {', '.join(family.title for family in FAMILIES.values())}{broken}"


def _read_denoiser(
    path: Path, part: str, index: Mapping[str, Any], what: str
) -> tuple[UNet | Transformer, dict[str, Any]]:
    file = f"{part}/config.json"
    if part == "unet":
        return read_config(UNet, path, file, what)
    named = index[part]
    silent = {"_class_name": named[1]} if len(named) == 2 else {}
    content = {**silent, **read_json(path, what)}
    return parsed(Transformer, content, file, what), content


def _read_encoder(read: Callable[[str], Path], part: str, named: Sequence[Any], what: str, *, own: bool) -> TextEncoder:
    name = f"{part}/config.json"
    # It loads as what the index says, whatever its configuration does.
    told = {"_class_name": named[1]} if len(named) == 2 else {}
    content = {**read_json(read(name), what), **told}
    if own:
        # Code for those who have not the class: the family has it, and no such code is run.
        content.pop("auto_map", None)
    return parsed(TextEncoder, content, name, what)


def _read_vae(path: Path, index: Mapping[str, Any], family: Family, what: str) -> Vae:
    content = read_json(path, what)
    named = index.get("vae")
    # Where a configuration does not say, the index does.
    silent = {"_class_name": named[1]} if isinstance(named, list) and len(named) == 2 else {}
    vae = parsed(Vae, {**silent, **content}, "vae/config.json", what)
    if silent and silent["_class_name"] in VAES and vae.kind in VAES and silent["_class_name"] != vae.kind:
        told = f"is a {silent['_class_name']} by model_index.json, and a {vae.kind} by vae/config.json"
        raise ModelError(f"{what}: its vae {told}: the files are of two models; get them again")
    return vae


def _read_scheduler(path: Path, index: Mapping[str, Any], what: str) -> dict[str, Any]:
    named = index.get("scheduler")
    silent = {"_class_name": named[1]} if isinstance(named, list) and len(named) == 2 else {}
    return {**silent, **read_json(path, what)}


def _needed(index: Mapping[str, Any], family: Family, folder: Path | None) -> list[str]:
    """The parts that a picture needs; all others, such as a safety checker, are left alone."""
    texts = [each for part in family.encoders for each in (part, part.replace("text_encoder", "tokenizer"))]
    listed = {part for part in family.optional if _is_there(index, part)}
    there = {part for part in listed if folder is None or (folder / part).is_dir()}
    # An encoder without its tokenizer, or the reverse, is of no use.
    halves = {part for part in family.optional if _partner(part) in family.optional and _partner(part) not in there}
    needed = [part for part in texts if part not in family.optional or part in there - halves]
    return [family.denoiser, "vae", "scheduler", *needed]


def _partner(part: str) -> str:
    """The tokenizer of a text encoder, and the reverse."""
    names = ("text_encoder", "tokenizer")
    return part.replace(*names) if part.startswith(names[0]) else part.replace(*names[::-1])


def _brought(index: Mapping[str, Any], part: str, family: Family) -> str:
    """Where the class of a part is, `module:Class`, if it is one that the family brings; empty if it is not."""
    return family.brings.get(".".join(index[part]), "") if _is_there(index, part) else ""


def _is_there(index: Mapping[str, Any], part: str) -> bool:
    entry = index.get(part)
    return isinstance(entry, list) and len(entry) == 2 and None not in entry


def _wrong_parts(index: Mapping[str, Any], parts: Sequence[str], family: Family) -> Iterator[str]:
    """Needed parts that are of no class that may be loaded."""
    if gone := [part for part in parts if not _is_there(index, part)]:
        yield f"has no {', '.join(gone)} in its model_index.json, without which it can't draw"
    for part in (each for each in parts if _is_there(index, each)):
        library, name = index[part]
        kind = re.sub(r"_\d$", "", part)
        if _brought(index, part, family):
            continue
        if library not in ("diffusers", "transformers"):
            yield f"needs its own code for '{part}' ({library}.{name}), which is not run"
        elif kind == family.denoiser and (library != "diffusers" or name not in (family.denoisers or (name,))):
            yield f"has a {name} for its {kind}; fusionkit takes a {' or a '.join(family.denoisers)}"
        elif kind == "vae" and (library != "diffusers" or name not in family.autoencoders):
            yield f"has a {name} for its vae; fusionkit takes {', '.join(family.autoencoders)}"
        elif kind == "scheduler" and (library != "diffusers" or not _SCHEDULER.fullmatch(name)):
            yield f"has a {library}.{name:.40} for its scheduler, which is none"
        elif (kind == "text_encoder" and not _ENCODER.fullmatch(name)) or (
            kind == "tokenizer" and not _TOKENIZER.fullmatch(name)
        ):
            yield f"has a {library}.{name} for its {part}, which is none"


def _misfits(index: Index, configs: ModelConfigs) -> Iterator[str]:
    """Why parts that are right by themselves make no model that draws from a prompt."""
    family, vae, denoiser = configs.family, configs.vae, configs.denoiser
    if vae.kind not in family.autoencoders:
        yield f"has a {vae.kind} for its vae; fusionkit takes {', '.join(family.autoencoders)}"
    projects = isinstance(family, UNetFamily) and family.projects
    if isinstance(denoiser, UNet) and (strange := denoiser.strangeness(projects=projects)):
        yield f"has a denoiser that takes more than a prompt ({strange}); {known()}"
    if index.requires_aesthetics_score:
        yield "is an SDXL refiner, which can't draw a picture of its own"
    yield from family.problems({**configs.told, **denoiser.model_dump()}, vae.channels)
    for key, part in family.widths.items():
        taken, given = configs.told.get(key), configs.encoders[part].width if part in configs.encoders else 0
        if taken and given and taken != given:
            yield f"does not fit together: its {part}'s tokens have {given} numbers; its denoiser takes {taken}"
    if isinstance(denoiser, UNet) and isinstance(family, UNetFamily):
        yield from _unfit_texts(denoiser, family, configs.encoders)


def _unfit_texts(unet: UNet, family: UNetFamily, encoders: Mapping[str, TextEncoder]) -> Iterator[str]:
    width = sum(encoder.width for encoder in encoders.values())
    known = not unet.projects and all(encoder.width for encoder in encoders.values())
    if unet.token_width and known and width != unet.token_width:
        whose = "text encoders'" if len(encoders) > 1 else "text encoder's"
        yield f"does not fit together: its {whose} tokens have {width} numbers; its denoiser takes {unet.token_width}"
    pooled = family.pooled(encoders)
    if pooled and unet.addition_time_embed_dim:
        given = 6 * unet.addition_time_embed_dim + pooled
        if unet.projection_class_embeddings_input_dim not in (None, given):
            yield (
                f"does not fit together: its denoiser takes {unet.projection_class_embeddings_input_dim} numbers on "
                f"the picture's size, and gets {given}"
            )


def _named(entry: Any) -> str:
    if isinstance(entry, list):
        return ".".join(str(part) for part in entry)[:80]
    return "model of no known class" if not isinstance(entry, str) else entry[:80]
