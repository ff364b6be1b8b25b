"""Makes a copy of the repository to release, whose links are whole: PyPI shows the README without its repository.

Run it:  python docs/for_release.py https://github.com/OWNER/NAME build/release
         python -m build build/release && python -m twine check --strict build/release/dist/*

The address is said here and nowhere else. Links of the README lead to the files of the version's tag, `[project.urls]`
is added to pyproject.toml, and the address to CITATION.cff.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r'(?P<before>(?P<picture>!?)\[[^\]]*\]\(|(?P<image><img src="))(?P<target>[^)"\s]+)(?P<after>[)"])')
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE)


def version() -> str:
    """The version that is released, as pyproject.toml says it."""
    found = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def readme(text: str, address: str, tag: str) -> str:
    """The README with links that hold anywhere: of pictures to themselves, of all else to the pages that show it.

    Args:
        text: The README.
        address: The repository's.
        tag: What git calls the version.
    """

    def link(found: re.Match[str]) -> str:
        target = found["target"]
        if "://" in target or target.startswith(("#", "mailto:")):
            return found[0]
        path = target.partition("#")[0]
        if not (ROOT / path).exists():
            raise SystemExit(f"README.md links to {target}, which does not exist")
        kind = "raw" if found["picture"] or found["image"] else "tree" if (ROOT / path).is_dir() else "blob"
        return f"{found['before']}{address}/{kind}/{tag}/{target}{found['after']}"

    parts = FENCE.split(text)
    # Comments are for this repository's own tests.
    whole = [part if number % 2 else COMMENT.sub("", LINK.sub(link, part)) for number, part in enumerate(parts)]
    return "".join(whole)


def urls(address: str, tag: str) -> Mapping[str, str]:
    """What PyPI shows beside the README."""
    return {
        "Source": address,
        "Documentation": f"{address}/blob/{tag}/docs/index.md",
        "Changelog": f"{address}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{address}/issues",
    }


def pyproject(text: str, address: str, tag: str) -> str:
    """The project's settings with its addresses."""
    table = "".join(f'{name} = "{value}"\n' for name, value in urls(address, tag).items())
    return f"{text.rstrip()}\n\n[project.urls]\n{table}"


def checked(address: str) -> str:
    """An address without what may stand at its end."""
    parts = urlsplit(address)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/").count("/") < 1:
        raise SystemExit(f"'{address}' is no address of a repository; write it as https://github.com/OWNER/NAME")
    return address.rstrip("/").removesuffix(".git")


def copy(address: str, folder: Path) -> None:
    """Write the copy, of all files that git knows, as they are here."""
    if folder.exists():
        raise SystemExit(f"{folder} is there already; name a new folder")
    address, tag = checked(address), f"v{version()}"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    changed = {"README.md": readme, "pyproject.toml": pyproject}
    for name, change in changed.items():
        (folder / name).write_text(change((ROOT / name).read_text(encoding="utf-8"), address, tag), encoding="utf-8")
    with open(folder / "CITATION.cff", "a", encoding="utf-8") as file:
        file.write(f'repository-code: "{address}"\n')


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("python docs/for_release.py https://github.com/OWNER/NAME FOLDER")
    copy(sys.argv[1], Path(sys.argv[2]))
    print(f"{sys.argv[2]}: build it with  python -m build {sys.argv[2]}")
