"""Processes of their own that begin with torch, diffusers and transformers imported, which takes seconds of its own.

Each is a fork of one server that has imported them and nothing of fusionkit, so that all else is as in a new process.
What a process imports, and what an environment changes in a library as it is imported, wants `subprocess` instead.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

IMPORTED = (
    "torch",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl",
    "transformers.models.clip.modeling_clip",
    "transformers.models.clip.tokenization_clip",
)


@cache
def _processes() -> Any:
    """Forks of a server on Linux; elsewhere libraries take a fork badly, and each process is a new one."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


class Warm:
    """A process at work until `with` ends, and what it prints; it has what is used here of `subprocess.Popen`.

    Args:
        work: A function of a module that can be imported.
        arguments: Its arguments.
        path: Folders more to find packages in, before all others.
        folder: Where it runs; None is here.
        changes: What else is in its environment.
    """

    def __init__(
        self,
        work: Callable[..., Any],
        arguments: Sequence[str],
        path: Sequence[Path] = (),
        folder: Path | None = None,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self._said = TemporaryDirectory()
        where = str(folder or Path.cwd())
        environment = {**os.environ, **(changes or {})}
        if path:  # for what it starts itself
            environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
        told = (work, list(arguments), [str(each) for each in path], where, environment, self._said.name)
        self._process = _processes().Process(target=_begin, args=told)
        self._process.start()

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._said.cleanup()

    def poll(self) -> int | None:
        """The exit code, or None while it works."""
        code: int | None = self._process.exitcode
        return code

    @property
    def returncode(self) -> int | None:
        """The exit code, below 0 where a signal has ended it; None while it works."""
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it at once, if it has not ended."""
        self._process.kill()
        self._process.join()

    def communicate(self, timeout: float = 200) -> tuple[str, str]:
        """What it has printed to both streams, when it has ended.

        Raises:
            TimeoutError: It has not ended in so many seconds; it is killed.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            self.kill()
            raise TimeoutError(f"it has not ended in {timeout} s")
        out, err = (Path(self._said.name, name).read_text(encoding="utf-8") for name in ("out", "err"))
        return out, err


def _begin(
    work: Callable[..., Any], arguments: list[str], path: list[str], folder: str, environment: dict[str, str], said: str
) -> None:
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(Path(said, name), os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, number)
        os.close(handle)
    # As a terminal's: what the server was started with may ignore them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, each):
            signal.signal(getattr(signal, each), signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = path
    work(arguments)


def command(arguments: list[str]) -> None:
    """The command line."""
    from fusionkit.cli import main

    main(arguments, prog_name="fusionkit")


def pytests(arguments: list[str]) -> None:
    """Tests, as of pytest's own command."""
    import pytest

    sys.dont_write_bytecode = True
    sys.exit(pytest.main(arguments))


def answered(*arguments: str, work: Callable[..., Any] = command, **how: Any) -> subprocess.CompletedProcess[str]:
    """What the command line has printed, and its exit code, as of `subprocess.run`."""
    with Warm(work, arguments, **how) as process:
        out, err = process.communicate()
        return subprocess.CompletedProcess(list(arguments), process.returncode or 0, out, err)
