"""Weights and chunks of prompts, as embeddings and in whole runs; without them all is as the pipeline has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import plain, run, stage_on
from torch import Tensor

from fusionkit import Prompt, hookimpl
from fusionkit.errors import ModelError
from fusionkit.loop.stage import Patches
from fusionkit.loop.views import View
from fusionkit.models.adapters.batches import texts_of
from fusionkit.models.attention import capture
from fusionkit.models.load import wrap_pipeline
from fusionkit.models.prompts.tokens import chunks_of, frame_of
from fusionkit.plugin import Plugin
from fusionkit.recipe.prompt_syntax import parse

LONG = ", ".join(["a cat on the sea"] * 16)
"""80 words of one token, and 15 commas: two chunks of 75."""


def of_pipe(pipe: Any, text: str, kind: str) -> tuple[Tensor, ...]:
    """The pipeline's own embedding."""
    with torch.inference_mode():
        if kind == "sd":
            return (pipe.encode_prompt(text, "cpu", 1, False)[0],)
        embeds, _, pooled, _ = pipe.encode_prompt(
            text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
    return embeds, pooled


@pytest.mark.parametrize("text", ["a cat", "", "a (cat)", "[sea], {x|y}", "a cat :) 16:9", "(16:9)", "(:1.3)"])
def test_a_prompt_without_weights_is_as_the_pipeline_has_it(pipe: Any, kind: str, text: str) -> None:
    ours = wrap_pipeline(pipe).embed(text)
    assert all(a.equal(b) for a, b in zip(ours, of_pipe(pipe, text, kind), strict=True))


@pytest.mark.parametrize(
    ("text", "plain_text"),
    [
        ("a (cat:1.0) on", "a cat on"),
        (r"a \(cat\)", "a (cat)"),
        ("(a (cat:2):0.5)", "a cat"),
        (r"sea \[1\]", "sea [1]"),
    ],
)
def test_syntax_is_no_word(pipe: Any, kind: str, text: str, plain_text: str) -> None:
    ours, theirs = wrap_pipeline(pipe).embed(text), of_pipe(pipe, plain_text, kind)
    # The outer weight of the third is on "a".
    tokens = [2] if text.startswith("(a") else slice(None)
    if text.startswith("(a"):
        assert not ours[0].equal(theirs[0])
        ours, theirs = (ours[0][:, tokens] / ours[0][:, :1],), (theirs[0][:, tokens] / theirs[0][:, :1],)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))


