"""All metrics together: found by name, documented, quick to import, and scored on pictures that fusionkit drew."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from measured import tools

from fusionkit import Fusion
from fusionkit.evaluation import Picture, read_pictures
from fusionkit.evaluation.evaluate import evaluate
from fusionkit.evaluation.registry import FEATURES, METRICS
from fusionkit_metrics import Seam, Variance
from fusionkit_metrics.seam import phase_of
from fusionkit_multidiffusion import MultiDiffusion

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
OURS = [
    "blur",
    "clip-iqa",
    "clip-score",
    "coverage",
    "fid",
    "giqa-ds",
    "giqa-qs",
    "grain",
    "intra-lpips",
    "is",
    "kid",
    "noise",
    "seam",
    "sharpness",
    "ssim",
    "streaks",
    "style-loss",
    "tinyworld-agreement",
    "variance",
    "variance-ratio",
    "vista-agreement",
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    """Three small panoramas with their recipes inside: views of 64 px that begin at 0, 48 and 96."""
    folder = tmp_path_factory.mktemp("drawn")
    fusion = Fusion.from_pretrained("tinyworld/scenes", plugins=[MultiDiffusion(stride=48)], steps=2)
    for seed in range(3):
        result = fusion("a landscape photo of the sea at noon", size=(160, 64), seed=seed, progress=False)
        result.save(folder / f"{seed}.png")
    return read_pictures(folder, partner=folder)


def test_every_metric_is_found_by_its_name() -> None:
    found, broken = METRICS.load_all()
    assert broken == {}
    assert set(OURS) <= set(found)
    assert set(FEATURES.load_all()[0]) >= {"inception", "tinyworld", "vista"}


@pytest.mark.parametrize("name", OURS)
def test_every_metric_is_on_the_page_with_its_options(name: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    link = re.search(rf"^\| \[`{name}`\]\(#([\w-]+)\)", text, flags=re.MULTILINE)
    assert link, f"docs/metrics.md has no row for {name}"
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    heading = next(each for each in headings if each.replace(" ", "-") == link[1])
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    assert "**Misleads**" in section
    metric = METRICS.load(name)
    for field, info in metric.model_fields.items():
        assert f"`{info.alias or field}`" in section
        assert info.description
    assert metric.title


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("fusionkit_metrics", ("torch", "numpy", "cv2", "sklearn", "skimage", "PIL", "transformers")),
        ("fusionkit_tinyworld.agreement, fusionkit_tinyworld.features", ("torch", "cv2", "transformers")),
    ],
    ids=["metrics", "tinyworld"],
)
def test_listing_metrics_loads_nothing_heavy(modules: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_needs_no_download_scores_real_pictures(drawn: list[Picture]) -> None:
    left_out = "clip-iqa", "clip-score", "vista-agreement"  # weights; other prompts
    names = [name for name in OURS if name not in left_out]
    metrics = [METRICS.load(name)(**({"subsets": 2} if name == "kid" else {})) for name in names]
    found = evaluate(drawn, metrics, tools("tinyworld"), drawn)
    scores = {name: score.value for name, score in found.scores.items()}
    assert all(np.isfinite(value) for value in scores.values()), scores
    assert scores["fid"] == pytest.approx(0, abs=1e-4)
    assert scores["ssim"] == pytest.approx(1)
    assert [scores[name] for name in ("variance-ratio", "sharpness", "grain", "streaks")] == [1, 1, 1, 1]
    assert scores["coverage"] == 1
    assert set(found.each) == {
        "blur",
        "coverage",
        "intra-lpips",
        "noise",
        "seam",
        "ssim",
        "style-loss",
        "tinyworld-agreement",
        "variance",
    }


def test_views_and_latent_pixels_come_from_the_recipe(drawn: list[Picture]) -> None:
    assert {phase_of(picture) for picture in drawn} == {4}
    assert {Variance().block_of(picture) for picture in drawn} == {8}
    picture = drawn[0]
    borders = sorted({side for box, _ in picture.views() for side in (box[0], box[2])} - {0, 160})
    assert borders == [48, 64, 96, 112]
    border, elsewhere = Seam().describe(picture, tools())
    brightness = picture.pixels() @ np.array([0.299, 0.587, 0.114])
    steps = np.abs(np.diff(brightness, axis=1)).mean(0)
    others = [place for place in range(4, 160, 4) if place not in borders]
    assert border == pytest.approx(np.mean([steps[place - 1] for place in borders]))
    assert elsewhere == pytest.approx(np.mean([steps[place - 1] for place in others]))
