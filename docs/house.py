"""Draws the house: the rooms of `fusionkit/` and which of them import which, read from the code.

Run it:  python docs/house.py            the rooms, into docs/architecture.md
         python docs/house.py loop       the inside of a room, printed: a diagram that mermaid, and so GitHub, draws

An arrow from A to B says that A imports B, be it for types alone. Arrows that follow from others are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "fusionkit"
GROUND = ("errors", "foreign", "keeping", "plugin", "registry", "trust")
FACES = ("canvas", "fusion", "layers", "map_pictures")


@cache
def graph() -> grimp.ImportGraph:
    """All imports of the package, those for types and those inside functions too."""
    return grimp.build_graph(PACKAGE, exclude_type_checking_imports=False, cache_dir=None)


def rooms(inside: str = PACKAGE) -> dict[str, set[str]]:
    """Each room of a package and those it imports; the modules of the ground count as one room."""
    found: dict[str, set[str]] = {}
    for module in sorted(graph().modules):
        if module.startswith(f"{inside}.") and not module.endswith("__"):
            here = room_of(module, inside)
            imported = graph().find_modules_directly_imported_by(module)
            there = {room_of(each, inside) for each in imported if each.startswith(f"{inside}.")}
            found.setdefault(here, set()).update(there - {here})
    return found


def room_of(module: str, inside: str) -> str:
    """The room of a package that a module is in."""
    name = module.removeprefix(f"{inside}.").partition(".")[0]
    if inside != PACKAGE:
        return name
    return "ground" if name in GROUND else "faces" if name in FACES else name


def reduced(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows of a house without circles, but for those that follow from others."""

    @cache
    def below(room: str) -> frozenset[str]:
        return frozenset(arrows[room]).union(*(below(each) for each in arrows[room]))

    return {room: there - set().union(*(below(each) for each in there)) for room, there in arrows.items()}


def about(room: str, inside: str) -> str:
    """What a room is for: the first sentence of its docstring."""
    if room == "ground":
        return f"what every room stands on: {', '.join(GROUND)}"
    if room == "faces":
        return f"what Python imports: fusionkit itself, {', '.join(FACES)}"
    path = ROOT.joinpath(*inside.split("."), room)
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    first = text.removeprefix('"""').partition('"""')[0].partition("\n\n")[0]
    return " ".join(first.split()).partition(". ")[0].rstrip(".")


def picture(inside: str = PACKAGE) -> str:
    """The rooms of a package as a diagram of mermaid."""
    found = rooms(inside)
    if inside == f"{PACKAGE}.loop":
        found["model"].discard("stage")  # two types that name each other
    folder = ROOT.joinpath(*inside.split("."))
    lines = ["flowchart TD"]
    for room in found:
        count = len(list((folder / room).rglob("[!_]*.py")))
        title = f"{room}/" if count else f"the {room}" if room in ("ground", "faces") else f"{room}.py"
        told = about(room, inside).replace('"', "'").replace("`", "")
        lines.append(f'    {room}["<b>{title}</b><br/>{told}"]')
    lines += [f"    {room} --> {each}" for room, there in reduced(found).items() for each in sorted(there)]
    return "\n".join(lines) + "\n"


def drawn() -> str:
    """What stands on the architecture's page."""
    return f"```mermaid\n{picture()}```\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(picture(f"{PACKAGE}.{sys.argv[1].strip('/').replace('/', '.')}"), end="")
    else:
        from tables import updated

        page = ROOT / "docs" / "architecture.md"
        page.write_text(updated(page), encoding="utf-8")
