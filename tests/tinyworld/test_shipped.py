"""What ships: a light package, and weights whose samples show what their captions say."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from fusionkit_tinyworld import MODELS, WEIGHTS
from fusionkit_tinyworld.captions import Landscape, caption
from fusionkit_tinyworld.classifier import held_out_accuracy, load_classifier
from fusionkit_tinyworld.evaluate import choose_contents, contact_sheet_indices, shares
from fusionkit_tinyworld.pipeline import load_pipeline, sample

CPU = torch.device("cpu")


def test_importing_the_package_loads_no_array_library() -> None:
    code = "import sys, fusionkit_tinyworld; print(sorted({'torch', 'cv2', 'numpy', 'diffusers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_scenes_model_is_described() -> None:
    model = MODELS["scenes"]
    assert (model.folder / "model_index.json").is_file()
    assert model.window == (64, 64)
    assert model.defaults == {"guidance-scale": 4.0, "steps": 30}


def test_the_package_stays_small() -> None:
    size = sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file())
    assert size < 22e6


def test_the_classifier_knows_drawings() -> None:
    accuracy = held_out_accuracy(load_classifier(WEIGHTS / "classifier", CPU), seed=0, count=150, workers=0).shares
    assert min(accuracy["scene"], accuracy["time"], accuracy["style"]) >= 0.98
    assert min(accuracy["thing"], accuracy["colour"]) >= 0.95


def test_samples_show_what_their_captions_say() -> None:
    wanted = choose_contents(12, seed=1)
    pictures = sample(load_pipeline(MODELS["scenes"].folder, CPU), [caption(item) for item in wanted], seed=5, steps=20)
    judged = shares(wanted, load_classifier(WEIGHTS / "classifier", CPU).judge(pictures))
    assert judged.scene >= 10 / 12
    assert judged.time >= 11 / 12
    assert judged.thing_present >= 0.6


def test_shares_count_what_they_say() -> None:
    sun = Landscape("photo", "sea", "noon", "sun", "red")
    wrong_colour = Landscape("photo", "sea", "noon", "sun", "yellow")
    empty = Landscape("photo", "sea", "noon")
    result = shares([sun, sun, empty, empty], [sun, wrong_colour, empty, sun])
    assert (result.samples, result.scene, result.thing_present) == (4, 1.0, 1.0)
    assert (result.thing_colour, result.thing_absent) == (0.5, 0.5)
    assert np.isnan(shares([empty], [empty]).thing_present)


@pytest.mark.parametrize("count", [10, 400])
def test_contents_are_spread_evenly(count: int) -> None:
    chosen = choose_contents(count, seed=0)
    assert len(chosen) == count
    counts = [chosen.count(item) for item in set(chosen)]
    assert max(counts) - (min(counts) if count > 342 else 1) <= 1


def test_a_contact_sheet_has_a_row_to_each_scene_in_order() -> None:
    wanted = choose_contents(342, seed=0)
    chosen = contact_sheet_indices(wanted)
    assert len(chosen) == len(set(chosen)) == 6 * 12
    assert [wanted[index].scene for index in chosen[:12]] == ["mountains"] * 12
    assert [wanted[index].time for index in chosen[:6]] == ["noon", "noon", "twilight", "twilight", "night", "night"]
