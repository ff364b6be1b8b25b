"""A checkpoint's file: a snapshot of a run, which run it is, and what it has cost. Safetensors and JSON, no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import CheckpointError, FusionError
from fusionkit.pictures.files import write_file
from fusionkit.pictures.names import beside
from fusionkit.recipe.texts import odd_kind
from fusionkit.runs.checkpoints.identity import Identity
from fusionkit.runs.checkpoints.snapshot import Snapshot
from fusionkit.runs.spent import Spent

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
"""Of the file; another one is refused."""

KEY = "fusionkit-checkpoint"
"""Of the safetensors' metadata: all but the tensors, as JSON."""

_ADDITION, _SUFFIX = ".checkpoint", ".safetensors"
# So many runs that were ended may have left a checkpoint of one name.
_MOST = 100


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        stage: The index of the stage at work.
        done: Its steps that are done.
        steps_done: Steps of all stages that are done.
        steps: Steps of all stages.
        batches: For each model what it chose as batch sizes: rows of a view's height, width, and the number.
        suffix: How the name of the picture's file ends, with its dot.
    """

    stage: int
    done: int
    steps_done: int
    steps: int
    batches: Mapping[str, list[list[int]]]
    suffix: str = ".png"

    @property
    def only_decoding_is_left(self) -> bool:
        """Whether all steps are done."""
        return self.steps_done >= self.steps

    def __str__(self) -> str:
        return "all steps done" if self.only_decoding_is_left else f"step {self.steps_done} of {self.steps}"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint's file says; its tensors are read when they are needed.

    Args:
        path: The file.
        identity: Which run it is.
        progress: How far it is.
        spent: What it has cost.
        content: The packed values of its `Snapshot`.
    """

    path: Path
    identity: Identity
    progress: Progress
    spent: Spent
    content: Mapping[str, Any]

    def snapshot(self) -> Snapshot:
        """The run after its last step that is kept, tensors and all.

        Raises:
            CheckpointError: The file can't be read.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors = load_file(self.path)
        except (OSError, SafetensorError, ValueError) as error:
            raise CheckpointError(f"checkpoint '{self.path}' can't be read: {' '.join(str(error).split())}") from error
        return Snapshot(self.progress.stage, self.progress.done, self.content, tensors)


def checkpoint_path(picture: Path) -> Path:
    """Where the checkpoint of a picture goes: beside it, `a.checkpoint.safetensors` beside `a.png`."""
    return beside(picture, _ADDITION, _SUFFIX)


def picture_beside(path: Path, suffix: str) -> Path:
    """Where the picture of a checkpoint goes: `a.png` beside `a.checkpoint.safetensors`."""
    stem = path.name.removesuffix(_SUFFIX)
    head, found, rest = stem.rpartition(_ADDITION)
    return path.with_name((head + rest if found else stem) + suffix)


def alike(path: Path) -> Iterator[Path]:
    """The files that are there of those that a run would give its checkpoint: the path, and numbered ones."""
    names = (path, *(beside(path, f"-{number}") for number in range(2, _MOST + 1)))
    yield from (each for each in names if each.exists())


def write_checkpoint(
    path: Path,
    snapshot: Snapshot,
    identity: Identity,
    progress: Progress,
    spent: Spent,
    *,
    replace: bool,
) -> Path:
    """Write a checkpoint, whole or not at all; what was there stays until then.

    Args:
        path: The file; its folder is made.
        snapshot: The run.
        identity: Which run it is.
        progress: How far it is.
        spent: What it has cost.
        replace: Replace an existing file, which is this run's; otherwise a number is added to the name.

    Returns:
        Where it is.

    Raises:
        FusionError: It can't be written.
    """
    from safetensors.torch import save

    told = {
        "format": FORMAT,
        "identity": identity.to_json(),
        "progress": asdict(progress),
        "spent": asdict(spent),
        "content": snapshot.content,
    }
    tensors: dict[str, Tensor] = {name: each.cpu().contiguous() for name, each in snapshot.tensors.items()}
    data = save(tensors, {KEY: json.dumps(told)})
    return write_file(path, lambda file: file.write(data), replace=replace)


def read_checkpoint(path: Path) -> Checkpoint:
    """What a checkpoint's file says, whoever wrote it; its tensors are not read.

    Raises:
        CheckpointError: It is none, it is damaged, or it is of another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if kind := odd_kind(os.stat(path).st_mode):
            raise CheckpointError(f"'{path}' is {kind}, not a checkpoint")
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except FileNotFoundError:
        raise CheckpointError(f"'{path}': no such file") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"'{path}' is no checkpoint, or a damaged one: {' '.join(str(error).split())}") from error
    if text is None:
        raise CheckpointError(f"'{path}' is no checkpoint of fusionkit")
    try:
        told = json.loads(text)
        if told["format"] != FORMAT:
            raise CheckpointError(
                f"checkpoint '{path}' has the format {told['format']}, and this version of fusionkit reads {FORMAT}; "
                f"go on with the version that wrote it, or begin anew"
            )
        return Checkpoint(
            path,
            Identity(**told["identity"]),
            Progress(**told["progress"]),
            Spent(**told["spent"]),
            told["content"],
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"checkpoint '{path}' is damaged ({type(error).__name__}: {error})") from error


def remove_checkpoints(path: Path, picture: str) -> None:
    """Delete the checkpoints of one picture, which is saved, and nothing else.

    Args:
        path: Where a run of it gives its checkpoint.
        picture: Its `Identity.picture`.
    """
    for each in list(alike(path)):
        with suppress(FusionError, OSError):
            if read_checkpoint(each).identity.picture == picture:
                each.unlink()
