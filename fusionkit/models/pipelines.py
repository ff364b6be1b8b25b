"""The diffusers pipeline of a model: each part by its own class, from safetensors that were checked before."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import ModelError
from fusionkit.foreign import out_of_memory
from fusionkit.models.families import FAMILIES, Family
from fusionkit.models.files.folder import read_weights
from fusionkit.models.files.hub import download_model, hub_file
from fusionkit.models.files.model_configs import ModelConfigs, read_configs
from fusionkit.models.files.single_file import SingleFile, default_base, read_single_file
from fusionkit.models.files.tokens import check_tokenizers
from fusionkit.models.guard import AGAIN, reason_of
from fusionkit.models.inspect import locate, read_base
from fusionkit.models.lora.loras import merge_embedded_lora
from fusionkit.models.silence import quiet_loading

if TYPE_CHECKING:
    import torch

_SAFE = {"use_safetensors": True, "trust_remote_code": False}
_TOLD = ("missing_keys", "unexpected_keys", "mismatched_keys")


def load_pipeline(
    source: str,
    kind: str,
    *,
    dtype: torch.dtype,
    revision: str | None = None,
    variant: str | None = None,
    base: str | None = None,
    vae: Any = None,
) -> Any:
    """The diffusers pipeline of a model, on the CPU, from safetensors only and without any code of the model's own.

    Args:
        source: As for `inspect_model`.
        kind: The family, such as "sdxl".
        dtype: Type of the weights; a VAE that would overflow in float16 stays in float32.
        revision: Branch, tag or commit of a hub id.
        variant: Such as `fp16`.
        base: For a single file: a folder or hub id with its configuration and the parts that it lacks; None is what
            diffusers infers.
        vae: The autoencoder to use in place of the model's own, which is then not loaded.

    Raises:
        ModelError: The weights can't be loaded.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    from fusionkit.models.guard import only_safetensors

    where, what = locate(source), f"model '{source}'"
    try:
        single = read_single_file(source, where) if isinstance(where, Path) and where.is_file() else None
        if single is not None and (base is not None or FAMILIES[kind].denoiser != "unet"):
            pipe = _on_base(single, base, source, revision, variant, dtype, vae)
        elif single is not None:
            with quiet_loading(), only_safetensors():
                pipe = _from_single_file(single.path, kind, dtype, vae)
        else:
            # Apart from the loading, so that a download shows its progress.
            folder = _downloaded(where, revision, variant, what) if isinstance(where, str) else where
            with quiet_loading(), only_safetensors():
                configs = read_configs(folder.joinpath, what, folder)
                pipe = _from_folder(folder, configs, variant, dtype, vae, what)
        merge_embedded_lora(pipe, source)
    except ModelError as error:
        raise ModelError(_whose(what, error)) from error
    except LocalEntryNotFoundError as error:
        if isinstance(where, str) or where.is_dir():
            raise ModelError(f"{what} is not in the local cache, and the hub can't be reached") from error
        raise ModelError(
            f"{what} holds weights alone: their configuration comes from the hub, which can't be reached, or "
            f"its cache; where the hub is there, save the model as a folder: pipe.save_pretrained(folder)"
        ) from error
    except Exception as error:
        # Weights are somebody else's: what diffusers raises for bad ones has no common type.
        raise ModelError(f"{what} can't be loaded: {reason_of(error)}; {AGAIN}") from error
    return pipe


def _whose(what: str, error: ModelError) -> str:
    return "\n".join(line if line.startswith(what) else f"{what}: {line}" for line in str(error).splitlines())


def _downloaded(hub_id: str, revision: str | None, variant: str | None, what: str) -> Path:
    """The folder of a hub's model in its cache; the hub is asked for what is not there alone."""
    configs = read_configs(partial(hub_file, hub_id, revision=revision), what)
    return _fetched(hub_id, revision, configs, variant, what)


def _fetched(
    hub_id: str,
    revision: str | None,
    configs: ModelConfigs,
    variant: str | None,
    what: str,
    without: Collection[str] = (),
) -> Path:
    cached = hub_file(hub_id, "model_index.json", revision).parent
    try:
        read_weights(cached, configs, variant, what, without)
    except ModelError:
        return download_model(hub_id, revision, configs, variant, without)
    return cached


