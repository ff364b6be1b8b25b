"""The process that draws, where it can't be started or says nothing of use."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fusionkit.studio.drawing import Drawing
from fusionkit.studio.folder import LOG, studio_folder
from fusionkit.studio.jobs import FAILED, Job, Jobs

# It says nothing of use of its first job, and that its second one is done.
_BABBLES = """
import sys
for number, _ in enumerate(sys.stdin):
    print('{"event": "done"}' if number else "no JSON", flush=True)
"""


def drawn(folder: Path) -> tuple[Drawing, list[Job]]:
    """Two jobs, when neither waits any more."""
    jobs = Jobs(studio_folder(folder))
    added = [jobs.add(Job({"seed": seed})) for seed in range(2)]
    drawing = Drawing(jobs.folder, jobs)
    drawing.start()
    end = time.monotonic() + 20
    while any(job.is_open for job in jobs):
        assert time.monotonic() < end
        time.sleep(0.01)
    drawing.close()
    return drawing, added


def test_a_process_that_can_t_be_started_fails_its_job_and_the_next_one_is_tried(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", refused)
    drawing, added = drawn(here)
    line = "it can't be drawn: OSError: [Errno 12] Cannot allocate memory"
    assert [(job.state, job.lines) for job in added] == [(FAILED, [line])] * 2
    assert not drawing.holds_models


def test_what_a_process_says_of_a_job_that_failed_is_not_taken_for_the_next_one_s(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **how: start([sys.executable, "-c", _BABBLES], **how))
    drawing, added = drawn(here)
    assert [job.state for job in added] == [FAILED] * 2
    assert added[1].lines == ["it can't be drawn: JSONDecodeError: Expecting value: line 1 column 1 (char 0)"]
    assert (drawing.folder.own / LOG).read_text(encoding="utf-8").count("Traceback") == 2


def test_how_long_a_job_takes_yet_is_told_by_its_steps(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 20.0, 24.0, 28.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    drawing = Drawing(studio_folder(here), Jobs(studio_folder(here)))
    # What comes before the first step, such as loading the model, tells nothing of the others.
    assert [drawing._left(done) for done in (0.0, 0.2, 0.4, 0.6)] == [0.0, 0.0, 12.0, 8.0]
