"""Builds the site: these pages with search, a gallery, the recipes and the reference of the Python names.

Run it:  python docs/build_site.py            into build/site/site; open index.html there, no server is needed
         python docs/build_site.py --stage    the pages that it is built from alone, into build/site/pages

It needs `pip install '.[docs]'`. Nothing in the site asks another server. What is on GitHub as a link to a file of the
repository is a link where FUSIONKIT_REPOSITORY names the repository's address, and else the file's name alone.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
BUILD = ROOT / "build" / "site"
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"^( *)```.*?^ *```$", re.DOTALL | re.MULTILINE)
MARKS = re.compile(r"^ *<!-- (?:test|table|command|end of table).*?-->\n", re.MULTILINE)
SHIM = "https://unpkg.com/iframe-worker/shim"
"""What zensical has pages of a folder ask another server for, so that they can be searched."""
ADDRESS = os.environ.get("FUSIONKIT_REPOSITORY", "").rstrip("/")


def sources() -> dict[Path, str]:
    """The files of the repository that become pages or pictures, and their places in the site."""
    found = {path: path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md"))}
    found |= {path: f"images/{path.name}" for path in sorted((DOCS / "images").iterdir())}
    for path in sorted((ROOT / "recipes").rglob("*.yaml")):
        found[path] = path.relative_to(ROOT).with_suffix(".md").as_posix()
    found[ROOT / "README.md"] = "index.md"
    found[ROOT / "CONTRIBUTING.md"] = "contributing.md"
    found[ROOT / "CHANGELOG.md"] = "changelog.md"
    found[ROOT / "tests" / "golden" / "README.md"] = "recorded-runs.md"
    return found


def relinked(text: str, page: Path, to: str) -> str:
    """A page's text, whose links lead to the places of the site.

    Args:
        text: Markdown.
        page: The file that it is of, which its links are relative to.
        to: The page's place in the site.
    """
    places = sources()

    def link(found: re.Match[str]) -> str:
        path, _, anchor = found["target"].partition("#")
        words = LINK.sub(link, found["text"]) if "](" in found["text"] else found["text"]
        if "://" in path or path.startswith("mailto:") or not path:
            return f"{found['picture']}[{words}]({found['target']})"
        file = (page.parent / path).resolve()
        if file in places:
            target = os.path.relpath(places[file], os.path.dirname(to) or ".").replace(os.sep, "/")
            return f"{found['picture']}[{words}]({target}{f'#{anchor}' if anchor else ''})"
        if not file.exists():
            raise SystemExit(f"{page.relative_to(ROOT)} links to {found['target']}, which does not exist")
        inside = file.relative_to(ROOT).as_posix()
        return f"[{words}]({ADDRESS}/blob/main/{inside})" if ADDRESS else words

    parts: list[str] = []
    at = 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(link, text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, LINK.sub(link, text[at:])])


def paged(path: Path, to: str) -> str:
    """A page of the repository as one of the site."""
    text = MARKS.sub("", path.read_text(encoding="utf-8"))
    return relinked(re.sub(r"^```mermaid\n(.*?)^```\n", rooms, text, flags=re.DOTALL | re.MULTILINE), path, to)


def rooms(diagram: re.Match[str]) -> str:
    """A diagram of the house as a table: what draws mermaid's diagrams would come from another server."""
    titles = {
        name: f"{room}: {about}" for name, room, about in re.findall(r'(\w+)\["<b>(.*?)</b><br/>(.*?)"\]', diagram[1])
    }
    arrows: dict[str, list[str]] = {name: [] for name in titles}
    for upper, lower in re.findall(r"(\w+) --> (\w+)", diagram[1]):
        arrows[upper].append(titles[lower].partition(":")[0])
    lines = [f"| {title.replace(': ', ' | ', 1)} | {', '.join(arrows[name])} |\n" for name, title in titles.items()]
    return f"| room | what it is | imports |\n| --- | --- | --- |\n{''.join(lines)}"


