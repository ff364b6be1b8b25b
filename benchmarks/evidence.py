"""The experiments of arXiv 2412.12771 on the embedded model, and what they say of the paper's claims: docs/evidence.md.

Runs the comparisons `papers/*-tinyworld`, each of which goes on where it was interrupted, and writes the page and its
pictures from what they drew. It takes an hour or two on two cores; `--part 1/2` and `--part 2/2` share the drawing
between two processes.

Run it:  python benchmarks/evidence.py
         python benchmarks/evidence.py --page
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import Experiment, markdown, sheet, shown, table, times

from fusionkit.cli.common import counted
from fusionkit.comparison.jobs import Job
from fusionkit.comparison.measure import pictures_of
from fusionkit.evaluation import Score, Tools
from fusionkit.evaluation.evaluate import score
from fusionkit.pictures.files import write_whole

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXPERIMENTS = ("table-1", "table-2-ddim", "table-2-ddpm", "figure-5", "table-3")


@dataclass(frozen=True)
class Claim:
    """Something that the paper says, and how it is tried here.

    Args:
        text: What it says.
        tried: What is measured for it, and where.
        found: Answers the measurement.
        holds: What the interval (low, high) must satisfy.
        fails: What the interval must satisfy for the opposite to be shown.
    """

    text: str
    tried: str
    found: Callable[[], Score]
    holds: Callable[[float, float], bool]
    fails: Callable[[float, float], bool]

    def row(self) -> list[str]:
        """A row of the page's table."""
        score = self.found()
        if self.holds(score.low, score.high):
            verdict = "**holds**"
        elif self.fails(score.low, score.high):
            verdict = "**does not hold**"
        else:
            verdict = "not separable"
        return [self.text, self.tried, shown(score), verdict]


def below_zero(low: float, high: float) -> bool:
    """The interval lies below 0."""
    return high < 0


def above_zero(low: float, high: float) -> bool:
    """The interval lies above 0."""
    return low > 0


def within(least: float, most: float) -> tuple[Callable[[float, float], bool], Callable[[float, float], bool]]:
    """The interval lies between two values; or outside of them."""
    return lambda low, high: low >= least and high <= most, lambda low, high: high < least or low > most


def lower(experiment: Experiment, some: str, others: str, metric: str, text: str) -> Claim:
    """One setting scores lower than another."""
    tried = f"{experiment.metric(metric).title}, {some} minus {others}"
    return Claim(text, tried, lambda: experiment.differ(some, others, metric), below_zero, above_zero)


def higher(experiment: Experiment, some: str, others: str, metric: str, text: str) -> Claim:
    """One setting scores higher than another."""
    tried = f"{experiment.metric(metric).title}, {some} minus {others}"
    return Claim(text, tried, lambda: experiment.differ(some, others, metric), above_zero, below_zero)


