"""Pictures that workers describe: what metrics say of each, computed elsewhere, and put together here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fusionkit.distributed.values import Answer
from fusionkit.evaluation.asking import described_by

if TYPE_CHECKING:
    from fusionkit.distributed.pool import Pool
    from fusionkit.distributed.worker import Worker
    from fusionkit.evaluation.metric import Metric
    from fusionkit.evaluation.picture import Picture
    from fusionkit.evaluation.tools import Tools

_TOGETHER = 8
"""So many pictures a worker are on their way at a time."""


@dataclass(frozen=True)
class Describe:
    """What some metrics say of a picture.

    Args:
        picture: The picture.
        files: Its file, and its partner's, with what is in them: a worker need not see their folder.
        metrics: The metrics.
        tools: What makes their tools there (`Tools.recipe`).
    """

    noun: ClassVar[str] = "picture"
    verb: ClassVar[str] = "described"

    picture: Picture
    files: Mapping[Path, bytes] = field(repr=False)
    metrics: Sequence[Metric]
    tools: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"picture {self.picture.path}"

    def __call__(self, worker: Worker) -> Answer:
        """Describe it; the answer is what each metric says, by its name."""
        from fusionkit.evaluation.tools import Tools

        tools = worker.keep("tools", repr(self.tools), lambda: Tools(**self.tools, device=worker.device), most=1)
        with tempfile.TemporaryDirectory(prefix="fusionkit-") as folder:
            there = {path: Path(folder, f"{number}{path.suffix}") for number, path in enumerate(self.files)}
            for path, copy in there.items():
                copy.write_bytes(self.files[path])
            partner = self.picture.partner
            moved = replace(
                self.picture,
                path=there[self.picture.path],
                partner=None if partner is None else there[partner],
            )
            return Answer(described_by(self.metrics, moved, tools, self.picture.path))


def describe_on(
    pool: Pool,
    pictures: Sequence[Picture],
    metrics: Sequence[Metric],
    tools: Tools,
    told: Callable[[int], None],
) -> dict[str, list[Any]]:
    """What every metric says of every picture, by the metrics' names, in the pictures' order.

    Args:
        pool: The workers.
        pictures: The pictures; their files are read here.
        metrics: The metrics.
        tools: What they share; workers make their own of it.
        told: Told how many are described.
    """
    done = 0

    def come(_: int, __: Answer) -> None:
        nonlocal done
        done += 1
        told(done)

    answers: list[Answer] = []
    # Not all files at a time: there may be more of them than memory holds.
    for start in range(0, len(pictures), _TOGETHER * pool.size):
        some = pictures[start : start + _TOGETHER * pool.size]
        answers += pool.run([Describe(each, _files(each), metrics, tools.recipe) for each in some], come)
    return {metric.metric_name: [answer.value[metric.metric_name] for answer in answers] for metric in metrics}


def _files(picture: Picture) -> dict[Path, bytes]:
    paths = [picture.path] if picture.partner is None else [picture.path, picture.partner]
    return {path: path.read_bytes() for path in paths}
