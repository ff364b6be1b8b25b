"""Single files of models on the hub. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fusionkit.errors import ModelError, did_you_mean
from fusionkit.models.embedded import embedded_models


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
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    cached = try_to_load_from_cache(hub_id, name, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    try:
        # Unlike the download, this does not try for half a minute where there is no network.
        get_hf_file_metadata(hf_hub_url(hub_id, name, revision=revision))
        return Path(hf_hub_download(hub_id, name, revision=revision))
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
        problem = "is not in the local cache and the hub can't be reached; there is no such folder either"
        raise ModelError(f"{what} '{hub_id}' {problem}") from error


def hub_listing(hub_id: str, revision: str) -> list[Path]:
    """The files of a model on the hub, or nothing where it does not tell."""
    from huggingface_hub import HfApi

    try:
        files = HfApi().model_info(hub_id, revision=revision, timeout=10).siblings
    except Exception:  # noqa: BLE001 - without it, loading will tell what is missing
        return []
    return [Path(file.rfilename) for file in files or []]
