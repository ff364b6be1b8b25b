"""`fusionkit bench`: what it prints and writes, in which order it runs, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import Result

from fusionkit.bench import bench as benches
from fusionkit.bench import diffusers_panorama
from fusionkit.bench.baselines import Contestant
from fusionkit.bench.drawing import Drawing
from fusionkit.bench.parts import PARTS

Run = Callable[..., Result]
FIGURES = r" +\d+\.\d{3}  \d+\.\d{3} to \d+\.\d{3}"


def test_it_tells_the_parts_the_passes_and_the_memory(fusionkit: Run) -> None:
    ran = fusionkit("bench", "r.yaml", "--runs", "2", "-q", "--seed", "5")
    assert ran.exit_code == 0, ran.output
    assert "seed" not in ran.output
    assert re.search(r"^recipe +r: .*tiny-sd, 256x128 pixels, 3 steps of DDIMScheduler$", ran.output, re.MULTILINE)
    assert re.search(r"^machine +cpu, float32, \d+ threads?, \d+ cores, load \d+\.\d before$", ran.output, re.MULTILINE)
    assert re.search(r"^versions +python .*, fusionkit .*, torch .*, diffusers ", ran.output, re.MULTILINE)
    assert re.search(r"^apart +loading \d+\.\d s, warming up \d+\.\d s$", ran.output, re.MULTILINE)
    assert re.search(r"^timed +2 runs of each; median, least and most$", ran.output, re.MULTILINE)
    for title in PARTS.values():
        assert re.search(rf"^{title}{FIGURES} +\d+\.\d %$", ran.output, re.MULTILINE), title
    assert re.search(rf"^together{FIGURES}  100.0 %$", ran.output, re.MULTILINE)
    # 3 windows of 128x128 on 256x128 are 1.5 windows a pixel; 3 steps, with and without the prompt.
    assert re.search(r"^passes +18; each pixel is predicted 9 times, 3 times a step$", ran.output, re.MULTILINE)
    assert re.search(
        r"^memory +\S+ [kM]B at the peak, beside \S+ [MG]B that were there before$", ran.output, re.MULTILINE
    )
    assert "against" not in ran.output
    assert list(Path().iterdir()) == [Path("r.yaml")]


def test_json_holds_every_figure_and_baselines_as_ratios(fusionkit: Run) -> None:
    asked = ["forward-passes", "single", "unmeasured", "diffusers-panorama", "r.yaml steps=1"]
    options = [word for name in asked for word in ("--baseline", name)]
    ran = fusionkit("bench", "r.yaml", "--runs", "2", "-q", "--json", "deep/a.json", "--seed", "5", *options)
    assert ran.exit_code == 0, ran.output
    told = json.loads(Path("deep/a.json").read_text())
    assert ran.output.endswith("\nwritten: deep/a.json\n")
    assert (told["size"], told["scheduler"], told["runs"]) == ([256, 128], "DDIMScheduler", 2)
    assert told["recipe"]["seed"] == 5
    assert told["loading"] > 0
    assert told["warming-up"] > 0
    about = told["about"]
    assert (about["device"], about["dtype"], about["threads"]) == ("cpu", "float32", torch.get_num_threads())
    assert {"python", "fusionkit", "torch", "diffusers"} <= set(about["versions"])

    subject, *others = told["contestants"]
    assert list(subject["parts"]) == list(PARTS)
    assert sum(part["share"] for part in subject["parts"].values()) == pytest.approx(1)
    for number, seconds in enumerate(subject["seconds"]["values"]):
        parts = [part["seconds"]["values"][number] for part in subject["parts"].values()]
        assert sum(parts) == pytest.approx(seconds)
    assert (subject["forward-passes"], subject["forward-passes-a-pixel"]) == (18, 9)
    assert subject["memory"]["growth"]["min"] >= 0
    assert subject["memory"]["before"]["min"] > 0
    assert "recipe-takes" not in subject

    names = ["forward-passes", "single", "unmeasured", "diffusers-panorama, 6 views a pass"]
    names += ["diffusers-panorama, 1 view a pass", "r.yaml steps=1"]
    names[3] = "diffusers-panorama, 3 views a pass"
    assert [other["name"] for other in others] == names
    assert [other["forward-passes"] for other in others] == [18, 6, 18, 18, 18, 6]
    assert [other["forward-passes-a-pixel"] for other in others] == [9, 6, 9, 9, 9, 3]
    for other in others:
        found = other["recipe-takes"]
        assert found["values"] == [
            mine / its for mine, its in zip(subject["seconds"]["values"], other["seconds"]["values"], strict=True)
        ]
        assert found["min"] <= found["median"] <= found["max"]
        mine, its = subject["cpu-seconds"]["values"], other["cpu-seconds"]["values"]
        of_cpu = other["recipe-takes-cpu"]
        assert of_cpu["values"] == [a / b for a, b in zip(mine, its, strict=True)]
        assert of_cpu["mean"]["value"] == pytest.approx((of_cpu["values"][0] * of_cpu["values"][1]) ** 0.5)
        assert of_cpu["mean"]["low"] <= of_cpu["mean"]["value"] <= of_cpu["mean"]["high"]
        assert re.search(rf"^{re.escape(other['name'])}{FIGURES} {FIGURES} ", ran.output, re.MULTILINE)
    assert [other["latents-differ"] < 1e-4 for other in others if "latents-differ" in other] == [True, True]
    # Who draws a recipe is taken apart; who only repeats passes, or is not watched, is not.
    assert ["parts" in other for other in others] == [False, True, False, False, False, True]


def test_rounds_alternate_so_that_a_slower_machine_favours_nobody() -> None:
    order: list[str] = []
    contestants = [Contestant(name, lambda _, name=name: order.append(name)) for name in "abc"]  # type: ignore[misc]
    bar = SimpleNamespace(reset=lambda total: None, set_description_str=lambda text: None, update=lambda: None)
    timed = benches.in_turn(contestants, 3, torch.device("cpu"), benches.Progress(bar))
    assert "".join(order) == "abccbaabc"
    assert [len(runs) for runs in timed] == [3, 3, 3]


BAD = {
    "no recipe": (["nosuch.yaml"], "no recipe 'nosuch.yaml'; there is no such file"),
    "misspelt key": (["r.yaml", "--set", "step=3"], "--set step: a recipe has no option 'step'; did you mean 'steps'?"),
    "a size that can't be": (
        ["r.yaml", "--set", "size=250x128"],
        "--set size: size 250x128 is not divisible by 8, as ",
    ),
    "no device": (["r.yaml", "--device", "cuda:77"], "--device: device 'cuda:77' is not there; this machine has: "),
    "misspelt baseline": (
        ["r.yaml", "--baseline", "forward-pass"],
        "--baseline forward-pass: no baseline and no recipe 'forward-pass'; did you mean 'forward-passes'?",
    ),
    "no baseline": (
        ["r.yaml", "--baseline", "zzz"],
        "--baseline zzz: no baseline and no recipe 'zzz'; there are accdiffusion-order, diffusers-panorama, "
        "forward-passes, single, unmeasured, and any recipe",
    ),
    "a baseline's misspelt key": (
        ["r.yaml", "--baseline", "r.yaml step=3"],
        "--baseline r.yaml step=3: --set step: a recipe has no option 'step'; did you mean 'steps'?",
    ),
    "a baseline that can't be changed": (
        ["r.yaml", "--baseline", "single steps=3"],
        "--baseline single steps=3: 'single' is no recipe: it takes what it needs from RECIPE and can't be changed",
    ),
    "an open quotation": (["r.yaml", "--baseline", "r.yaml 'a"], "--baseline r.yaml 'a: No closing quotation"),
    "another device": (
        ["r.yaml", "--baseline", "r.yaml device=cpu"],
        "baseline 'r.yaml device=cpu' is for device 'cpu', and the recipe for 'auto'; use --device for both",
    ),
    "what a baseline can't do": (
        ["r.yaml", "--baseline", "diffusers-panorama", "--set", "plugins.guided-fusion=true"],
        "baseline 'diffusers-panorama' needs the same windows at each step, one beside the other, each of weight 1",
    ),
    "a folder for a file": (["r.yaml", "--json", "."], "'.' is a folder; give a file"),
    "a file that is there": (
        ["r.yaml", "--json", "r.yaml"],
        "'r.yaml' exists; give another file, or --overwrite",
    ),
    "a file as folder": (["r.yaml", "--json", "r.yaml/a.json"], "'r.yaml/a.json' "),
}


@pytest.mark.parametrize(("words", "line"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_before_anything_loads(
    words: list[str], line: str, fusionkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusionkit.models.load.load_models", lambda *_: pytest.fail("it loads"))
    ran = fusionkit("bench", *words)
    assert ran.exit_code == 2
    assert ran.output.count("\n") == 1, ran.output
    assert ran.output.startswith(line)


def test_all_problems_come_at_once(fusionkit: Run) -> None:
    ran = fusionkit("bench", "r.yaml", "--set", "step=3", "--json", ".", "--baseline", "zzz", "--baseline", "")
    assert ran.exit_code == 2
    starts = ["'.' is", "--set step:", "--baseline zzz:", "--baseline : "]
    assert [line.startswith(start) for line, start in zip(ran.output.splitlines(), starts, strict=True)] == [True] * 4


def test_no_runs_are_none(fusionkit: Run) -> None:
    ran = fusionkit("bench", "r.yaml", "--runs", "0")
    assert ran.exit_code == 2
    assert ran.output.splitlines()[-1] == "Error: Invalid value for '--runs': 0 is not in the range x>=1."


def test_a_file_is_replaced_where_that_is_asked_for(fusionkit: Run) -> None:
    Path("a.json").write_text("mine")
    ran = fusionkit("bench", "r.yaml", "--runs", "1", "-q", "--set", "steps=1", "--json", "a.json", "--overwrite")
    assert ran.exit_code == 0, ran.output
    assert json.loads(Path("a.json").read_text())["runs"] == 1


def test_a_baseline_that_draws_another_picture_ends_it_in_one_line(
    fusionkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(diffusers_panorama.ROUNDING, "float32", 0.0)
    ran = fusionkit("bench", "r.yaml", "--runs", "1", "-q", "--baseline", "diffusers-panorama", "--json", "a.json")
    assert ran.exit_code == 1
    assert re.fullmatch(
        r"baseline 'diffusers-panorama, 3 views a pass' draws another picture than the recipe: their latents differ by "
        r"up to \S+, and rounding explains 0; leave this baseline out\n",
        ran.output,
    )
    assert not Path("a.json").exists()


def test_ctrl_c_is_one_line_and_writes_nothing(fusionkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    plain = Drawing.draw

    def draw(self: Drawing, clock: Any = None) -> None:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(plain(self, clock))

    monkeypatch.setattr(Drawing, "draw", draw)
    ran = fusionkit("bench", "r.yaml", "--runs", "4", "-q", "--json", "a.json")
    assert (ran.exit_code, ran.output) == (130, "interrupted in round 3 of 4; nothing was written\n")
    assert not Path("a.json").exists()


def test_of_several_prompts_the_first_counts(fusionkit: Run) -> None:
    ran = fusionkit("bench", "r.yaml", "--runs", "1", "-q", "--set", "steps=1", "--set", "prompt=[a hill, a lake]")
    assert ran.exit_code == 0, ran.output
    assert "passes  6; " in ran.output
