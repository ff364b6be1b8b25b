"""The intervals hold what they claim: 95 % of them hold the truth, pairs narrow them, and the draws are the same."""

from __future__ import annotations

from math import isnan, nan, sqrt

import numpy as np
import pytest
from evaluating import Brightness

from fusionkit.errors import RecipeError
from fusionkit.evaluation import Metric, difference
from fusionkit.evaluation.evaluate import score as sampled_score
from fusionkit.evaluation.intervals import Score, groups_of, mean
from fusionkit.evaluation.intervals import bootstrap as sampled_bootstrap

SETS = 2000


def score(*args, **strata) -> Score:
    return sampled_score(*args, **strata).score


def bootstrap(*args, **strata) -> Score:
    return sampled_bootstrap(*args, **strata).score


def difference_of(metric, some, others, reference=(), **strata) -> Score:
    return difference(*(sampled_score(metric, each, reference, **strata) for each in (some, others)))


def sets(count: int, seed: int = 0) -> np.ndarray:
    """Many sets of `count` numbers with mean 3 and deviation 2."""
    return np.random.default_rng(seed).normal(3, 2, size=(SETS, count))


@pytest.mark.parametrize("count", [3, 10, 40])
def test_95_of_100_intervals_of_a_mean_hold_the_truth(count):
    scores = [mean(values.tolist()) for values in sets(count)]
    held = sum(each.low <= 3 <= each.high for each in scores) / SETS
    # 2,000 sets: the share itself is known to 3 * sqrt(0.95 * 0.05 / 2000) = 0.015.
    assert held == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("count", [5, 20])
def test_95_of_100_intervals_from_resamples_hold_it_too(count):
    values = sets(count)[:500]
    scores = [bootstrap(lambda at, _, row=row: float(row[at].mean()), count, 100) for row in values]
    held = sum(each.low <= 3 <= each.high for each in scores) / len(values)
    assert held == pytest.approx(0.95, abs=0.03)


GROUPS, EACH = 4, 5
STRATA = [f"prompt {number}" for number in range(GROUPS) for _ in range(EACH)]


def grouped_sets(deviations: list[float], seed: int = 5) -> np.ndarray:
    """Many sets of four prompts whose means are far apart, five pictures each; the mean of all is 3."""
    means = 3 + np.array([-30, -10, 10, 30])
    random = np.random.default_rng(seed)
    drawn = means[:, None] + random.normal(size=(SETS, GROUPS, EACH)) * np.array(deviations)[:, None]
    return drawn.reshape(SETS, GROUPS * EACH)


@pytest.mark.parametrize("deviations", [[1, 1, 1, 1], [1, 1, 2, 8]], ids=["alike", "unlike"])
def test_95_of_100_intervals_over_seeds_hold_the_truth_whatever_the_prompts_do(deviations):
    values = grouped_sets(deviations)
    scores = [mean(each.tolist(), STRATA) for each in values]
    held = sum(each.low <= 3 <= each.high for each in scores) / SETS
    assert held == pytest.approx(0.95, abs=0.025)
    # Without strata the prompts' own differences count as error, which they are not: other seeds do not change them.
    one_group = [mean(each.tolist()) for each in values[:100]]
    within, across = (np.median([each.high - each.low for each in some]) for some in (scores, one_group))
    assert within < 0.35 * across


def test_95_of_100_intervals_from_resamples_within_prompts_hold_it_too():
    values = grouped_sets([1, 1, 1, 1])[:500]
    scores = [
        bootstrap(lambda at, _, row=row: float(row[at].mean()), GROUPS * EACH, 100, strata=STRATA) for row in values
    ]
    held = sum(each.low <= 3 <= each.high for each in scores) / len(values)
    assert held == pytest.approx(0.95, abs=0.03)
    by_hand = [mean(row.tolist(), STRATA) for row in values[:50]]
    ratios = [(a.high - a.low) / (b.high - b.low) for a, b in zip(scores, by_hand, strict=False)]
    assert np.mean(ratios) == pytest.approx(1, abs=0.12), "of a mean, both are the same interval but for their draws"


