"""The scores of `front_scores.yaml`: read, measured, and compared by pairs of pictures of one prompt and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log, nan, sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import t

from fusionkit.evaluation import Metric, Picture, Tools
from fusionkit.evaluation.registry import METRICS

RESAMPLES = 200


@dataclass(frozen=True, eq=False)
class Measure:
    """One score, and which difference of it matters.

    Args:
        name: What the file calls it.
        title: What tables call it.
        metric: What computes it.
        better: lower, higher, or one: nearer to 1.
        reference: What the metric makes of the reference's pictures.
        share: The difference that matters as a share of the score; None where it is a value.
        value: That value.
        objects: Whether only prompts that name an object count.
    """

    name: str
    title: str
    metric: Metric
    better: str
    reference: Sequence[Any] = ()
    share: float | None = None
    value: float = 0.0
    objects: bool = False

    def limit(self, base: float) -> float:
        """The difference that matters, where the baseline has such a score."""
        if self.share is None:
            return self.value
        return log(1 + self.share) if self.better == "one" else self.share * abs(base)

    @property
    def matters(self) -> str:
        """The same in words."""
        return f"{self.value:.3g}" if self.share is None else f"{self.share:.0%}"

    def badness(self, score: float) -> float:
        """The score such that more is worse; of a ratio, how far its logarithm is from 0."""
        if self.better == "one":
            return abs(log(score)) if self.share is not None else abs(score - 1)
        return score if self.better == "lower" else -score


@dataclass(frozen=True, eq=False)
class Scored:
    """One setting's score.

    Args:
        measure: Which.
        value: The score.
        resampled: The scores of resampled prompts, the same prompts for every setting.
        prompts: How many prompts there are.
    """

    measure: Measure
    value: float
    resampled: NDArray[np.float64] = field(repr=False)
    prompts: int = 0


@dataclass(frozen=True)
class Difference:
    """How much worse one setting is than another.

    Args:
        worse: By how much; below 0 it is better. Of ratios in logarithms.
        reach: Half of the width of the 95 % interval.
        matters: The difference that does.
    """

    worse: float
    reach: float
    matters: float

    @property
    def verdict(self) -> str:
        """What can be told: better, as good, worse, or nothing.

        As good: whatever is lost is less than what matters. Worse, but by less than what matters, is said as such.
        """
        low, high = self.worse - self.reach, self.worse + self.reach
        if high < 0:
            return "better"
        if low > 0:
            return "worse" if high >= self.matters else "worse by less than matters"
        return "as good" if high < self.matters else "can't be told"


def read_scores(path: Path, reference: Sequence[Picture], tools: Tools) -> dict[str, Measure]:
    """The scores of a file, with what they make of the reference; `{world}` in a metric's name is the features'."""
    found: dict[str, Measure] = {}
    for name, said in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        options = {key.replace("-", "_"): value for key, value in said.get("options", {}).items()}
        metric = METRICS.load(said["metric"].format(world=tools.features_name))(**options)
        described = [metric.describe(each, tools) for each in reference] if "reference" in metric.needs else []
        measure = Measure(name, said["title"], metric, said["better"], described, objects=said.get("only") == "objects")
        ((kind, amount),) = said["differs"].items()
        if kind == "calibrated":
            found[name] = replace(measure, value=_of_blur(measure, reference, tools, amount))
        else:
            found[name] = replace(measure, **{kind: amount})
    return found


def _of_blur(measure: Measure, reference: Sequence[Picture], tools: Tools, sigma: float) -> float:
    """What a blur of so many pixels does to the score of the reference's own pictures."""
    plain = Tools(tools.features_name, device=tools.device)
    with TemporaryDirectory() as folder:
        blurred = []
        for number, picture in enumerate(reference):
            path = Path(folder) / f"{number}.png"
            Image.fromarray(cv2.GaussianBlur(picture.pixels(), (0, 0), sigma)).save(path)
            blurred.append(measure.metric.describe(replace(picture, path=path), plain))
    score = measure.metric.score
    return abs(score(blurred, measure.reference) - score(measure.reference, measure.reference))


def names_object(prompt: str | None) -> bool:
    """Whether a prompt names a thing, as those of the embedded worlds do: "... at noon with a red boat"."""
    return " with " in (prompt or "")


def scored(measure: Measure, pictures: Sequence[Picture], tools: Tools) -> Scored:
    """A setting's score, and those of resampled prompts."""
    counted = [each for each in pictures if not measure.objects or names_object(each.prompt)]
    described = [measure.metric.describe(each, tools) for each in counted]
    groups: dict[str | None, list[int]] = {}
    for number, each in enumerate(counted):
        groups.setdefault(each.prompt, []).append(number)
    rng, prompts = np.random.default_rng(0), list(groups.values())
    scores = []
    for _ in range(min(RESAMPLES, measure.metric.resamples)):
        chosen = [prompts[number] for number in rng.integers(len(prompts), size=len(prompts))]
        taken = [described[index] for group in chosen for index in group]
        scores.append(measure.metric.score(taken, measure.reference))
    value = measure.metric.score(described, measure.reference)
    return Scored(measure, value, np.array(scores), len(prompts))


def differences(base: Scored, other: Scored) -> Difference:
    """How much worse a setting is than a baseline, over the same resampled prompts."""
    bad = base.measure.badness
    gaps = [bad(b) - bad(a) for a, b in zip(base.resampled.tolist(), other.resampled.tolist(), strict=True)]
    free = base.prompts - 1
    spread = float(np.std(gaps, ddof=1)) if free else nan  # one prompt says nothing of others
    reach = spread * float(t.ppf(0.975, max(1, free))) * sqrt(base.prompts / max(1, free))
    return Difference(bad(other.value) - bad(base.value), reach, base.measure.limit(base.value))