def claims(of: Mapping[str, Experiment]) -> dict[str, list[Claim]]:
    """What is tried, by experiment."""
    one, ddim, ddpm, alpha, time = (of[name] for name in EXPERIMENTS)
    strides = ("1/4", "1/2", "3/4")
    variance = "variance-ratio"
    first, last = alpha.titles[0], alpha.titles[-1]
    return {
        "table-1": [
            *(
                lower(one, f"GF, stride {s}", f"MD, stride {s}", "seam", f"GF has fewer seams than MD at stride {s}")
                for s in strides
            ),
            *(
                lower(
                    one,
                    f"GF, stride {s}",
                    f"MD, stride {s}",
                    "fid",
                    f"GF is nearer to the model's own pictures at stride {s}",
                )
                for s in strides
            ),
        ],
        "table-2-ddim": [
            lower(ddim, "GF", "MD", "fid", "GF improves on MD"),
            lower(ddim, "MD + SA 0.4", "MD", "fid", "SA improves MD"),
            lower(ddim, "GF + SA 0.4", "GF", "fid", "SA improves GF"),
            higher(ddim, "GF + SA 0.4", "GF", "giqa-qs", "SA raises the quality"),
            lower(ddim, "GF + SA 0.4", "GF", "intra-lpips", "SA makes the panorama coherent"),
            lower(ddim, "GF + SA 0.4", "GF", "style-loss", "SA makes the panorama one in style"),
        ],
        "table-2-ddpm": [
            Claim(
                "Averaged noise blurs",
                "variance ratio of averaged noise, at most 0.9",
                lambda: ddpm.score("averaged noise", variance),
                lambda low, high: high < 0.9,
                lambda low, high: low > 0.9,
            ),
            Claim(
                "VCF keeps the variance",
                "variance ratio of VCF, within 2 % of 1",
                lambda: ddpm.score("VCF", variance),
                *within(0.98, 1.02),
            ),
            Claim(
                "VCF + GF keeps the variance",
                "variance ratio of VCF + GF, within 2 % of 1",
                lambda: ddpm.score("VCF + GF", variance),
                *within(0.98, 1.02),
            ),
            higher(ddpm, "VCF", "averaged noise", variance, "VCF is sharper than averaged noise"),
            lower(ddpm, "averaged noise", "canvas noise", "variance", "(not in the paper) averaged noise blurs"),
            lower(ddpm, "VCF", "averaged noise", "fid", "VCF improves on averaged noise"),
            lower(ddpm, "VCF + GF", "VCF", "fid", "GF improves VCF"),
            lower(ddpm, "VCF + GF + SA 0.4", "VCF + GF", "fid", "SA improves VCF + GF"),
            higher(ddpm, "VCF + GF + SA 0.4", "VCF + GF", "giqa-qs", "SA raises the quality"),
            lower(ddpm, "VCF + GF + SA 0.4", "VCF + GF", "intra-lpips", "SA makes the panorama coherent"),
        ],
        "figure-5": [
            higher(alpha, last, first, "giqa-qs", "Quality rises with alpha"),
            lower(alpha, last, first, "giqa-ds", "Diversity falls with alpha"),
            higher(alpha, "alpha 0.4", first, "giqa-qs", "Quality has risen at 0.4"),
            lower(alpha, "alpha 0.4", first, "giqa-ds", "Diversity has fallen at 0.4"),
        ],
        "table-3": [
            Claim(
                f"{some} costs nothing beside {others}",
                f"seconds, {some} / {others}, within 5 % of 1",
                lambda some=some, others=others: time.seconds(some, others),  # type: ignore[misc]
                *within(0.95, 1.05),
            )
            for some, others in (
                ("GF", "MD"),
                ("MD + SA 0.4", "MD"),
                ("VCF", "averaged noise"),
                ("VCF + GF + SA 0.4", "averaged noise"),
            )
        ],
    }


PAPER = {
    "table-1": "GF beats MD at every stride.",
    "table-2-ddim": "GF beats MD, and SA improves both.",
    "table-2-ddpm": "Averaged noise blurs; VCF does not; GF and SA improve it further.",
    "figure-5": "With alpha quality rises and diversity falls; 0.4 is the compromise.",
    "table-3": "Fusion and one-shot alignment cost next to nothing beside the model.",
}


def rows_of(experiment: Experiment) -> int:
    """How many pictures a setting drew."""
    return len(experiment[experiment.titles[0]].jobs)


def section(experiment: Experiment, tried: Sequence[Claim]) -> str:
    """An experiment's part of the page."""
    name, first = experiment.name, experiment.comparison
    recipe = first.settings[0].recipe
    width, height = recipe.size
    drawn = f"{rows_of(experiment)} panoramas of {width}x{height} a setting, {counted(len(first.prompts), 'prompt')}, "
    drawn += f"{recipe.steps} steps"
    if first.reference is not None:
        windows = sum(job.setting is first.reference for job in experiment.jobs)
        drawn += f", {windows} single windows to compare with"
    parts = [
        f"## {first.title}",
        f"`{experiment.command}`: {drawn}. At the paper's setting: `fusionkit compare papers/{name}`.",
        times(experiment) if name == "table-3" else table(experiment),
    ]
    if (DOCS / "images" / f"evidence-{name}.jpg").exists():
        parts.append(f"![One prompt and seed by every setting](images/evidence-{name}.jpg)")
    parts += [
        f"The paper: {PAPER[name]}",
        markdown(["the paper says", "tried here", "found", "on this model"], [claim.row() for claim in tried]),
        findings(name).replace("{looked_at}", looked_at(experiment) if name == "figure-5" else ""),
    ]
    return "\n\n".join(part for part in parts if part)


