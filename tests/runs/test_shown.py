"""What notebooks and terminals show of a Fusion, a plan, a result: short, and whatever a recipe holds is but text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
import torch

from fusionkit import Field, Fusion, Plugin, hookimpl
from fusionkit.testing import tiny_pipeline
from fusionkit_accdiffusion import ProgressiveUpscaling
from fusionkit_gvcf import GuidedFusion
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_pictures import ExactSize


class Page(HTMLParser):
    """The elements and the texts of a piece of HTML; whether each that begins ends."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: set[str] = set()
        self.rows: list[list[str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.found.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def fusion(*plugins: Plugin, **options: Any) -> Fusion:
    given = {"size": (192, 64), "steps": 4, "scheduler": "ddpm", **options}
    return Fusion.from_pipe(tiny_pipeline(), plugins=[MultiDiffusion(stride=32), *plugins], **given)


def test_a_plan_is_a_table_of_its_stages() -> None:
    plan = fusion(Ring(), ProgressiveUpscaling(times=2, strength=0.5)).plan()
    first, head, *stages = str(plan).splitlines()
    assert first.startswith("StableDiffusionPipeline: 6 steps, 96 views, 192 forward passes, about ")
    assert head.split() == ["stage", "pixels", "steps", "scheduler", "views", "forward", "passes"]
    assert [line.split(maxsplit=6) for line in stages] == [
        ["1", "192x64", "4", "DDPMScheduler", "24", "48", "a ring along x"],
        ["2", "384x128", "2", "DDPMScheduler", "72", "144", "the last 2 of 4, from the stage before; a ring along x"],
    ]
    assert (plan.steps, sum(plan.views), plan.forward_passes) == (6, 96, 192)
    page = Page(plan._repr_html_())
    assert page.rows[0][:3] == ["stage", "pixels", "steps"]
    assert [row[1] for row in page.rows[1:]] == ["192x64", "384x128"]
    assert page.rows[2][-1] == "the last 2 of 4, from the stage before; a ring along x"


def test_what_of_a_canvas_is_the_picture_is_told() -> None:
    plan = fusion(ExactSize(size=(190, 62))).plan()
    assert str(plan).endswith("190x62 of it are the picture")
    assert Page(plan._repr_html_()).rows[1][-1] == "190x62 of it are the picture"


def test_nothing_is_long_or_tells_an_address() -> None:
    made = fusion(GuidedFusion())
    plan, result = made.plan(), made("a hill", progress=False)
    for shown in (repr(made), repr(plan), str(plan), repr(result), repr(made.many(seeds=[1, 2], progress=False))):
        assert len(shown) < 600
        assert " at 0x" not in shown
    assert repr(made) == "Fusion(StableDiffusionPipeline; multidiffusion, guided-fusion)"
    assert repr(fusion()) == "Fusion(StableDiffusionPipeline; multidiffusion)"
    assert repr(result).startswith("Result: 192x64 pixels, seed 0, ")
    assert repr(result).endswith(f" s, {result.forward_passes} forward passes")


def test_a_fusion_shows_its_recipe_its_models_its_plugins_and_its_plan() -> None:
    made = fusion(GuidedFusion(), prompt="a hill")
    page = Page(html := made._repr_html_())
    assert page.rows[0] == ["model", "StableDiffusionPipeline (sd, 0.1 M parameters), windows of 64x64 pixels"]
    assert page.rows[1:4] == [
        ["prompt", "a hill"],
        ["plugins", "multidiffusion (stride: 32)"],
        ["", "guided-fusion"],
    ]
    assert page.rows[5][:4] == ["1", "192x64", "4", "DDPMScheduler"]
    assert "steps: 4" in html
    several = Fusion.from_pipes({"day": tiny_pipeline(), "night": tiny_pipeline(seed=1)}, size=(64, 64), steps=1)
    assert [row[0] for row in Page(several._repr_html_()).rows[:2]] == ["day", "night"]


def test_what_can_not_run_says_why_in_place_of_its_plan() -> None:
    html = fusion(size=(193, 64))._repr_html_()
    assert "<p>It can't run:</p><ul><li>" in html
    assert "193" in html.split("<li>")[1]
    assert Page(html).rows[0][0] == "model"


HOSTILE = "</td><script>alert(1)</script><img src=x onerror='alert(2)'> & \"a hill\""


class Hostile(Plugin, name="hostile<b>"):
    """Has a name, options and stages that would like to be elements."""

    text: str = Field(default="")
    held: Any = None

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Any:
        from dataclasses import replace

        plans = yield
        return [replace(plan, name=HOSTILE) for plan in plans]


@pytest.mark.parametrize("steps", [2, 4])
def test_whatever_a_recipe_holds_is_text(steps: int) -> None:
    made = fusion(Hostile(text=HOSTILE, held=torch.zeros(3)), prompt=HOSTILE, steps=steps)
    for html in (made._repr_html_(), made.plan()._repr_html_()):
        page = Page(html)
        assert not page.found & {"script", "img", "b"}
    page = Page(made._repr_html_())
    assert page.rows[1] == ["prompt", HOSTILE]
    assert page.rows[3][1] == f"hostile<b> (text: {HOSTILE}, held: <Tensor>)"
    assert page.rows[5][-1] == HOSTILE
