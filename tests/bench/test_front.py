"""The front of quality against passes: what is said of a difference, by pairs, over resampled prompts; and its plot."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import log
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from fusionkit.evaluation import Picture, Tools

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from front import table  # noqa: E402
from front_plot import plot  # noqa: E402
from front_scores import Difference, Measure, Scored, differences, names_object, read_scores, scored  # noqa: E402

from fusionkit_metrics import Variance  # noqa: E402

TOOLS = Tools("tinyworld", device="cpu")


@pytest.mark.parametrize(
    ("worse", "reach", "verdict"),
    [
        (-3.0, 1.0, "better"),
        (0.1, 0.5, "as good"),
        (0.1, 1.5, "can't be told"),
        (0.5, 0.3, "worse by less than matters"),
        (0.9, 0.3, "worse"),
    ],
)
def test_a_verdict_goes_by_the_interval_and_what_matters(worse: float, reach: float, verdict: str) -> None:
    assert Difference(worse, reach, matters=1.0).verdict == verdict


def pictures(folder: Path, spread: float, seeds: int = 3) -> list[Picture]:
    """Pictures of four prompts, whose noise has a standard deviation that differs by prompt and by `spread`."""
    found = []
    for number, prompt in enumerate(["the sea", "a city", "the sea with a boat", "a beach with a house"]):
        for seed in range(seeds):
            rng = np.random.default_rng((number, seed))
            grey = 120 + rng.normal(0, spread * (4 + number), (32, 64))
            path = folder / f"{spread}-{number}-{seed}.png"
            Image.fromarray(np.repeat(grey.round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)).save(path)
            found.append(Picture(path, (64, 32), prompt, seed, crop=(32, 32)))
    return found


def measure(better: str, **told: object) -> Measure:
    return Measure("variance", "variance", Variance(), better, **told)  # type: ignore[arg-type]


def test_pairs_make_a_difference_sharper_than_its_two_scores(tmp_path: Path) -> None:
    (some, others) = (pictures(tmp_path, spread) for spread in (1.0, 1.1))
    plain = measure("lower", share=0.1)
    base, other = (scored(plain, each, TOOLS) for each in (some, others))
    found = differences(base, other)
    # Variance grows by the square of the spread: 21 % more than matters by, in every prompt alike.
    assert found.worse == pytest.approx(0.21 * base.value, rel=0.03)
    assert found.matters == pytest.approx(0.1 * base.value)
    assert found.verdict == "worse"
    alone = float(np.std(base.resampled))
    assert found.reach < 0.7 * 2 * alone, "what prompts differ in by themselves does not count"
    assert differences(base, base).verdict == "as good"


def test_prompts_are_resampled_with_all_their_pictures(tmp_path: Path) -> None:
    few, many = (scored(measure("lower", share=0.1), pictures(tmp_path, 1.0, n), TOOLS) for n in (2, 6))
    assert few.prompts == many.prompts == 4
    # More seeds of the same prompts do not make the prompts more.
    assert np.std(many.resampled) > 0.7 * np.std(few.resampled)


def test_only_prompts_that_name_an_object_count_where_that_is_asked(tmp_path: Path) -> None:
    assert names_object("a landscape photo of the sea at noon with a red boat")
    assert not names_object("a landscape photo of the sea at noon")
    everything = pictures(tmp_path, 1.0)
    assert scored(measure("lower", share=0.1, objects=True), everything, TOOLS).prompts == 2


def test_a_ratio_is_worse_the_farther_it_is_from_one() -> None:
    ratio = measure("one", share=0.1)
    assert ratio.badness(0.5) == pytest.approx(ratio.badness(2.0)) == pytest.approx(log(2))
    assert ratio.limit(1.3) == pytest.approx(log(1.1))
    one = Scored(ratio, 1.0, np.ones(5), 4)
    assert differences(one, replace(one, value=0.8)).worse == pytest.approx(log(1.25))


def test_the_scores_of_the_file_are_there_and_say_what_matters(tmp_path: Path) -> None:
    text = (BENCHMARKS / "front_scores.yaml").read_text()
    assert "{world}-agreement" in text
    without = tmp_path / "scores.yaml"
    without.write_text("grain: {metric: grain, title: grain, better: one, differs: {share: 0.25}}\n")
    found = read_scores(without, pictures(tmp_path, 1.0), TOOLS)
    assert found["grain"].limit(1) == pytest.approx(log(1.25))
    assert len(found["grain"].reference) == 12
    blurred = tmp_path / "blurred.yaml"
    blurred.write_text("v: {metric: variance-ratio, title: v, better: one, differs: {calibrated: 1.0}}\n")
    assert 0.3 < read_scores(blurred, pictures(tmp_path, 1.0), TOOLS)["v"].value < 1


def test_the_table_and_the_plot_show_every_setting(tmp_path: Path) -> None:
    plain = measure("lower", share=0.1)
    settings = {
        title: {"passes": passes, "scores": {"variance": scored(plain, pictures(tmp_path, spread), TOOLS)}}
        for title, passes, spread in (("MD 1/4", 130, 1.0), ("fast & good", 25, 1.02))
    }
    found = {"settings": settings, "measures": {"variance": plain}, "pictures": 12, "prompts": 4, "windows": 3}
    lines = [line.strip("| ").split(" | ") for line in table(found, "MD 1/4").splitlines()[2:]]
    assert lines[0] == ["matters", "MD 1/4", "fast & good"]
    assert lines[2] == ["passes a window area", "", "130", "25"]
    assert lines[3][:2] == ["variance (low)", "10%"]
    assert ": worse by less than matters, +" in lines[3][3]
    drawn = ElementTree.fromstring(plot(found, "MD 1/4"))
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"MD 1/4", "fast & good", "variance"} <= set(texts)
    points = [float(each.get("cx", 0)) for each in drawn.iter("{http://www.w3.org/2000/svg}circle")]
    assert points[0] > points[1], "more passes are to the right"
