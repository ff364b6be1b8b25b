"""The front of quality against forward passes, from a comparison's folder: a table, a plot, and what can be told.

The scores, and which difference of each matters, are those of `front_scores.yaml`. Settings are compared with a
baseline by pictures of the same prompt and seed. An interval of a difference is that of other prompts and seeds:
prompts are resampled with all their pictures, and the spread of the resampled differences is multiplied by the quantile
of Student's t with as many degrees of freedom as there are prompts less one.

Run it:  fusionkit compare benchmarks/front.yaml --out out/front
         fusionkit compare benchmarks/front-more.yaml --out out/front-more
         python benchmarks/front.py out/front --table front.md --plot front.svg
         python benchmarks/front.py out/front out/front-more --comparison benchmarks/front.yaml --comparison ...
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from front_plot import plot
from front_scores import Scored, differences, read_scores, scored

from fusionkit.comparison.document import read_comparison
from fusionkit.comparison.folder import Folder
from fusionkit.comparison.jobs import jobs_of
from fusionkit.comparison.measure import complete, pictures_of, reference_pictures
from fusionkit.comparison.spec import Comparison
from fusionkit.evaluation import Picture, Tools

HERE = Path(__file__).parent


def main() -> None:
    """Read, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="the comparisons' folders; settings that all have count")
    parser.add_argument("--comparison", type=Path, action="append", help="what was compared, one for each folder")
    parser.add_argument("--scores", type=Path, default=HERE / "front_scores.yaml", help="scores, and what matters")
    parser.add_argument("--baseline", action="append", help="a setting's title, as often as needed; default the first")
    parser.add_argument("--without", action="append", default=[], help="leave a setting out, by its title")
    parser.add_argument("--device", default="cpu", help="where the feature network computes")
    parser.add_argument("--table", type=Path, help="write the tables there, as Markdown")
    parser.add_argument("--plot", type=Path, help="write the plot there, as SVG")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    options = parser.parse_args()
    documents = options.comparison or [HERE / "front.yaml"]
    pairs = list(zip(options.folders, documents, strict=True))
    found = measured(pairs, options.scores, options.device, options.without)
    baselines = options.baseline or [next(iter(found["settings"]))]
    parts = [table(found, baseline) for baseline in baselines]
    text = "\n\n".join([summary(found), *parts])
    print(text)
    if options.table:
        options.table.write_text(text + "\n", encoding="utf-8")
    if options.plot:
        options.plot.write_text(plot(found, baselines[0]), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(as_json(found, baselines), indent=1) + "\n", encoding="utf-8")


def measured(
    pairs: Sequence[tuple[Path, Path]], scores: Path, device: str, without: Sequence[str] = ()
) -> dict[str, Any]:
    """The scores and passes of the settings that all comparisons have, over the pictures that all of these have drawn.

    Args:
        pairs: Each comparison's folder and file.
        scores: The file of scores.
        device: Where the feature network computes.
        without: Titles of settings that are left out, which need not have drawn what the others have.
    """
    comparisons = [read_comparison(document) for _, document in pairs]
    first = comparisons[0]
    tools = Tools(first.features or "tinyworld", device=device, cache=pairs[0][0] / ".front")
    titles = [
        setting.title
        for setting in first.settings
        if setting.title not in without and all(setting.title in _titles(each) for each in comparisons)
    ]
    pictures: dict[str, list[Picture]] = {title: [] for title in titles}
    runs: dict[str, list[float]] = {title: [] for title in titles}
    reference: list[Picture] = []
    for comparison, (path, _) in zip(comparisons, pairs, strict=True):
        folder, jobs = Folder(path), jobs_of(comparison)
        chosen = [setting for setting in comparison.settings if setting.title in titles]
        drawn = complete(jobs, folder, chosen)
        reference += reference_pictures(folder, comparison, drawn.get("reference", ()))
        for setting in chosen:
            pictures[setting.title] += pictures_of(folder, drawn[setting.name])
            runs[setting.title] += [(folder.told(job) or {})["run"]["forward-passes"] for job in drawn[setting.name]]
    measures = read_scores(scores, reference, tools)
    settings: dict[str, dict[str, Any]] = {}
    for title in titles:
        width, height = pictures[title][0].size
        across, down = pictures[title][0].crop or (width, height)
        settings[title] = {
            "passes": sum(runs[title]) / len(runs[title]) / (width * height / across / down),
            "scores": {name: scored(measure, pictures[title], tools) for name, measure in measures.items()},
        }
    counted = pictures[titles[0]]
    numbers = {"pictures": len(counted), "prompts": len({each.prompt for each in counted}), "windows": len(reference)}
    return {"settings": settings, "measures": measures, **numbers}


def _titles(comparison: Comparison) -> list[str]:
    return [setting.title for setting in comparison.settings]


def summary(found: Mapping[str, Any]) -> str:
    """How much all of it rests on, in a line."""
    return (
        f"{found['pictures']} pictures a setting, of {found['prompts']} prompts; {found['windows']} single windows to "
        "compare with."
    )


def table(found: Mapping[str, Any], baseline: str) -> str:
    """Every score of every setting, how much worse than the baseline's it is with the interval, and what that says."""
    settings = dict(sorted(found["settings"].items(), key=lambda each: -each[1]["passes"]))
    lines = [["", "matters", *settings], ["---"] * (2 + len(settings))]
    lines.append(["passes a window area", "", *(f"{each['passes']:.0f}" for each in settings.values())])
    for name, measure in found["measures"].items():
        cells = [f"{measure.title} ({_aim(measure.better)})", measure.matters]
        for title, setting in settings.items():
            own, base = setting["scores"][name], settings[baseline]["scores"][name]
            cells.append(f"{own.value:.3g}" if title == baseline else f"{own.value:.3g}: {_told(base, own)}")
        lines.append(cells)
    return f"### Against {baseline}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _told(base: Scored, other: Scored) -> str:
    """What can be told, and how much worse it is with its interval: `worse, +0.3 ± 0.2`."""
    each = differences(base, other)
    return f"{each.verdict}, {round(each.worse, 6):+.2g} ± {each.reach:.2g}"


def _aim(better: str) -> str:
    return {"lower": "low", "higher": "high", "one": "1"}[better]


def as_json(found: Mapping[str, Any], baselines: Sequence[str]) -> dict[str, Any]:
    """All numbers."""
    answer: dict[str, Any] = {"pictures": found["pictures"], "windows": found["windows"]}
    answer["prompts"], answer["settings"] = found["prompts"], {}
    for title, setting in found["settings"].items():
        told = {"passes": setting["passes"], "scores": {}}
        for name, own in setting["scores"].items():
            against = {}
            for baseline in baselines:
                each = differences(found["settings"][baseline]["scores"][name], own)
                against[baseline] = {"worse": each.worse, "reach": each.reach, "verdict": each.verdict}
            told["scores"][name] = {"value": own.value, "matters": own.measure.limit(own.value), "against": against}
        answer["settings"][title] = told
    return answer


if __name__ == "__main__":
    main()
