"""A studio as its user has it: a process of its own, its folder, and a third party's plugin beside fusionkit's."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from studio_served import Serve, Served
from warm import Warm, command

EXAMPLE = Path(__file__).parents[2] / "docs" / "example_plugin"


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@pytest.fixture(scope="session")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example plugin is installed, as pip would have left it."""
    folder = tmp_path_factory.mktemp("packages")
    shutil.copytree(EXAMPLE / "fusionkit_sky_and_sea", folder / "fusionkit_sky_and_sea")
    told = folder / "fusionkit_sky_and_sea-0.1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: fusionkit-sky-and-sea\nVersion: 0.1.0\n")
    (told / "entry_points.txt").write_text("[fusionkit.plugins]\nsky-and-sea = fusionkit_sky_and_sea:SkyAndSea\n")
    return folder


@pytest.fixture(scope="session")
def serve(third_party: Path) -> Iterator[Serve]:
    """Opens a studio of a folder."""
    opened: list[Served] = []
    stack = ExitStack()

    def serve(folder: Path, port: int = 0) -> Served:
        port = port or free_port()
        arguments = ["studio", str(folder), "--port", str(port), "--no-browser"]
        process = stack.enter_context(Warm(command, arguments, path=[third_party]))
        served = Served(folder, f"http://127.0.0.1:{port}", process)
        opened.append(served)
        end = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 1):
                    return served
            except OSError:
                assert served.process.poll() is None, served.process.communicate()
                assert time.monotonic() < end
                time.sleep(0.05)

    with stack:
        yield serve
        for served in opened:
            if served.process.poll() is None:
                served.process.send_signal(2)
                served.process.communicate()
                assert served.process.returncode == 0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working folder, as a studio's is."""
    monkeypatch.chdir(tmp_path)
    os.makedirs(tmp_path / ".studio", exist_ok=True)
    return tmp_path
