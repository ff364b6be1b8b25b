"""fusionkit on a GPU: its tests there, and what SDXL and Z-Image cost at full size, with random weights.

Nothing is downloaded. Needs `fusionkit/`, `plugins/`, `recipes/`, `benchmarks/` and `tests/gpu/` and no network;
fusionkit need not be installed. The figures go into a file after each measurement, and from there into
docs/performance.md. What does not fit into the memory, or into the time, is told as such, and the rest goes on.

Run it:  python benchmarks/gpu.py
         python benchmarks/gpu.py --tiny --device cpu
         python benchmarks/gpu.py --wheels wheels
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PATHS = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "benchmarks")]
sys.path[:0] = PATHS

from on_gpu import report  # noqa: E402 - found by the line before
from on_gpu.installed import as_installed  # noqa: E402

# Several models and sizes in one process would otherwise leave memory in pieces that fit nothing.
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
# The tests get this part of the time at most.
TESTS_SHARE = 0.4
OUT_OF_TIME = "skipped: out of time"


def main() -> None:
    """Run the tests and the measurements, or say what another machine needs for them."""
    began = perf_counter()
    options = arguments()
    if options.list_wheels or options.wheels:
        lacking(options)
    elif options.table:
        print(report.table(options.json), end="")
    else:
        if told := as_installed():
            PATHS.append(told)
        raise SystemExit(measured(options, began + 60 * options.minutes))


def lacking(options: argparse.Namespace) -> None:
    """List what another machine lacks, or fetch it."""
    from on_gpu import wheels

    there = wheels.listed(options.there) if options.there else wheels.THERE
    if options.list_wheels:
        print("\n".join(wheels.lacking(there)))
    else:
        print(" ".join(wheels.command(str(options.wheels), there)))
        print(f"{wheels.fetch(options.wheels, there) / 1e6:.1f} MB in {options.wheels}")


def arguments() -> argparse.Namespace:
    """What the command was told."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8, help="when to stop; what is left over is told as skipped")
    parser.add_argument("--json", type=Path, help="the file of the figures, by default the documentation's")
    parser.add_argument("--device", default="cuda", help="such as cuda:1; cpu with --tiny")
    parser.add_argument("--tiny", action="store_true", help="a tiny model in SDXL's place: tries this command itself")
    parser.add_argument("--steps", type=int, default=6, help="sampling steps of a panorama")
    parser.add_argument("--only", default="", help="those measurements alone whose title has this text")
    parser.add_argument(
        "--without", action="append", default=[], metavar="TEXT", help="not those whose title has this text"
    )
    parser.add_argument("--no-tests", action="store_true", help="measure alone")
    parser.add_argument("--table", action="store_true", help="print the table of the file, and measure nothing")
    parser.add_argument("--list-wheels", action="store_true", help="list what the GPU's machine lacks")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="fetch that, where there is a network")
    parser.add_argument("--there", default="", help="packages that the GPU's machine has, or a file of `pip list`")
    options = parser.parse_args()
    # The table of the documentation is of a real model.
    options.json = options.json or (ROOT / "out" / "gpu.json" if options.tiny else report.JSON)
    return options


def measured(options: argparse.Namespace, deadline: float) -> int:
    """Run everything and write it; 1 where a test or a measurement failed, time and memory aside."""
    found = report.Report(options.json)
    import torch

    if options.device != "cpu" and not torch.cuda.is_available():
        print("no GPU is here; --tiny --device cpu tries the command itself", file=sys.stderr)
        return 2
    device = torch.device(options.device)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    model, dtype = "tiny models of SDXL's and Z-Image's layout", "float32"
    if not options.tiny:
        model = "SDXL base (2.57 billion weights in the UNet) and Z-Image (6.15 billion in the transformer)"
        dtype = "float16 and bfloat16"
    found.about = {**about(device), "model": model, "dtype": dtype}
    if not options.no_tests:
        left = deadline - perf_counter()
        found.tests = tests(device, min(left, TESTS_SHARE * 60 * options.minutes))
        print(report.tests(found.tests), flush=True)
    found.write()
    ended = measurements(options, device, deadline, found)
    print(report.table(options.json), end="")
    if options.json == report.JSON and report.write_page():
        print(f"{report.PAGE.relative_to(ROOT)} is up to date")
    return int(bool(found.tests.get("failed")) or ended)


