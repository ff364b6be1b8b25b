"""One comparison of a paper's on the embedded model: draws it, measures it, and answers with scores and differences."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from in_print import COUNTERPARTS, printed, printed_ratio, printed_score, published
from PIL import Image

from fusionkit.comparison.document import bundled_comparisons, read_comparison
from fusionkit.comparison.folder import Folder
from fusionkit.comparison.jobs import Job, jobs_of
from fusionkit.comparison.measure import Measured, measure, metrics_of, pictures_of
from fusionkit.comparison.spec import Comparison
from fusionkit.evaluation import Metric, Score, Tools, difference, evaluate, make_metrics
from fusionkit.evaluation.intervals import Sampled
from fusionkit.pictures.files import write_whole
from fusionkit.pictures.map_pictures import below, captioned
from fusionkit.pictures.picture import open_picture

ARROWS = {"lower": "(low)", "higher": "(high)", "closer-to-1": "(1)", "none": ""}


@dataclass(frozen=True)
class Experiment:
    """One comparison of the paper's, drawn on the embedded model.

    Args:
        name: Its name without the model's.
        out: The folder that holds all experiments.
        seeds: Other seeds than its file's.
    """

    name: str
    out: Path
    seeds: str | None = None

    @property
    def command(self) -> str:
        """What draws it."""
        return f"fusionkit compare papers/{self.name}-tinyworld"

    @property
    def folder(self) -> Folder:
        """Where its pictures are."""
        return Folder(self.out / self.name)

    def draw(self, *options: str) -> None:
        """Draw what is missing, and measure it."""
        seeds = ["--seeds", self.seeds] if self.seeds else []
        arguments = [f"papers/{self.name}-tinyworld", "--out", str(self.out / self.name), *seeds, *options]
        subprocess.run([sys.executable, "-m", "fusionkit", "compare", *arguments], check=True)

    def borrow(self, others: Iterable[Experiment]) -> None:
        """Copy what other experiments have drawn by the same recipe, so that it is not drawn twice."""
        held = {job.fingerprint: each.folder.file(job) for each in others for job in each.jobs if each.folder.has(job)}
        wanted = [job for job in self.jobs if job.fingerprint in held and not self.folder.has(job)]
        if wanted and not self.folder.problems(self.jobs):
            self.folder.claim(self.comparison.title, self.jobs)
            for job in wanted:
                write_whole(self.folder.file(job), held[job.fingerprint].read_bytes())

    @cached_property
    def comparison(self) -> Comparison:
        """What it compares."""
        return read_comparison(bundled_comparisons()[f"papers/{self.name}-tinyworld"], seeds=self.seeds)

    @cached_property
    def jobs(self) -> list[Job]:
        """All of its pictures."""
        return jobs_of(self.comparison)

    @cached_property
    def measured(self) -> tuple[list[Metric], dict[str, Measured], list[str]]:
        """What was measured of it."""
        features = self.comparison.features or "tinyworld"
        tools = Tools(features, cache=self.folder.path / ".features")
        return measure(self.comparison, self.folder, self.jobs, tools)

    def __getitem__(self, title: str) -> Measured:
        """What was measured of a setting, by its title."""
        (name,) = (setting.name for setting in self.comparison.settings if setting.title == title)
        return self.measured[1][name]

    @property
    def titles(self) -> list[str]:
        """Its settings' titles."""
        return [setting.title for setting in self.comparison.settings]

    def metric(self, name: str) -> Metric:
        """One of its metrics."""
        return next(metric for metric in metrics_of(self.comparison) if metric.metric_name == name)

    def score(self, title: str, metric: str) -> Score:
        """What a setting scores."""
        return self[title].evaluation.scores[metric]

    def differ(self, some: str, others: str, metric: str) -> Score:
        """How much higher one setting scores than another, pictures paired by prompt and seed."""
        first, second = (self[title].evaluation.sampled[metric] for title in (some, others))
        return difference(first, second)

    def seconds(self, some: str, others: str, clock: str = "seconds") -> Score:
        """The time of one setting as a ratio to another's: the median over pictures of one prompt and seed.

        Args:
            some: The setting.
            others: What it is compared with.
            clock: `seconds` that passed, or `cpu-seconds`, which others who use the machine do not add to.
        """
        pairs = zip(self[some].runs, self[others].runs, strict=True)
        ratios = sorted(a[clock] / b[clock] for a, b in pairs if a["warm"] and b["warm"])
        rng = np.random.default_rng(0)
        medians = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
        low, high = np.quantile(medians, [0.025, 0.975])
        return Score(statistics.median(ratios), float(low), float(high), len(ratios))

    def likeness(self, some: str, others: str) -> Sampled:
        """How alike two settings draw from the same noise: SSIM, pictures paired by prompt and seed."""
        first, second = (pictures_of(self.folder, self[title].jobs) for title in (some, others))
        pairs = [replace(one, partner=other.path) for one, other in zip(first, second, strict=True)]
        return evaluate(pairs, make_metrics(["ssim"]), Tools("tinyworld")).sampled["ssim"]