def test_a_resample_holds_as_many_of_each_prompt_as_the_set():
    seen = []

    def score(at: np.ndarray, compared: np.ndarray) -> float:
        seen.append((at.tolist(), compared.tolist()))
        return float(at.mean())

    strata = ["a", "b", "a", "b", "a", "b"]
    bootstrap(score, 6, 20, reference=4, strata=strata, reference_strata=["x", "x", "y", "y"])
    assert seen[0] == ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3])
    for at, compared in seen[1:]:
        assert [strata[index] for index in at] == strata
        assert [index // 2 for index in compared] == [0, 0, 1, 1]
    assert len({tuple(at) for at, _ in seen}) > 10
    assert {index for at, _ in seen for index in at} == set(range(6))


def test_strata_that_tell_nothing_are_passed_over():
    assert groups_of(["a", "b", "a", "b"], 4) == [[0, 2], [1, 3]]
    for strata in (None, ["a", "a", None, None], ["a", "a", "b", "c"]):
        assert groups_of(strata, 4) == [[0, 1, 2, 3]]
    with pytest.raises(RecipeError, match="there are 3 strata for 4 pictures; give one for each"):
        groups_of(["a", "a", "b"], 4)
    values = [1.0, 2.0, 11.0, 12.0]
    assert mean(values, ["a", "a", "b", "c"]) == mean(values)
    # A number that is missing leaves a prompt with one picture.
    assert mean([*values, nan], ["a", "a", "b", "c", "b"]) == mean(values)


def test_the_interval_within_prompts_by_hand():
    # 1, 2, 3 and 11, 15 have variances 1 and 8, and the mean's is (3/5)^2 / 3 + (2/5)^2 * 8 / 2 = 0.12 + 0.64 = 0.76.
    # Welch and Satterthwaite: 0.76^2 / (0.12^2 / 2 + 0.64^2 / 1) degrees of freedom.
    from scipy.stats import t

    found = mean([1.0, 11.0, 2.0, 15.0, 3.0], ["a", "b", "a", "b", "a"])
    assert found.value == 6.4
    assert found.high - found.value == pytest.approx(float(t.ppf(0.975, 0.5776 / 0.4168)) * sqrt(0.76))


def test_numbers_that_are_alike_have_no_spread():
    assert mean([2.0, 2.0, 2.0]) == Score(2.0, 2.0, 2.0, 3)
    assert mean([2.0, 2.0, 5.0, 5.0], ["a", "a", "b", "b"]) == Score(3.5, 3.5, 3.5, 4)


def test_the_interval_of_a_mean_by_hand():
    # t of 3 degrees of freedom at 97.5 % is 3.182446; the deviation of 1, 2, 3, 4 is sqrt(5/3).
    found = mean([1.0, 2.0, 3.0, 4.0, nan])
    assert (found.value, found.count) == (2.5, 4)
    reach = 3.182446 * sqrt(5 / 3) / 2
    assert (found.low, found.high) == pytest.approx((2.5 - reach, 2.5 + reach), rel=1e-6)


def test_too_few_numbers_have_no_interval():
    one, none = mean([7.0, nan]), mean([nan])
    assert (one.value, one.count) == (7.0, 1)
    assert isnan(one.low)
    assert isnan(one.high)
    assert isnan(none.value)
    assert none.count == 0


def test_a_bootstrapped_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(size=50)
    found = bootstrap(lambda at, _: float(values[at].mean()), 50, 500)
    expected = 2.0096 * values.std(ddof=1) / sqrt(50)  # Student's t of 49 degrees of freedom
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(expected, rel=0.1)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_a_score_that_resampling_biases_keeps_its_value_in_the_middle():
    # The variance with n in the denominator is lower in a resample; the percentiles would lie below the value.
    values = np.random.default_rng(2).normal(size=12)
    found = bootstrap(lambda at, _: float(values[at].var()), 12, 500)
    assert (found.low + found.high) / 2 == pytest.approx(values.var())


def test_resamples_are_the_same_each_time():
    values = np.random.default_rng(3).normal(size=20)
    some, again = (bootstrap(lambda at, _: float(np.median(values[at])), 20, 100) for _ in range(2))
    assert some == again


def test_resamples_without_a_score_are_passed_over():
    values = np.array([0.0, 0.0, 1.0])

    def ratio(at: np.ndarray, _: np.ndarray) -> float:
        return float(values[at].mean() / values[at].max()) if values[at].max() else nan

    found = bootstrap(ratio, 3, 100)
    assert found.value == pytest.approx(1 / 3)
    assert found.low < 1 / 3 < found.high


def pairs(correlation: float) -> tuple[list[float], list[float]]:
    """Two sets of 30 that share a part of what varies; the first is 0.5 higher."""
    random = np.random.default_rng(4)
    shared, own, others = random.normal(size=(3, 30))
    rest = sqrt(1 - correlation)
    some = 3.5 + sqrt(correlation) * shared + rest * own
    return some.tolist(), (3 + sqrt(correlation) * shared + rest * others).tolist()


def test_what_pairs_share_does_not_count_in_their_difference():
    some, others = pairs(0.95)
    found = difference_of(Brightness(), some, others)
    alone = [score(Brightness(), each) for each in (some, others)]
    assert found.value == pytest.approx(alone[0].value - alone[1].value)
    unpaired = sqrt(sum((each.high - each.value) ** 2 for each in alone))
    assert found.high - found.value < 0.35 * unpaired
    assert found.low > 0, "the difference is told apart from nothing, which the sets alone are not"
    assert alone[0].low < alone[1].high


class Deviation(Metric):
    """A score of the set that is no mean."""

    def describe(self, picture, tools):
        raise NotImplementedError

    def score(self, described, reference):
        return float(np.std(described)) / (float(np.std(reference)) if reference else 1.0)


class Ratio(Deviation):
    """The same, where the reference varies, too."""

    reference_varies = True


def test_differences_of_other_scores_are_paired_too():
    some, others = pairs(0.95)
    metric = Deviation()
    found = difference_of(metric, some, others)
    assert found.value == pytest.approx(np.std(some) - np.std(others))
    alone = [score(metric, each) for each in (some, others)]
    unpaired = sqrt(sum((each.high - each.value) ** 2 for each in alone))
    assert found.high - found.value < 0.5 * unpaired
    assert found == difference_of(metric, some, others)
    equal = difference_of(metric, some, some)
    assert (equal.value, equal.low, equal.high) == (0, 0, 0)


def test_a_reference_that_varies_widens_the_interval():
    some, others = pairs(0.0)
    still, varied = score(Deviation(), some, others), score(Ratio(), some, others)
    assert still.value == varied.value == pytest.approx(np.std(some) / np.std(others))
    widths = [each.high - each.low for each in (still, varied)]
    # Two samples of one size and one deviation: both sides add the same, sqrt(2) times the width.
    assert widths[1] / widths[0] == pytest.approx(sqrt(2), rel=0.2)


def test_a_reference_that_stays_is_whole_in_every_resample():
    counts = []

    class Counting(Deviation):
        def score(self, described, reference):
            counts.append((len(described), list(reference)))
            return float(np.std(described))

    strata = {"strata": ["a"] * 3 + ["b"] * 3, "reference_strata": ["a", "a", "b", "b"]}
    difference_of(Counting(), [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 7], [7, 8, 9, 10], **strata)
    assert len(counts) == 2 * 501, "each set is drawn once, and their difference costs nothing more"
    assert all(each == (6, [7, 8, 9, 10]) for each in counts)


def test_pairs_need_sets_of_one_number_and_the_same_groups():
    with pytest.raises(RecipeError, match="sets are compared in pairs of one prompt: 2 pictures and 3 are not"):
        difference_of(Brightness(), [1.0, 2.0], [1.0, 2.0, 3.0])
    some, others = (sampled_score(Deviation(), [1, 2, 3], strata=each) for each in ("aab", "abb"))
    with pytest.raises(RecipeError, match="in pairs of one prompt"):
        difference(some, others)
