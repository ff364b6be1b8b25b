"""95 % intervals: of a mean by Student's t, of any other score by the bootstrap over pictures; both within strata.

Strata are groups of pictures that are given and not drawn, such as those of one prompt: another run would draw other
pictures of the same prompts. What differs between the groups then says nothing of the score's error.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan, sqrt
from typing import TYPE_CHECKING, Any

from fusionkit.errors import RecipeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
SEED = 0

Strata = Sequence[Hashable] | None


@dataclass(frozen=True)
class Score:
    """A score of a set of pictures, or a difference of two.

    Args:
        value: The score; NaN where no picture gave one.
        low: Lower end of its 95 % interval; NaN where so few pictures tell nothing of it.
        high: Upper end.
        count: How many pictures it is of; those without a value are not counted.
    """

    value: float
    low: float
    high: float
    count: int


def groups_of(strata: Strata, count: int) -> list[list[int]]:
    """The indices of `count` pictures by stratum; all in one group where there are no strata to go by.

    That is so without strata, where one is None (not known), and where one holds a single picture: how pictures of its
    kind spread can't be told, and the whole set's spread, which is wider, stands in for it.

    Raises:
        RecipeError: There are more or fewer strata than pictures.
    """
    if strata is not None and len(strata) != count:
        raise RecipeError([f"there are {len(strata)} strata for {count} pictures; give one for each"])
    found: dict[Hashable, list[int]] = {}
    for index, stratum in enumerate(strata or ()):
        found.setdefault(stratum, []).append(index)
    if not found or None in found or min(map(len, found.values())) < 2:
        return [list(range(count))]
    return list(found.values())


@dataclass(frozen=True)
class Sampled:
    """A score with what its interval is made of, so that it can be compared with that of the same pictures drawn anew.

    Args:
        score: The score with its interval.
        values: Where it is their mean: each picture's own value.
        strata: The groups of the pictures.
        resampled: Where it is no mean: the score of each resample; equal groups of pictures are drawn alike.
        scale: Half the interval's width, in standard deviations of these.
    """

    score: Score
    values: Sequence[float] = ()
    strata: Strata = None
    resampled: Sequence[float] = ()
    scale: float = nan


def mean(values: Sequence[float], strata: Strata = None) -> Score:
    """The mean of numbers with its interval by Student's t; NaN among them is left out.

    t and not the normal distribution, since sets of ten pictures are common and 1.96 is too narrow for them. With
    strata of n_g numbers of variance s_g^2 the mean's variance is the sum of (n_g / n)^2 s_g^2 / n_g, and the degrees
    of freedom are Welch's and Satterthwaite's, since pictures of one prompt vary more than those of another.

    Args:
        values: The numbers.
        strata: For each number the group that it is of.
    """
    import numpy as np
    from scipy.stats import t

    known = [index for index, value in enumerate(values) if not isnan(value)]
    numbers = np.array([values[index] for index in known], dtype=np.float64)
    count = len(numbers)
    if count == 0:
        return Score(nan, nan, nan, 0)
    value = float(numbers.mean())
    if count == 1:
        return Score(value, nan, nan, 1)
    own = None if strata is None else [strata[index] for index in known]
    groups = [numbers[group] for group in groups_of(own, count)]
    parts = [(len(group) / count) ** 2 * float(group.var(ddof=1)) / len(group) for group in groups]
    spread = sum(part**2 / (len(group) - 1) for part, group in zip(parts, groups, strict=True))
    # Numbers that are all alike have no spread, and any quantile of it is 0.
    reach = float(t.ppf((1 + CONFIDENCE) / 2, sum(parts) ** 2 / spread)) * sqrt(sum(parts)) if spread else 0.0
    return Score(value, value - reach, value + reach, count)


def bootstrap(
    score: Callable[[NDArray[np.intp], NDArray[np.intp]], float],
    count: int,
    resamples: int,
    *,
    reference: int = 0,
    strata: Strata = None,
    reference_strata: Strata = None,
) -> Sampled:
    """A score of a set with its interval: the value, and about 1.96 standard deviations of the resampled scores.

    Not the percentiles of the resampled scores: a resample holds pictures twice, so that its FID is too high, and the
    percentiles with it; their spread is what is wanted. A resample of n pictures in g groups varies less than a set
    does, by (n - g) / n in variance, which is made up for; and in place of 1.96, which it nears for large sets, stands
    the quantile of Student's t with n - g degrees of freedom. For a mean in one group this is the interval of `mean`.
    The draws are seeded, and those of one count are the same.

    Args:
        score: The score of the pictures with the first indices against those of the reference with the second ones;
            each index may come several times.
        count: How many pictures there are.
        resamples: How many times pictures are drawn.
        reference: How many pictures of a reference are drawn along with them; 0 for none.
        strata: For each picture the group that it is of, within which it is drawn.
        reference_strata: Likewise of the reference.
    """
    import numpy as np
    from scipy.stats import t

    value = score(np.arange(count), np.arange(reference))
    groups, others = groups_of(strata, count), groups_of(reference_strata if reference else None, reference)
    free = count - len(groups)
    if free < 1 or resamples < 2 or not isfinite(value):
        return Sampled(Score(value, nan, nan, count), strata=strata)
    shrunk = free / count
    if reference:
        # Where both are drawn, the one that shrinks more counts for both.
        shrunk = min(shrunk, max(1, reference - len(others)) / reference)
        free = min(free, max(1, reference - len(others)))
    draws = _draws(groups, count, resamples, SEED), _draws(others, reference, resamples, SEED + 1)
    scale = float(t.ppf((1 + CONFIDENCE) / 2, free)) / sqrt(shrunk)
    scores = list(map(score, *draws))
    return Sampled(_around(value, scores, scale, count), strata=strata, resampled=scores, scale=scale)


def difference(some: Sampled, others: Sampled) -> Score:
    """How much higher one set scores than another, with the 95 % interval of the difference.

    The sets are paired by picture, such as by prompt and seed: what two pictures of a pair share does not count, and
    the interval is narrower than that of two sets of their own.

    Args:
        some: The one set's score.
        others: The other's, by the same metric, of as many pictures in the same order and groups.

    Raises:
        RecipeError: The sets differ in number, or in their groups.
    """
    counts = [max(each.score.count, len(each.values)) for each in (some, others)]
    if counts[0] != counts[1] or some.strata != others.strata:
        raise RecipeError([f"sets are compared in pairs of one prompt: {counts[0]} pictures and {counts[1]} are not"])
    if some.values and others.values:
        return mean([a - b for a, b in zip(some.values, others.values, strict=True)], some.strata)
    value = some.score.value - others.score.value
    scores = [a - b for a, b in zip(some.resampled, others.resampled, strict=False)]
    return _around(value, scores, some.scale, counts[0])


def _around(value: float, scores: Sequence[float], scale: float, count: int) -> Score:
    """A value with the interval that resampled scores give it."""
    import numpy as np

    # A resample may leave a score undefined, such as one that holds a single picture over and over.
    known = [each for each in scores if isfinite(each)]
    if len(known) < 2 or not isfinite(value):
        return Score(value, nan, nan, count)
    reach = scale * float(np.std(known, ddof=1))
    return Score(value, value - reach, value + reach, count)


def taken(entries: Sequence[Any], indices: NDArray[np.intp]) -> list[Any]:
    """The entries of these indices."""
    return [entries[index] for index in indices.tolist()]


def _draws(groups: Sequence[Sequence[int]], count: int, resamples: int, seed: int) -> NDArray[np.intp]:
    """Indices (resamples, count), drawn with replacement within each group, each at the place of one of its own."""
    import numpy as np

    random = np.random.default_rng(seed)
    drawn = np.zeros((resamples, count), dtype=np.intp)
    for group in groups:
        if group:
            members = np.array(group)
            drawn[:, members] = members[random.integers(len(members), size=(resamples, len(members)))]
    return drawn
