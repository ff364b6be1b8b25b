"""Kills `fusionkit run` or `compare` at random moments and inside its saves, and looks at what lies in the folder then.

    python tests/kills/kills.py --kills 200 --inside 50
    python tests/kills/kills.py --kills 40 --inside 20 --compare

After each kill every picture that has its name is byte for byte the one of an undisturbed run, and nothing else has a
name. The same command then goes on, and in the end the folder is that of the undisturbed run. Of `fusionkit compare`,
whose pictures tell how long they took, the latents are compared, and the tables that the pictures decide.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import PIL.ImageFile
import PIL.PngImagePlugin
from killing import Work, finished, killed_after, killed_at, lines_in
from safetensors import SafetensorError, safe_open

from fusionkit.pictures import claiming, files, image
from fusionkit.pictures.finished import damage
from fusionkit.pictures.metadata import read_metadata

MODEL = Path(__file__).parents[1] / "golden" / "checkpoints" / "tiny-sd"
PROMPTS = ("a hill", "a lake", "a wood")
RECIPE = f"""model: {MODEL}
size: 192x128
window: 128x128
steps: 2
preview-every: 1
plugins:
  - multidiffusion: {{stride: 64}}
output: "{{prompt}}-{{seed}}.png"
prompt:
"""
WRITES = {each.__file__ for each in (claiming, files, image, PIL.ImageFile, PIL.PngImagePlugin)}
"""Whose lines count as inside of a save."""


RUN, COMPARE = ("run",), ("compare", "--seeds", "0-1", "--metrics", "variance", "--out", "c")
CHECKPOINT = ".checkpoint"
TIMED = ("index.html", "report.json", "costs.csv", "scores.tex", "scores.md", "comparison.json")
"""What differs from one comparison to another of the same pictures."""


def command(folder: Path, what: Sequence[str], *options: str) -> Work:
    """A command in a folder, as work for a child."""

    def work() -> None:
        from fusionkit.cli import main

        os.chdir(folder)
        main([*what, "r.yaml", "-q", *options], prog_name="fusionkit")

    return work


def named(folder: Path) -> dict[str, str]:
    """The files below a folder that have a name of their own, with what tells each from others, and from torn ones."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "r.yaml")
    shown = (path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return {str(path.relative_to(folder)): content(path) for path in shown}


def content(path: Path) -> str:
    """What tells a file from others, and from torn ones."""
    data = path.read_bytes()
    if path.suffix == ".json":
        return "whole" if json.loads(data) else "empty"
    if path.name in TIMED:
        return "whole" if data.endswith((b"\n", b"</html>")) else "torn"
    if path.suffix == ".png" and "/c/" in path.as_posix() and not damage(path):
        return str(read_metadata(path)["latents"])
    return hashlib.sha256(data).hexdigest()


def is_checkpoint(path: Path) -> bool:
    """Whether a checkpoint is whole."""
    try:
        with safe_open(path, framework="pt") as file:
            return bool([file.get_tensor(name) for name in file.keys()])  # noqa: SIM118 - it is no mapping
    except SafetensorError:
        return False


def hidden(folder: Path) -> list[str]:
    """The temporary files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*.part"))


class Kills:
    """Kills, and what was found after each.

    Args:
        folder: Where all of it happens.
        what: The command.
        pictures: How many prompts it draws.
        seed: Of the moments.
    """

    def __init__(self, folder: Path, what: Sequence[str], pictures: int, seed: int) -> None:
        self.what = what
        self.goes_on = ["--skip-existing", "--resume"] if what == RUN else []
        self.recipe = RECIPE + "".join(f"  - {each}\n" for each in PROMPTS[:pictures])
        self.folder, self.told = folder / "pictures", folder / "told"
        self.random = random.Random(seed)
        self.count: Counter[str] = Counter()
        self.wrong: list[str] = []
        command_warm(command(self._fresh(folder / "warm"), what))
        whole = self._fresh(folder / "whole")
        began = time.perf_counter()
        self._run(whole)
        self.seconds = time.perf_counter() - began
        self.expected = named(whole)
        self.lines = lines_in(WRITES, command(self._fresh(folder / "counted"), what), self.told)

    def _fresh(self, folder: Path) -> Path:
        """An empty folder with the recipe."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "r.yaml").write_text(self.recipe)
        return folder

    def _run(self, folder: Path, *options: str) -> None:
        if code := finished(command(folder, self.what, *options), self.told):
            raise RuntimeError(f"the run ended with {code}: {self.told.read_text()}")

    def at_any_moment(self) -> None:
        """Kill a run somewhere between its first moment and its last."""
        work = command(self._fresh(self.folder), self.what)
        while not killed_after(work, self.random.uniform(0, self.seconds), self.told):
            self._fresh(self.folder)
        self._look("at any moment")

    def inside_a_save(self) -> None:
        """Kill a run before a line of what writes its pictures."""
        number = self.random.randint(1, self.lines)
        if not killed_at(WRITES, number, command(self._fresh(self.folder), self.what), self.told):
            raise RuntimeError(f"it did not come to line {number} of {self.lines}")
        self._look("inside a save")

    def _look(self, when: str) -> None:
        found, left = named(self.folder), hidden(self.folder)
        checkpoints = [name for name in found if CHECKPOINT in name]
        self.wrong += [f"{when}: '{name}' is torn" for name in checkpoints if not is_checkpoint(self.folder / name)]
        self.count["left a checkpoint"] += bool(checkpoints)
        for name in checkpoints:
            del found[name]
        self.count[when] += 1
        self.count["left a temporary file"] += bool(left)
        self.count[f"left {len(found)} of {len(self.expected)} files"] += 1
        self.wrong += [f"{when}: {self._what(name)}" for name in found if found[name] != self.expected.get(name)]
        before = self._kept(found)
        self._run(self.folder, *self.random.sample(self.goes_on, min(1, len(self.goes_on))))
        pictures = [name for name in found if name.endswith(".png")]
        again = [name for name, what in self._kept(pictures).items() if what != before[name]]
        self.wrong += [f"{when}: '{name}' was there, whole, and is written again" for name in again]
        if (after := named(self.folder)) != self.expected:
            self.wrong.append(f"{when}: the next run left {sorted(after)}, not {sorted(self.expected)}")
        self.wrong += [f"{when}: the next run left {name}" for name in hidden(self.folder)]

    def _kept(self, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        """What tells that files are still the same ones."""
        found = {name: (self.folder / name).stat() for name in names}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}

    def _what(self, name: str) -> str:
        if name not in self.expected:
            return f"'{name}' is no file of this run"
        size = (self.folder / name).stat().st_size
        return f"'{name}' is empty" if size == 0 else f"'{name}' of {size} bytes is torn"


def command_warm(work: Work) -> None:
    """Run once in this process, so that its children have imported all that they need."""
    here, out = Path.cwd(), os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            work()
        except SystemExit as ended:
            if ended.code:
                raise
        finally:
            sys.stdout.flush()
            os.dup2(out, 1)
            os.close(out)
            os.chdir(here)


def refuse(*_: object, **__: object) -> None:
    """What a file system without hard links answers.

    Raises:
        PermissionError: Always.
    """
    raise PermissionError(1, "Operation not permitted")


def main() -> int:
    """Kill, tell, and end with 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="all of them")
    parser.add_argument("--inside", type=int, default=50, help="those of them that are inside a save")
    parser.add_argument("--compare", action="store_true", help="kill a comparison")
    parser.add_argument("--pictures", type=int, default=len(PROMPTS), help="that a run draws")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--without-links", action="store_true", help="as on file systems without hard links")
    parser.add_argument("--folder", type=Path, help="where; by default among the temporary files")
    options = parser.parse_args()
    if options.without_links:
        os.link = refuse
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        kills = Kills(Path(folder), COMPARE if options.compare else RUN, options.pictures, options.seed)
        wrote = f"{len(kills.expected)} files in {kills.seconds:.2f} s"
        print(f"a run writes {wrote}; its saves are {kills.lines:,} lines long")
        for number in range(options.kills):
            (kills.inside_a_save if number < options.inside else kills.at_any_moment)()
    for what, count in sorted(kills.count.items()):
        print(f"{what}: {count}")
    for line in kills.wrong:
        print(f"wrong: {line}")
    print(f"{len(kills.wrong)} wrong of {options.kills} kills")
    return bool(kills.wrong)


if __name__ == "__main__":
    sys.exit(main())
