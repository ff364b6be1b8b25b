"""Reads the pages of the documentation: their code blocks and what is to be done with each when it is tested.

A comment directly above a block says how its test departs from what a reader does, and why:

    <!-- test: skip: needs a GPU -->                     only read, not run
    <!-- test: replace: steps=250 => steps=2 -->         run with one thing replaced by another
    <!-- test: add: --set steps=2 -->                    run with more arguments to `fusionkit run` or `compare`
    <!-- test: same as: docs/example_plugin/recipe.yaml -->   is a part of that file
    <!-- test: fails: 2 -->                              ends with this exit code
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)$")
DIRECTIVE = re.compile(r"^ *<!-- test: (?P<verb>skip|replace|add|same as|fails): (?P<text>.+) -->$")


@dataclass(frozen=True)
class Block:
    """A code block: where it begins, its language, its text, and the comments above it as (verb, text)."""

    page: Path
    line: int
    language: str
    text: str
    directives: tuple[tuple[str, str], ...]

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def said(self, verb: str) -> list[str]:
        return [text for said, text in self.directives if said == verb]

    @property
    def skipped(self) -> bool:
        return bool(self.said("skip"))

    @property
    def tested_text(self) -> str:
        """The text with the replacements made; each must have something to replace."""
        text = self.text
        for replacement in self.said("replace"):
            old, _, new = replacement.partition(" => ")
            assert old in text, f"{self.where}: nothing to replace: {old!r}"
            text = text.replace(old, new)
        return text


def blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    directives: list[tuple[str, str]] = []
    number = 0
    while number < len(lines):
        if found := DIRECTIVE.match(lines[number]):
            directives.append((found["verb"], found["text"]))
        elif fence := FENCE.match(lines[number]):
            begin = number + 1
            number = next(n for n in range(begin, len(lines)) if lines[n].strip() == "```")
            text = "\n".join(line[len(fence["indent"]) :] for line in lines[begin:number]) + "\n"
            yield Block(page, begin + 1, fence["language"], text, tuple(directives))
            directives = []
        else:
            assert not lines[number].lstrip().startswith("<!-- test"), f"{page}:{number + 1}: unknown directive"
            assert not directives or not lines[number].strip(), f"{page}:{number + 1}: a directive without its block"
        number += 1


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^( *)```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """The commands of a shell block, without comments, continued lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def script(name: str) -> ModuleType:
    """A script of the folder docs, as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
