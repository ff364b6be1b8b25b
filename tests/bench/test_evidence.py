"""The page of evidence: what is in print stands beside settings that are drawn, and verdicts need whole intervals."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import claims
import in_print
from experiments import Experiment

from fusionkit.evaluation import Score

NAMES = tuple(claims.CLAIMS)


@pytest.fixture(scope="module", params=NAMES)
def experiment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """One of the page's experiments, nothing of it drawn."""
    return Experiment(request.param, tmp_path_factory.mktemp("papers"))


def test_all_that_is_in_print_stands_beside_a_setting_that_is_drawn(experiment: Experiment) -> None:
    paper = in_print.published(experiment.name)
    assert {"source", "drawn", "says"} <= set(paper)
    titles = {*paper.get("scores", {}), *paper.get("seconds", {})}
    titles |= {title for pair in paper.get("likeness", ()) for title in (pair["some"], pair["others"])}
    assert titles <= set(experiment.titles), titles - set(experiment.titles)
    assert titles or experiment.name == "figure-5"  # which has curves and no figures


def test_a_claim_names_settings_and_metrics_of_its_experiment(experiment: Experiment) -> None:
    for claim in claims.CLAIMS[experiment.name](experiment):  # an unknown metric is found when the claim is made
        named = claim.tried.partition(", ")[2] if " minus " in claim.tried else claim.tried
        for part in re.split(r" minus |, within|, at |, above| / | and |^variance ratio of |^SSIM of |that of ", named):
            known = part.strip(" ,")[:1].isupper()
            assert not known or part.strip(" ,") in experiment.titles, (claim.tried, part)


def test_what_a_paper_says_is_what_its_figures_say(experiment: Experiment) -> None:
    """A claim whose direction or settings were mixed up would be refuted by the paper's own figures."""
    checked = 0
    for claim in claims.CLAIMS[experiment.name](experiment):
        try:
            value = float(claim.in_print)
        except ValueError:  # no figure in print, but a word of its course
            continue
        checked += 1
        if claim.text != "VCF costs nothing beside its steps":  # a step of VCF took 7 % less than one of MD there
            assert claim.holds(value, value), (claim.text, value)
    assert checked or experiment.name == "figure-5"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-2.0, -1.0, "holds"),
        (1.0, 2.0, "does not hold"),
        (-1.0, 1.0, "can't be told"),
        (float("nan"), float("nan"), "can't be told"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low: float, high: float, verdict: str) -> None:
    score = Score((low + high) / 2, low, high, 10)
    claim = claims.Claim("it falls", "measured", lambda: score, claims.below(0), claims.above(0), "-1")
    assert claim.row() == ["it falls", "measured", "-1", claim.row()[3], f"**{verdict}**"]
    rises = claims.Claim("it rises", "measured", lambda: score, claims.above(0), claims.below(0))
    opposite = {"holds": "does not hold", "does not hold": "holds"}
    assert rises.verdict(score) == opposite.get(verdict, verdict)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.98, 1.02, "holds"), (0.97, 1.0, "can't be told"), (1.03, 1.1, "does not hold"), (0.8, 0.9, "does not hold")],
)
def test_a_value_that_is_to_stay_lies_within_or_outside_as_a_whole(low: float, high: float, verdict: str) -> None:
    score = Score(1.0, low, high, 10)
    assert claims.Claim("it stays", "", lambda: score, *claims.within(0.98, 1.02)).verdict(score) == verdict


def test_figures_in_print_are_taken_as_differences_and_ratios_of_a_step() -> None:
    assert in_print.printed_score("table-2-ddim", "GF", "fid") == 10.71
    assert in_print.printed_score("table-2-ddim", "GF", "tinyworld-agreement") == 31.67  # the CLIP score's column
    assert in_print.printed_score("table-2-ddim", "GF", "seam") is None
    assert in_print.printed(in_print.printed_difference("table-2-ddim", "GF", "MD", "fid"), 3, signed=True) == "-0.51"
    assert in_print.printed_difference("table-2-ddim", "GF", "MD", "seam") is None
    # VCF is timed over 1000 steps, MD over 50.
    assert in_print.printed_ratio("table-3", "VCF", "MD") == pytest.approx((181.16 / 1000) / (9.70 / 50))
    assert in_print.printed_ratio("table-3", "VCF", "averaged noise") is None
    assert in_print.printed(None) == ""
    assert in_print.printed("falls") == "falls"
    assert in_print.printed(0.123456, 3) == "0.123"
