"""Everything in one go within a time limit: draw, train the autoencoder, then the others side by side, and pack.

Each part is a process of its own with a log of its own. One that fails is started again, from its last state and in
single precision; none takes another down with it. Whatever is there at the end is packed. Nothing here loads torch.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

RESERVE, SHEETS = 15.0, 25.0
"""Seconds kept free at the end, and before them for sheets of samples."""
LEAST_PICTURES, ROOM = 4000, 24e9
DRAWING, VAE = 0.15, 0.33
"""Shares of the time at which the drawing and the autoencoder's training end."""
EXPERT = 0.04
"""The share of the time in which what the expert knows is drawn, for the judge."""
JUDGE = 0.35
"""The share of the last stage in which the judge learns."""
LARGEST = 16 * 2**20
SAMPLES = 300


@dataclass
class Part:
    """A process.

    Args:
        name: Of its log.
        command: What is run.
        until: The moment at which its training ends.
        lives: How often it may be started.
        environment: Variables of its own.
        grace: Seconds that it may take after its training, before it is made to end.
        pause: Seconds between its failure and its next start.
    """

    name: str
    command: list[str]
    until: float
    lives: int = 4
    environment: dict[str, str] = field(default_factory=dict)
    grace: float = 8.0
    pause: float = 3.0
    process: subprocess.Popen[bytes] | None = None
    code: int | None = None
    again: float | None = None

    def start(self, logs: Path, again: bool = False) -> None:
        """Start it; its output goes to a log of its name."""
        command = [*self.command, *(["--resume"] if again and "--work" in self.command else [])]
        log = open(logs / f"{self.name}.log", "ab")  # noqa: SIM115 - the process goes on writing to it
        environment = {**os.environ, **self.environment}
        if again:  # what failed in bf16 may work in float32
            environment["FUSIONKIT_VISTA_SINGLE"] = "1"
        self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        log.close()

    def look(self, logs: Path, now: float) -> None:
        """See whether it ended or failed; start it again if it may, end it if it is late."""
        if self.process is None or self.code is not None:
            return
        code = self.process.poll()
        if self.again is not None:
            if now >= self.again:
                self.again = None
                self.start(logs, again=True)
        elif code is not None and (code == 0 or self.lives <= 1 or now > self.until + self.grace - 13):
            self.code = code
        elif code is not None:
            self.lives -= 1
            self.again = now + self.pause
        elif now > self.until + self.grace + 4:
            self.process.kill()
        elif now > self.until + self.grace:
            self.process.terminate()


