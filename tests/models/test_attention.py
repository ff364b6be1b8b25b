"""Attention capture: what it reads, and that it leaves a model, and what the model answers, as they were."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor
from rounding import rounding
from torch import Tensor, nn

from fusionkit import ModelError, Patches, Stage, windows
from fusionkit.loop.canvas import gather
from fusionkit.loop.model import Model
from fusionkit.loop.view_maps import ViewMaps, map_size
from fusionkit.models.attention import capture
from fusionkit.models.families import FAMILIES
from fusionkit.models.files.autoencoders import Vae
from fusionkit.models.files.denoisers import UNet
from fusionkit.models.files.folder import ModelConfigs
from fusionkit.models.inspect import _of_configs
from fusionkit.models.listening import cross_attention
from fusionkit.testing import tiny_model, tiny_pipeline, tiny_plan
from fusionkit.testing.tiny import KINDS, Kind


def stage_of(kind: Kind, **fields: Any) -> Stage:
    (stage,) = tiny_plan(kind=kind, **fields).stages
    stage.model = tiny_model(kind)
    return stage


def patches_of(stage: Stage, prompts: Sequence[str] = ("a hill",)) -> Patches:
    views = windows(stage.canvas, stage.window, (4, 4))
    latents = gather(stage.noise("init"), views)
    return Patches(views, latents=latents, prompts=[prompts[number % len(prompts)] for number in range(len(views))])


def maps_of(stage: Stage, patches: Patches, level: int = 1) -> Tensor:
    with torch.inference_mode(), capture(stage.model, len(patches.views), patches.size, [level]) as seen:
        stage.model.predict(stage, stage.steps[0], patches)
    return seen.mean(level)


def state_of(unet: Any) -> list[Any]:
    """All that could be left on a model: each module's attributes, its processor among them, and its hooks."""
    return [
        (
            {key: id(value) for key, value in vars(module).items()},
            [list(h) for k, h in vars(module).items() if k.endswith("hooks")],
        )
        for module in unet.modules()
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_prediction_is_the_same_to_the_last_bit_and_the_model_too(kind: Kind) -> None:
    stage = stage_of(kind)
    patches, unet = patches_of(stage), tiny_pipeline(kind).unet
    before, plain = state_of(unet), stage.model.predict(stage, stage.steps[0], patches)
    processors = dict(unet.attn_processors)
    with capture(stage.model, len(patches.views), patches.size, [1]) as seen:
        assert state_of(unet) != before
        watched = stage.model.predict(stage, stage.steps[0], patches)
    assert watched.equal(plain)
    assert seen.mean(1).shape == (len(patches.views), 16, 8, 8)
    assert state_of(unet) == before
    assert all(unet.attn_processors[name] is each for name, each in processors.items())


def test_nothing_is_left_after_an_error() -> None:
    stage = stage_of("sd")
    before = state_of(tiny_pipeline("sd").unet)
    with pytest.raises(KeyError), capture(stage.model, 1, (8, 8), [1]):
        raise KeyError("anything")
    assert state_of(tiny_pipeline("sd").unet) == before


@contextmanager
def denoiser(unet: Any) -> Iterator[Model]:
    """The tiny model with another denoiser."""
    pipe = tiny_pipeline("sd")
    own, pipe.unet = pipe.unet, unet
    try:
        yield tiny_model("sd")
    finally:
        pipe.unet = own


def by_processors(stage: Stage, patches: Patches) -> Tensor:
    """The same mean (P, L, h, w), taken by other means: from within processors of a copy of the denoiser."""
    seen: list[Tensor] = []

    class Keep(AttnProcessor):
        def __call__(self, attn: Any, hidden_states: Tensor, **given: Any) -> Tensor:
            text = given["encoder_hidden_states"]
            query, key = (attn.head_to_batch_dim(x) for x in (attn.to_q(hidden_states), attn.to_k(text)))
            scores = attn.get_attention_scores(query, key).reshape(len(text), attn.heads, 64, -1).mean(1)
            seen.append(scores[: len(patches.views)].transpose(1, 2).reshape(len(patches.views), -1, 8, 8))
            return super().__call__(attn, hidden_states, **given)

    unet = copy.deepcopy(tiny_pipeline("sd").unet)
    unet.set_attn_processor(
        {name: Keep() if "attn2" in name and "mid" not in name else each for name, each in unet.attn_processors.items()}
    )
    with denoiser(unet) as model, torch.inference_mode():
        model.predict(stage, stage.steps[0], patches)
    return torch.stack(seen).mean(0)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_it_is_the_conditional_attention_averaged_over_heads_and_layers(scale: float) -> None:
    stage = stage_of("sd", guidance_scale=scale, negative_prompt="a lake")
    patches = patches_of(stage, ["a hill", "the sea at noon"])
    expected = by_processors(stage, patches)
    assert float((maps_of(stage, patches) - expected).abs().max()) < rounding(expected)
    other = stage_of("sd", guidance_scale=scale, negative_prompt="a boat")
    assert maps_of(other, patches).equal(maps_of(stage, patches))


@pytest.mark.parametrize("kind", KINDS)
def test_maps_do_not_depend_on_the_batch_size(kind: Kind) -> None:
    alone, *others = (
        maps_of(stage, patches_of(stage, ["a hill", "the sea", "b"]))
        for stage in (stage_of(kind, batch_size=size) for size in (1, 2, 8))
    )
    # A softmax of activations that are some times larger than itself.
    assert all(float((alone - other).abs().max()) < rounding(alone, passes=4) for other in others)
    assert float((alone[0] - alone[1]).abs().max()) > 1e-3
    assert torch.allclose(alone.sum(1), torch.ones(()), atol=rounding(1.0, passes=4))


def test_predicting_a_group_twice_is_a_mean_of_both() -> None:
    stage = stage_of("sd", batch_size=2)
    patches = patches_of(stage)
    other = replace(patches, latents=patches.latents.flip(-1))
    with capture(stage.model, len(patches.views), patches.size, [1]) as seen:
        for each in (patches, other):
            stage.model.predict(stage, stage.steps[0], each)
    mean = (maps_of(stage, patches) + maps_of(stage, other)) / 2
    assert float((seen.mean(1) - mean).abs().max()) < rounding(mean)


def test_odd_views_have_maps_that_are_rounded_up() -> None:
    assert [map_size((9, 13), level) for level in (1, 2, 4)] == [(9, 13), (5, 7), (3, 4)]
    stage = stage_of("sd", size=(104, 72), window=(104, 72))
    patches = patches_of(stage)
    assert maps_of(stage, patches).shape == (1, 16, 9, 13)


def test_half_precision_sums_in_float32() -> None:
    stage = stage_of("sd")
    patches = patches_of(stage)
    full, unet = maps_of(stage, patches), copy.deepcopy(tiny_pipeline("sd").unet)
    with denoiser(nn.Module.to(unet, torch.bfloat16)) as stage.model:
        half = maps_of(stage, patches)
    assert half.dtype == torch.float32
    assert 0 < float((half - full).abs().max()) < 0.02


def test_a_level_without_attention_is_an_error() -> None:
    stage = stage_of("sd")
    with pytest.raises(ModelError, match="no cross-attention of 4x4 queries, at level 2"):
        maps_of(stage, patches_of(stage), level=2)


# Of Python 3.13.0 alone: it says that a later one is quicker.
@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")
def test_a_compiled_denoiser_is_seen_too() -> None:
    stage = stage_of("sd")
    patches, unet = patches_of(stage), copy.deepcopy(tiny_pipeline("sd").unet)
    plain = maps_of(stage, patches)
    unet.compile(backend="eager")
    with denoiser(unet) as stage.model:
        stage.model.predict(stage, stage.steps[0], patches)
        assert maps_of(stage, patches).equal(plain)
    assert unet._compiled_call_impl is not None


def test_sums_do_not_grow() -> None:
    maps = ViewMaps(2, {1: (2, 2)})
    for value in range(1, 101):
        maps.add("layer", 1, torch.full((2, 3, 2, 2), float(value)))
    assert maps.mean(1).equal(torch.full((2, 3, 2, 2), 50.5))
    held = [each for each in vars(maps).values() if isinstance(each, dict)]
    assert sum(t.numel() for each in held for t in each.values() if isinstance(t, Tensor)) == 24


def test_layers_are_those_of_the_down_and_up_blocks() -> None:
    names = list(cross_attention(tiny_pipeline("sdxl").unet))
    assert len(names) == 3
    assert all(name.split(".")[0] in ("down_blocks", "up_blocks") for name in names)


@pytest.mark.parametrize(
    ("blocks", "levels"),
    [
        (("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), (1, 2, 4)),
        (("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"), (2, 4)),
        (("DownBlock2D", "DownBlock2D"), ()),
        (("SimpleCrossAttnDownBlock2D", "DownBlock2D"), ()),
        (None, (1, 2, 4)),
    ],
)
def test_where_a_denoiser_attends_is_known_from_its_configuration(
    blocks: tuple[str, ...] | None, levels: tuple[int, ...]
) -> None:
    config: dict[str, Any] = {"block_out_channels": [32] * (len(blocks) if blocks else 4)}
    if blocks:
        config |= {"down_block_types": list(blocks)}
        config |= {"up_block_types": [name.replace("Down", "Up") for name in reversed(blocks)]}
    unet, vae = UNet.model_validate(config), Vae.model_validate({"block_out_channels": [32, 32]})
    configs = ModelConfigs(
        FAMILIES["sd"], "StableDiffusionPipeline", unet, config, vae, {"_class_name": "DDIMScheduler"}, {}, {}
    )
    assert _of_configs("model", configs, {}).cross_attention == levels


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_configuration_tells_is_where_layers_are_heard(kind: Kind) -> None:
    stage = stage_of(kind)
    patches = patches_of(stage)
    for level in (1, 2, 4):
        if level in stage.info.cross_attention:
            assert maps_of(stage, patches, level).shape[0] == len(patches.views)
        else:
            with pytest.raises(ModelError):
                maps_of(stage, patches, level)
