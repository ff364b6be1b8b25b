"""What a ControlNet adds: each view by its own crop of the hint, whatever the batch, as in diffusers' own pipelines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from arrays import load
from replay import apart
from rounding import rounding
from tiny_controlnets import random_hint, tiny_controlnet
from tiny_models import CHECKPOINTS, drawn, plain, run, stage_on
from torch import Tensor
from torch.nn.functional import interpolate

from fusionkit import Patches, Plugin, Stage, View, hookimpl
from fusionkit.errors import ModelError, PluginError
from fusionkit.loop.canvas import crop_pixels, gather
from fusionkit.loop.stage import Control
from fusionkit.loop.views import windows
from fusionkit.models.adapters.stable_diffusion_xl import StableDiffusionXL
from fusionkit.models.controlnet import ControlNetInfo, inspect_controlnet
from fusionkit.models.inspect import info_of_pipeline, inspect_model
from fusionkit.models.load import wrap_pipeline
from fusionkit.models.silence import quiet_diffusers

GOLDEN = CHECKPOINTS.parent / "data" / "accdiffusion_v2" / "full_2x_ddim.npz"
TINY = str(CHECKPOINTS / "tiny-controlnet")


def predicted(stage: Stage, views: tuple[View, ...], *controls: Control) -> Tensor:
    """The guided prediction of some views of the stage's first canvas."""
    latents = gather(stage.noise("init"), views)
    prompts = [f"a cat, {number}" for number in range(len(views))]
    return stage.model.predict(
        stage, stage.steps[0], Patches(views, latents=latents, prompts=prompts, controls=controls)
    )


def wide_stage(kind: str, **fields: Any) -> Stage:
    """A canvas of two windows and a bit side by side."""
    model = wrap_pipeline(plain(kind))
    width, height = model.info.window
    # Guidance multiplies rounding errors, and is kept small.
    return stage_on(model, size=(width * 2 + 16, height + 24), **{"guidance_scale": 2.0, **fields})


