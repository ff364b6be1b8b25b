"""Has the jobs drawn, one after another, by a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any

from fusionkit.foreign import told
from fusionkit.runs.checkpoints import EVERY
from fusionkit.studio.folder import LOG, Folder
from fusionkit.studio.jobs import CANCELLED, DONE, DRAWING, FAILED, WAITING, Job, Jobs

PATIENCE = 10.0
"""So many seconds a run that is cancelled has to come to the end of a step; then its process is ended."""


class Drawing:
    """The process that draws, and the jobs that it draws.

    Args:
        folder: The studio's folder, where the process works.
        jobs: What is to be drawn.
        every: Seconds from one checkpoint to the next.
    """

    def __init__(self, folder: Folder, jobs: Jobs, every: float = EVERY) -> None:
        self.folder, self.jobs, self.every = folder, jobs, every
        self._wake = threading.Event()
        self._lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._job: Job | None = None
        # When the job's first step was done, and how much of it was done then.
        self._began: tuple[float, float] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._draw_all, daemon=True)

    @property
    def holds_models(self) -> bool:
        """Whether there is a process that keeps models for the next picture."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin with what waits."""
        self._thread.start()
        self._wake.set()

    def wake(self) -> None:
        """Look for jobs that wait."""
        self._wake.set()

    def cancel(self, job: Job) -> None:
        """End a job; what it has done is kept."""
        if self.jobs.cancel(job):
            return
        with self._lock:
            if self._job is not job:
                return
            self.jobs.update(job, kept=False, step="ending after this step")
            self._send({"do": "cancel"})
            threading.Timer(PATIENCE, self._kill, [job]).start()

    def free(self) -> None:
        """End the process, where it draws nothing, so that the memory of its models is free."""
        with self._lock:
            if self._job is None:
                self._end()

    def close(self) -> None:
        """End the process; what it draws is kept at the end of its step, and goes on when the studio is back."""
        self._closed = True
        self._wake.set()
        with self._lock:
            process = self._process
            self._end()
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()

    def _draw_all(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            while not self._closed and (job := self.jobs.next()) is not None:
                try:
                    self._draw(job)
                except Exception as error:  # noqa: BLE001 - whatever it is, the next one is drawn
                    self._failed(job, error)

    def _draw(self, job: Job) -> None:
        with self._lock:
            if self._closed:
                return
            self._job, self._began = job, None
            self._begin()
            process = self._process
            self._send(self._message(job))
        assert process is not None
        assert process.stdout is not None
        for line in process.stdout:
            if self._take(job, json.loads(line)):
                break
        else:
            self._lost(job, process)
        with self._lock:
            self._job = None

    def _failed(self, job: Job, error: Exception) -> None:
        """A fault of ours: what the process says from now on could be taken for the next job's, so it ends."""
        with self._lock:
            self._job, process = None, self._process
            self._end()
        if process is not None:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        with suppress(OSError), (self.folder.own / LOG).open("a", encoding="utf-8") as log:
            traceback.print_exception(error, file=log)
        self.jobs.update(job, state=FAILED, step="", lines=[f"it can't be drawn: {told(error)}"])

    def _take(self, job: Job, message: dict[str, Any]) -> bool:
        """What the process says of a job; answers whether that was the last."""
        kind = message.pop("event")
        if kind == "step":
            if job.step.startswith("ending"):
                message.pop("step")
            shown = self.jobs.preview(job)
            seen = shown.stat().st_mtime_ns // 1_000_000 if shown.is_file() else 0
            self.jobs.update(job, kept=False, preview=seen, left=self._left(message["done"]), **message)
            return False
        state = {"done": DONE, "cancelled": CANCELLED, "failed": FAILED}[kind]
        done = 1.0 if state == DONE else job.done
        self.jobs.update(job, state=state, step="", done=done, **message)
        return True

    def _left(self, done: float) -> float:
        """Seconds that the job takes yet, by what its steps took until now; 0 where that is not known."""
        now = time.monotonic()
        if done == 0 or self._began is None:
            self._began = (now, done) if done else None
            return 0.0
        began, before = self._began
        return (now - began) / (done - before) * (1 - done) if done > before else 0.0

    def _lost(self, job: Job, process: subprocess.Popen[str]) -> None:
        """The process has ended in the middle of a job."""
        code = process.wait()
        if self._closed or job.state != DRAWING:
            return
        if job.step.startswith("ending"):
            self.jobs.update(job, state=CANCELLED, step="")
            return
        if code == 0 and not job.step:
            # It ended for want of work just when there was some.
            self.jobs.update(job, state=WAITING)
            return
        why = f"the process that draws has ended ({code}), perhaps for want of memory"
        self.jobs.update(job, state=FAILED, step="", lines=[f"{why}; see {self.folder.own / LOG}"])

    def _message(self, job: Job) -> dict[str, Any]:
        return {
            "do": "draw",
            "recipe": job.recipe,
            "careful": job.careful,
            "resume": job.resume,
            "every": self.every,
            "preview": str(self.jobs.preview(job)),
            "checkpoint": str(self.jobs.checkpoint(job)),
            "maps": str(self.folder.own / "maps"),
        }

    def _begin(self) -> None:
        if self.holds_models:
            return
        with (self.folder.own / LOG).open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fusionkit.studio.worker"],
                cwd=self.folder.path,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                # Ctrl-C in the terminal is for the studio, which tells the process.
                start_new_session=True,
            )

    def _send(self, message: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.write(json.dumps(message) + "\n")
                self._process.stdin.flush()

    def _end(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._process = None

    def _kill(self, job: Job) -> None:
        with self._lock:
            if self._job is job and self._process is not None:
                self._process.kill()
