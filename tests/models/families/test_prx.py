"""PRX alone: the library that mends its prompts, and where the words of a mended one are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from on_families import model_of

pytest.importorskip("ftfy", reason="PRX needs ftfy: pip install 'fusionkit[prx]'")
from tiny_prx import CASES

from fusionkit import Fusion, ModelError
from fusionkit.models.inspect import inspect_model
from fusionkit_accdiffusion.words import words_of

(PRX,) = CASES


def test_without_ftfy_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PRX.make().save_pretrained(tmp_path)
    monkeypatch.setitem(sys.modules, "ftfy", None)
    line = "which needs ftfy, which is not installed: pip install 'fusionkit[prx]'"
    with pytest.raises(ModelError) as caught:
        inspect_model(str(tmp_path))
    assert str(caught.value) == f"model '{tmp_path}' is a PRX model, {line}"
    with pytest.raises(ModelError, match="a PRXPipeline needs ftfy, which is not installed"):
        Fusion.from_pipe(PRX.make())


@pytest.mark.parametrize(
    ("prompt", "gone"),
    [
        ("A Red BOAT on a lake", ()),
        ("two cats [HDR] and a dog (old) #1 in the rain", ("#1",)),
        ("cafÃ© by the sea, two cats", ()),
        ("photo.jpg of a dog, two cats", ("photo.jpg",)),
    ],
)
def test_words_of_a_mended_prompt_are_where_its_tokens_are(prompt: str, gone: tuple[str, ...]) -> None:
    """Letters that its pipeline takes out are in no token, and what comes after them is still in its own."""
    model = model_of(PRX)
    words = words_of(prompt, model.text_tokens(prompt))
    ids = model.pipe.tokenizer(model.family.mended(model.pipe, prompt.replace("(", "").replace(")", ""))).input_ids
    assert [word.text for word in words if not word.positions] == list(gone)
    for word in (each for each in words if each.positions and each.text.isascii()):
        said = model.pipe.tokenizer.decode([ids[place] for place in word.positions])
        assert said.strip().strip(",") == word.bare
