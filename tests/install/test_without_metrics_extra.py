"""A plain install, without the extra `metrics`: all works but the scores that need it, and one line says what to do."""

from __future__ import annotations

import json

import pytest
from without import run_without

HIDDEN = ("sklearn", "scikit_learn", "torchmetrics", "torch_fidelity", "pywt", "pywavelets", "PyWavelets")
INSTALL = "not installed: pip install 'fusionkit[metrics]'"
CODE = """
import json, warnings
from pathlib import Path
from click.testing import CliRunner
from fusionkit.cli import main

warnings.simplefilter("error")
ran = {}
def run(name, *args):
    done = CliRunner().invoke(main, args, prog_name="fusionkit")
    ran[name] = (done.exit_code, done.stdout, done.stderr)

small = ("--set", "steps=2", "--set", "size=192x64")
run("help", "--help")
run("list", "evaluate", "--list")
for seed in "12":
    run("draw" + seed, "run", "panorama-tinyworld", *small, "--seed", seed, "-q", "-o", "drawn/")
run("all", "evaluate", "drawn", "--reference", "drawn", "--features", "tinyworld")
run("named", "evaluate", "drawn", "--reference", "drawn", "--features", "tinyworld", "--metrics", "fid,giqa-qs,kid")
run("lpips", "evaluate", "drawn", "--metrics", "intra-lpips", "--crop", "64x64")
run("compare", "compare", "panorama-tinyworld", "multidiffusion-tinyworld", *small, "--seeds", "0-1",
    "--features", "tinyworld", "--out", "plain", "-q")
run("ssim", "compare", "panorama-tinyworld", "multidiffusion-tinyworld", "--metrics", "ssim", "--out", "not-drawn")

from fusionkit.errors import FusionError
from fusionkit.evaluation import make_metrics
from fusionkit.evaluation.evaluate import score
try:
    score(make_metrics(["giqa-qs"])[0], [[[0.0]]], [[[1.0]]])
except FusionError as error:
    ran["python"] = (1, "", str(error))
Path("ran.json").write_text(json.dumps(ran))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    folder = tmp_path_factory.mktemp("plain")
    done = run_without(HIDDEN, folder, CODE)
    assert done.returncode == 0, done.stderr
    return {name: tuple(each) for name, each in json.loads((folder / "ran.json").read_text()).items()}


@pytest.mark.parametrize("name", ["help", "list", "draw1", "draw2", "all", "compare"])
def test_what_needs_no_score_of_a_library_works(ran: dict[str, tuple[int, str, str]], name: str) -> None:
    assert ran[name][0] == 0, ran[name]


def test_all_metrics_are_listed(ran: dict[str, tuple[int, str, str]]) -> None:
    listed = ran["list"][1]
    assert all(f"\n{name} " in f"\n{listed}" for name in ("fid", "kid", "giqa-qs", "clip-score", "ssim", "seam"))
    assert "can't be imported" not in listed


def test_evaluating_all_leaves_out_what_needs_it_and_says_how_to_get_it(ran: dict[str, tuple[int, str, str]]) -> None:
    said = ran["all"][1] + ran["all"][2]
    for name, module in (("fid", "torchmetrics"), ("kid", "torchmetrics"), ("giqa-qs", "sklearn"), ("noise", "pywt")):
        assert any(name in line and f"needs {module}, which is {INSTALL}" in line for line in said.splitlines()), said


def test_a_metric_that_is_named_ends_in_one_line(ran: dict[str, tuple[int, str, str]]) -> None:
    assert ran["named"] == (
        2,
        "",
        f"fid, kid: needs torchmetrics, which is {INSTALL}\ngiqa-qs: needs sklearn, which is {INSTALL}\n",
    )
    assert ran["lpips"] == (2, "", f"intra-lpips: LPIPS needs torchmetrics, which is {INSTALL}\n")


def test_a_comparison_says_so_before_it_draws(ran: dict[str, tuple[int, str, str]]) -> None:
    assert ran["ssim"] == (2, "", f"ssim: needs torchmetrics, which is {INSTALL}\n")


def test_python_says_so_too(ran: dict[str, tuple[int, str, str]]) -> None:
    assert ran["python"][2] == f"metric 'giqa-qs' needs sklearn, which is {INSTALL}"