def findings(name: str) -> str:
    """What a reader should know of an experiment's results, and why a claim does not hold."""
    text = Path(__file__).with_name("findings.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0].strip()


def looked_at(experiment: Experiment) -> str:
    """The model's own pictures scored as a setting is, against those of every second seed, and settings beside them."""
    tools = Tools("tinyworld", cache=experiment.folder.path / ".features")
    metrics = [experiment.metric("giqa-qs"), experiment.metric("fid")]

    def features(jobs: Sequence[Job]) -> list[Any]:
        return [tools.pooled(picture) for picture in pictures_of(experiment.folder, jobs)]

    windows = [job for job in experiment.jobs if job.setting is experiment.comparison.reference]
    halves = [[job for job in windows if job.seed % 2 == half] for half in (0, 1)]
    reference = features(halves[1])
    sets = {"the model's own pictures": halves[0]}
    sets |= {title: list(experiment[title].jobs) for title in experiment.titles if title[-3:] in ("0.0", "0.4", "1.0")}
    rows = []
    for title, jobs in sets.items():
        found, strata = features(jobs), [job.prompt for job in jobs]
        rows.append([title, *(shown(score(metric, found, reference, strata=strata).score) for metric in metrics)])
    return markdown(["", *(metric.title for metric in metrics)], rows)


INTRODUCTION = """<!-- Written by: python benchmarks/evidence.py -->
# Evidence

Does what arXiv 2412.12771 says of Guided Fusion (GF), Variance-Corrected Fusion (VCF) and Style Alignment (SA) hold
where everybody can try it: on the embedded model, without a GPU and without a network? This page is written by
`python benchmarks/evidence.py`, which runs the comparisons named below and goes on where it was interrupted.

Scores are given with their 95 % intervals over seeds; the prompts are the same throughout. Differences pair pictures by
prompt and seed, so that an interval of a difference is narrower than the two scores' intervals suggest. A claim holds
where the whole interval says so, it does not hold where the whole interval says the opposite, and anything else is not
separable with this many pictures. Features come from the embedded world's own classifier, so that FID, KID, GIQA and
LPIPS compare with each other on this page only. [Metrics](metrics.md) says what each score measures.

**The paper's own figures are not on this page**: its text was not at hand when this was written. What stands in their
place is what the paper claims, as its abstract and its published code say.
"""


def write_page(experiments: Mapping[str, Experiment]) -> Path:
    """Write the page from what is drawn."""
    tried = claims(experiments)
    parts = [INTRODUCTION.strip(), *(section(each, tried[name]) for name, each in experiments.items())]
    parts.append(f"## On vista\n\n{findings('vista')}")
    return write_whole(DOCS / "evidence.md", "\n\n".join(parts) + "\n")


def main() -> None:
    """Draw, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/papers"), help="folder of the comparisons")
    parser.add_argument("--seeds", help="other seeds than the comparisons', such as 0-4")
    parser.add_argument("--part", help="draw a part only, such as 1/2; another process draws the others")
    parser.add_argument("--page", action="store_true", help="draw nothing; write the page from what is drawn")
    options = parser.parse_args()
    experiments = {name: Experiment(name, options.out, options.seeds) for name in EXPERIMENTS}
    if not options.page:
        for experiment in experiments.values():
            experiment.draw(*(["--part", options.part] if options.part else []))
    if options.part is None:
        for name, experiment in experiments.items():
            if name != "table-3":
                sheet(experiment, prompt=1, seed=experiment.comparison.seeds[0]).save(
                    DOCS / "images" / f"evidence-{name}.jpg", quality=95, subsampling=0, optimize=True
                )
        print(write_page(experiments))


if __name__ == "__main__":
    main()
