"""What arXiv 2412.12771 claims, and what is measured here to try it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from experiments import Experiment, shown
from in_print import printed, printed_difference, printed_ratio, published

from fusionkit.evaluation import Score, difference


@dataclass(frozen=True)
class Claim:
    """Something that a paper says, and how it is tried here.

    Args:
        text: What it says.
        tried: What is measured for it, and where.
        found: Answers the measurement.
        holds: What the interval (low, high) must satisfy.
        fails: What the interval must satisfy for the opposite to be shown.
        in_print: The same of the paper's own figures, as the page shows it.
    """

    text: str
    tried: str
    found: Callable[[], Score]
    holds: Callable[[float, float], bool]
    fails: Callable[[float, float], bool]
    in_print: str = ""

    def row(self) -> list[str]:
        """A row of the page's table."""
        score = self.found()
        return [self.text, self.tried, self.in_print, shown(score), f"**{self.verdict(score)}**"]

    def verdict(self, score: Score) -> str:
        """What the measurement says of the claim."""
        if score.low != score.low:
            return "can't be told"
        if self.holds(score.low, score.high):
            return "holds"
        return "does not hold" if self.fails(score.low, score.high) else "can't be told"


HEADER = ("the paper says", "tried here", "in print", "found here", "on this model")


def below(limit: float) -> Callable[[float, float], bool]:
    """The whole interval lies below a limit."""
    return lambda low, high: high < limit


def above(limit: float) -> Callable[[float, float], bool]:
    """The whole interval lies above a limit."""
    return lambda low, high: low > limit


def within(least: float, most: float) -> tuple[Callable[[float, float], bool], Callable[[float, float], bool]]:
    """The interval lies between two values; or outside of them."""
    return lambda low, high: low >= least and high <= most, lambda low, high: high < least or low > most


def lower(experiment: Experiment, some: str, others: str, metric: str, text: str, in_print: str = "") -> Claim:
    """One setting scores lower than another."""
    return _ordered(experiment, some, others, metric, text, in_print, below(0), above(0))


def higher(experiment: Experiment, some: str, others: str, metric: str, text: str, in_print: str = "") -> Claim:
    """One setting scores higher than another."""
    return _ordered(experiment, some, others, metric, text, in_print, above(0), below(0))


def _ordered(
    experiment: Experiment,
    some: str,
    others: str,
    metric: str,
    text: str,
    in_print: str,
    holds: Callable[[float, float], bool],
    fails: Callable[[float, float], bool],
) -> Claim:
    gap = printed_difference(experiment.name, some, others, metric)
    return Claim(
        text,
        f"{experiment.metric(metric).title}, {some} minus {others}",
        lambda: experiment.differ(some, others, metric),
        holds,
        fails,
        in_print or printed(gap, 3, signed=True),
    )


def ratio(time: Experiment, some: str, others: str, text: str, least: float, most: float, tried: str) -> Claim:
    """The processor's time of one setting is so many times another's."""
    what = f"{some} / {others}, {tried}"
    return Claim(
        text,
        what,
        lambda: time.seconds(some, others, "cpu-seconds"),
        *within(least, most),
        in_print=printed(printed_ratio(time.name, some, others), 3),
    )


def strides(one: Experiment) -> list[Claim]:
    """Table 1."""
    steps = ("1/4", "1/2", "3/4")
    said = {"seam": "GF has fewer seams than MD", "fid": "GF is nearer to the model's own pictures"}
    said["giqa-qs"] = "GF raises the quality"
    return [
        (higher if metric == "giqa-qs" else lower)(
            one, f"GF, stride {step}", f"MD, stride {step}", metric, f"{text} at stride {step}"
        )
        for metric, text in said.items()
        for step in steps
    ]


def deterministic(ddim: Experiment) -> list[Claim]:
    """Table 2, DDIM."""
    return [
        lower(ddim, "GF", "MD", "fid", "GF improves on MD"),
        lower(ddim, "GF", "MD", "seam", "GF has fewer seams than MD"),
        lower(ddim, "MD + SA 0.4", "MD", "fid", "SA improves MD"),
        lower(ddim, "GF + SA 0.4", "GF", "fid", "SA improves GF"),
        lower(ddim, "GF + SA 0.4", "MD + SA 0.4", "fid", "GF improves MD + SA"),
        higher(ddim, "GF", "MD", "giqa-qs", "GF raises the quality"),
        lower(ddim, "GF + SA 0.4", "GF", "giqa-ds", "SA costs a little diversity"),
        lower(ddim, "GF + SA 0.4", "GF", "intra-lpips", "SA makes the panorama coherent"),
        lower(ddim, "GF + SA 0.4", "GF", "style-loss", "SA makes the panorama one in style"),
    ]


