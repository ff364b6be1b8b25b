"""A single file on a base: a model in diffusers' layout whose configuration it has, and whose other parts it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from fusionkit.errors import ModelError
from fusionkit.models.files.model_configs import ModelConfigs, read_configs
from fusionkit.models.files.single_file import SingleFile


def configs_on_base(
    single: SingleFile,
    base: str,
    read: Callable[[str], Path],
    what: str,
    folder: Path | None,
    *,
    named: bool,
) -> ModelConfigs:
    """The configurations of a base, if the file's denoiser is one of them.

    Args:
        single: The file.
        base: As its user names the base.
        read: Answers where a file of the base is, by its path inside.
        what: Whose the file is, as errors begin: "model 'name'".
        folder: The base's folder; None of one on the hub.
        named: Whether the user chose the base. Of another one nothing is used but its configuration, so that parts that
            a model may lack, and the file does, are left out.

    Raises:
        ModelError: The base can't be used, or the file is of another model.
    """
    configs = read_configs(read, f"base '{base}'", folder)
    if problem := next(_misfits(single, configs, base), ""):
        raise ModelError(f"{what} {problem}")
    if named:
        return configs
    held = single.parts(configs.family)
    optional = configs.family.optional
    gone = {part for part in optional if part.replace("tokenizer", "text_encoder") not in held}
    return replace(
        configs,
        classes={part: each for part, each in configs.classes.items() if part not in gone},
        encoders={part: each for part, each in configs.encoders.items() if part not in gone},
    )


def _misfits(single: SingleFile, configs: ModelConfigs, base: str) -> Iterator[str]:
    family, denoiser = configs.family, single.denoiser
    if family.in_file is None:
        yield f"is a single file, and diffusers loads none of {family.title}, which its base '{base}' is; use a folder"
        return
    if not family.in_file.holds(denoiser):
        found = "holds no denoiser in a known layout" if single.family is None else f"is a {single.family.title} model"
        yield f"{found}, and its base '{base}' is a {family.title} one; name the base that it was made from"
    for key, value in family.in_file.config(denoiser).items():
        given = configs.told.get(key)
        if given is not None and given != value:
            yield f"has {key} {value}, and its base '{base}' {given}; name the base that it was made from"
