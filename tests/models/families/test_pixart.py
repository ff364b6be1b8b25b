"""PixArt's folders as they are published, and its prompts, which are read in small letters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from on_families import model_of
from tiny_parts import Case
from tiny_pixart import CASES

from fusionkit import Fusion


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("tiny", CASES, ids=str)
def test_a_denoiser_under_its_older_name(tiny: Case, tmp_path: Path) -> None:
    """Published when diffusers had one class for several denoisers."""
    pipe, folder = tiny.make(), tmp_path / "model"
    pipe.save_pretrained(folder)
    change(folder / "model_index.json", transformer=["diffusers", "Transformer2DModel"])
    older = {"_class_name": "Transformer2DModel", "norm_type": "ada_norm_single", "num_embeds_ada_norm": 1000}
    change(folder / "transformer" / "config.json", **older)
    fields: dict[str, Any] = {"steps": 1, "window": (128, 128)}
    loaded, ours = (
        fusion("a boat", size=(128, 128), seed=1, progress=False).latents
        for fusion in (Fusion.from_pretrained(folder, device="cpu", **fields), Fusion.from_pipe(pipe, **fields))
    )
    assert loaded.equal(ours)


def test_words_in_capitals() -> None:
    model = model_of(CASES[0])
    small, capitals = (model.text_tokens(prompt) for prompt in ("a red boat", "A Red BOAT"))
    assert [token.place for token in small] == [token.place for token in capitals]
    assert model.family.heard("İ Ä") == "İ ä"