def others(rest: Experiment) -> list[Claim]:
    """Table 2, the other systems."""
    sync, elastic = "SyncDiffusion", "ElasticDiffusion"
    return [
        lower(rest, sync, "MD", "fid", "SyncDiffusion improves a little on MD"),
        lower(rest, "GF", sync, "fid", "GF is better than SyncDiffusion"),
        lower(rest, "GF + SA 0.4", sync, "fid", "GF + SA is better than SyncDiffusion"),
        higher(rest, elastic, "MD", "fid", "ElasticDiffusion fails at this shape"),
        lower(rest, elastic, "MD", "tinyworld-agreement", "ElasticDiffusion does not show the prompt"),
        lower(rest, sync, "MD", "intra-lpips", "SyncDiffusion makes the panorama coherent", "its own paper"),
    ]


def stochastic(ddpm: Experiment) -> list[Claim]:
    """Table 2, DDPM."""
    variance = "variance-ratio"
    kept = [
        Claim(
            f"{name} keeps the variance",
            f"variance ratio of {name}, within 2 % of 1",
            lambda name=name: ddpm.score(name, variance),  # type: ignore[misc]
            *within(0.98, 1.02),
        )
        for name in ("VCF", "VCF + GF")
    ]
    blurs = Claim(
        "Averaged noise blurs",
        "variance ratio of averaged noise, at most 0.9",
        lambda: ddpm.score("averaged noise", variance),
        below(0.9),
        above(0.9),
    )
    return [
        blurs,
        *kept,
        higher(ddpm, "VCF", "averaged noise", variance, "VCF is sharper than averaged noise"),
        lower(ddpm, "averaged noise", "canvas noise", "variance", "(not in the paper) averaged noise blurs"),
        lower(ddpm, "VCF", "averaged noise", "fid", "VCF improves on averaged noise"),
        lower(ddpm, "VCF + GF", "VCF", "fid", "GF improves VCF"),
        lower(ddpm, "VCF + SA 0.4", "VCF", "fid", "SA improves VCF"),
        lower(ddpm, "VCF + GF + SA 0.4", "VCF + GF", "fid", "SA improves VCF + GF"),
        higher(ddpm, "VCF + GF", "VCF", "giqa-qs", "GF raises the quality"),
        lower(ddpm, "VCF + GF + SA 0.4", "VCF + GF", "intra-lpips", "SA makes the panorama coherent"),
    ]


def alphas(alpha: Experiment) -> list[Claim]:
    """Figure 5."""
    first, middle, last = alpha.titles[0], "alpha 0.4", alpha.titles[-1]
    return [
        lower(alpha, last, first, "fid", "FID falls with alpha", "falls"),
        lower(alpha, middle, first, "fid", "FID has fallen at 0.4", "falls"),
        higher(alpha, last, first, "giqa-qs", "Quality rises with alpha", "rises"),
        lower(alpha, last, first, "giqa-ds", "Diversity falls with alpha", "falls"),
        lower(alpha, middle, first, "giqa-ds", "Diversity has fallen at 0.4", "falls"),
        lower(alpha, last, first, "intra-lpips", "The panorama becomes coherent", "falls"),
    ]


def times(time: Experiment) -> list[Claim]:
    """Table 3."""
    nothing = (0.95, 1.05, "within 5 % of 1")
    several = (2.0, float("inf"), "at least 2")
    return [
        ratio(time, "GF", "MD", "GF costs nothing beside MD", *nothing),
        ratio(time, "MD + SA 0.4", "MD", "SA costs nothing beside MD", *nothing),
        ratio(time, "VCF", "MD", "VCF costs nothing beside its steps", *nothing),
        ratio(time, "VCF", "averaged noise", "VCF costs nothing beside averaged noise", *nothing),
        ratio(time, "SyncDiffusion", "MD", "SyncDiffusion takes several times as long", *several),
        ratio(time, "ElasticDiffusion", "MD", "ElasticDiffusion takes several times as long", *several),
        ratio(
            time, "SyncDiffusion", "ElasticDiffusion", "SyncDiffusion takes longer still", 1.0, float("inf"), "above 1"
        ),
    ]


def likeness(alike: Experiment) -> list[Claim]:
    """Table 4: two methods that align draw more alike than either and plain windows."""
    claims = []
    pairs = {(each["some"], each["others"]): each.get("ssim") for each in published("table-4")["likeness"]}
    for weight in ("0.1", "20"):
        sync, aligned = f"SyncDiffusion {weight}", "MD + SA 0.1"
        for plain in (("MD", aligned), ("MD", sync)):
            both = pairs[sync, aligned], pairs[plain]
            gap = None if None in both else both[0] - both[1]
            claims.append(
                Claim(
                    f"Weight {weight}: SyncDiffusion and SA draw more alike than {' and '.join(plain)}",
                    f"SSIM of {sync} and {aligned}, minus that of {' and '.join(plain)}",
                    lambda sync=sync, aligned=aligned, plain=plain: difference(  # type: ignore[misc]
                        alike.likeness(sync, aligned), alike.likeness(*plain)
                    ),
                    above(0),
                    below(0),
                    printed(gap, 3, signed=True),
                )
            )
    return claims


CLAIMS: Mapping[str, Callable[[Experiment], list[Claim]]] = {
    "table-1": strides,
    "table-2-ddim": deterministic,
    "table-2-others": others,
    "table-2-ddpm": stochastic,
    "figure-5": alphas,
    "table-3": times,
    "table-4": likeness,
}