class Driver:
    """The whole of it.

    Args:
        options: Of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.begun = time.time()
        self.options, self.out = options, options.out
        self.work: Path = options.work
        self.logs = self.out / "logs" if options.tiny else self.work / "logs"
        for folder in (self.work, self.out, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.pictures: Path = options.pictures or self.work / "pictures"
        self.end = self.begun + options.seconds - min(RESERVE, 0.1 * options.seconds)
        self.trained = self.end - min(SHEETS, 0.15 * options.seconds)
        # Nothing is to be looked for on the network, and the last line of a log is to be a figure.
        self.environment = {"OMP_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1"}
        self.environment |= {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
        self.parts: list[Part] = []
        self.processes: int = options.processes or max(1, (os.cpu_count() or 2) - 1)
        self.stopped = False

    def moment(self, share: float) -> float:
        """The moment at which a share of the time is over."""
        return self.begun + share * float(self.options.seconds)

    def part(self, name: str, until: float, *more: str) -> Part:
        """A training as a part that has been started."""
        options = self.options
        command = [sys.executable, "-m", "fusionkit_vista.train", name, "--work", str(self.work)]
        command += ["--pictures", str(self.pictures), "--device", options.device, "--seed", str(options.seed)]
        command += ["--channels", str(options.channels), "--threads", str(options.threads), "--save-every", "25"]
        command += ["--log-every", "5", *(["--tiny"] if options.tiny else []), *more]
        if "--seconds" not in more:
            command += ["--until", f"{self.trained + 5 if name == 'sheets' else until:.2f}"]
        # All others need what the autoencoder encodes, so that it may take as long as it must.
        grace = self.trained - until - 20 if name == "vae" else 8.0
        part = Part(name, command, until, environment=self.environment, grace=grace)
        part.start(self.logs)
        self.parts.append(part)
        self.say(f"{name} until {until - self.begun:.0f} s")
        return part

    def say(self, text: str) -> None:
        """A line of the driver's own log, with the seconds since the start."""
        line = f"[{time.time() - self.begun:5.1f} s] {text}"
        print(line, flush=True)
        with open(self.logs / "driver.log", "a", encoding="utf-8") as log:
            log.write(line + "\n")

    def wait(self, until: float, over: Callable[[], bool]) -> None:
        """Look after the parts until a moment, or until something is over."""
        told = time.time()
        while time.time() < until and not over() and not self.stopped:
            self.look()
            if time.time() - told > 20:
                told = time.time()
                self.tell()
            time.sleep(0.2)
        self.look()

    def look(self) -> None:
        """See to all parts."""
        for part in self.parts:
            before = part.code, part.lives
            part.look(self.logs, time.time())
            if before != (part.code, part.lives):
                self.say(f"{part.name} ended with {part.code}" if part.code is not None else f"{part.name} again")

    def tell(self) -> None:
        """Print the last line of each log."""
        for part in self.parts:
            if part.code is None:
                lines = (self.logs / f"{part.name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
                self.say(f"  {part.name}: {lines[-1][-150:] if lines else ''}")

    def run(self) -> int:
        """Do all of it; returns 1 if a part failed."""
        signal.signal(signal.SIGTERM, self._stop)
        options = self.options
        if options.pictures is None:
            self._start_drawing()
        vae = self.part("vae", self.moment(VAE))
        self._write_captions()
        latents = self.work / "vae" / "latents.json"
        # The others start earlier than they can learn, so that what they load is loaded by then.
        self.wait(self.moment(DRAWING) + 8, lambda: vae.code is not None)
        following = self.trained - self.moment(VAE)
        if options.pictures is None:
            self._draw_expert(time.time() + EXPERT * options.seconds)
        others = [self.part(name, self.trained) for name in ("denoiser", "flow", "decoder")]
        others.append(self.part("judge", self.trained, "--seconds", f"{JUDGE * following:.1f}"))
        self.wait(self.trained - 20, latents.exists)
        self.say("latents are there" if latents.exists() else "no latents")
        packed = time.time()
        while time.time() < self.trained - 45 and not self.stopped:
            self.wait(min(packed + 60, self.trained - 45), lambda: False)
            self.pack()
            packed = time.time()
        sheets = self.part("sheets", self.end - 4, "--wait", "--captions", str(self.work / "captions.json"))
        others.append(sheets)
        self.wait(self.end - 3, lambda: all(part.code is not None for part in others))
        self.stop()
        self.pack()
        self.say(f"done: { ({part.name: part.code for part in self.parts}) }")
        return int(any(part.code != 0 for part in self.parts))

    def _start_drawing(self) -> None:
        options = self.options
        processes = self.processes
        seconds = self.moment(DRAWING) - time.time()
        command = [sys.executable, "-m", "fusionkit_vista.draw", str(self.pictures), "--count", "240000"]
        command += ["--seed", str(options.seed), "--processes", str(processes), "--seconds", f"{seconds:.1f}"]
        mark = f"import pathlib, subprocess, sys; code = subprocess.call({command!r}); "
        mark += f"pathlib.Path({str(self.pictures / 'done')!r}).write_text(str(code)); sys.exit(code)"
        part = Part("draw", [sys.executable, "-c", mark], self.moment(DRAWING) + 20, 1, {"OMP_NUM_THREADS": "1"})
        (self.pictures / "done").unlink(missing_ok=True)
        part.start(self.logs)
        self.parts.append(part)
        self.say(f"{processes} processes draw for {seconds:.0f} s into {self.pictures}")

    def _draw_expert(self, until: float) -> None:
        """Draw what the base is not to know, so that the judge does."""
        command = [sys.executable, "-m", "fusionkit_vista.train", "draw-expert", "--work", str(self.work)]
        command += ["--processes", str(max(1, self.processes - 3)), "--until", f"{until:.2f}"]
        part = Part("draw-expert", command, until, 1, {"OMP_NUM_THREADS": "1"}, grace=20.0)
        part.start(self.logs)
        self.parts.append(part)

    def _write_captions(self) -> None:
        """Captions of the samples that the judge is asked about afterwards."""
        import numpy as np

        from fusionkit_vista.drawer import caption, sample_spec

        count = 20 if self.options.tiny else SAMPLES
        captions = [caption(sample_spec(np.random.default_rng((999, i)))) for i in range(count)]
        (self.work / "captions.json").write_text(json.dumps(captions, indent=0), encoding="utf-8")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True

    def stop(self) -> None:
        """End what still runs, kindly first."""
        running = [part for part in self.parts if part.process is not None and part.process.poll() is None]
        for part in running:
            if part.process:
                part.process.terminate()
        begun = time.time()
        while any(part.process and part.process.poll() is None for part in running) and time.time() - begun < 3:
            time.sleep(0.1)
        for part in running:
            if part.process and part.process.poll() is None:
                part.process.kill()
                self.say(f"{part.name} had to be killed")
        for part in self.parts:
            part.code = part.process.poll() if part.process and part.code is None else part.code

    def pack(self) -> None:
        """Pack what is there; each archive whole or not at all."""
        work = self.work
        sheets = work / "sheets"
        archives: dict[str, list[Path]] = {
            "vae.tar.gz": [work / "decoder/vae", work / "vae/vae"],
            "denoiser.tar.gz": [work / "denoiser" / n for n in ("unet", "text_encoder", "tokenizer")],
            "flow.tar.gz": [work / "flow" / n for n in ("transformer", "text_encoder", "text_encoder_2", "tokenizer")],
            "judge.tar.gz": [work / "judge/judge"],
            "logs.tar.gz": [self.logs, work / "captions.json"],
        }
        for name in ("denoiser", "flow"):
            archives[f"{name}-samples.tar.gz"] = sorted(sheets.glob(f"{name}-*")) + sorted(sheets.glob(f"*/{name}-*"))
        for name, paths in archives.items():
            try:
                self._archive(name, paths)
            except OSError as error:
                self.say(f"{name} was not packed: {error}")

    def _archive(self, name: str, paths: list[Path]) -> None:
        """One archive, without its last contents where it would be too large with them."""
        present = [path for path in paths if path.exists()]
        partial = self.work / f"{name}.partial"
        while present:
            with tarfile.open(partial, "w:gz", compresslevel=3) as archive:
                for path in present:
                    inside = path.relative_to(self.work) if path.is_relative_to(self.work) else Path(path.name)
                    archive.add(path, str(inside))
            size = partial.stat().st_size
            if size <= LARGEST:
                shutil.move(partial, self.out / name)
                self.say(f"{name}: {size / 2**20:.1f} MiB")
                return
            self.say(f"{name} is too large: {size / 2**20:.1f} MiB; {present.pop().name} is left out")


def choose_work(given: Path, out: Path) -> Path:
    """Where the parts work: in memory if there is room enough, otherwise where it was said."""
    shared = Path("/dev/shm")
    if shared.is_dir() and shutil.disk_usage(shared).free > ROOM:
        return Path(tempfile.mkdtemp(prefix="vista-", dir=shared))
    return given


def run_all(options: argparse.Namespace) -> int:
    """The command `all`."""
    if options.out is None:
        print("all: --out is missing", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.tiny:
        options.work = choose_work(options.work, options.out)
    driver: Any = Driver(options)
    code: int = driver.run()
    return code