def shown(score: Score | None, digits: int = 3) -> str:
    """`3.2 (2.9 to 3.5)`."""
    if score is None or score.value != score.value:
        return "-"
    if score.low != score.low:
        return f"{score.value:.{digits}g}"
    return f"{score.value:.{digits}g} ({score.low:.{digits}g} to {score.high:.{digits}g})"


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *lines))


def table(experiment: Experiment) -> str:
    """The scores of an experiment's settings: by the paper's metrics, its figures beside them, and by the others."""
    name, titles = experiment.name, experiment.titles
    in_print = {
        metric.metric_name: [printed_score(name, title, metric.metric_name) for title in titles]
        for metric in experiment.measured[0]
    }
    shared = [metric for metric in experiment.measured[0] if any(in_print[metric.metric_name])]
    tables = []
    for metrics in (shared, [metric for metric in experiment.measured[0] if metric not in shared]):
        columns = [["", *titles]]
        for metric in metrics:
            heading = f"{metric.title} {ARROWS[metric.better]}".strip()
            ours = [experiment[title].evaluation.scores.get(metric.metric_name) for title in titles]
            columns.append([heading, *map(shown, ours)])
            if metric in shared:
                what = "CLIP" if metric.metric_name in COUNTERPARTS else metric.title
                columns.append([f"{what} in print", *map(printed, in_print[metric.metric_name])])
        if metrics:
            header, *rows = zip(*columns, strict=True)
            tables.append(markdown(header, rows))
    return "\n\n".join(tables)


def outside(run: Mapping[str, float]) -> float:
    """The share of a run's seconds that passed outside the model's forward passes."""
    return 1 - run["forward-share"] * run["denoising-seconds"] / run["seconds"]


def times(experiment: Experiment) -> str:
    """The run times of an experiment's settings as ratios to the first."""
    first, *_ = experiment.titles
    rows = [
        [
            title,
            shown(experiment.seconds(title, first, "cpu-seconds")),
            shown(experiment.seconds(title, first)),
            printed(printed_ratio(experiment.name, title, first), 3),
            f"{statistics.median(run['cpu-seconds'] for run in experiment[title].runs):.2f}",
            f"{experiment[title].runs[0]['forward-passes']:,}",
            f"{statistics.median(outside(run) for run in experiment[title].runs):.1%}",
        ]
        for title in experiment.titles
    ]
    header = ["", f"processor's time / {first}'s", f"time that passed / {first}'s", "in print"]
    return markdown([*header, "processor's seconds", "forward passes", "outside of them"], rows)


def pairs(experiment: Experiment) -> str:
    """How alike pairs of settings draw, the paper's figures beside it; and each setting's own scores."""
    rows = [
        [
            f"{each['some']}, {each['others']}",
            shown(experiment.likeness(each["some"], each["others"]).score),
            printed(each.get("ssim")),
        ]
        for each in published(experiment.name)["likeness"]
    ]
    return markdown(["pair", "SSIM", "SSIM in print"], rows)


def sheet(experiment: Experiment, prompt: int, seed: int) -> Image.Image:
    """One prompt and seed by every setting, with the setting's title below each picture, twice as large."""
    rows = []
    for setting in experiment.comparison.settings:
        (job,) = (job for job in experiment.jobs if (job.setting, job.prompt, job.seed) == (setting, prompt, seed))
        image = open_picture(experiment.folder.file(job))
        large = image.resize((image.width * 2, image.height * 2), Image.Resampling.LANCZOS)
        rows.append(captioned(large, setting.title))
    return below(rows)