def measurements(options: argparse.Namespace, device: Any, deadline: float, found: report.Report) -> bool:
    """All rows, each for itself; whether one failed for another reason than time or memory."""
    from on_gpu.measuring import NO_MEMORY, OutOfTime, attempt, until
    from on_gpu.models import Sdxl, Tiny, forget
    from on_gpu.rows import Subject, rows

    make = (Tiny if options.tiny else Sdxl)(device)
    subject = Subject(make, device, options.steps)
    failed = False
    for row in rows(subject):
        if options.only not in row.title or any(text in row.title for text in options.without):
            continue
        began = perf_counter()
        try:
            with until(deadline):
                figures = attempt(row.measure) if began < deadline else {"failed": OUT_OF_TIME}
        except OutOfTime:
            figures = {"failed": OUT_OF_TIME}
        forget(device)
        took = perf_counter() - began
        found.add(row.title, {**figures, "took": took})
        reason = figures.get("failed", NO_MEMORY)
        failed |= reason != NO_MEMORY and not reason.startswith("skipped")
        print(f"{took:6.1f} s  {row.title}: {figures.get('failed', 'measured')}", flush=True)
    return failed


def about(device: Any) -> dict[str, Any]:
    """The machine and the versions, for whoever reads the figures."""
    from importlib.metadata import version

    import torch

    found: dict[str, Any] = {"gpu": platform.processor() or "a CPU", "memory": 0, "driver": ""}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            driver = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            driver = ""
        found = {"gpu": properties.name, "memory": properties.total_memory, "driver": driver}
    names = ("torch", "diffusers", "transformers", "accelerate")
    tf32 = {"tf32-in-convolutions": torch.backends.cudnn.allow_tf32, "cuda": torch.version.cuda}
    return {**found, "python": platform.python_version(), **{name: version(name) for name in names}, **tf32}


def tests(device: Any, seconds: float) -> dict[str, Any]:
    """Run the tests marked `gpu` in a process of their own, and count them."""
    folder = ROOT / "tests" / "gpu"
    if not folder.is_dir():
        return {"reason": "tests/gpu is not here"}
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "HF_HUB_OFFLINE": "1"}
    # As wide as what pytest has to say in one line of why a test failed.
    environment["COLUMNS"] = "400"
    environment["PYTHONPATH"] = os.pathsep.join([*PATHS, *filter(None, [os.environ.get("PYTHONPATH")])])
    if device.type == "cpu":
        environment["FUSIONKIT_GPU_TESTS_ON"] = "cpu"
    # A machine of its own has versions of its own: what they warn of must not hide what is asked.
    plain = ["-o", "addopts=", "-W", "default", "-p", "no:cacheprovider", "-v", "--tb=short"]
    asked = [sys.executable, "-u", "-m", "pytest", *plain, "-m", "gpu", str(folder)]
    late = ""
    try:
        ran = subprocess.run(asked, cwd=ROOT, env=environment, timeout=seconds, capture_output=True, text=True)
        said = ran.stdout + ran.stderr
    except subprocess.TimeoutExpired as error:
        said, late = (error.stdout or b"").decode(errors="replace"), f"ended after {seconds:.0f} seconds"
    print(said[-4000:], flush=True)
    found = counted(said)
    if not any(found.values()):
        return {"reason": late or f"did not run: {' '.join(said.split())[-300:]}"}
    return {**found, "reason": late}


def counted(said: str) -> dict[str, Any]:
    """How many tests passed, failed and were skipped, as pytest says line by line; those that failed, with why."""
    ended = re.findall(r"^\S*::(\S+) (PASSED|FAILED|ERROR|SKIPPED)", said, re.MULTILINE)
    why = dict(re.findall(r"^(?:FAILED|ERROR) \S*::(\S+) - (.*)$", said, re.MULTILINE))
    failed = {name: why.get(name, "")[:300] for name, how in ended if how in ("FAILED", "ERROR")}
    count = {how: sum(each == how for _, each in ended) for how in ("PASSED", "SKIPPED")}
    return {"passed": count["PASSED"], "failed": failed, "skipped": count["SKIPPED"]}


if __name__ == "__main__":
    main()
