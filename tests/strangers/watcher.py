"""Runs commands one after the other in one process, and notes what each of them opens, asks, starts, deletes and runs.

Python's own audit events tell of files, sockets, processes and pickles (PEP 578). Libraries that open files without
Python, as that of safetensors does, are seen by inotify, where the system has it: of the folders that nobody may look
into. It is started with the path of a JSON file: commands, folders to guard, and where to note it all.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

ASKS = ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.getnameinfo", "socket.sendto", "urllib.")
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn")
DELETES = ("os.remove", "os.rename", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.chmod", "shutil.rmtree")
LISTS = ("os.listdir", "os.scandir")
PICKLES = ("pickle.find_class",)
WATCHED = (*ASKS, *STARTS, *DELETES, *LISTS, *PICKLES, "os.mkdir", "open")
_IN_ACCESS, _IN_OPEN, _IN_MODIFY, _IN_DELETE, _IN_CREATE = 0x1, 0x20, 0x2, 0x200, 0x100


class Guard:
    """Tells of whatever is opened, made or deleted in some folders, by whatever means; nothing without inotify."""

    def __init__(self, folders: list[str]) -> None:
        self.handle, self.folders = -1, {}
        if sys.platform != "linux":
            return
        libc = ctypes.CDLL(None, use_errno=True)
        self.handle = libc.inotify_init1(os.O_NONBLOCK)
        mask = _IN_OPEN | _IN_ACCESS | _IN_MODIFY | _IN_DELETE | _IN_CREATE
        for folder in folders:
            self.folders[libc.inotify_add_watch(self.handle, os.fsencode(folder), mask)] = folder

    def seen(self) -> list[str]:
        """The files that were touched since the last call."""
        if self.handle < 0:
            return []
        try:
            data = os.read(self.handle, 1 << 16)
        except BlockingIOError:
            return []
        found: dict[str, None] = {}
        while data:
            watch, length = (
                int.from_bytes(data[:4], sys.byteorder, signed=True),
                int.from_bytes(data[12:16], sys.byteorder),
            )
            name = os.fsdecode(data[16 : 16 + length].rstrip(b"\0"))
            found[os.path.join(self.folders[watch], name)] = None
            data = data[16 + length :]
        return list(found)


def told_by(event: str, args: tuple[Any, ...]) -> list[list[str]]:
    """What an audit event says, as pairs of a kind and a path or a text."""
    paths = [os.fsdecode(each) for each in args if isinstance(each, (str, bytes, os.PathLike))]
    if event == "open":
        writes = bool((args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        # Without a path it is a handle that was open already.
        opened = paths[:1] if isinstance(args[0], (str, bytes, os.PathLike)) else []
        return [["write" if writes else "read", os.path.realpath(each)] for each in opened]
    if event in LISTS:
        return [["read", os.path.realpath(each)] for each in paths]
    if event in DELETES or event == "os.mkdir":
        # A link itself is renamed or deleted, not what it leads to.
        parts = [os.path.split(each) for each in paths]
        return [["write", os.path.join(os.path.realpath(folder), name)] for folder, name in parts]
    kind = "ask" if event.startswith(ASKS) else "start" if event.startswith(STARTS) else "unpickle"
    return [[kind, f"{event} {args!r:.300}"]]


def main(plan: str) -> None:
    with open(plan, encoding="utf-8") as file:
        told = json.load(file)
    noted: list[list[Any]] = []
    busy = False

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal busy
        if not busy and event.startswith(WATCHED):
            busy = True
            try:
                noted.extend(told_by(event, args))
            finally:
                busy = False

    sys.addaudithook(hook)
    from fusionkit.cli import main as fusionkit

    guard = Guard(told["guarded"])
    answers = []
    for arguments in told["commands"]:
        noted.clear()
        guard.seen()
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                fusionkit(arguments, prog_name="fusionkit")
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 0
            except BaseException:  # noqa: BLE001 - the next command is to run, too
                traceback.print_exc()
                code = 99
        events = [*noted, *(["touch", path] for path in guard.seen())]
        answers.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), "events": events})
    Path(told["to"]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
