"""A bench's report as `fusionkit bench` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.bench.parts import PARTS
from fusionkit.cli.common import counted, table
from fusionkit.pictures.image import in_bytes

if TYPE_CHECKING:
    from fusionkit.bench.report import Report


def described(report: Report) -> str:
    """The report in lines: what was measured where, the parts of the recipe, and what it was measured against."""
    told = report.as_json()
    first, *others = told["contestants"]
    blocks = [table(heading(report, told)), aligned(parts(first)), table(totals(first, report))]
    if others:
        blocks.append(aligned(against(others)))
        if same := [difference(other) for other in others if "latents-differ" in other]:
            blocks.append("\n".join(same))
    return "\n\n".join(blocks)


def heading(report: Report, told: dict[str, Any]) -> list[list[str]]:
    """What was measured, where and how."""
    recipe, about = report.plan.recipe, told["about"]
    width, height = recipe.size
    models = ", ".join(each.name for each in report.plan.infos.values())
    stages = f"; {len(report.plan.stages)} stages" if len(report.plan.stages) > 1 else ""
    steps = counted(len(report.plan.stages[-1].steps), "step")
    load = "" if about["load"] is None else f", load {about['load']:.1f} before"
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return [
        [
            "recipe",
            f"{recipe.name}: {models}, {width}x{height} pixels, {steps} of {told['scheduler']}{stages}",
        ],
        [
            "machine",
            f"{about['device']}, {about['dtype']}, {counted(about['threads'], 'thread')}, {about['cores']} cores{load}",
        ],
        ["versions", versions],
        ["apart", f"loading {report.loading:.1f} s, warming up {report.warming_up:.1f} s"],
        ["timed", f"{counted(told['runs'], 'run')} of each; median, least and most"],
    ]


def parts(first: dict[str, Any]) -> list[list[str]]:
    """The parts of the recipe's time."""
    rows = [["", "seconds", "", "share"]]
    for part, title in PARTS.items():
        found = first["parts"][part]
        rows.append([title, *seconds(found["seconds"]), f"{100 * found['share']:.1f} %"])
    return [*rows, ["together", *seconds(first["seconds"]), "100.0 %"]]


def totals(first: dict[str, Any], report: Report) -> list[list[str]]:
    """The recipe's forward passes and memory."""
    pixel, steps = first["forward-passes-a-pixel"], report.plan.steps
    each = f", {pixel / steps:.3g} times a step" if len(report.plan.stages) == 1 else ""
    memory = {name: in_bytes(values["median"]) for name, values in first["memory"].items()}
    return [
        ["passes", f"{first['forward-passes']:,}; each pixel is predicted {pixel:.4g} times{each}"],
        ["memory", f"{memory['growth']} at the peak, beside {memory['before']} that were there before"],
    ]


def against(others: Sequence[dict[str, Any]]) -> list[list[str]]:
    """What the recipe was measured against."""
    rows = [["against", "seconds", "", "recipe / this", "", "of the CPU, mean", "passes a pixel", "memory"]]
    for other in others:
        ratio = other["recipe-takes"]
        pixel = other.get("forward-passes-a-pixel")
        rows.append(
            [
                other["name"],
                *seconds(other["seconds"]),
                f"{ratio['median']:.3f}",
                f"{ratio['min']:.3f} to {ratio['max']:.3f}",
                mean(other["recipe-takes-cpu"]["mean"]),
                "" if pixel is None else f"{pixel:.4g}",
                in_bytes(other["memory"]["growth"]["median"]),
            ]
        )
    return rows


def mean(ratio: dict[str, float | None]) -> str:
    """A mean ratio with its interval, which a single run has not."""
    if ratio["value"] is None:
        return ""
    interval = "" if ratio["low"] is None else f" ({ratio['low']:.3f} to {ratio['high']:.3f})"
    return f"{ratio['value']:.3f}{interval}"


def difference(other: dict[str, Any]) -> str:
    """That a baseline draws the same picture."""
    return f"{other['name']}: its latents differ from the recipe's by at most {other['latents-differ']:.1e}"


def seconds(values: dict[str, Any]) -> tuple[str, str]:
    """The median, and the least and the most."""
    return f"{values['median']:.3f}", f"{values['min']:.3f} to {values['max']:.3f}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, names to the left and figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)