def recipe_page(path: Path) -> str:
    """A recipe's page, or a preset's: what it is for, its command, and the whole of it."""
    text = path.read_text(encoding="utf-8")
    first, *others = text.splitlines()
    command = re.sub(r"^# \w+ it:\s*", "", first)
    comments = [line.lstrip("# ") for line in itertools.takewhile(lambda line: line.startswith("#"), others)]
    about = " ".join(comments)
    return f"# {path.stem}\n\n{about}\n\n```bash\n{command}\n```\n\n```yaml\n{text}```\n"


def recipes_page() -> str:
    """All recipes, each with its line."""
    lines = ["# Recipes that come with fusionkit\n", "| recipe | what it draws |", "| --- | --- |"]
    for path in sorted((ROOT / "recipes").rglob("*.yaml")):
        second = path.read_text(encoding="utf-8").splitlines()[1].lstrip("# ").replace("|", "\\|")
        name = path.relative_to(ROOT / "recipes").with_suffix("").as_posix()
        lines.append(f"| [`{name}`](recipes/{name}.md) | {second} |")
    return "\n".join(lines) + "\n"


def gallery_page() -> str:
    """The pictures, each with its recipe and the page that tells of it."""
    from PIL import Image

    sys.path.insert(0, str(DOCS))
    from gallery import pictures

    shown = shown_on()
    lines = [
        "# Gallery\n",
        "Every picture leads to its recipe. All are drawn by the small models that come with fusionkit.\n",
    ]
    lines.append('<div class="gallery" markdown="1">\n')
    files = {path.stem: path for path in (DOCS / "images").iterdir()}
    order = sorted(pictures().items(), key=lambda each: (each[0] != "hero", each[0]))
    for name, recipes in order:
        path = files[name]
        with Image.open(path) as image:
            wide = ' class="wide"' if image.width > 2.2 * image.height else ""
        page, words = shown[path]
        first, *others = [f"recipes/{recipe}.md" for recipe in recipes]
        more = "".join(f", [`{Path(each).stem}`]({each})" for each in others)
        lines += [
            f'<div{wide} markdown="1">\n',
            f"[![{words}](images/{path.name})]({first})\n",
            f"{words}. Recipe: [`{Path(first).stem}`]({first}){more}. [More]({page}).\n",
            "</div>\n",
        ]
    return "\n".join([*lines, "</div>\n"])


def shown_on() -> dict[Path, tuple[str, str]]:
    """Of each picture a page that shows it, and what the page calls it; those of plugins and tasks come first."""
    found: dict[Path, tuple[str, str]] = {}
    places = sources()
    pages = [path for path in places if path.suffix == ".md" and path.parent != ROOT / "tests" / "golden"]
    for page in sorted(pages, key=lambda path: (path.parent.name not in ("plugins", "tasks"), places[path])):
        for link in LINK.finditer(page.read_text(encoding="utf-8")):
            if link["picture"]:
                path = (page.parent / link["target"]).resolve()
                found.setdefault(path, (places[page], link["text"].replace("\n", " ").rstrip(".")))
    return found


REFERENCE = {
    "Drawing": ("Fusion", "Recipe", "Result", "Gallery", "LivePreview"),
    "Writing a plugin": (
        "Plugin",
        "Stage",
        "StagePlan",
        "Step",
        "Patches",
        "View",
        "Prompt",
        "Told",
        "Control",
        "Masked",
    ),
    "What hooks answer": (
        "Fused",
        "WeightedMean",
        "windows",
        "covering",
        "gather",
        "scatter",
        "view_noise",
        "view_weights",
    ),
}
"""The chapters of the reference; every public name that is in none of them is in the last one."""


def reference_page() -> str:
    """The public names of `fusionkit`, from their docstrings."""
    import fusionkit

    names = [name for name in fusionkit.__all__ if name not in ("Field", "Wrapper", "hookimpl")]
    named = {name for chapter in REFERENCE.values() for name in chapter}
    chapters = {**REFERENCE, "All else": tuple(name for name in names if name not in named)}
    lines = [
        "# Python reference\n",
        "What `from fusionkit import ...` gives. [Hooks](hooks.md) has a page of its own.\n",
    ]
    for chapter, members in chapters.items():
        lines.append(f"## {chapter}\n")
        lines += [f"::: {place_of(name)}\n" for name in members]
    return "\n".join(lines)


