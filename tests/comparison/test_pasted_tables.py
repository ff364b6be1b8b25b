"""The tables to paste: what LaTeX and Markdown say of a comparison's scores."""

from __future__ import annotations

from typing import Any

import pytest
from page_example import score

from fusionkit.comparison.tables import Latex, Markdown, table_of

TIMES = "\N{MULTIPLICATION SIGN}"
ALL_SIGNS = r"""50 % of $a_1 & b#2 ~ {c}^d \ <e> |f| "g" `h` --i *j* [k] @l #3"""


def test_latex(report: dict[str, Any]) -> None:
    text = table_of(report, Latex()).whole()
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == r"% needs \usepackage{booktabs,graphicx}"
    assert lines[3] == (
        r"\caption{Three ways to fuse. 2 prompts with 2 seeds each: 3 to 4 pictures a setting, in 10 or 20 steps, "
        r"by vista/scenes. Arrows say what is better. \textbf{Bold}: the best of its column. "
        r"$^{\dagger}$: can't be told from it, as their 95\,\% intervals overlap. "
        r"$\pm$: half of the width of the 95\,\% interval. "
        r"Costs are medians over the pictures; of the memory, the largest.}"
    )
    assert lines[4] == r"\label{tab:three-ways-to-fuse}"
    head, *rows = (line for line in lines if " & " in line)
    assert head == (
        r"Setting & FID $\downarrow$ & Seam $\to 1$ & CLIP score $\uparrow$ & \shortstack[r]{Contrast \\ (dB)} & "
        r"\shortstack[r]{seconds a \\ picture $\downarrow$} & \shortstack[r]{forward \\ passes $\downarrow$} \\"
    )
    near = r"\rlap{$^{\dagger}$}"
    assert rows == [
        r"MultiDiffusion & $5.00 \pm 0.40$ & $1.300 \pm 0.100$ & $\mathbf{30.0} \pm 1.0$ & $7.0 \pm 1.0$ & "
        r"$\mathbf{1.00}$ & $\mathbf{40}$ \\",
        rf"Guided Fusion & $\mathbf{{3.00}} \pm 0.40$ & $0.960 \pm 0.030${near} & $27.0 \pm 1.0$ & $9.0 \pm 1.0$ & "
        r"$2.00$ & $80$ \\",
        rf"Variance correction & $3.30 \pm 0.40${near} & $\mathbf{{1.020}} \pm 0.030$ & -- & $8.0 \pm 1.0$ & "
        r"$20.00$ & $80$ \\",
    ]
    for opened in ("{table}", "{tabular}"):
        assert text.count(rf"\begin{opened}") == text.count(rf"\end{opened}") == 1


def test_markdown(report: dict[str, Any]) -> None:
    assert table_of(report, Markdown()).whole() == (
        "**Three ways to fuse**\n\n"
        "| setting | FID ↓ | Seam →1 | CLIP score ↑ | Contrast (dB) | seconds a picture ↓ | forward passes ↓ |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| MultiDiffusion | 5.00 ± 0.40 | 1.300 ± 0.100 | **30.0** ± 1.0 | 7.0 ± 1.0 | **1.00** | **40** |\n"
        "| Guided Fusion | **3.00** ± 0.40 | 0.960† ± 0.030 | 27.0 ± 1.0 | 9.0 ± 1.0 | 2.00 | 80 |\n"
        "| Variance correction | 3.30† ± 0.40 | **1.020** ± 0.030 | \N{EN DASH} | 8.0 ± 1.0 | 20.00 | 80 |\n\n"
        "2 prompts with 2 seeds each: 3 to 4 pictures a setting, in 10 or 20 steps, by vista/scenes. "
        "Arrows say what is better. **Bold**: the best of its column. "
        "†: can't be told from it, as their 95 % intervals overlap. ±: half of the width of the 95 % interval. "
        "Costs are medians over the pictures; of the memory, the largest.\n"
    )


def test_numbers_are_rounded_by_their_intervals(report: dict[str, Any]) -> None:
    values = {"fid": (1234.5678, 20.0), "seam": (-0.00004, 0.003), "clip-score": (4.5e-6, 1e-6), "contrast": (3, 0)}
    for setting in report["settings"]:
        setting["scores"] = {name: score(value, value - half, value + half) for name, (value, half) in values.items()}
    latex, markdown = (table_of(report, form).whole() for form in (Latex(), Markdown()))
    assert r"$1{,}235 \pm 20$ & $0.0000 \pm 0.0030$ & $4.5 \pm 1.0$ & $3$ &" in latex
    assert r"\shortstack[r]{CLIP score \\ ($10^{-6}$) $\uparrow$}" in latex
    assert "| 1,235 ± 20 | 0.0000 ± 0.0030 | 4.5 ± 1.0 | 3 |" in markdown
    assert "CLIP score (10⁻⁶) ↑" in markdown
    assert latex.count("mathbf") == markdown.count("| **") == 2, "where all are alike, none is best: the costs alone"


def test_texts_mean_themselves(report: dict[str, Any]) -> None:
    report["title"] = report["settings"][0]["title"] = ALL_SIGNS
    latex, markdown = (table_of(report, form).whole() for form in (Latex(), Markdown()))
    assert (
        r"\caption{50 \% of \$a\_1 \& b\#2 \textasciitilde{} \{c\}\textasciicircum{}d \textbackslash{} "
        r"\textless{}e\textgreater{} \textbar{}f\textbar{} \char34{}g\char34{} \textasciigrave{}h\textasciigrave{} "
        r"-{}-i {*}j{*} {[}k] @l \#3. 2 prompts"
    ) in latex
    assert r"\label{tab:50-of-a-1-b-2-c-d-e-f-g-h-i-j-k-l-3}" in latex
    row = next(line for line in markdown.splitlines() if line.startswith("| 50 %"))
    assert row.startswith(
        r"| 50 % of \$a\_1 \& b#<!-- -->2 \~ \{c\}^d \\ \<e\> \|f\| "
        r'"g" \`h\` --i \*j\* \[k\] @<!-- -->l #<!-- -->3 | 5.00'
    )


def test_an_unfinished_comparison_of_unknown_settings(report: dict[str, Any]) -> None:
    report["settings"] = [{"name": "md", "title": "A", "scores": {"fid": None}, "costs": {}}]
    report["pictures"] = report["pictures"][:1]
    assert table_of(report, Markdown()).whole() == (
        "**Three ways to fuse**\n\n| setting |\n| --- |\n| A |\n\n2 prompts with 2 seeds each: 1 picture a setting.\n"
    )


@pytest.mark.parametrize(("size", "said"), [("160x40", "160 {} 40"), ("64x64", "64 {} 64")])
def test_the_caption_tells_what_all_settings_share(report: dict[str, Any], size: str, said: str) -> None:
    for number, setting in enumerate(report["settings"]):
        setting["drawn"] = {"size": size, "steps": 10 + number, "model": f"model-{number}"}
    caption = table_of(report, Markdown()).below
    assert f"a setting, of {said.format(TIMES)} pixels, in 10, 11 or 12 steps. Arrows" in caption
