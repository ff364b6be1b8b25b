"""Ray for tests: in a network namespace of its own, where there is the loopback device and nothing else."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_INET, SOCK_DGRAM, socket

import pytest

_NEWNET = 0x40000000
_SET_FLAGS, _UP = 0x8914, 0x41


@contextmanager
def loopback_alone() -> Iterator[None]:
    """Within the block this thread, and what it starts, reaches and is reached by nobody but itself.

    Raises:
        OSError: The system, or whoever runs the tests, can't.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        raise OSError("namespaces are Linux'")
    import fcntl

    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_NEWNET):
            raise OSError(ctypes.get_errno(), "no namespace")
        try:
            with socket(AF_INET, SOCK_DGRAM) as any_socket:
                fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
            yield
        finally:
            if libc.setns(before, _NEWNET):
                raise OSError(ctypes.get_errno(), "the namespace can't be left")
    finally:
        os.close(before)


@pytest.fixture(scope="module")
def nobody_else() -> Iterator[None]:
    """A network with nobody else in it, where Ray is installed; tests are skipped otherwise."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'fusionkit[ray]'")
    try:
        with loopback_alone():
            yield
    except OSError as error:
        pytest.skip(f"no network namespace can be made, in which nobody else reaches Ray: {error}")
