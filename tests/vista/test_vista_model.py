"""What ships of vista: a light package, a judge that knows drawings, and samples that show what their captions say."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from fusionkit import Fusion
from fusionkit.evaluation import read_pictures
from fusionkit.evaluation.tools import Tools
from fusionkit_vista.agreement import Agreement, asked_for, prompt_problems, shows
from fusionkit_vista.drawer import draw, labels, sample_spec
from fusionkit_vista.evaluate.samples import by_thing, chosen_captions, cut, sample, shares
from fusionkit_vista.features import VistaFeatures
from fusionkit_vista.judge import Seen, load_judge
from fusionkit_vista.models import MODELS, WEIGHTS

SEA = "a landscape poster of the sea at sunset in clear weather with two sailboats"


def test_importing_the_package_and_its_models_loads_no_array_library() -> None:
    code = (
        "import sys, fusionkit_vista.models; print(sorted({'torch', 'cv2', 'numpy', 'diffusers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_stays_small() -> None:
    sizes = {path: path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()}
    flow = sum(size for path, size in sizes.items() if path.is_relative_to(WEIGHTS / "flow"))
    assert flow < 14e6
    assert sum(sizes.values()) - flow < 25e6


def test_the_scenes_model_is_described() -> None:
    model = MODELS["scenes"]
    assert (model.folder / "model_index.json").is_file()
    assert model.window == (128, 128)
    assert json.loads((model.folder / "scheduler" / "scheduler_config.json").read_text())["prediction_type"] == (
        "v_prediction"
    )


def drawings(count: int, seed: int) -> tuple[np.ndarray, list[dict[str, object]]]:
    specs = [sample_spec(np.random.default_rng((seed, i))) for i in range(count)]
    return np.stack([draw(spec, size=(128, 128)) for spec in specs]), [labels(spec) for spec in specs]


def test_the_judge_knows_drawings_as_drawn_and_after_the_autoencoder() -> None:
    pytest.importorskip("skia")
    pictures, truth = drawings(40, 4711)
    vae = AutoencoderKL.from_pretrained(MODELS["scenes"].folder / "vae").float().eval()
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        y = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample.clamp(-1, 1) for part in x.split(8)])
    psnr = float((-10 * torch.log10(((x - y) / 2).square().mean((1, 2, 3)))).mean())
    assert psnr > 33
    decoded = ((y + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    for shown in (pictures, decoded):
        seen = load_judge(WEIGHTS / "judge").judge(shown)
        for part in ("style", "scene", "time", "weather", "number"):
            right = [getattr(each, part) == wanted[part] for each, wanted in zip(seen, truth, strict=True)]
            assert np.mean(right) >= 0.93, part
        pairs = [(each.things, wanted["thing"]) for each, wanted in zip(seen, truth, strict=True)]
        assert np.mean([things == ({thing} if thing else set()) for things, thing in pairs]) >= 0.93


def test_samples_show_what_their_captions_say() -> None:
    captions = chosen_captions(6, seed=3)
    judged = shares(captions, load_judge(WEIGHTS / "judge").judge(sample(captions, seed=5, steps=10, guidance=4.0)))
    assert judged.scene >= 5 / 6
    assert judged.time >= 5 / 6
    assert judged.style >= 5 / 6


def test_samples_of_the_transformer_show_what_their_captions_say() -> None:
    captions = chosen_captions(4, seed=3)
    drawn = sample(captions, seed=5, steps=10, guidance=4.0, model="flow")
    judged = shares(captions, load_judge(WEIGHTS / "judge").judge(drawn))
    assert judged.scene == judged.style == judged.time == 1


def test_the_transformer_and_the_scenes_model_have_one_latent_space() -> None:
    folders = [WEIGHTS / name / "vae" for name in ("scenes", "flow")]
    one, other = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders)
    assert one == other


def test_shares_count_what_they_say() -> None:
    right = Seen("poster", "the sea", "at sunset", "in clear weather", frozenset({"sailboat"}), 2)
    wrong = Seen("poster", "a desert", "at sunset", "in mist", frozenset({"whale"}), 1)
    plain = "a landscape poster of the sea at sunset in clear weather"
    found = shares(
        [SEA, SEA, plain, plain], [right, wrong, right, Seen(*list(vars(right).values())[:4], frozenset(), 0)]
    )
    assert (found.samples, found.style, found.scene, found.weather) == (4, 1.0, 0.75, 0.75)
    assert (found.thing, found.number, found.absent) == (0.5, 0.5, 0.5)
    assert by_thing([SEA, SEA, plain], [right, wrong, right]) == {"sailboat": (2, 1)}


def test_agreement_asks_for_what_the_prompt_says() -> None:
    asked = asked_for("a poster of the sea at sunset with two sailboats")
    assert asked == {"style": "poster", "scene": "the sea", "time": "at sunset", "thing": "sailboat", "number": 2}
    seen = Seen("poster", "the sea", "at sunset", "in mist", frozenset({"sailboat"}), 2)
    assert shows(seen, asked)
    assert not shows(seen, {**asked, "number": 1})
    assert not shows(seen, {**asked, "thing": "whale"})
    assert prompt_problems("a poster of a sofa")[0].startswith(
        "needs prompts in the vocabulary of vista; 'a poster of a sofa' is none: vista has no word 'sofa'"
    )


def test_sheets_are_cut_into_their_pictures() -> None:
    sheet = np.arange(2 * 3).repeat(128).reshape(2, 3 * 128).repeat(128, 0).astype(np.uint8)
    assert cut([np.stack([sheet] * 3, -1)])[:, 5, 7, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_features_rank_pictures_of_the_world() -> None:
    pytest.importorskip("skia")
    features = VistaFeatures.from_weights(None, "cpu")
    some, others = (drawings(8, seed)[0] for seed in (1, 2))
    pooled = features.pooled(some)
    assert pooled.shape == (8, 224)
    assert float(features.perceptual_distance(some, some).max()) < 1e-6
    assert float(features.perceptual_distance(some, others).mean()) > 0.1


def test_agreement_scores_a_picture_of_the_model(tmp_path: Path) -> None:
    fusion = Fusion.from_pretrained("vista/scenes", steps=10)
    fusion("a landscape poster of the sea at night with a moon", size=(128, 128), seed=1, progress=False).save(
        tmp_path / "moon.png"
    )
    [picture] = read_pictures(tmp_path)
    about = Tools(device="cpu")
    assert Agreement().problems([picture], [], about) == []
    assert Agreement().describe(picture, about) == 1
    desert = replace(picture, prompt="a landscape poster of a desert at noon")
    assert Agreement().describe(desert, about) == 0