def place_of(name: str) -> str:
    """Where a public name is defined, so that its docstring is found without importing anything."""
    import fusionkit

    module = fusionkit._LAZY.get(name) or "fusionkit.errors"
    return f"{module}.{name}"


def navigation() -> list[object]:
    """The pages in their order: those lists that docs/index.md and docs/tasks.md have, and all that they leave out."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    wishes = re.findall(r"\((tasks/\w+\.md)#", (DOCS / "tasks.md").read_text(encoding="utf-8"))
    tasks: list[object] = [{"All wishes": "tasks.md"}, *dict.fromkeys(wishes)]
    nav: list[object] = [{"Home": "index.md"}, {"I want to ...": tasks}, {"Gallery": "gallery.md"}]
    seen = {"index.md", "tasks.md", "gallery.md"}
    for heading, body in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", index, re.DOTALL | re.MULTILINE):
        linked = [link for link in re.findall(r"\]\(([\w./-]+\.md)\)", body) if (DOCS / link).exists()]
        pages = ["contributing.md" if link == "../CONTRIBUTING.md" else link for link in linked]
        pages = [page for page in dict.fromkeys(pages) if page not in seen]
        seen.update(pages)
        if pages:
            nav.append({heading: pages})
    examples = [path.relative_to(DOCS).as_posix() for path in sorted(DOCS.glob("example_*/**/*.md"))]
    # Recipes are many: their table and the gallery lead to them.
    nav.append(
        {
            "Reference": [
                {"Recipes": "all-recipes.md"},
                {"Python": "reference.md"},
                "changelog.md",
                "recorded-runs.md",
                *examples,
            ]
        }
    )
    return nav


def toml(value: object) -> str:
    """A navigation as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + " }"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else json.dumps(value)


def stage(folder: Path = BUILD) -> None:
    """Write what the site is built from."""
    pages = folder / "pages"
    if pages.exists():
        shutil.rmtree(pages)
    for path, to in sources().items():
        target = pages / to
        target.parent.mkdir(parents=True, exist_ok=True)
        if path == ROOT / "README.md":
            continue  # what docs/index.md says in other words
        if path.suffix in (".md", ".yaml"):
            text = paged(path, to) if path.suffix == ".md" else recipe_page(path)
            target.write_text(text, encoding="utf-8")
        else:
            shutil.copy(path, target)
    for name, text in made_pages():
        (pages / name).write_text(text, encoding="utf-8")
    for name in ("site.css", "site-worker.js"):
        shutil.copy(DOCS / name, pages)
    settings = (DOCS / "zensical.toml").read_text(encoding="utf-8")
    settings = settings.replace('paths = ["."]', f"paths = [{json.dumps(ROOT.as_posix())}]")
    settings = settings.replace("[project]\n", f"[project]\nnav = {toml(navigation())}\n", 1)
    if ADDRESS:
        settings = settings.replace("[project]\n", f'[project]\nrepo_url = "{ADDRESS}"\n', 1)
    (folder / "zensical.toml").write_text(settings, encoding="utf-8")


def made_pages() -> Iterator[tuple[str, str]]:
    """The pages that no file of the repository is, by their places."""
    yield "gallery.md", gallery_page()
    yield "all-recipes.md", recipes_page()
    yield "reference.md", reference_page()


def build(folder: Path = BUILD) -> None:
    """Build the site, and fail where a page or a link of it is wrong."""
    stage(folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", "zensical.toml"]
    subprocess.run(command, cwd=folder, check=True)
    for path in (folder / "site").rglob("*.html"):
        worker = os.path.relpath(folder / "site" / "site-worker.js", path.parent).replace(os.sep, "/")
        path.write_text(path.read_text(encoding="utf-8").replace(SHIM, worker), encoding="utf-8")


if __name__ == "__main__":
    stage() if "--stage" in sys.argv[1:] else build()
