"""Opens the studio of a folder on a port of this machine, and closes it."""

from __future__ import annotations

import os
import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from fusionkit.errors import FusionError
from fusionkit.studio.access import access_of
from fusionkit.studio.answers import Studio
from fusionkit.studio.folder import studio_folder
from fusionkit.studio.server import application


def serve(folder: Path, host: str, port: int, browser: bool, say: Callable[[str], object]) -> None:
    """Serve the studio of a folder until it is interrupted.

    Args:
        folder: Where its pictures are; made where it is not there.
        host: An address of this machine.
        port: 0 takes a free one.
        browser: Whether the page is opened.
        say: Told where the page is.

    Raises:
        FusionError: The port or the folder is taken, or the folder can't be made.
    """
    here = studio_folder(folder)
    lock = FileLock(here.own / "studio.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FusionError(f"another studio is open on '{folder}'; close it, or give another folder") from None
    with lock, _listening(host, port) as listener:
        # What recipes name is looked for from the working folder.
        os.chdir(here.path)
        access = access_of(here.own)
        address = f"http://{host}:{listener.getsockname()[1]}/?token="
        say(f"the studio of '{folder}' is at {address}{access.token}\n  Ctrl-C ends it")
        # A page that asks again and again does not keep it open.
        config = uvicorn.Config(
            application(Studio(here), access), log_level="warning", access_log=False, timeout_graceful_shutdown=2
        )
        if browser:
            webbrowser.open(address + access.once())
        # That is how it is ended; what is being drawn is kept.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([listener])


def _listening(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        why = error.strerror or str(error)
        raise FusionError(f"port {port} can't be opened: {why}; give another one: --port 0 takes a free one") from None
    listener.listen()
    return listener
