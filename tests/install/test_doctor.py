"""`fusionkit doctor`: what does not fit is named, whatever is broken; by packages with real metadata on the disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from without import run_without

from fusionkit.doctor import unfit_hint, unfit_pairs

DOCTOR = "from fusionkit.cli import main\nmain(['doctor', '--json'])"


class Site:
    """A folder of packages in front of all others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def add(self, name: str, version: str, *needs: str, files: Mapping[str, str] | None = None) -> None:
        """Put metadata there, and files by their path."""
        about = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (about / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {need}" for need in needs)]))
        for path, code in (files or {}).items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(code)
        (about / "RECORD").write_text("".join(f"{path},,\n" for path in files or {}))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path / "site")
    monkeypatch.syspath_prepend(str(made.folder))
    return made


def command(folder: Path, *args: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with a site in front of the installed packages."""
    begin = f"import sys; sys.path.insert(0, {str(site)!r})\n" if site else ""
    code = f"{begin}from fusionkit.cli import main\nmain({list(args)!r}, prog_name='fusionkit')"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=200)


def test_the_installed_packages_fit() -> None:
    assert unfit_pairs() == []
    assert unfit_hint("peft") == ""


@pytest.mark.parametrize(
    "code",
    [
        {"dependency_versions_table.py": 'deps = {"peft": "peft>=7.5", "ruff": "ruff==0.0.1"}'},
        {"integrations/peft.py": 'import torch\nMIN_PEFT_VERSION = "7.5"\n'},
        {"utils/versions.py": "PEFT_MIN_VERSION = '7.5'\n"},
    ],
    ids=["table", "constant", "other-constant"],
)
def test_a_pair_of_which_one_asks_in_its_own_code_for_another_release(site: Site, code: dict[str, str]) -> None:
    """As transformers 5.24 did of peft; the release that asks is one that nobody could know of."""
    files = {f"transformers/{path}": text for path, text in {"__init__.py": "", **code}.items()}
    site.add("transformers", "9.9.0", files=files)
    site.add("peft", "6.0.0")
    assert unfit_pairs("peft") == ["transformers 9.9.0 wants peft>=7.5, and 6.0.0 is installed"]
    assert unfit_hint("peft") == (
        "; transformers 9.9.0 wants peft>=7.5, and 6.0.0 is installed: see 'fusionkit doctor'"
    )
    assert unfit_pairs("scipy") == []


def test_what_a_library_pins_for_its_own_development_is_no_misfit(site: Site) -> None:
    table = 'deps = {"peft": "peft==0.1", "torch": "torch<2", "diffusers": "diffusers!=1.0", "odd": "a b c", "n": 1}'
    files = {"transformers/__init__.py": "", "transformers/dependency_versions_table.py": table}
    site.add("transformers", "9.9.0", files=files)
    assert unfit_pairs() == []


def test_a_requirement_that_is_not_met(site: Site) -> None:
    site.add("torchvision", "0.99.0", "torch==2.7.0", "numpy", "nonsense (((", "pillow>=999; python_version < '3'")
    site.add("torch", "2.8.0+cu128")
    assert "torchvision 0.99.0 wants torch==2.7.0, and 2.8.0+cu128 is installed" in unfit_pairs("torch")
    assert not unfit_pairs("pillow")


def test_a_local_version_is_the_version_that_it_is_built_of(site: Site) -> None:
    site.add("torchvision", "0.99.0+cpu", "torch==2.8.0")
    site.add("torch", "2.8.0+cpu")
    assert not [line for line in unfit_pairs("torchvision") if "torch==" in line]


def test_a_torch_that_is_not_safe(site: Site) -> None:
    site.add("torch", "2.5.1")
    assert "torch 2.5.1 is not safe: before 2.6, weights could run code" in unfit_pairs("torch")


@pytest.mark.parametrize("name", ["opencv-python", "opencv-contrib-python"])
def test_opencv_twice(site: Site, name: str) -> None:
    site.add(name, "4.10.0.84")
    one, other = sorted([name, "opencv-python-headless"])
    line = f"{one} and {other} both install the module 'cv2': uninstall both, and reinstall one"
    assert unfit_pairs(name) == [line]


def test_another_module_that_two_packages_install(site: Site) -> None:
    site.add("pillow-simd", "9.5", files={"PIL/__init__.py": "", "tests/__init__.py": ""})
    assert unfit_pairs("pillow-simd") == [
        "pillow and pillow-simd both install the module 'PIL': uninstall both, and reinstall one"
    ]


def test_a_package_that_is_there_in_two_versions(site: Site) -> None:
    site.add("peft", "0.30.0")
    site.add("peft", "0.31.0")
    (line,) = [line for line in unfit_pairs("peft") if "twice" in line]
    assert line.startswith("peft is installed twice in one place, as 0.3")


def test_metadata_that_is_damaged_hides_nothing(site: Site) -> None:
    site.add("torch", "2.5.1")
    (site.folder / "empty-1.0.dist-info").mkdir()
    garbage = site.folder / "garbage-1.0.dist-info"
    garbage.mkdir()
    (garbage / "METADATA").write_bytes(b"\xff\xfe\x00\n\n")
    assert any("torch 2.5.1 is not safe" in line for line in unfit_pairs())


def test_one_screen_of_an_installation_that_fits(tmp_path: Path) -> None:
    told = command(tmp_path, "doctor")
    lines = told.stdout.splitlines()
    assert (told.returncode, told.stderr, lines[-1]) == (0, "", "all of it fits")
    assert [line[:16].strip() for line in lines[:3]] == ["fusionkit", "python", "system"]
    assert len(lines) < 40
    assert max(map(len, lines)) <= 100
    plugins = len(entry_points(group="fusionkit.plugins"))
    for name in ("torch 2.", "peft 0.", "tinyworld/scenes", "cpu: ", "huggingface/hub", f"{plugins} plugins"):
        assert name in told.stdout, told.stdout
    # Every extra that some work needs, and what it brings.
    for extra, package in (
        ("kolors", "sentencepiece"),
        ("metrics", "torchmetrics"),
        ("prx", "ftfy"),
        ("vista", "skia"),
    ):
        begin = next(number for number, line in enumerate(lines) if line.startswith(f"[{extra}]"))
        end = next(number for number in range(begin + 1, len(lines)) if not lines[number].startswith(" "))
        assert any(package in line for line in lines[begin:end]), told.stdout
    assert f"{len(entry_points(group='fusionkit.families'))} families" in " ".join(told.stdout.split())


@pytest.mark.parametrize(
    ("torch", "failure"),
    [
        ("import os; os._exit(3)", "it ends the process with code 3"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the process is killed by signal 11"),
        (
            "raise OSError('libcudart.so.99: cannot open\\nshared object')",
            "OSError: libcudart.so.99: cannot open shared",
        ),
    ],
    ids=["ends", "system-exit", "crash", "library"],
)
def test_nothing_that_is_broken_breaks_it(tmp_path: Path, torch: str, failure: str) -> None:
    site = Site(tmp_path / "site")
    site.add("torch", "2.8.0", files={"torch/__init__.py": torch})
    for module in ("transformers", "diffusers", "peft", "torchvision"):
        site.add(module, "99.0", files={f"{module}/__init__.py": "import torch"})
    site.add("fusionkit-broken", "1.0", files={"fusionkit_broken.py": "import sys; sys.exit(0)"})
    points = "[fusionkit.plugins]\nbroken = fusionkit_broken:Broken\n[fusionkit.metrics]\ngone = no_such_module:Gone\n"
    (site.folder / "fusionkit_broken-1.0.dist-info" / "entry_points.txt").write_text(points)
    told = command(tmp_path, "doctor", "--json", site=site.folder)
    assert (told.returncode, told.stderr) == (1, "")
    found = json.loads(told.stdout)
    assert found["fits"] is False
    problems = found["problems"]
    assert any(line.startswith(f"torch can't be imported: {failure}") for line in problems), problems
    assert "plugins broken of package 'fusionkit-broken' can't be imported: SystemExit: 0" in problems
    assert any(
        line.startswith("metrics gone of package 'fusionkit-broken' can't be imported: Mod") for line in problems
    )
    assert found["packages"]["torch"] == "2.8.0"
    assert "tinyworld/scenes" in found["models"]["embedded"]


def test_a_torchvision_that_does_not_belong_to_its_torch(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    error = "raise RuntimeError('operator torchvision::nms does not exist')"
    site.add("torchvision", "0.99.0", files={"torchvision/__init__.py": error})
    for module in ("transformers", "diffusers", "peft"):  # the real ones take seconds, and are not what this is about
        site.add(module, "99.0", files={f"{module}/__init__.py": ""})
    told = command(tmp_path, "doctor", site=site.folder)
    assert told.returncode == 1
    line = "- torchvision can't be imported: RuntimeError: operator torchvision::nms does not exist"
    assert any(each.startswith(line) for each in told.stdout.splitlines()), told.stdout


def test_torch_is_missing_and_so_is_what_reads_requirements(tmp_path: Path) -> None:
    told = run_without(("torch", "packaging"), tmp_path, DOCTOR)
    assert (told.returncode, told.stderr) == (1, "")
    problems = json.loads(told.stdout)["problems"]
    assert "the packages can't be examined: ModuleNotFoundError: No module named 'packaging'" in problems
    assert any(
        line.startswith("torch can't be imported: ModuleNotFoundError: No module named 'torch'") for line in problems
    )


def test_torch_without_torchvision(tmp_path: Path) -> None:
    code = "from fusionkit.doctor import unfit_pairs; print(*unfit_pairs('torchvision'), sep='\\n')"
    told = run_without(("torchvision",), tmp_path, code)
    assert "wants torchvision>=0.21, which is not installed" in told.stdout, told.stdout + told.stderr


def test_a_run_that_fails_while_two_packages_do_not_fit_says_so_in_one_line(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.add("peft", "0.1.0")
    package = Path(__file__).parents[2] / "plugins" / "fusionkit_tinyworld" / "weights"
    lora = package / "rocket" / "pytorch_lora_weights.safetensors"
    recipe = f"model: tinyworld/scenes\nprompt: a beach\nsize: 64x64\nsteps: 1\nloras: [{{path: '{lora}'}}]\n"
    (tmp_path / "r.yaml").write_text(recipe)
    told = command(tmp_path, "run", "r.yaml", "-q", site=site.folder)
    assert told.returncode == 1
    (line,) = told.stderr.splitlines()
    assert "wants peft>=" in line
    assert "and 0.1.0 is installed" in line
    assert "see 'fusionkit doctor'" in line
