"""A session with Ray: started on this machine, where nobody else can reach it, or a cluster that runs already."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from fusionkit.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # By itself it puts workers behind all else that the machine does, and the command waits for them.
    "RAY_worker_niceness": "0",
}
# Ray's own name of what keeps it to the loopback device, as it does by itself on macOS and Windows.
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_TOKEN = secrets.token_hex(32)
# Asked without a token: who answers is open to everybody.
_PROBE = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None, timeout=10)
except AuthenticationError:
    sys.exit(3)
"""
_CLOSED = 3


def check_ray() -> None:
    """Whether Ray is installed; nothing of it is imported.

    Raises:
        RecipeError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise RecipeError(["workers need Ray, which is not installed: pip install 'fusionkit[ray]'"])


def open_session(cluster: str | None, size: int, *, insecure: bool = False) -> bool:
    """Start Ray on this machine, or join a cluster; answers whether it is to be ended with the pool.

    A session of this machine listens on the loopback device alone, and answers nobody without a token that is made for
    it and kept in memory. A session that the caller has begun is used as it is.

    Args:
        cluster: A cluster's address, `HOST:PORT`, or `auto` for the one that this machine is a part of; None starts
            one of this machine.
        size: How many workers there must be room for.
        insecure: Whether a cluster may be used that asks for no token.

    Raises:
        RecipeError: Ray is not installed, or the cluster can't be used: why, and what instead.
    """
    check_ray()
    # Read whenever an error arrives that nobody waits for any more, such as that of a task that was done twice.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        return False
    if cluster is None:
        _start(size)
    else:
        _join(cluster, insecure)
    return True


def end_session() -> None:
    """End the session, and everything that was started for it."""
    import ray

    ray.shutdown()


def _start(size: int) -> None:
    token = {} if "RAY_AUTH_MODE" in os.environ else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}
    with _environment({**_QUIET, **_ALONE, **token}):
        import ray

        _read_again()
        with _quiet_start(), _kept_to_loopback():
            cores = max(size, own_cores())
            ray.init("local", num_cpus=cores, include_dashboard=False, **_SAYS_NOTHING)


def _join(cluster: str, insecure: bool) -> None:
    if "://" in cluster:
        raise RecipeError(
            [f"cluster '{cluster}': give HOST:PORT, as 'ray start' has told it, on a machine of the cluster"]
        )
    with _environment(_QUIET):
        import ray

        _read_again()
        try:
            with _quiet_start():
                context: Any = ray.init(cluster, **_SAYS_NOTHING)
        except ConnectionError:
            raise RecipeError(
                [f"cluster '{cluster}': none answers; 'ray start --head' starts one, --workers uses this machine alone"]
            ) from None
        except (RuntimeError, ValueError) as error:  # other versions; no token; no address
            raise RecipeError([f"cluster '{cluster}': {' '.join(str(error).split())}"]) from None
        if not insecure and _is_open(context.address_info["gcs_address"]):
            ray.shutdown()
            raise RecipeError(
                [
                    f"cluster '{cluster}': asks for no token, so that whoever reaches it runs programs on it; start it "
                    "with RAY_AUTH_MODE=token ('ray get-auth-token --generate' makes one), or allow it: --open-cluster"
                ]
            )


def own_cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


_SAYS_NOTHING: Mapping[str, Any] = {"log_to_driver": False, "configure_logging": True, "logging_level": logging.ERROR}


def _is_open(address: str) -> bool:
    """Whether a cluster answers somebody who has no token."""
    # In a process of its own: this one's mode of authentication stays what it is.
    asked = subprocess.run(
        [sys.executable, "-c", _PROBE, address],
        env={**os.environ, **_QUIET, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        check=False,
    )
    return asked.returncode != _CLOSED


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Within the block environment variables are set that are not set otherwise; what is started there has them."""
    before = {name: os.environ.get(name) for name in values}
    for name, value in values.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, had in before.items():
            if had is None:
                os.environ.pop(name, None)


def _read_again() -> None:
    """Have Ray read from the environment who it answers; it may have been imported before, or used with others."""
    _raylet: Any = importlib.import_module("ray._raylet")
    with suppress(AttributeError):
        _raylet.Config.initialize("")
        _raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _quiet_start() -> Iterator[None]:
    """While Ray starts: signals stay whose they were, and nothing listens for its paragraphs about dead workers."""
    from ray._private import worker

    ours = threading.current_thread() is threading.main_thread()
    numbers = [number for name in ("SIGTERM", "SIGBREAK") if (number := getattr(signal, name, None)) is not None]
    before = {number: signal.getsignal(number) for number in numbers if ours}
    # Each death arrives as an exception of a call, too, and is told in one line.
    listen = getattr(worker, "listen_error_messages", None)
    if listen is not None:
        worker.listen_error_messages = lambda *_: None
    try:
        yield
    finally:
        if listen is not None:
            worker.listen_error_messages = listen
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


@contextmanager
def _kept_to_loopback() -> Iterator[None]:
    """While Ray starts: it takes this machine's address to be that of the loopback device, and listens there alone."""
    from ray._private import ray_constants

    # The environment says so, too, for its processes; here it may have been imported before.
    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    with suppress(AttributeError):
        ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        if before is not None:
            ray_constants.ENABLE_RAY_CLUSTER = before
