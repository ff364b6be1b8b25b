"""The figures of a GPU as a file, and as a table for the documentation. Importing this needs no torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GIB = 2**30
JSON = Path(__file__).resolve().parents[1] / "gpu.json"
PAGE = JSON.parents[1] / "docs" / "performance.md"
MARKED = re.compile(r"(<!-- table: gpu -->\n).*?(<!-- end of table -->)", re.DOTALL)
NOTHING = "No GPU has run it yet: there are no figures of SDXL here.\n"
HEADER = [
    "what",
    "seconds a step",
    "views a step",
    "in a pass",
    "ms a view",
    "outside the passes",
    "peak memory",
    "decoding, or what else was measured",
]


@dataclass
class Report:
    """What is known so far; written whole after each row, so that a run that is cut off keeps what it has.

    Args:
        path: The file.
        about: The machine, the versions and the model, by names.
        tests: How many tests passed, failed, were skipped; and which failed.
        rows: The measurements, each with its `title`.
    """

    path: Path
    about: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, title: str, found: Mapping[str, Any]) -> None:
        """One more row."""
        self.rows.append({"title": title, **found})
        self.write()

    def write(self) -> None:
        """All of it, or what was there before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        whole = {"about": self.about, "tests": self.tests, "rows": self.rows}
        part.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        os.replace(part, self.path)


def table(path: Path = JSON) -> str:
    """The figures of a file in Markdown: the machine, the tests, and a row for each measurement; or that none ran."""
    if not path.exists():
        return NOTHING
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = [HEADER, ["---"] * len(HEADER), *(cells(row) for row in found["rows"])]
    written = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{machine(found['about'])}\n{tests(found['tests'])}\n\n{written}"


def write_page(page: Path = PAGE) -> bool:
    """Bring the documentation's table up to date, as `docs/tables.py` does; whether the page is there."""
    if not page.exists():
        return False
    text = page.read_text(encoding="utf-8")
    page.write_text(MARKED.sub(lambda found: f"{found[1]}{table()}{found[2]}", text), encoding="utf-8")
    return True


def machine(about: Mapping[str, Any]) -> str:
    """Where it was measured, in one sentence."""
    memory = f", {about['memory'] / GIB:.0f} GiB" if about.get("memory") else ""
    driver = f", driver {about['driver']}" if about.get("driver") else ""
    versions = ", ".join(f"{name} {about[name]}" for name in ("python", "torch", "diffusers", "transformers"))
    return f"{about['model']}, {about['dtype']}, on {about['gpu']}{memory}{driver}; {versions}."


def tests(found: Mapping[str, Any]) -> str:
    """What the tests said, in one sentence."""
    if "failed" not in found:
        return f"Tests marked `gpu`: {found.get('reason', 'not run')}."
    late = f" ({found['reason']})" if found.get("reason") else ""
    counts = f"{found['passed']} passed, {len(found['failed'])} failed, {found['skipped']} skipped"
    return f"Tests marked `gpu`: {counts}{late}."


def cells(row: Mapping[str, Any]) -> list[str]:
    """A measurement as a line of the table; or why there is none."""
    if "failed" in row:
        return [row["title"], row["failed"].replace("|", "\\|"), *[""] * (len(HEADER) - 2)]
    seconds, views = row["seconds-a-step"], row["views-a-step"]
    more = "; ".join(decoding(name, each) for name, each in row.get("decoding", {}).items())
    if "workers" in row:
        told = f"one process {row['alone-a-step']:.3g} s a step, latents equal in {row['dtype']}"
        more = f"{told}; the driver's CPU {row['driver-ms-a-call']:.2g} ms a call"
    if "of" in row and seconds is not None:
        more = f"its {row['of']} steps: {seconds * row['of']:.3g} s; {more}"
    step = ["-", "-"] if seconds is None else [f"{seconds:.3g}", f"{1000 * seconds / views:.3g}"]
    return [
        row["title"],
        step[0],
        str(views),
        str(row["batch"]),
        step[1],
        f"{row['outside']:.1%}" if "outside" in row else "",
        f"{row['memory'] / GIB:.1f} GiB" if "memory" in row else "",
        more,
    ]


def decoding(name: str, found: Mapping[str, Any]) -> str:
    """One way of decoding."""
    if "failed" in found:
        return f"{name}: {found['failed']}"
    return f"{name}: {found['seconds']:.2g} s, {found['memory'] / GIB:.1f} GiB"
