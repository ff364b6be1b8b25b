"""HiDiffusion on SDXL's layout: which layers see what size at which step, and that nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from fusionkit import ModelInfo, Plugin, RecipeError, Step
from fusionkit.models.inspect import info_of_pipeline, inspect_model
from fusionkit.models.load import wrap_pipeline
from fusionkit.recipe.made import make_recipe
from fusionkit.runs.plan import RunPlan
from fusionkit.runs.run import execute, prepare
from fusionkit.testing import tiny_controlnet, tiny_pipeline, tiny_plan, tiny_run
from fusionkit_accdiffusion import ControlNet
from fusionkit_hidiffusion import ResolutionAwareUNet, WindowedAttention

# The sizes of what the down blocks answer, and the up blocks, for a view of 16x16 latent pixels and a window of 8x8.
AS_IT_IS = [8, 4, 4, 8, 16, 16]
STRIDED = [8, 2, 2, 8, 16, 16]
POOLED = [8, 2, 2, 4, 16, 16]
# For one of 32x32.
FAR_AS_IT_IS = [16, 8, 8, 16, 32, 32]
FAR_POOLED = [16, 4, 4, 8, 32, 32]
FAR_BOTH = [16, 2, 2, 8, 32, 32]


@lru_cache
def xl() -> Any:
    """A tiny SDXL whose denoiser has SDXL's blocks: three levels, the outermost without attention."""
    pipe = tiny_pipeline("sdxl")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        unet = diffusers.UNet2DConditionModel.from_config(
            {
                **pipe.unet.config,
                "block_out_channels": (8, 16, 16),
                "layers_per_block": 2,
                "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                "transformer_layers_per_block": (1, 1, 2),
                "_use_default_values": [],
            }
        )
    parts = {name: part for name, part in pipe.components.items() if name not in ("unet", "feature_extractor")}
    made = diffusers.StableDiffusionXLPipeline(**{**parts, "image_encoder": None}, unet=unet, add_watermarker=False)
    made.set_progress_bar_config(disable=True)
    return made


def drawn(plugins: Sequence[Plugin], size: tuple[int, int] = (128, 128), **fields: Any) -> Tensor:
    """The latents of one view of a size."""
    given: dict[str, Any] = {"prompt": "a hill", "steps": 2, "scheduler": "ddim", "guidance_scale": 1.0, **fields}
    recipe = make_recipe(**given, size=size, window=size, plugins=list(plugins))
    latents: Tensor = execute(prepare(recipe, info_of_pipeline(xl())), wrap_pipeline(xl()))
    return latents


@contextmanager
def heights() -> Iterator[list[list[int]]]:
    """The heights of what each block answers, pass by pass."""
    unet, found = xl().unet, []  # type: ignore[var-annotated]

    def note(block: Any, args: Any, answer: Any) -> None:
        found[-1].append((answer[0] if isinstance(answer, tuple) else answer).shape[-2])

    handles = [block.register_forward_hook(note) for block in (*unet.down_blocks, *unet.up_blocks)]
    handles.append(unet.register_forward_pre_hook(lambda *_: found.append([])))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def info() -> ModelInfo:
    return info_of_pipeline(xl())


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # Of 13 steps int(8 / 50 * 13) = 2 are strided, and those up to int(0.4 * 13) = 5 pooled.
        ((128, 128), [STRIDED] * 2 + [POOLED] * 3 + [AS_IT_IS] * 8),
        # From four times both sides on, int(0.3 * 13) = 3 are both, and those up to int(0.7 * 13) = 9 pooled.
        ((256, 256), [FAR_BOTH] * 3 + [FAR_POOLED] * 6 + [FAR_AS_IT_IS] * 4),
    ],
)
def test_what_is_strided_and_pooled_at_which_step(size: tuple[int, int], expected: list[list[int]]) -> None:
    with heights() as found:
        drawn([ResolutionAwareUNet()], size, steps=13)
    assert found == expected


def test_four_times_one_side_alone_is_not_far() -> None:
    with heights() as found:
        drawn([ResolutionAwareUNet()], (256, 128), steps=13)
    assert found == [STRIDED] * 2 + [POOLED] * 3 + [AS_IT_IS] * 8


def test_the_steps_are_those_of_the_published_code() -> None:
    plugin, sdxl = ResolutionAwareUNet(), info()
    for total in range(1, 101):
        near, far = (
            [plugin.acts(sdxl, Step(index, total, torch.tensor(0)), each) for index in range(total)]
            for each in (False, True)
        )
        a, b = int(8 / 50 * total), int(0.4 * total)
        assert near == [(True, False)] * a + [(False, True)] * (b - a) + [(False, False)] * (total - b)
        both, pooled = total * 3 // 10, total * 7 // 10
        assert far == [(True, True)] * both + [(False, True)] * (pooled - both) + [(False, False)] * (total - pooled)


def test_a_level_of_one_layer_is_enlarged_after_it() -> None:
    folder = Path(__file__).parents[1] / "golden" / "checkpoints" / "tiny-sdxl"
    one = inspect_model(str(folder))
    put = ResolutionAwareUNet(strided=0, pooled=1).put(one, Step(0, 5, torch.tensor(0)), (64, 64))
    assert {name for name in put if "attentions" in name} == {"down_blocks.1.attentions.0", "up_blocks.1.attentions.0"}
    two = ResolutionAwareUNet(strided=0, pooled=1).put(info(), Step(0, 5, torch.tensor(0)), (16, 16))
    assert {name for name in two if "attentions" in name} == {"down_blocks.1.attentions.0", "up_blocks.1.attentions.1"}


