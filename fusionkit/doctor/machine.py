"""The machine: its Python, its memory, what can compute on it, and where downloads are kept."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

PATIENCE = 5.0
"""Seconds for counting a cache; a large one on a slow disk is given up."""


def ourselves() -> dict[str, Any]:
    """The version and the folder of fusionkit."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        found: str | None = version("fusionkit")
    except PackageNotFoundError:
        found = None
    return {"version": found, "folder": home(Path(__file__).parents[1])}


def python() -> dict[str, Any]:
    """The interpreter, and whether it is one of an environment."""
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": home(Path(sys.executable)),
        "environment": sys.prefix != sys.base_prefix,
    }


def system() -> dict[str, Any]:
    """The operating system, the processors, and the memory in bytes (None where it is not known)."""
    total, free = memory()
    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "memory": total,
        "memory_free": free,
    }


def memory() -> tuple[int | None, int | None]:
    """The machine's memory and how much of it is free, in bytes."""
    try:
        import psutil

        found = psutil.virtual_memory()
    except Exception:  # noqa: BLE001 - doctor tells of a psutil that is broken elsewhere
        return None, None
    return int(found.total), int(found.available)


def devices(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What torch can compute on, from what it told; the CPU always."""
    found = [{"name": "cpu", "about": platform.processor() or platform.machine()}]
    for name, about, total, free, runtime in told.get("devices", ()):
        found.append({"name": name, "about": about, "memory": total, "memory_free": free, "runtime": runtime})
        if name.startswith("cuda") and (driver := nvidia_driver()):
            found[-1]["driver"] = driver[0]
    return found


def nvidia_driver() -> tuple[str, str] | None:
    """The NVIDIA driver's version and the first card's name, as the driver's own tool tells them."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    asked = [tool, "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, errors="replace", timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    driver, comma, name = (done.stdout.splitlines() or [""])[0].partition(", ")
    return (driver, name) if comma else None


def unused_gpu(told: Mapping[str, Any]) -> str:
    """One line where the machine has a card that torch does not see."""
    if told.get("devices") or (card := nvidia_driver()) is None:
        return ""
    return f"torch does not see the {card[1]} (driver {card[0]}): it is built for {told.get('built_for')}"


def caches() -> list[dict[str, Any]]:
    """The folders that downloads are kept in, with their size and the room that is left, in bytes."""
    return [{"name": name, **_measured(path)} for name, path in (("hub", hub_cache()), ("torch", torch_cache()))]


def hub_cache() -> Path:
    """Where the hub's client keeps models, by the variables that it reads."""
    if folder := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expandvars(folder)).expanduser()
    base = os.environ.get("HF_HOME") or f"{_cache_home()}/huggingface"
    return Path(os.path.expandvars(base)).expanduser() / "hub"


def torch_cache() -> Path:
    """Where torch keeps weights that it downloaded, for metrics."""
    return Path(os.environ.get("TORCH_HOME") or f"{_cache_home()}/torch").expanduser() / "hub"


def cached_models() -> list[str]:
    """The models in the hub's cache, as `owner/name`."""
    try:
        names = sorted(path.name for path in hub_cache().iterdir())
    except OSError:
        return []
    return [name.removeprefix("models--").replace("--", "/") for name in names if name.startswith("models--")]


def home(path: Path) -> str:
    """A path with `~` for the user's own folder, since reports are public."""
    text = str(path)
    own = os.path.expanduser("~")
    return "~" + text[len(own) :] if own != "/" and text.startswith(own + os.sep) else text


def _cache_home() -> str:
    return os.environ.get("XDG_CACHE_HOME") or "~/.cache"


def _measured(path: Path) -> dict[str, Any]:
    size, whole = _size(path)
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    return {
        "folder": home(path),
        "exists": path.exists(),
        "writable": os.access(there, os.W_OK),
        "size": size,
        "counted": whole,
        "free": shutil.disk_usage(there).free,
    }


def _size(folder: Path) -> tuple[int, bool]:
    """The bytes of a folder's files, and whether all were counted; the hub's cache names each by links, too."""
    total, until = 0, monotonic() + PATIENCE
    for place, _, names in os.walk(folder):
        for name in names:
            if monotonic() > until:
                return total, False
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total, True
