"""How plans and Fusions show themselves: a few lines as text, and tables in a notebook, whatever their texts hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from fusionkit.errors import FusionError
from fusionkit.pictures.files import in_bytes
from fusionkit.plugin import Plugin, kebab

if TYPE_CHECKING:
    from fusionkit.loop.model import ModelInfo
    from fusionkit.loop.stage import Stage
    from fusionkit.models.memory import MemoryEstimate
    from fusionkit.recipe.recipe import Recipe

_HEADS = ("stage", "pixels", "steps", "scheduler", "views", "forward passes", "")
_NUMBERS = ("steps", "views", "forward passes")
_LONGEST = 200


class Planned(Protocol):
    """What is shown of a `RunPlan`."""

    @property
    def recipe(self) -> Recipe:
        """The recipe, complete."""

    @property
    def info(self) -> ModelInfo:
        """What is known of the main model."""

    @property
    def infos(self) -> Mapping[str, ModelInfo]:
        """The same of all, by name."""

    @property
    def stages(self) -> Sequence[Stage]:
        """The stages."""

    @property
    def views(self) -> Sequence[int]:
        """The views of each."""

    @property
    def passes(self) -> Sequence[int]:
        """The forward passes of each."""

    @property
    def preset(self) -> str:
        """The recipe's preset; empty without one."""

    @property
    def by_preset(self) -> Mapping[str, Any]:
        """What it said, by keys as `--set` has them."""

    @property
    def steps(self) -> int:
        """Steps of all of them."""

    @property
    def forward_passes(self) -> int:
        """Forward passes of all of them."""

    @property
    def largest_group(self) -> int:
        """Views in the largest group."""


def plan_text(plan: Planned) -> str:
    """A plan in a line, and a line for each stage."""
    rows = [_HEADS, *_rows(plan)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    lines = [
        "  ".join(
            cell.rjust(width) if head in _NUMBERS else cell.ljust(width)
            for cell, width, head in zip(row, widths, _HEADS, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([_line(plan), *lines])


def plan_html(plan: Planned) -> str:
    """The same as HTML."""
    head = "".join(f"<th>{escape(each)}</th>" for each in _HEADS)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align: {"right" if name in _NUMBERS else "left"}">{escape(cell)}</td>'
            for name, cell in zip(_HEADS, row, strict=True)
        )
        + "</tr>"
        for row in _rows(plan)
    )
    return f"<div><p>{escape(_line(plan))}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def fusion_text(infos: Mapping[str, ModelInfo], recipe: Recipe) -> str:
    """Models and plugins, in a line."""
    models = " + ".join(info.name for info in infos.values())
    plugins = ", ".join(each.plugin_name for each in recipe.plugins)
    return f"Fusion({models}{f'; {plugins}' if plugins else ''})"


def fusion_html(infos: Mapping[str, ModelInfo], recipe: Recipe, plan: Planned | FusionError) -> str:
    """Models, plugins with their options, the recipe, and what it would do, or why it can't, as HTML."""
    rows = [("model" if len(infos) == 1 else name, _with_window(info)) for name, info in infos.items()]
    rows.append(("prompt", recipe.prompt or "none"))
    dumped = recipe.dump().get("plugins", [])
    rows += [
        ("plugins" if number == 0 else "", f"{plugin.plugin_name}{_options(plugin, entry)}")
        for number, (plugin, entry) in enumerate(zip(recipe.plugins, dumped, strict=True))
    ]
    cells = "".join(f"<tr><th>{escape(head)}</th>{_cell(text)}</tr>" for head, text in rows)
    whole = f"<details><summary>recipe</summary><pre>{escape(recipe.to_yaml())}</pre></details>"
    told = _problems(str(plan).splitlines()) if isinstance(plan, FusionError) else plan_html(plan)
    return f"<div><table><tbody>{cells}</tbody></table>{told}{whole}</div>"


def _cell(text: str) -> str:
    return f'<td style="text-align: left">{escape(text)}</td>'


def _problems(lines: Iterable[str]) -> str:
    return f"<p>It can't run:</p><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _options(plugin: Plugin, entry: Any) -> str:
    """The options that were given, as a recipe has them."""
    given = {kebab(name) for name in plugin.model_fields_set}
    options = entry[plugin.plugin_name] if isinstance(entry, dict) else {}
    text = " ".join(", ".join(f"{name}: {value}" for name, value in options.items() if name in given).split())
    return f" ({text if len(text) <= _LONGEST else f'{text[:_LONGEST]}...'})" if text else ""


def _with_window(info: ModelInfo) -> str:
    return f"{described(info)}, windows of {'x'.join(map(str, info.window))} pixels"


def described(info: ModelInfo) -> str:
    """A model's name, kind and size."""
    size = f", {info.parameters / 1e6:,.1f} M parameters" if info.parameters else ""
    return f"{info.name} ({info.kind}{size})"


def needs_of(plan: Planned) -> MemoryEstimate:
    """What a run needs of memory, roughly, in bytes."""
    from fusionkit.models.memory import estimate_memory, models_beside

    beside = models_beside(plan.infos, plan.recipe)
    stages, on_disk = [stage.plan for stage in plan.stages], plan.stages[0].room.on_disk
    return estimate_memory(plan.info, plan.recipe, stages, beside, plan.largest_group, on_disk=on_disk)


def own_name(stage: Stage) -> str:
    """What a plugin calls a stage; empty where that is its size."""
    name = stage.plan.name
    return "" if name == "x".join(map(str, stage.plan.size)) else name


def said_by_preset(plan: Planned) -> str:
    """What a plan's preset said, in a line; empty for nothing."""
    words = {True: "added", False: "left out"}
    named = [(key.removeprefix("plugins."), value) for key, value in plan.by_preset.items()]
    return ", ".join(f"{key} {words[value] if isinstance(value, bool) else value}" for key, value in named)


def _line(plan: Planned) -> str:
    models = " + ".join(info.name for info in plan.infos.values())
    preset = f", preset {plan.preset}" if plan.preset else ""
    return (
        f"{models}{preset}: {plan.steps:,} steps, {sum(plan.views):,} views, {plan.forward_passes:,} forward passes, "
        f"about {in_bytes(needs_of(plan).total)} of memory"
    )


def _rows(plan: Planned) -> list[Sequence[str]]:
    return [
        (
            str(stage.index + 1),
            "x".join(map(str, stage.plan.size)),
            str(len(stage.steps)),
            stage.scheduler.name,
            f"{views:,}",
            f"{passes:,}",
            "; ".join([*filter(None, [own_name(stage)]), *besides(stage)]),
        )
        for stage, views, passes in zip(plan.stages, plan.views, plan.passes, strict=True)
    ]


def besides(stage: Stage) -> list[str]:
    """What is unusual of a stage, a few words each."""
    lines = []
    if stage.frame != stage.plan.size:
        lines.append("{}x{} of it are the picture".format(*stage.frame))
    if stage.plan.strength is not None:
        of = stage.plan.steps or stage.recipe.steps
        lines.append(
            f"the last {stage.sampling_steps} of {of}, from {'the stage before' if stage.index else 'a picture'}"
        )
    if stage.wrap:
        lines.append(f"a ring along {' and '.join(stage.wrap)}")
    guided = [at.index for at in stage.steps if stage.guidance_at(at) > 1]
    if 0 < len(guided) < len(stage.steps):
        lines.append(f"guided in steps {guided[0] + 1} to {guided[-1] + 1}")
    return lines
