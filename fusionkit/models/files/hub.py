"""Single files of models on the hub. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from fusionkit.errors import ModelError, did_you_mean
from fusionkit.models.embedded import embedded_models
from fusionkit.models.files.folder import STEMS, only_variant
from fusionkit.models.files.model_configs import ModelConfigs
from fusionkit.models.files.weights import variant_of, variants_among
from fusionkit.models.silence import quiet_finding
from fusionkit.trust import no_download

# What a tokenizer is read from.
_TABLES = ("*.json", "*.txt", "*.jinja", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


def hub_file(hub_id: str, name: str, revision: str | None, *, what: str = "model", known: Iterable[str] = ()) -> Path:
    """A file of a model on the hub, from the local cache where it is there.

    Args:
        hub_id: `owner/name`.
        name: The file's path inside the model.
        revision: Branch, tag or commit.
        what: What the model is, as errors call it.
        known: Names for near misses; none are the embedded models.

    Raises:
        ModelError: The hub, the model, the revision or the file is not there, or may not be read.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    refused = no_download()
    try:
        cached = try_to_load_from_cache(hub_id, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
        if not refused:
            # Unlike the download, this does not try for half a minute where there is no network.
            get_hf_file_metadata(hf_hub_url(hub_id, name, revision=revision))
            return Path(hf_hub_download(hub_id, name, revision=revision))
    except (HFValidationError, ValueError) as error:
        raise ModelError(f"{what} '{hub_id:.100}' can't be on the hub: that is no id such as 'owner/name'") from error
    except GatedRepoError as error:
        problem = "is gated: accept its terms on the hub and log in with 'hf auth login'"
        raise ModelError(f"{what} '{hub_id}' {problem}") from error
    except RepositoryNotFoundError as error:
        hint = did_you_mean(hub_id, known or embedded_models())
        raise ModelError(f"{what} '{hub_id}' is not on the hub, and there is no such folder{hint}") from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{what} '{hub_id}' has no revision '{revision}'") from error
    except EntryNotFoundError as error:
        raise ModelError(f"{what} '{hub_id}' is no diffusers {what}: it has no {name}") from error
    except Exception as error:
        # The hub's client lets errors of its transport through, which differ from version to version.
        version = f" in revision '{revision}'" if revision and cached_file(hub_id, name) is not None else ""
        gone = "" if version else "; there is no such folder either"
        problem = f"is not in the local cache{version} and the hub can't be reached{gone}"
        raise ModelError(f"{what} '{hub_id}' {problem}") from error
    raise ModelError(f"{what} '{hub_id}' {refused}")


def cached_file(hub_id: str, name: str, revision: str | None = None) -> Path | None:
    """A file of a model on the hub, if the local cache has it; nothing is asked of the hub."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(hub_id, name, revision=revision)
    return Path(cached) if isinstance(cached, str) else None


def cached_commit(hub_id: str) -> str:
    """Of which commit the local cache has a model's files; empty where it has none, and nothing is asked of the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, local_files_only=True)).name
    except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
        return ""


def hub_shapes(hub_id: str, name: str) -> dict[str, tuple[int, ...]] | None:
    """The shapes of the tensors in a `.safetensors` file on the hub, of which its header alone is fetched.

    None where the hub may not be asked, or does not tell: then the file tells when it is there.
    """
    from huggingface_hub import HfApi

    if no_download():
        return None
    try:
        header = HfApi().parse_safetensors_file_metadata(hub_id, name)
    except Exception:  # noqa: BLE001 - without it, loading will tell what is wrong
        return None
    return {key: tuple(each.shape) for key, each in header.tensors.items()}


def hub_listing(hub_id: str, revision: str) -> list[Path]:
    """The files of a model on the hub, or nothing where it does not tell."""
    from huggingface_hub import HfApi

    if no_download():
        return []
    try:
        files = HfApi().model_info(hub_id, revision=revision, timeout=10).siblings
    except Exception:  # noqa: BLE001 - without it, loading will tell what is missing
        return []
    return [Path(file.rfilename) for file in files or []]


def download_model(
    hub_id: str, revision: str | None, configs: ModelConfigs, variant: str | None, without: Collection[str] = ()
) -> Path:
    """The folder of a model in the hub's cache, with what is missing downloaded: the files of its parts alone.

    Nothing is downloaded but `.json`, `.txt` and `.safetensors` files, and tokenizers' own tables; of several variants
    one.

    Args:
        hub_id: `owner/name`.
        revision: Branch, tag or commit.
        configs: The model's configurations, for the parts that it needs.
        variant: Such as `fp16`; None are the plain weights, or, where there are none, the only others.
        without: Parts whose weights are elsewhere.
    """
    there = hub_listing(hub_id, revision or "main")
    wanted = ["model_index.json", "scheduler/*.json"]
    stems = {part: STEMS[part] for part in configs.classes if part in STEMS and part not in without}
    names = {part: [file.name for file in there if file.parent.name == part] for part in stems}
    chosen = variant or only_variant({part: variants_among(names[part], stem) for part, stem in stems.items()})
    for part, stem in stems.items():
        wanted.append(f"{part}/config.json")
        picked = chosen if chosen in variants_among(names[part], stem) else None
        wanted += [f"{part}/{name}" for name in names[part] if variant_of(name, stem) == picked]
        wanted += [] if there else [f"{part}/{name}" for name in _any_weights(stem)]
    for part in (each for each in configs.classes if each.startswith("tokenizer")):
        wanted += [f"{part}/{pattern}" for pattern in _TABLES]
    return _snapshot(hub_id, revision, wanted)


def download_controlnet(hub_id: str) -> Path:
    """The folder of a ControlNet in the hub's cache, with what is missing downloaded: one variant of its weights."""
    stem = STEMS["unet"]
    names = [str(file) for file in hub_listing(hub_id, "main")]
    variants = variants_among(names, stem)
    picked = None if None in variants or not variants else variants[0]
    weights = [name for name in names if variant_of(name, stem) == picked] if names else _any_weights(stem)
    return _snapshot(hub_id, None, ["config.json", *weights])


def _any_weights(stem: str) -> list[str]:
    """All weights of a component, where the hub did not tell which there are: more than is needed beats none."""
    return [f"{stem}*.safetensors", f"{stem}*.safetensors.index*.json"]


def _snapshot(hub_id: str, revision: str | None, files: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    # That the hub is not reached is no news where the cache has the files, and an error of ours where it has not.
    with quiet_finding():
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=files))