def _on_base(
    single: SingleFile,
    base: str | None,
    source: str,
    revision: str | None,
    variant: str | None,
    dtype: torch.dtype,
    vae: Any,
) -> Any:
    """The pipeline of a single file and the parts of its base that it lacks."""
    from fusionkit.models.guard import only_safetensors

    named, base = base is not None, base or default_base(source, single)
    where, configs = read_base(single, base, f"model '{source}'", revision, named=named)
    whose, held = f"base '{base}'", single.parts(configs.family)
    folder = where if isinstance(where, Path) else _fetched(where, revision, configs, variant, whose, held)
    with quiet_loading(), only_safetensors():
        return _from_folder(folder, configs, variant, dtype, vae, whose, single)


def _from_folder(
    folder: Path,
    configs: ModelConfigs,
    variant: str | None,
    dtype: torch.dtype,
    vae: Any,
    what: str,
    single: SingleFile | None = None,
) -> Any:
    """The pipeline of a folder whose configurations and headers are checked once more, each part by its class."""
    from fusionkit.models.guard import no_hub

    held = () if single is None else single.parts(configs.family)
    weights, _ = read_weights(folder, configs, variant, what, held)
    parts: dict[str, Any] = {}
    # First, since some pipelines bring classes of their parts.
    loader = pipeline_class(configs.family, configs.pipeline)
    with no_hub():
        for part, found in weights.items():
            if part == "vae" and vae is not None:
                continue
            cls = _class_of(part, configs)
            exact = part == configs.family.denoiser
            parts[part] = load_part(cls, folder / part, found.variant, dtype, f"{what}: {part}", exact=exact)
        if vae is not None:
            parts["vae"] = vae
        elif configs.vae.force_upcast and "vae" in parts:
            _upcast(parts["vae"], dtype)
        for part in (each for each in configs.brought if each.startswith("tokenizer")):
            parts[part] = _tokenizer(_class_of(part, configs), folder / part, f"{what}: {part}")
        given = {**configs.family.left_out, **dict.fromkeys(configs.absent), **parts}
        if single is not None:
            pipe = _with_file(single, folder, configs, loader, dtype, given)
            check_tokenizers(pipe, configs.encoders, what)
            return pipe
        try:
            pipe = loader.from_pretrained(folder, local_files_only=True, **_SAFE, **given)
        except Exception as error:
            # All that is left to load are these.
            others = " or ".join(part for part in configs.classes if part not in parts)
            raise ModelError(f"{what}: {others} can't be loaded: {reason_of(error)}; {AGAIN}") from error
    check_tokenizers(pipe, configs.encoders, what)
    return pipe


def _class_of(part: str, configs: ModelConfigs) -> Any:
    """The class of a part: one of diffusers' or transformers' own, or one that the family brings.

    Raises:
        ModelError: This version of the library does not have it.
    """
    if part in configs.brought:
        module, _, name = configs.brought[part].partition(":")
        return getattr(import_module(module), name)
    library = import_module("transformers" if part.startswith("text_encoder") else "diffusers")
    cls = getattr(library, configs.classes[part], None)
    if cls is None:
        raise ModelError(f"has a {configs.classes[part]} for its {part}, which this version does not know")
    return cls


def _tokenizer(cls: Any, folder: Path, what: str) -> Any:
    try:
        return cls.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise ModelError(f"{what} can't be loaded: {reason_of(error)}; {AGAIN}") from error