def test_weights_multiply_the_tokens_embeddings(pipe: Any, kind: str) -> None:
    """As AUTOMATIC1111's web UI does: multiplied, and the mean restored by one factor for all."""
    model = wrap_pipeline(pipe)
    plain_one, weighted = model.embed("a cat on sea"), model.embed("a (cat on:1.4) sea")
    ratio = (weighted[0] / plain_one[0]).median(dim=-1).values[0]
    common = ratio[0]  # of the start token
    expected = torch.ones(77)
    expected[2:4] = 1.4
    assert torch.allclose(ratio / common, expected, atol=1e-3)
    parts = weighted[0].split(weighted[0].shape[-1] // (2 if kind == "sdxl" else 1), dim=-1)[:1]
    assert abs(float(common) - 1) < 0.5
    if abs(float(common) - 1) > 1e-6 and kind == "sd":
        assert float(parts[0].mean()) == pytest.approx(float(plain_one[0].mean()), rel=1e-3)
    if kind == "sdxl":
        assert weighted[1].equal(plain_one[1])  # the pooled form is of the words


def test_our_own_way_is_the_pipelines(pipe: Any, kind: str) -> None:
    """Where one chunk without weights is encoded by both."""
    model = wrap_pipeline(pipe)
    first = model.embed(f"a cat BREAK {'sea ' * 3}")
    assert first[0].shape[1] == 154
    for part, text in ((first[0][:, :77], "a cat"), (first[0][:, 77:], "sea sea sea")):
        assert torch.allclose(part, of_pipe(pipe, text, kind)[0], atol=1e-6)
    if kind == "sdxl":
        assert torch.allclose(first[1], of_pipe(pipe, "a cat", kind)[1], atol=1e-6)


def test_long_prompts_are_encoded_in_chunks_of_whole_words(pipe: Any, kind: str, capfd: Any, caplog: Any) -> None:
    model = wrap_pipeline(pipe)
    assert model.chunk_length == 77
    text = " ".join(["cat"] * 74 + ["during", "sunset"])
    embeds = model.embed(text)[0]
    assert embeds.shape[1] == 154
    # "during" is three tokens, for which the first chunk has no room.
    for part, words in ((embeds[:, :77], " ".join(["cat"] * 74)), (embeds[:, 77:], "during sunset")):
        assert torch.allclose(part, of_pipe(pipe, words, kind)[0], atol=1e-6)
    assert model.embed(" ".join(["cat"] * 75))[0].shape[1] == 77
    # Nothing of the libraries' about lengths.
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_prompts_are_padded_to_equal_lengths(pipe: Any, kind: str) -> None:
    """By chunks of an empty prompt, as web UIs do, whichever half is the longer one."""
    model = wrap_pipeline(pipe)
    both = run(stage_on(model, prompt="a cat BREAK", negative_prompt=LONG))
    assert both.isfinite().all()
    for prompt, negative in (("a cat", LONG), (LONG, "a cat"), (LONG, ""), (LONG, LONG)):
        stage = stage_on(model, prompt=prompt, negative_prompt=negative)
        patches = Patches((View(0, 0, 8, 8),), prompts=[prompt])
        cond, uncond = model.pair(*texts_of(stage, patches)[0])
        assert cond[0].shape == uncond[0].shape == (1, 154, cond[0].shape[2])
        short, half = (prompt, cond) if prompt == "a cat" else (negative, uncond)
        if short == "a cat":
            expected = [of_pipe(pipe, "a cat", kind)[0], of_pipe(pipe, "", kind)[0]]
            assert torch.allclose(half[0], torch.cat(expected, dim=1), atol=1e-6)
        if short == "" and kind == "sdxl" and pipe.config.get("force_zeros_for_empty_prompt"):
            assert not uncond[0].any()


class PromptsInTurn(Plugin):
    """Short and long prompts from view to view."""

    @hookimpl
    def prompt_per_patch(self, patches: Patches) -> list[str | Prompt]:
        texts = ["a cat", LONG, "a (sea:1.4)", Prompt("a dog", LONG)]
        return [texts[number % 4] for number in range(len(patches.views))]


def test_views_of_different_lengths_go_into_batches_of_their_own(pipe: Any) -> None:
    """No view's prediction depends on another one's prompt, nor on the size of the batches."""
    model = wrap_pipeline(pipe)
    all_at_once = stage_on(model, size=(160, 80), window=(64, 64), batch_size=8)
    one_by_one = stage_on(model, size=(160, 80), window=(64, 64), batch_size=1)
    first, second = (run(stage, PromptsInTurn()) for stage in (all_at_once, one_by_one))
    assert (first - second).abs().max() <= 1e-4
    assert (first - run(stage_on(model, size=(160, 80), window=(64, 64)))).abs().max() > 1e-2


def test_attention_is_read_of_all_chunks(pipe: Any, kind: str) -> None:
    model = wrap_pipeline(pipe)
    stage = stage_on(model, prompt=LONG, size=(128, 64))
    level = model.info.cross_attention[0]
    views = (View(0, 0, 8, 8), View(0, 8, 8, 8))
    latents = stage.noise("x", (2, 4, 8, 8))
    maps = []
    for prompts in ([LONG, LONG], ["a cat", LONG]):
        with capture(model, 2, (8, 8), [level]) as seen:
            model.predict(stage, stage.steps[0], Patches(views, latents=latents, prompts=prompts))
        maps.append(seen.mean(level))
    assert maps[0].shape[:2] == maps[1].shape[:2] == (2, 154)
    assert torch.allclose(maps[0].sum(1), torch.ones_like(maps[0][:, 0]), atol=1e-4)
    assert maps[0][1].equal(maps[1][1]) or torch.allclose(maps[0][1], maps[1][1], atol=1e-5)


def test_a_prompt_has_an_end(pipe: Any) -> None:
    with pytest.raises(ModelError, match=r"^the prompt 'cat cat .*' needs 67 chunks of 75 tokens, and at most 64 are"):
        wrap_pipeline(pipe).embed("cat " * 5000)


def test_chunks_begin_where_the_prompt_says(pipe: Any) -> None:
    frame = frame_of(pipe.tokenizer, 77)
    assert (frame.length, frame.room, len(frame.before), len(frame.after)) == (77, 75, 1, 1)

    def texts(prompt: str) -> list[str]:
        parsed = parse(prompt)
        return [
            parsed.text[chunk[0].start : chunk[-1].end] if chunk else ""
            for chunk in chunks_of(parsed, pipe.tokenizer, frame)
        ]

    assert texts("a cat BREAK sea") == ["a cat", "sea"]
    assert texts("BREAK a cat BREAK BREAK sea BREAK") == ["a cat", "sea"]
    assert texts("break a cat") == ["break a cat"]
    assert texts("(a BREAK cat:1.2)") == ["a", "cat"]
    assert texts("") == [""]
    assert texts("x" * 400)[0] + texts("x" * 400)[1] == "x" * len(texts("x" * 400)[0] + texts("x" * 400)[1])


def test_words_of_textual_inversion_keep_their_places(tmp_path: Path) -> None:
    pipe = plain("sd")
    pipe.tokenizer.add_tokens(["<toy>", "<toy>_1"])
    tokens = wrap_pipeline(pipe).readers[0].chunks(parse("a (<toy>:1.5) sea"))[0]
    known = pipe.tokenizer.convert_ids_to_tokens([token.id for token in tokens])
    assert known[1:3] == ["<toy>", "<toy>_1"]
    assert [token.weight for token in tokens] == [1.0, 1.5, 1.5, 1.0]