def views_of(stage: Stage) -> tuple[View, ...]:
    return windows(stage.canvas, stage.window, (stage.window[0] // 2, stage.window[1] // 2))


class Steer(Plugin):
    """Adds one control to every prediction."""

    control: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Any:
        patches.controls = (*patches.controls, self.control)
        return (yield)


def test_a_crop_is_the_views_own_part_and_zeros_outside() -> None:
    picture = torch.arange(3 * 32 * 48.0).reshape(1, 3, 32, 48) + 1
    inside, over = View(1, 2, 2, 2), View(-1, 5, 2, 2)
    crops = crop_pixels(picture, (inside, over), 8)
    assert crops.shape == (2, 3, 16, 16)
    assert crops[0].equal(picture[0, :, 8:24, 16:32])
    assert crops[1, :, 8:, :8].equal(picture[0, :, :8, 40:])
    assert crops[1, :, :8].abs().max() == 0
    assert crops[1, :, :, 8:].abs().max() == 0


def test_a_dilated_view_takes_the_block_of_each_of_its_samples() -> None:
    picture = torch.arange(3 * 32 * 32.0).reshape(1, 3, 32, 32)
    (crop,) = crop_pixels(picture, (View(1, 0, 2, 2, dilation=2),), 8)
    rows = torch.cat([picture[0, :, 8:16], picture[0, :, 24:32]], 1)
    assert crop.equal(torch.cat([rows[..., :8], rows[..., 16:24]], -1))


def test_each_view_sees_its_own_crop_alone(kind: str) -> None:
    stage = wide_stage(kind)
    views, hint = views_of(stage), random_hint(stage.plan.size)
    net = tiny_controlnet(kind)
    before = predicted(stage, views, Control(net, hint, 0.7))
    side = 3 * stage.factor
    moved = hint.clone()
    moved[..., :side, :side] = 1 - moved[..., :side, :side]
    after = predicted(stage, views, Control(net, moved, 0.7))
    change = (after - before).abs().amax((1, 2, 3))
    sees = torch.tensor([view.top < 3 and view.left < 3 for view in views])
    assert 0 < sees.sum() < len(views)
    assert (change[~sees] < rounding(before)).all()
    assert (change[sees] > 1e-3).all()


def test_the_batch_size_changes_nothing(kind: str) -> None:
    results = []
    for size in (1, 4, 64):
        stage = wide_stage(kind, batch_size=size)
        hint = random_hint(stage.plan.size)
        results.append(predicted(stage, views_of(stage), Control(tiny_controlnet(kind), hint, 0.7)))
    assert all((results[0] - other).abs().max() < rounding(results[0]) for other in results[1:])


def test_without_guidance_the_conditional_half_runs_alone(kind: str) -> None:
    stage = wide_stage(kind, guidance_scale=1.0)
    hint = random_hint(stage.plan.size)
    control = Control(tiny_controlnet(kind), hint, 0.7)
    views = views_of(stage)
    alone = predicted(stage, views, control)
    latents, prompts = gather(stage.noise("init"), views), [f"a cat, {number}" for number in range(len(views))]
    patches = Patches(views, latents=latents, prompts=prompts, controls=(control,))
    pair = stage.model.predict_pair(stage, stage.steps[0], patches)
    assert (alone - pair[0]).abs().max() < rounding(alone)
    assert (pair[0] - pair[1]).abs().max() > 1e-3


def test_scale_0_is_no_control_and_runs_no_net(kind: str) -> None:
    stage = wide_stage(kind)
    views, hint = views_of(stage)[:2], random_hint(stage.plan.size)
    assert predicted(stage, views, Control(None, hint, 0.0)).equal(predicted(stage, views))


def test_controls_add_up(kind: str) -> None:
    stage = wide_stage(kind)
    views, hint = views_of(stage)[:3], random_hint(stage.plan.size)
    one, other = tiny_controlnet(kind), tiny_controlnet(kind, seed=1)
    twice = predicted(stage, views, Control(one, hint, 0.4), Control(one, hint, 0.3))
    assert (twice - predicted(stage, views, Control(one, hint, 0.7))).abs().max() < rounding(twice)
    both = predicted(stage, views, Control(one, hint, 0.4), Control(other, hint, 0.3))
    swapped = predicted(stage, views, Control(other, hint, 0.3), Control(one, hint, 0.4))
    assert (both - swapped).abs().max() < rounding(both)
    assert (both - twice).abs().max() > 1e-3


def test_a_hint_of_another_size_is_refused(kind: str) -> None:
    stage = wide_stage(kind)
    hint = random_hint(stage.info.window)
    with pytest.raises(PluginError, match="hint has shape"):
        predicted(stage, views_of(stage)[:1], Control(tiny_controlnet(kind), hint, 0.7))


def test_on_one_window_it_draws_what_diffusers_draws(kind: str) -> None:
    import diffusers

    pipe, net = plain(kind), tiny_controlnet(kind)
    model = wrap_pipeline(pipe)
    stage = stage_on(model, negative_prompt="a dog")
    hint = random_hint(stage.plan.size)
    latents = run(stage, Steer(control=Control(net, hint, 0.6)))
    name = "StableDiffusionXLControlNetPipeline" if kind == "sdxl" else "StableDiffusionControlNetPipeline"
    with quiet_diffusers():
        steered = getattr(diffusers, name).from_pipe(pipe, controlnet=net)
    steered.set_progress_bar_config(disable=True)
    theirs = drawn(steered, stage, image=hint, controlnet_conditioning_scale=0.6, negative_prompt="a dog")
    assert (latents - theirs).abs().max() < 1e-4
    assert (latents - run(stage_on(model, negative_prompt="a dog"))).abs().max() > 1e-2


class Padded(StableDiffusionXL):
    """Tells the denoiser positions as the reference does, counted from the corner of its padding of 4 latent pixels."""

    def conditions(self, stage: Stage, views: Any, embeddings: Any, scale: float) -> dict[str, Any]:
        moved = [view._replace(top=view.top + 4, left=view.left + 4) for view in views]
        return super().conditions(stage, moved, embeddings, scale)


def test_one_pass_is_as_in_the_reference() -> None:
    recorded = load(GOLDEN)
    params = json.loads(str(recorded.pop("params")))
    arrays = {name: torch.from_numpy(array) for name, array in recorded.items()}
    pipe = plain("sdxl")
    model = Padded(pipe, info_of_pipeline(pipe))
    negative = params["call"]["negative_prompt"]
    stage = stage_on(model, "ddim", size=(512, 512), steps=5, negative_prompt=negative, batch_size=16)
    views = tuple(View(top - 4, left - 4, 32, 32) for top, _, left, _ in arrays["stage2_views"][0, [0, 4, 8]].tolist())
    hint = interpolate(arrays["canny_1"][None, None] / 255, (512, 512), mode="bicubic").expand(1, 3, -1, -1)
    control = Control(model.controlnet(inspect_controlnet(TINY)), hint, params["call"]["controlnet_conditioning_scale"])
    # Its rows are, for each view, the unconditional and the conditional one.
    given, answered = arrays["unet_s2_i0_c0_in"], arrays["unet_s2_i0_c0_out"]
    patches = Patches(views, latents=given[::2], prompts=params["md_prompts"]["2"][::4], controls=(control,))
    assert int(stage.steps[0].timestep) == int(arrays["timesteps"][0])
    cond, uncond = model.predict_pair(stage, stage.steps[0], patches)
    assert apart(cond, answered[1::2]) < rounding(cond)
    assert apart(uncond, answered[::2]) < rounding(uncond)


def test_a_net_loads_once_in_the_models_type() -> None:
    model = wrap_pipeline(plain("sdxl").to(torch.bfloat16))
    with torch.inference_mode():
        net = model.controlnet(inspect_controlnet(TINY))
    assert not any(weights.is_inference() for weights in net.parameters())
    assert net is model.controlnet(inspect_controlnet(TINY))
    assert net.dtype == torch.bfloat16
    assert not net.training
    assert not any(weights.requires_grad for weights in net.parameters())
    stage = stage_on(model, guidance_scale=2.0)
    steered = predicted(stage, views_of(stage), Control(net, random_hint(stage.plan.size), 0.7))
    assert steered.dtype == torch.float32
    assert (steered - predicted(stage, views_of(stage))).abs().max() > 1e-2


def test_its_time_counts_as_the_models() -> None:
    class Slow:
        dtype = torch.float32

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            import time

            time.sleep(0.2)
            return tiny_controlnet("sd")(*args, **kwargs)

    stage = wide_stage("sd")
    predicted(stage, views_of(stage)[:1], Control(Slow(), random_hint(stage.plan.size), 0.7))
    assert stage.model.forward_seconds >= 0.2


def test_what_a_configuration_tells() -> None:
    info = inspect_controlnet(TINY)
    assert info == ControlNetInfo(TINY, Path(TINY), "sdxl", 4, 64, (16, 32, 32), 8, parameters=247412)
    model = inspect_model(str(CHECKPOINTS / "tiny-sdxl"))
    assert (model.cross_attention_dim, model.block_out_channels) == (64, (16, 32, 32))
    assert info.misfit(model) == ""


def test_a_net_of_another_family_is_told(tmp_path: Path) -> None:
    model = inspect_model(str(CHECKPOINTS / "tiny-sd"))
    assert inspect_controlnet(TINY).misfit(model) == (
        f"controlnet '{TINY}' does not fit model '{model.name}': "
        "it is made for Stable Diffusion XL, and the model is a Stable Diffusion 1 or 2"
    )
    tiny_controlnet("sd").save_pretrained(tmp_path)
    fitting = inspect_controlnet(str(tmp_path))
    assert fitting.misfit(model) == ""
    begin = f"controlnet '{tmp_path}' does not fit model '{model.name}': its "
    for name, value, line in (
        ("channels", 9, "latent channels are 9, not 4"),
        ("cross_attention_dim", 1024, "cross_attention_dim is 1024, not 32"),
        ("block_out_channels", (320, 640), "block_out_channels are 320/640, not 16/32/32"),
        ("factor", 4, "hint takes 4x4 pixels for a latent pixel, not 8x8"),
    ):
        assert replace(fitting, **{name: value}).misfit(model) == begin + line  # type: ignore[arg-type]


def broken(folder: Path, **config: Any) -> Path:
    """A folder of a ControlNet whose configuration is changed."""
    folder.mkdir()
    known = json.loads((Path(TINY) / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**known, **config}))
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    return folder


def test_what_is_no_controlnet_is_told(tmp_path: Path) -> None:
    def line(source: object) -> str:
        with pytest.raises(ModelError) as error:
            inspect_controlnet(str(source))
        return str(error.value).replace(str(tmp_path), "")

    empty, pickled, damaged = tmp_path / "empty", tmp_path / "pickled", tmp_path / "damaged"
    for folder in (empty, pickled, damaged):
        folder.mkdir()
    (damaged / "config.json").write_text("{")
    (pickled / "config.json").write_text((Path(TINY) / "config.json").read_text())
    weightless = line(pickled)
    (pickled / "diffusion_pytorch_model.bin").write_bytes(b"")
    single = tmp_path / "net.safetensors"
    single.write_bytes(b"")
    assert weightless == "controlnet '/pickled' has no .safetensors weights"
    assert line(pickled).startswith("controlnet '/pickled' has pickle-only weights, which can run any code")
    assert line(empty) == "controlnet '/empty' is no diffusers folder: it has no config.json"
    assert line(damaged).startswith("controlnet '/damaged': config.json can't be read: ")
    assert line(single).startswith("controlnet '/net.safetensors' is a single file; ")
    assert line(tmp_path / "none.safetensors").startswith("controlnet '/none.safetensors' does not exist; ")
    assert line(tmp_path / "net.bin").startswith("controlnet '/net.bin' has pickle-only weights")
    assert line("no-such-net") == "controlnet 'no-such-net': no such folder, and no hub id such as 'owner/name'"
    assert line("tiny-world/canny") == (
        "controlnet 'tiny-world/canny' is not in the local cache and the hub can't be reached; "
        "there is no such folder either"
    )
    other = broken(tmp_path / "union", _class_name="ControlNetUnionModel")
    told = "controlnet '/union' is a ControlNetUnionModel; fusionkit uses diffusers' ControlNetModel, "
    assert line(other).startswith(told)
    whole = broken(tmp_path / "shuffle", global_pool_conditions=True)
    assert line(whole).startswith("controlnet '/shuffle' looks at the whole hint at once")
    assert line(broken(tmp_path / "grey", conditioning_channels=1)).startswith("controlnet '/grey' takes hints of 1 ch")


def test_weights_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^controlnet '.*net': diffusion_pytorch_model.safetensors is no whole "):
        inspect_controlnet(str(broken(tmp_path / "net")))
