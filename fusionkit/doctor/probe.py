"""Tries what only an import can tell, in a process of its own: a library that ends or breaks it takes nothing along."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MARK = "fusionkit-probe "
PATIENCE = 180.0
"""Seconds for all that is tried in one process; a cold disk takes half a minute for torch alone."""

TORCH = """
import torch
devices = []
if torch.cuda.is_available():
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        runtime = torch.version.cuda or torch.version.hip
        devices.append([f"cuda:{number}", torch.cuda.get_device_name(number), total, free, runtime])
if hasattr(torch, "xpu") and torch.xpu.is_available():
    for number in range(torch.xpu.device_count()):
        about = torch.xpu.get_device_properties(number)
        devices.append([f"xpu:{number}", about.name, about.total_memory, None, getattr(about, "driver_version", None)])
if torch.backends.mps.is_available():
    devices.append(["mps", "Apple", torch.mps.recommended_max_memory(), None, None])
told = {"devices": devices, "built_for": torch.version.cuda or torch.version.hip or "the CPU alone"}
"""
VISION = """
import torch, torchvision
torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
"""
OFFERS = """
from importlib.metadata import entry_points
told = {"found": {}, "broken": {}}
kinds = ("plugins", "commands", "families", "schedulers", "metrics", "features", "baselines", "models", "controlnets")
for kind in kinds:
    names = told["found"].setdefault(kind, [])
    for entry in sorted(entry_points(group=f"fusionkit.{kind}"), key=lambda each: each.name):
        try:
            offered = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            text = " ".join(str(error).split()) or "no message"
            whose = entry.dist.name if entry.dist is not None else entry.module
            told["broken"][f"{kind} {entry.name}"] = [whose, f"{type(error).__name__}: {text}"]
            continue
        if kind == "schedulers" and hasattr(offered, "keys"):
            names.extend(map(str, offered))
            continue
        mapped = kind in ("models", "controlnets") and hasattr(offered, "keys")
        names.extend(f"{entry.name}/{each}" for each in offered) if mapped else names.append(entry.name)
"""
"""Imports each package that offers something, without torch where they keep to the rules."""

_SCRIPT = """
import json, sys
path, tries, mark = json.loads(sys.argv[1])
sys.path[:] = path
out = sys.stdout
for name, code in tries.items():
    told, failure = {}, ""
    scope = {}
    try:
        exec(code, scope)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        failure = f"{type(error).__name__}: " + (" ".join(str(error).split())[:300] or "no message")
    out.write("\\n" + mark + json.dumps([name, scope.get("told", {}), failure]) + "\\n")
    out.flush()
"""


@dataclass(frozen=True)
class Probed:
    """What a try came to.

    Args:
        told: What it found out.
        failure: Why it failed, in one line; empty where it did not.
    """

    told: dict[str, Any] = field(default_factory=dict)
    failure: str = ""


def probe(tries: Mapping[str, str]) -> dict[str, Probed]:
    """Run pieces of code in a new process of this Python, with the same places to import from.

    What ends the process is named as the failure of its piece, and another process goes on with the rest.

    Args:
        tries: Code by name; what it finds out it leaves in `told`, which JSON can hold.
    """
    found: dict[str, Probed] = {}
    while left := {name: code for name, code in tries.items() if name not in found}:
        answers, end = _run(left)
        found |= answers
        if end and (next_one := next((name for name in left if name not in found), None)):
            found[next_one] = Probed(failure=end)
    return found


def _run(tries: Mapping[str, str]) -> tuple[dict[str, Probed], str]:
    """What one process answered, and how it ended before it was through with all."""
    given = json.dumps([sys.path, dict(tries), MARK])
    try:
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, given],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        out, end = done.stdout, _end(done)
    except subprocess.TimeoutExpired as error:
        kept = error.stdout or b""
        out = kept if isinstance(kept, str) else kept.decode(errors="replace")
        end = f"no answer in {PATIENCE:.0f} seconds"
    except OSError as error:
        return {name: Probed(failure=f"this Python can't be started again: {error}") for name in tries}, ""
    lines = (line.removeprefix(MARK) for line in out.splitlines() if line.startswith(MARK))
    return {name: Probed(told, failure) for name, told, failure in map(json.loads, lines)}, end


def _end(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the process is killed by signal {-done.returncode}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return f"it ends the process with code {done.returncode}" + (f": {lines[-1][:200]}" if lines else "")