def _with_file(
    single: SingleFile, folder: Path, configs: ModelConfigs, loader: Any, dtype: torch.dtype, given: dict[str, Any]
) -> Any:
    """A pipeline of parts that are loaded, and of those that a file holds, configured by a folder.

    Raises:
        ModelError: The file lacks weights.
    """
    import diffusers

    family = configs.family
    options: dict[str, Any] = {dtype_option(): dtype, "config": str(folder), "local_files_only": True}
    if single.parts(family) == (family.denoiser,):
        cls = getattr(diffusers, configs.classes[family.denoiser])
        loaded = cls.from_single_file(str(single.path), subfolder=family.denoiser, **options)
        pipe = loader.from_pretrained(folder, local_files_only=True, **_SAFE, **{family.denoiser: loaded, **given})
    else:
        pipe = loader.from_single_file(str(single.path), **options, **given)
    for part in single.parts(family):
        # A T5 from a file would leave out numbers at random, as in training (diffusers 0.42).
        net = getattr(pipe, part).eval()
        lacking = [name for name, weight in net.named_parameters() if weight.is_meta]
        if lacking:
            count = f"{len(lacking):,} weight{'s' if len(lacking) > 1 else ''}"
            raise ModelError(f"{single.path.name} lacks {count} of its {part}, such as '{lacking[0]:.80}'")
    if "vae" not in given and configs.vae.force_upcast:
        _upcast(pipe.vae, dtype)
    return pipe


def _from_single_file(path: Path, kind: str, dtype: torch.dtype, vae: Any) -> Any:
    given = {} if vae is None else {"vae": vae}
    family = FAMILIES[kind]
    options = {dtype_option(): dtype, **family.left_out, **given}
    pipe = pipeline_class(family).from_single_file(str(path), **options)
    if vae is None and pipe.vae.config.get("force_upcast"):
        _upcast(pipe.vae, dtype)
    return pipe


def _upcast(vae: Any, dtype: torch.dtype) -> None:
    import torch

    if dtype == torch.float16:
        vae.to(dtype=torch.float32)


def load_part(
    cls: Any, folder: Path, variant: str | None, dtype: torch.dtype, what: str, *, exact: bool = False
) -> Any:
    """A component of diffusers or transformers, from a folder's safetensors, every one of its weights read.

    Args:
        cls: The component's class.
        folder: Where its configuration and its weights are, checked before.
        variant: Of the weights' files.
        dtype: Type of the weights.
        what: How errors begin.
        exact: Whether weights that have no place in it are an error, as a denoiser's are.

    Raises:
        ModelError: The file lacks weights, or holds some that have no place.
    """
    import diffusers
    from huggingface_hub.errors import LocalEntryNotFoundError

    option = dtype_option() if issubclass(cls, diffusers.ModelMixin) else "dtype"
    options: dict[str, Any] = {"variant": variant, "use_safetensors": True, "local_files_only": True, option: dtype}
    try:
        part, told = cls.from_pretrained(folder, output_loading_info=True, **options)
    except LocalEntryNotFoundError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        if isinstance(error, (RuntimeError, ValueError)) and ("shape" in str(error) or "size" in str(error)):
            raise ModelError(f"{what} does not fit its configuration; weights are of another shape; {AGAIN}") from error
        raise ModelError(f"{what} can't be loaded as its config.json says: {reason_of(error)}; {AGAIN}") from error
    lacking, idle, wrong = (sorted(map(str, told.get(key) or ())) for key in _TOLD)
    # One of several names of a weight is enough.
    named = dict(part.named_parameters(remove_duplicate=False))
    there = {id(weight) for name, weight in named.items() if name not in lacking}
    lacking = [name for name in lacking if id(named.get(name)) not in there]
    idle = idle if exact else []
    found = {"missing from its files": lacking, "of another shape": wrong, "without a place in it": idle}
    for problem, names in found.items():
        if names:
            count = f"{len(names):,} weight{'s' if len(names) > 1 else ''}"
            raise ModelError(f"{what} does not fit its configuration; {problem}: {count}, such as '{names[0]:.80}'")
    return part


def pipeline_class(family: Family, named: str = "") -> Any:
    """The diffusers pipeline that loads a model of a family, which may be named as one of several."""
    with quiet_loading():
        diffusers: Any = import_module("diffusers")
        return getattr(diffusers, family.loader(named))


def dtype_option() -> str:
    """How this version of diffusers calls the type of the weights that it loads."""
    from diffusers.utils import deprecation_utils

    return "dtype" if hasattr(deprecation_utils, "_resolve_dtype") else "torch_dtype"
