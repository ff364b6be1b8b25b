"""What the tests of strangers' files share: commands run under the eyes of `watcher.py`, and what each may do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "tests" / "golden" / "checkpoints"
MAY_HOLD_CODE = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".py", ".pyc")


@dataclass(frozen=True)
class World:
    """Folders of one test: where commands run, what is private, and where temporary files and caches go."""

    folder: Path

    @property
    def work(self) -> Path:
        """The working folder; commands may read it."""
        return self.folder / "work"

    @property
    def out(self) -> Path:
        """Where commands may write."""
        return self.work / "out"

    @property
    def private(self) -> Path:
        """What no stranger's file may lead to."""
        return self.folder / "private"

    @property
    def home(self) -> Path:
        """Holds the caches."""
        return self.folder / "home"

    def make(self) -> None:
        """Make the folders."""
        for each in (self.work, self.out, self.private, self.home, self.folder / "tmp"):
            each.mkdir(parents=True)


@dataclass(frozen=True)
class Watched:
    """What a command did."""

    code: int
    out: str
    err: str
    events: Sequence[tuple[str, str]]

    def of(self, kind: str) -> list[str]:
        """The events of one kind: read, write, touch, ask, start or unpickle."""
        return [what for each, what in self.events if each == kind]


def watch(world: World, commands: Sequence[Sequence[str]]) -> list[Watched]:
    """Run commands in the world's working folder, with the network open, and say what each of them did."""
    plan, to = world.folder / "plan.json", world.folder / "noted.json"
    guarded = [str(world.private), *(str(each) for each in world.private.rglob("*") if each.is_dir())]
    plan.write_text(
        json.dumps({"commands": [list(map(str, each)) for each in commands], "guarded": guarded, "to": str(to)})
    )
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "XDG_", "TORCH", "TRANSFORMERS_"))
    }
    environment = {
        **kept,
        "HOME": str(world.home),
        "HF_HOME": str(world.home / "hub"),
        "XDG_CACHE_HOME": str(world.home / ".cache"),
        "TMPDIR": str(world.folder / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("watcher.py")), str(plan)],
        cwd=world.work, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [
        Watched(each["code"], each["out"], each["err"], [(kind, what) for kind, what in each["events"]])
        for each in json.loads(to.read_text())
    ]


def faults(world: World, did: Watched, named: Sequence[Path], written: Sequence[Path] = ()) -> list[str]:
    """What a command did that its user did not ask for, one line each.

    Args:
        world: Where it ran.
        did: What it did.
        named: The folders and files that the user named, to be read.
        written: Where the user asked for something to be written; the output folder always is.
    """
    own = [*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, ROOT, *filter(None, sys.path)]
    names = ("proc", "sys", "dev", "etc", "usr", "lib", "lib64", "bin", "System", "Library")
    writable = real([world.home, world.folder / "tmp", world.out, *written, "/dev/null", "/dev/shm"])
    readable = real([*own, *(Path("/", name) for name in names), *named]) | writable
    theirs = real([world.folder])
    found = [f"{kind}: {what}" for kind, what in did.events if kind in ("ask", "unpickle", "touch")]
    # It lists the system's libraries; Python's own `ctypes` asks it.
    found += [f"start: {what}" for what in did.of("start") if "/sbin/ldconfig" not in what]
    found += [f"write: {path}" for path in did.of("write") if not within(path, writable)]
    # The working folder itself may be listed; what lies in it is for whoever named it.
    read = [path for path in did.of("read") if path != str(world.work)]
    found += [f"read: {path}" for path in read if not within(path, readable)]
    opened = [path for path in did.of("read") if Path(path).suffix in MAY_HOLD_CODE and within(path, theirs)]
    return list(dict.fromkeys([*found, *(f"read: {path}, which may hold code" for path in opened)]))


def real(paths: Iterable[str | Path]) -> set[str]:
    """Paths without links."""
    return {os.path.realpath(each) for each in paths}


@cache
def above(path: str) -> frozenset[str]:
    """A path and all folders that it lies in."""
    return frozenset(map(str, (Path(path), *Path(path).parents)))


def within(path: str, folders: set[str]) -> bool:
    """Whether a path is one of some, or lies in one of them."""
    return not folders.isdisjoint(above(path))
