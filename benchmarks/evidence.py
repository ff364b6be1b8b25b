"""The experiments of arXiv 2412.12771 on the embedded models, and what they say of its claims: docs/evidence.md.

Runs the comparisons `papers/*-tinyworld`, each of which goes on where it was interrupted and takes from the others what
they have drawn by the same recipe, and writes the page and its pictures from what they drew. It takes some hours on one
core; `--part 1/2` and `--part 2/2` share the drawing between two processes. `--enlarged` is the folder of
`python benchmarks/upscaling.py --world vista`, whose pictures are scored as arXiv 2407.10738 scores its own.

Run it:  python benchmarks/evidence.py
         python benchmarks/evidence.py --page
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from claims import CLAIMS, HEADER, Claim
from enlargements import Enlargements
from experiments import Experiment, markdown, pairs, sheet, shown, table, times
from in_print import published

from fusionkit.cli.common import counted
from fusionkit.comparison.jobs import Job
from fusionkit.comparison.measure import pictures_of
from fusionkit.evaluation import Tools
from fusionkit.evaluation.evaluate import score
from fusionkit.pictures.files import write_whole

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXPERIMENTS = ("table-1", "table-2-ddim", "table-2-others", "table-2-ddpm", "figure-5", "table-3", "table-4")
SHEETS = ("table-1", "table-2-ddim", "table-2-others", "table-2-ddpm", "figure-5")


def rows_of(experiment: Experiment) -> int:
    """How many pictures a setting drew."""
    return len(experiment[experiment.titles[0]].jobs)


def section(experiment: Experiment, tried: Sequence[Claim]) -> str:
    """An experiment's part of the page."""
    name, first = experiment.name, experiment.comparison
    recipe = first.settings[0].recipe
    width, height = recipe.size
    count = counted(rows_of(experiment), "panorama")
    drawn = f"{count} of {width}x{height} a setting, {counted(len(first.prompts), 'prompt')}, "
    drawn += f"{recipe.steps} steps"
    if first.reference is not None:
        windows = sum(job.setting is first.reference for job in experiment.jobs)
        drawn += f", {windows} single windows to compare with"
    parts = [
        f"## {first.title}",
        f"`{experiment.command}`: {drawn}. At the paper's setting: `fusionkit compare papers/{name}`.",
        printed_text(name),
        times(experiment) if name == "table-3" else table(experiment),
        pairs(experiment) if name == "table-4" else "",
    ]
    if name in SHEETS and (DOCS / "images" / f"evidence-{name}.jpg").exists():
        parts.append(f"![One prompt and seed by every setting](images/evidence-{name}.jpg)")
    parts += [
        markdown(HEADER, [claim.row() for claim in tried]),
        findings(name).replace("{looked_at}", looked_at(experiment) if name == "figure-5" else ""),
    ]
    return "\n\n".join(part for part in parts if part)


def printed_text(name: str) -> str:
    """Where a paper has an experiment, how it drew, and what it says of it."""
    paper = published(name)
    return f"In print ({paper['source']}; {paper['drawn']}): {paper['says']}"


def enlarged_section(enlarged: Enlargements) -> str:
    """What is scored of enlargements."""
    command = "python benchmarks/upscaling.py --world vista"
    if not enlarged.settings:
        return f"## AccDiffusion: resolution\n\nNot measured: `{command}` has drawn nothing yet."
    parts = [
        "## AccDiffusion: resolution",
        f"`{command}`: {len(enlarged.cases)} pictures a setting, of twice the sides of vista's window, each of another "
        f"prompt; compared with {len(enlarged.reference())} drawings of the same prompts and size. *r* is the whole "
        "picture, made as small as a window; *c* its crops of a window's size.",
        printed_text("accdiffusion"),
        enlarged.table(),
        markdown(HEADER, [claim.row() for claim in enlarged.claims()]),
        findings("accdiffusion"),
    ]
    return "\n\n".join(parts)


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
where everybody can try it: on the embedded models, without a GPU and without a network? This page is written by
`python benchmarks/evidence.py`, which runs the comparisons named below and goes on where it was interrupted.

Scores are given with their 95 % intervals over seeds; the prompts are the same throughout. Differences pair pictures by
prompt and seed, so that an interval of a difference is narrower than the two scores' intervals suggest. A claim holds
where the whole interval says so, it does not hold where the whole interval says the opposite, and otherwise it can't be
told with this many pictures. Features come from the embedded world's own network, so that FID, KID, IS, GIQA and
LPIPS compare with each other on this page only. [Metrics](metrics.md) says what each score measures.

**In print** are the paper's own figures, of `benchmarks/published.yaml`. They are of another model, other prompts,
other features and many more pictures, so that they are on another scale: compare which way a difference goes,
not how far. CLIP scores stand beside the agreement of the embedded world's network, which asks the same: does it
show its prompt?
FID falls with the number of pictures, so that scores compare within a table alone.
"""


def write_page(experiments: Mapping[str, Experiment], enlarged: Enlargements) -> Path:
    """Write the page from what is drawn."""
    parts = [INTRODUCTION.strip(), *(section(each, CLAIMS[name](each)) for name, each in experiments.items())]
    parts += [enlarged_section(enlarged), f"## On vista\n\n{findings('vista')}"]
    return write_whole(DOCS / "evidence.md", "\n\n".join(parts) + "\n")


def main() -> None:
    """Draw, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/papers"), help="folder of the comparisons")
    parser.add_argument("--enlarged", type=Path, default=Path("out/upscaling-vista"), help="folder of the enlargements")
    parser.add_argument("--seeds", help="other seeds than the comparisons', such as 0-4")
    parser.add_argument("--part", help="where to begin, such as 1/2; other processes draw with it")
    parser.add_argument("--page", action="store_true", help="draw nothing; write the page from what is drawn")
    options = parser.parse_args()
    experiments = {name: Experiment(name, options.out, options.seeds) for name in EXPERIMENTS}
    if not options.page:
        for name, experiment in experiments.items():
            if name != "table-3":  # its times are to be its own
                experiment.borrow(other for other in experiments.values() if other is not experiment)
            experiment.draw(*(["--part", options.part] if options.part else []))
    if options.part is None:
        for name in SHEETS:
            experiment = experiments[name]
            sheet(experiment, prompt=1, seed=experiment.comparison.seeds[0]).save(
                DOCS / "images" / f"evidence-{name}.jpg", quality=95, subsampling=0, optimize=True
            )
        print(write_page(experiments, Enlargements(options.enlarged)))


if __name__ == "__main__":
    main()