def test_shares_of_ones_own() -> None:
    with heights() as found:
        drawn([ResolutionAwareUNet(strided=0, pooled=0.5)], steps=4)
        drawn([ResolutionAwareUNet(strided=0.5, pooled=0)], steps=4)
    assert found == [POOLED] * 2 + [AS_IT_IS] * 2 + [STRIDED] * 2 + [AS_IT_IS] * 2


def attended(plugins: Sequence[Plugin], monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of each of the denoiser's self-attentions, in order: how many sequences there are, and of how many tokens."""
    seen: list[tuple[int, int]] = []
    original = F.scaled_dot_product_attention

    def watch(query: Tensor, key: Tensor, *rest: Any, **named: Any) -> Tensor:
        if query.shape == key.shape and query.shape[2] != 16:  # as many tokens as a prompt has
            seen.append((query.shape[0], query.shape[2]))
        return original(query, key, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(F, "scaled_dot_product_attention", watch)
        drawn(plugins, (192, 192), steps=1)
    return seen


def test_the_second_level_alone_attends_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, windowed = (attended(plugins, monkeypatch) for plugins in ([], [WindowedAttention()]))
    # 24x24 latent pixels: 12x12 features at the second level, twice on the way in and three times on the way out.
    inner = [(1, 36)] * (2 * 2 + 2 + 3 * 2)
    assert plain == [(1, 144)] * 2 + inner + [(1, 144)] * 3
    assert windowed == [(4, 36)] * 2 + inner + [(4, 36)] * 3


def test_each_layer_and_step_draws_its_own_shift() -> None:
    plugin, plan = WindowedAttention(), tiny_plan(steps=20)
    stage = plan.stages[0]
    drawn_shifts = [plugin.shifts(stage, at, "model", 5) for at in stage.steps]
    assert {shift for each in drawn_shifts for shift in each} == {0, 1, 2, 3}
    assert len({tuple(each) for each in drawn_shifts}) > 15
    assert plugin.shifts(stage, stage.steps[3], "model", 5) == drawn_shifts[3]


BOTH = (ResolutionAwareUNet(strided=0.5, pooled=1), WindowedAttention())


@pytest.mark.parametrize("size", [(136, 120), (72, 200), (264, 264), (104, 88)])
def test_odd_sides_fit(size: tuple[int, int]) -> None:
    latents = drawn(BOTH, size)
    assert latents.shape == (1, 4, size[1] // 8, size[0] // 8)
    assert latents.isfinite().all()
    for plugin in BOTH:
        assert not drawn([plugin], size).equal(drawn([], size))


def test_nothing_is_left_behind() -> None:
    before = drawn([])
    layers = {name: set(vars(layer)) for name, layer in xl().unet.named_modules()}
    with heights() as found:
        assert not drawn(BOTH).equal(before)
        assert drawn([]).equal(before)
        # Broken off in the middle of a pass, too.
        with pytest.raises(RuntimeError, match="broken"), broken():
            drawn(BOTH)
        assert drawn([]).equal(before)
    assert found[-1] == AS_IT_IS
    assert {name: set(vars(layer)) for name, layer in xl().unet.named_modules()} == layers


@contextmanager
def broken() -> Iterator[None]:
    """The middle block fails."""

    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    handle = xl().unet.mid_block.register_forward_pre_hook(fail)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("plugin", BOTH)
def test_views_of_the_models_size_stay_as_they_are(plugin: Plugin) -> None:
    assert drawn([plugin], (64, 64)).equal(drawn([], (64, 64)))


def test_the_result_does_not_depend_on_the_batch_size() -> None:
    fields: dict[str, Any] = {"size": (256, 128), "window": (128, 128), "steps": 2}
    one, many = (tiny_run(BOTH, "sdxl", **fields, batch_size=size) for size in (1, 4))
    assert torch.allclose(one, many, atol=1e-5)


@pytest.mark.parametrize("plugin", BOTH)
def test_a_transformer_is_one_line_before_it_loads(plugin: Plugin) -> None:
    plan = tiny_plan([plugin])
    with pytest.raises(RecipeError) as caught:
        prepare(plan.recipe, replace(info(), name="flux", convolutions=()))
    line = f"{plugin.plugin_name}: it changes layers of a UNet, and flux is a transformer; leave it out"
    assert caught.value.problems == [line]


def test_a_controlnet_is_refused_before_anything_loads_where_both_would_act(tmp_path: Path) -> None:
    tiny_controlnet("sd").save_pretrained(tmp_path / "net")
    Image.new("RGB", (128, 128)).save(tmp_path / "a.png")

    def plan(window: tuple[int, int] | None, **options: Any) -> RunPlan:
        fields: Any = {"model": str(tmp_path / "net"), "annotator": "none", "from_": tmp_path / "a.png", **options}
        plugins = [ResolutionAwareUNet(strided=0.5), ControlNet(**fields)]
        return tiny_plan(plugins, size=(128, 128), steps=4, window=window)

    with pytest.raises(RecipeError) as raised:
        plan((128, 128))
    assert raised.value.problems == [
        "resolution-aware-unet: 'controlnet' can't steer what it draws: a ControlNet adds features of the sizes that "
        "it changes; leave out one of the two"
    ]
    # Views of the model's own size stay as they are; and after half of the steps all do.
    assert plan(None).forward_passes > 0
    assert plan((128, 128), start=0.5).forward_passes == 8
    assert plan((128, 128), scale=0.0).forward_passes == 8
