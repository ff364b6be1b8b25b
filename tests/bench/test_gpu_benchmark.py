"""`benchmarks/gpu.py` on a CPU: everything but the GPU, on a tree that has only what travels to one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRAVELS = ("fusionkit", "plugins", "recipes", "benchmarks", "tests/gpu")


@pytest.fixture(scope="module", autouse=True)
def parts() -> None:
    """The benchmark's own modules can be imported."""
    sys.path.insert(0, str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what travels, and nothing else."""
    there = tmp_path_factory.mktemp("elsewhere")
    for name in TRAVELS:
        shutil.copytree(ROOT / name, there / name, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    return there


def run(there: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(there / "benchmarks" / "gpu.py"), *arguments]
    return subprocess.run(command, cwd=there, capture_output=True, text=True, check=False)


def test_every_measurement_gives_its_figures(elsewhere: Path) -> None:
    out = elsewhere / "out" / "gpu.json"
    quick = (
        "--tiny",
        "--device",
        "cpu",
        "--steps",
        "3",
        "--no-tests",
        "--without",
        "compiled",
        "--without",
        "two workers",
    )
    done = run(elsewhere, *quick, "--json", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    found = json.loads(out.read_text())
    rows = {row["title"]: row for row in found["rows"]}
    assert len(rows) == len(found["rows"]) == 15
    assert not any("failed" in row for row in rows.values())
    wide, large = rows["MultiDiffusion, 4096x1024"], rows["AccDiffusion v2, 4096x4096"]
    # Seven windows, twice with guidance, in three steps; and they fit into one pass.
    assert (wide["views-a-step"], wide["batch"], wide["passes"], wide["size"]) == (7, 7, 42, "256x64")
    assert rows["MultiDiffusion, 4096x1024, one window in a pass"]["batch"] == 1
    assert set(wide["decoding"]) == set(large["decoding"]) == {"tiled", "whole"}
    # Windows and dilated samples: 1, 9 + 4, 25 + 9, 49 + 16.
    assert large["views-a-step"] == 65
    assert large["passes"] == 2 * 2 * (1 + 13 + 34 + 65)
    assert list(large["stages"]) == ["64x64", "128x128", "192x192", "256x256"]
    flow = rows["Z-Image, MultiDiffusion, 4096x1024"]
    assert (flow["views-a-step"], flow["batch"], flow["passes"], flow["size"]) == (7, 7, 42, "256x64")
    assert rows["Z-Image, MultiDiffusion, 4096x1024, one window in a pass"]["batch"] == 1
    assert rows["Z-Image, MultiDiffusion, 4096x1024, offload: group"]["passes"] == 42
    assert rows["MagicFusion of two models, 4096x1024"]["passes"] == 2 * wide["passes"]
    beside = rows["diffusers' own pipeline, as many pictures of 1024x1024"]
    assert (beside["passes"], beside["batch"]) == (wide["passes"], wide["batch"])
    # The same windows, half of one apart, and fewer steps.
    best, fast = rows["preset best, 4096x1024"], rows["preset fast, 4096x1024"]
    assert (best["views-a-step"], fast["views-a-step"], best["of"], fast["of"]) == (7, 7, 50, 10)
    assert f"| its 10 steps: {10 * fast['seconds-a-step']:.3g} s; whole: " in done.stdout
    for row in rows.values():
        assert 0 < row["seconds-a-step"] < 10
        assert 0 < row["outside"] < 1
        assert row["memory"] > 2**20
    assert f"| {1000 * wide['seconds-a-step'] / 7:.3g} |" in done.stdout


def test_without_ray_there_are_no_workers_and_that_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    from on_gpu import workers
    from on_gpu.report import cells

    monkeypatch.setattr(workers, "find_spec", lambda name: None if name == "ray" else workers)
    found = workers.shared(None, [], (64, 64))
    assert found == {"failed": "skipped: ray is not installed; pip install 'fusionkit[ray]'"}
    assert cells({"title": "two", **found})[:2] == ["two", found["failed"]]
    there = {"workers": 2, "seconds-a-step": 0.5, "alone-a-step": 0.25, "driver-ms-a-call": 3, "dtype": "bfloat16"}
    row = cells({"title": "two", "views-a-step": 7, "batch": 2, **there})
    assert row[1:5] == ["0.5", "7", "2", "71.4"]
    assert row[7] == "one process 0.25 s a step, latents equal in bfloat16; the driver's CPU 3 ms a call"


def test_what_there_is_no_time_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu

    out = tmp_path / "late.json"
    command = ["gpu.py", "--tiny", "--device", "cpu", "--no-tests", "--minutes", "0", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 0
    assert {row["failed"] for row in json.loads(out.read_text())["rows"]} == {"skipped: out of time"}


def test_the_clock_ends_what_is_at_work_and_a_failure_ends_itself_alone() -> None:
    from time import perf_counter, sleep

    import torch
    from on_gpu.measuring import OutOfTime, attempt, until

    from fusionkit import PluginError

    began = perf_counter()
    with pytest.raises(OutOfTime), until(began + 0.1):
        attempt(lambda: sleep(20))
    assert perf_counter() - began < 10
    with until(perf_counter() + 60):
        assert attempt(lambda: {"seconds": 1}) == {"seconds": 1}

    def full() -> None:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80 GiB")
        except RuntimeError as error:
            raise PluginError("plugin 'x' failed in 'fuse'") from error

    assert attempt(full) == {"failed": "out of memory"}
    assert attempt(lambda: 1 / 0) == {"failed": "ZeroDivisionError: division by zero"}


def test_the_model_has_sdxls_weights() -> None:
    """The numbers of weights of the published checkpoints, on the device that stores none."""
    import torch
    from on_gpu.models import configurations, part

    published = {
        "unet": 2_567_463_684,
        "controlnet": 1_251_014_160,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    }
    assert {*published, "scheduler"} == set(configurations())
    for name, count in published.items():
        made = part(name, "meta", torch.float16)
        assert sum(each.numel() for each in made.parameters()) == count
        assert {each.dtype for each in made.parameters()} == {torch.float16}


def test_the_transformer_has_z_images_weights() -> None:
    """Of the published checkpoint: 24.6 GB in float32."""
    import torch
    from on_gpu.z_image import ZImage

    made = ZImage(torch.device("meta")).transformer()
    assert sum(each.numel() for each in made.parameters()) == 6_154_908_736
    assert {each.dtype for each in made.parameters()} == {torch.bfloat16}


def test_the_tokenizer_ends_texts_with_the_largest_number() -> None:
    from on_gpu.models import tokenizer

    made = tokenizer(300)
    ids = made("a fox").input_ids
    assert len(made) == 300
    assert (ids[0], ids[-1], len(ids)) == (298, 299, 2 + 4)
    assert max(ids) == ids[-1]
    assert made.unk_token_id not in ids[1:-1]


def test_the_wheels_are_what_the_machine_lacks() -> None:
    from on_gpu import wheels

    lacking = {line.partition("==")[0] for line in wheels.lacking()}
    assert {"diffusers", "pydantic", "pydantic-core", "ruamel-yaml", "pluggy", "pytest"} <= lacking
    assert not lacking & {"torch", "transformers", "numpy", "controlnet-aux", "scikit-learn", "fusionkit"}
    assert all("==" in line for line in wheels.lacking())
    assert "pydantic" not in {line.partition("==")[0] for line in wheels.lacking((*wheels.THERE, "pydantic"))}
    command = wheels.command("wheels")
    assert command[command.index("--python-version") + 1] == "3.12"
    assert "--no-deps" in command
    assert wheels.listed("torch, peft numpy") == ["torch", "peft", "numpy"]


def test_a_list_of_what_is_there_can_be_pips(tmp_path: Path) -> None:
    from on_gpu import wheels

    (tmp_path / "list").write_text("Package  Version\n-------- -------\ntorch    2.11.0\n")
    (tmp_path / "freeze").write_text("# all\ntorch==2.11.0\npeft @ file:///x.whl\n")
    assert wheels.listed(str(tmp_path / "list")) == ["torch"]
    assert wheels.listed(str(tmp_path / "freeze")) == ["torch", "peft"]


def test_tests_are_counted_line_by_line_also_where_they_did_not_end() -> None:
    from gpu import counted

    said = """collected 4 items

tests/gpu/test_x.py::test_a[sd] PASSED      [ 25%]
tests/gpu/test_x.py::test_b[float16] FAILED [ 50%]
tests/gpu/test_x.py::test_c SKIPPED (why)   [ 75%]
tests/gpu/test_x.py::test_d """
    assert counted(said) == {"passed": 1, "failed": {"test_b[float16]": ""}, "skipped": 1}
    ended = (
        f"{said} PASSED\n=== short test summary info ===\nFAILED tests/gpu/test_x.py::test_b[float16] - assert 1 < 0\n"
    )
    assert counted(ended)["failed"] == {"test_b[float16]": "assert 1 < 0"}
    assert counted("nothing") == {"passed": 0, "failed": {}, "skipped": 0}


def test_the_table_says_what_there_is(tmp_path: Path) -> None:
    from on_gpu.report import NOTHING, Report, table

    assert table(tmp_path / "none.json") == NOTHING
    report = Report(tmp_path / "gpu.json", {"model": "M", "dtype": "float16", "gpu": "G", "memory": 80 * 2**30})
    report.about |= {"driver": "1.2", "python": "3", "torch": "4", "diffusers": "5", "transformers": "6"}
    report.tests = {"passed": 3, "failed": {"test_x": "why"}, "skipped": 1}
    figures = {"seconds-a-step": 0.5, "views-a-step": 7, "batch": 7, "outside": 0.031, "memory": 12 * 2**30}
    decoding = {"tiled": {"seconds": 2.0, "memory": 2**30}, "whole": {"failed": "out of memory"}}
    report.add("one", {**figures, "decoding": decoding})
    report.add("two", {"failed": "out of memory"})
    text = table(report.path)
    assert text.startswith("M, float16, on G, 80 GiB, driver 1.2; python 3, torch 4, diffusers 5, transformers 6.\n")
    assert "3 passed, 1 failed, 1 skipped" in text
    assert "| one | 0.5 | 7 | 7 | 71.4 | 3.1% | 12.0 GiB | tiled: 2 s, 1.0 GiB; whole: out of memory |\n" in text
    assert "| two | out of memory |" in text


def test_the_page_gets_the_table(tmp_path: Path) -> None:
    from on_gpu.report import table, write_page

    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- table: gpu -->\nold\n<!-- end of table -->\n\nafter\n")
    assert write_page(page)
    assert page.read_text() == f"before\n\n<!-- table: gpu -->\n{table()}<!-- end of table -->\n\nafter\n"
    assert not write_page(tmp_path / "none.md")
