"""What a family takes from a model's own settings: distilled ones, shifts, times, and windows that it can't draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from on_families import apart, drawn, model_of, run, stage_on
from tiny_cogview4 import CASES as COGVIEW
from tiny_flux2 import CASES as FLUX2
from tiny_flux2 import DISTILLED
from tiny_hidream import CASES as HIDREAM
from tiny_hunyuandit import UNTOLD
from tiny_krea2 import CASES as KREA
from tiny_krea2 import DISTILLED as KREA_DISTILLED
from tiny_ovis import CASES as OVIS
from tiny_parts import Case, made

from fusionkit import Fusion, RecipeError
from fusionkit.loop.stage import Patches
from fusionkit.loop.views import View
from fusionkit.models.inspect import inspect_model
from fusionkit.models.prompts.plan import reader_of
from fusionkit.models.schedulers.flows import timing
from fusionkit.recipe import ModelSpec
from fusionkit_accdiffusion.words import words_of

KLEIN, DEV = FLUX2
COGVIEW4, HIDREAM1, KREA2 = *COGVIEW, *HIDREAM, *KREA


@pytest.mark.parametrize("other", [DISTILLED, KREA_DISTILLED, UNTOLD], ids=str)
def test_one_window_of_a_familys_other_models_is_the_plain_pipeline(other: Case) -> None:
    """Distilled ones, guided or not, and one that is not told where a view lies."""
    model = model_of(other, (192, 96))
    stage = stage_on(model, steps=6)
    ours, theirs = run(stage), drawn(other, stage)
    assert theirs.std() > 0.3
    assert apart(ours, theirs) <= 1e-4
    assert model.forward_passes == 6 * model.info.passes(4.0)


def test_who_is_told_a_pictures_size() -> None:
    told = {case.kind for case in made() if model_of(case).info.told_size}
    assert told - {"kolors"} == {"cogview4", "hunyuandit"}
    assert not model_of(UNTOLD).info.told_size


def test_distilled_models_take_few_steps_and_no_second_pass(tmp_path: Path) -> None:
    """As the pipeline tells, whether it is there or its index alone."""
    DISTILLED.make().save_pretrained(tmp_path)
    for info in (model_of(DISTILLED).info, inspect_model(str(tmp_path))):
        assert info.defaults == {"guidance-scale": 1.0, "steps": 4}
        assert info.passes(4.0) == 1
    assert model_of(KLEIN).info.defaults == {"guidance-scale": 4.0, "steps": 50}
    assert [model_of(case).info.passes(4.0) for case in (KLEIN, DEV)] == [2, 1]
    assert model_of(KREA_DISTILLED).info.defaults["steps"] == 8


def test_shifts_that_depend_on_no_size() -> None:
    """Those of Krea 2's distilled model and of HiDream are one number; the others grow with the window."""
    shifts = {
        case.name: [
            timing(model_of(case).info, model_of(case).info.scheduler_config, tokens, 8)["mu"] for tokens in (64, 6400)
        ]
        for case in (KREA2, KREA_DISTILLED, HIDREAM1)
    }
    largest_square = 0.5 + (1.15 - 0.5) * (144 - 256) / (4096 - 256)
    assert shifts["krea2-distilled"] == [1.15, 1.15]
    assert shifts["krea2"] == pytest.approx([0.5 + 0.65 * (64 - 256) / (6400 - 256), 1.15])
    assert shifts["hidream"] == pytest.approx([largest_square, largest_square])


@pytest.mark.parametrize(
    ("scheduler", "options"), [("flow-euler", {}), ("flow-euler", {"shift": 5.0}), ("flow-heun", {}), ("unipc", {})]
)
def test_cogview_is_told_the_time_before_the_shift(scheduler: str, options: dict[str, Any]) -> None:
    """By the noise level alone, whatever the scheduler makes the levels of."""
    model = model_of(COGVIEW4)
    stage = stage_on(model, scheduler, options, steps=5)
    told: list[float] = []
    hook = model.denoiser.register_forward_pre_hook(
        lambda _, args, given: told.append(float(given["timestep"][0])), with_kwargs=True
    )
    mu = (64 / 256) ** 0.5 * 0.75 + 0.25
    patches = Patches((View(0, 0, 16, 16),), latents=torch.zeros(1, 16, 16, 16), prompts=["a"])
    try:
        for at in stage.steps:
            model.predict(stage, at, patches, guidance_scale=1.0)
    finally:
        hook.remove()
    levels = [stage.scheduler.level(at.timestep) for at in stage.steps]  # type: ignore[attr-defined]
    assert told == pytest.approx([1000 / (1 + mu * (1 / level - 1)) for level in levels], rel=1e-5)
    if scheduler == "flow-euler" and not options:
        assert told == pytest.approx([1000, 750, 500, 250, 1], abs=1e-3)


def test_hidream_draws_no_large_window_that_is_no_square() -> None:
    info = model_of(HIDREAM1).info
    assert (info.channels, info.factor) == (16, 8)
    fields: dict[str, Any] = {"prompt": "a boat", "steps": 1, "size": (512, 512)}
    for window in ((256, 256), (256, 128), (128, 256)):
        Fusion.from_pipe(HIDREAM1.make(), **fields, window=window).plan()
    with pytest.raises(RecipeError) as caught:
        Fusion.from_pipe(HIDREAM1.make(), **fields, window=(256, 160)).plan()
    assert caught.value.problems == [
        "model 'HiDreamImagePipeline' draws views of 192x192, or of other sides and no more pixels, and not of "
        "256x160; set the window, such as to 192x192"
    ]


def test_prompts_are_read_by_the_tokenizer_of_a_processor(tmp_path: Path) -> None:
    """Flux.2 dev's text encoder sees pictures as well, and its tokenizer is inside of a processor of both."""
    DEV.make().save_pretrained(tmp_path)
    reader = reader_of(ModelSpec(model=str(tmp_path)))
    assert reader is not None
    assert "tokens, of which the first 512 are read" in reader.told("a red boat " * 200)


@pytest.mark.parametrize("reader", [KLEIN, DEV, COGVIEW4, OVIS[0], KREA2], ids=str)
def test_words_are_where_the_text_encoder_answers_them(reader: Case) -> None:
    """Encoders that read forwards answer all that comes before a word that is changed as they did."""
    model = model_of(reader)
    prompt, other = "a red boat at dawn", "a red lake at dawn"
    one, two = (model.embed(text)[0].flatten(2)[0] for text in (prompt, other))
    words, others = (words_of(text, model.text_tokens(text)) for text in (prompt, other))
    assert words[2].positions == others[2].positions, "of as many tokens"
    changed = int((one - two).abs().amax(1).gt(1e-6).nonzero()[0])
    assert changed in words[2].positions


def test_flux2_normalises_its_latents_by_token() -> None:
    """The batch norm's 128 statistics are a pattern of 2 x 2 on 32 channels, taken off and put back."""
    from fusionkit.models.adapters.moments import scaled, unscaled

    pipe = KLEIN.make()
    latents = torch.randn(1, 32, 4, 6, generator=torch.Generator().manual_seed(0))
    packed = pipe._patchify_latents(latents)
    norm = pipe.vae.bn
    deviation = (norm.running_var + pipe.vae.config.batch_norm_eps).sqrt().view(1, -1, 1, 1)
    theirs = pipe._unpatchify_latents((packed - norm.running_mean.view(1, -1, 1, 1)) / deviation)
    assert apart(scaled(pipe.vae, latents), theirs) <= 1e-6
    assert apart(unscaled(pipe.vae, theirs), latents) <= 1e-5
