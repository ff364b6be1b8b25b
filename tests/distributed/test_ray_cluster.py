"""A cluster that runs already: joined where it asks for a token, refused where it is open to everybody."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionkit.distributed.ray_pool import RayPool
from fusionkit.distributed.ray_session import end_session, open_session
from fusionkit.errors import RecipeError

pytestmark = [pytest.mark.usefixtures("nobody_else"), pytest.mark.timeout(600)]


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^cluster 'ray://there:1': give HOST:PORT, as 'ray start' has told it"):
        open_session("ray://there:1", 1)


@pytest.fixture
def open_cluster(nobody_else: None, tmp_path: Path) -> Iterator[str]:
    """The address of a cluster that asks for no token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A folder of its own has a name that is too long for Ray's sockets.
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=1", "--include-dashboard=false", "--disable-usage-stats"]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    with (tmp_path / "head").open("wb") as told:
        head = subprocess.Popen(command, env=environment, stdout=told, stderr=told)
        try:
            began = time.monotonic()
            while b"started" not in (tmp_path / "head").read_bytes():
                assert head.poll() is None, (tmp_path / "head").read_text()
                assert time.monotonic() - began < 300
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            head.terminate()
            head.wait(60)


def test_a_cluster_that_anybody_may_use_is_refused_unless_it_is_allowed(open_cluster: str) -> None:
    with pytest.raises(RecipeError, match=r"asks for no token, so that whoever reaches it runs programs on it"):
        RayPool(1, cluster=open_cluster)
    assert not importlib.import_module("ray").is_initialized()
    assert open_session(open_cluster, 1, insecure=True)
    try:
        with pytest.raises(RecipeError, match=r"^2 workers need 2 cores; there are 1$"):
            RayPool(2)
    finally:
        end_session()
