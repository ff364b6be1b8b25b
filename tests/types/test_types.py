"""What type checkers say of the documentation's Python, and of right and wrong calls, where the wheel is installed.

Of fusionkit's types only: those of torch, numpy, Pillow and diffusers take mypy a minute to read, and are left out.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from site import getsitepackages

import pytest

from fusionkit.starts.names import Names
from fusionkit.starts.plugin import hooks, package_files

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "tests" / "docs"))
from docs_pages import PAGES, blocks  # noqa: E402

BUILT_FROM = ("fusionkit", "plugins", "recipes", "pyproject.toml", "README.md", "LICENSE")
EXAMPLES = ("example_plugin", "example_metric")
LEFT_OUT = "torch,numpy,PIL,diffusers,transformers,tqdm"
UNTYPED = "sklearn,spandrel"  # of which pages import something


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment in which the wheel is installed, beside all that this one has."""
    work = tmp_path_factory.mktemp("types")
    for name in BUILT_FROM:
        source, copy = ROOT / name, work / "source" / name
        if source.is_dir():
            # Weights make most of the wheel, and have no types.
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "weights"))
        else:
            shutil.copy(source, copy)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(work / "installed"), str(work / "source")], check=True)
    venv.create(work / "env", with_pip=False)
    (sites,) = (work / "env").glob("[Ll]ib/**/site-packages")
    # The first line is looked at first.
    (sites / "paths.pth").write_text("\n".join([str(work / "installed"), *other_sites()]))
    python = next((work / "env").glob("[Bbs]*/python*"))
    where = subprocess.run(
        [python, "-c", "import fusionkit; print(fusionkit.__file__)"], capture_output=True, text=True, cwd=work
    )
    assert Path(where.stdout.strip()).is_relative_to(work / "installed"), where
    return python


def other_sites() -> list[str]:
    return [path for path in dict.fromkeys([*getsitepackages(), *sys.path]) if path.endswith("-packages")]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages' Python, one module a page, with the pages' line numbers; the examples; right and wrong calls."""
    folder = tmp_path_factory.mktemp("written")
    for page in PAGES:
        lines: list[str] = []
        for block in blocks(page):
            # Files of the examples are checked themselves, and signatures in the hooks' own module.
            if block.language == "python" and not block.said("same as") and not is_signature(block.text):
                lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
        if lines:
            name = "_".join(page.relative_to(ROOT).with_suffix("").parts).replace("-", "_")
            (folder / f"{name}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for example in EXAMPLES:
        for package in (ROOT / "docs" / example).glob("fusionkit_*"):
            shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        for test in (ROOT / "docs" / example).glob("tests/*.py"):
            shutil.copy(test, folder)
    for hook in hooks():
        names = Names(f"my-{hook.replace('_', '-')}")
        (folder / f"{names.package}.py").write_text(package_files(names, hook)[f"{names.package}/__init__.py"])
    for path in HERE.glob("*.py"):
        if not path.name.startswith("test_"):
            shutil.copy(path, folder)
    return folder


def is_signature(text: str) -> bool:
    return re.fullmatch(r"def .* \.\.\.\n", text, flags=re.DOTALL) is not None


def expected(folder: Path, *files: str) -> set[tuple[str, int]]:
    """Files and lines that are wrong."""
    return {
        (name, number)
        for name in files
        for number, line in enumerate((folder / name).read_text(encoding="utf-8").splitlines(), 1)
        if line.endswith("# wrong")
    }


def mypy_errors(python: Path, folder: Path, plugins: str) -> Iterator[tuple[str, int, str]]:
    (folder / "mypy.ini").write_text(
        f"[mypy]\nstrict = true\n{plugins}\n[mypy-{LEFT_OUT.replace(',', '.*,')}.*]\nfollow_imports = skip\n"
        f"[mypy-{UNTYPED.replace(',', '.*,')}.*]\nignore_missing_imports = true\n"
    )
    command = [sys.executable, "-m", "mypy", "--python-executable", str(python), "--cache-dir", "/dev/null", "."]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")
    assert said.returncode in (0, 1), said.stdout + said.stderr
    for line in said.stdout.splitlines():
        if found := re.match(r"([\w./\\-]+):(\d+): error: (.*)", line):
            yield found[1], int(found[2]), found[3]


@pytest.mark.parametrize("plugins", ["", "plugins = pydantic.mypy"], ids=["plain", "with pydantic's plugin"])
def test_mypy_accepts_what_is_right_and_nothing_else(installed: Path, written: Path, plugins: str) -> None:
    errors = list(mypy_errors(installed, written, plugins))
    # pydantic's plugin accepts any value of an option, unless it is told otherwise.
    wrong = expected(written, "wrong.py", *([] if plugins else ["wrong_values.py"]))
    unexpected = [error for error in errors if error[:2] not in wrong]
    assert not unexpected, unexpected
    assert {error[:2] for error in errors} == wrong


def test_pyright_accepts_what_is_right_and_nothing_else(installed: Path, written: Path) -> None:
    if importlib.util.find_spec("basedpyright") is None:
        pytest.skip("basedpyright is not installed")
    (written / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "standard"}))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", str(installed)]
    said = subprocess.run(command, cwd=written, capture_output=True, text=True, encoding="utf-8")
    assert said.returncode in (0, 1), said.stdout + said.stderr
    errors = [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in json.loads(said.stdout)["generalDiagnostics"]
        # What diffusers does not mark as its own is no mistake of ours.
        if each["severity"] == "error" and 'not exported from module "diffusers"' not in each["message"]
    ]
    wrong = expected(written, "wrong.py", "wrong_values.py")
    unexpected = [error for error in errors if error[:2] not in wrong]
    assert not unexpected, unexpected
    assert {error[:2] for error in errors} == wrong
