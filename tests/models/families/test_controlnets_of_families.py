"""ControlNets on transformers: as diffusers' own pipelines, and each view its own part of a hint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from controls import STEERINGS, Steered, Steering, hint, net_for
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from on_families import NEGATIVE, PROMPT, apart, model_of, run, stage_on
from PIL import Image
from tiny_parts import Case

from fusionkit import ModelError
from fusionkit.loop.stage import Control, Patches, Stage
from fusionkit.loop.views import View
from fusionkit.models.controlnet import inspect_controlnet, load_controlnet
from fusionkit.models.inspect import inspect_model
from fusionkit.models.silence import quiet_diffusers

SDXL = Path(__file__).parents[2] / "golden" / "checkpoints" / "tiny-sdxl"


def steerings(case: Case) -> list[Steering]:
    if case.kind not in STEERINGS:
        pytest.skip("diffusers has no ControlNet for the family")
    return STEERINGS[case.kind]


def picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray((pixels[0].permute(1, 2, 0) * 255).byte().numpy())


@pytest.mark.parametrize("scale", [4.0, 1.0], ids=str)
def test_one_window_is_drawn_as_by_the_pipeline_with_a_controlnet(
    family: Case, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those pipelines draw a sample of the hint's latents, where fusionkit takes their mean.
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    size = (160, 96)
    model, shown = model_of(family, size), hint(*size)
    plain = run(stage_on(model, steps=3, guidance_scale=scale))
    for steering in steerings(family):
        net, pipe = net_for(family, steering), family.make()
        stage = stage_on(model, steps=3, guidance_scale=scale)
        ours = run(stage, Steered(controls=((net, shown, 0.7),)))

        with quiet_diffusers(), torch.no_grad():
            steered = steering.pipeline(**{**pipe.components, "controlnet": net})
            steered.set_progress_bar_config(disable=True)
            call = {"num_inference_steps": 3, "output_type": "latent", "width": size[0], "height": size[1]}
            call |= {"control_image": picture(shown), "controlnet_conditioning_scale": 0.7}
            theirs = family.drawn(steered, stage.noise("init"), PROMPT, NEGATIVE, scale, **call)

        assert apart(ours, theirs) <= 1e-4
        assert apart(ours, plain) > 1e-2, "it steers"


def predicted(stage: Stage, views: tuple[View, ...], *controls: Control) -> torch.Tensor:
    noise = stage.noise("views", (1, stage.shape[1], views[0].height, views[0].width))
    latents = noise.repeat(len(views), 1, 1, 1)
    patches = Patches(views, latents=latents, prompts=[PROMPT] * len(views), controls=controls)
    return stage.model.predict(stage, stage.steps[0], patches)  # type: ignore[union-attr]


def test_each_view_is_shown_its_own_part_encoded_once(family: Case) -> None:
    model = model_of(family, (64, 64))
    net, shown = net_for(family, steerings(family)[0]), hint(192, 64)
    side = 8
    views = (View(0, 0, side, side), View(0, 9, side, side), View(0, 16, side, side))
    dilated = (View(0, 1, side // 2, side, 2),)
    seen, encoded = [], []
    listeners = [
        net.register_forward_pre_hook(lambda _, args, told: seen.append((args, told)), with_kwargs=True),
        model.pipe.vae.encoder.register_forward_hook(lambda *_: encoded.append(1)),
    ]
    control = Control(net, shown, 1.0)
    try:
        answers = {}
        for batch in (1, 2, 4):
            stage = stage_on(model, size=(192, 64), batch_size=batch)
            answers[batch] = predicted(stage, views, control)
        wide = predicted(stage_on(model, size=(192, 64)), dilated, control)
    finally:
        for each in listeners:
            each.remove()

    assert len(encoded) == 1
    assert wide.isfinite().all()
    assert apart(answers[1], answers[2]) <= 1e-4
    assert apart(answers[1], answers[4]) <= 1e-4
    assert apart(answers[1][0], answers[1][1]) > 1e-3, "one latents, three parts of the hint"
    whole = model.family.hint(model.pipe, net, model.encode_pixels(2 * shown - 1))
    for number, view in enumerate(views):
        part = whole[..., view.left : view.left + side]
        assert apart(hint_in(*seen[number], model), part) <= 1e-6
    assert apart(hint_in(*seen[-1], model), whole[..., 0:side:2, 1 : 1 + 2 * side : 2]) <= 1e-6


def hint_in(args: Any, told: Any, model: Any) -> torch.Tensor:
    """The first row's part of a hint, as a ControlNet was shown it, unpacked."""
    if len(args) > 3:  # a list of latents, the time, captions, and hints with more channels
        return args[3][:1, : model.info.channels, 0]
    shown = told["controlnet_cond"][:1]
    tall = 4 if shown.shape[1] == 8 else 8
    return model.family.unpacked(shown, (tall, 8)) if shown.ndim == 3 else shown


def test_controls_add_up(family: Case) -> None:
    model = model_of(family, (64, 64))
    stage = stage_on(model)
    net, shown, view = net_for(family, steerings(family)[-1]), hint(64, 64), (View(0, 0, 8, 8),)
    one, other = Control(net, shown, 0.4), Control(net, hint(64, 64, seed=1), 0.6)
    both = predicted(stage, view, one, other)
    assert apart(both, predicted(stage, view, other, one)) <= 1e-4
    assert all(apart(both, predicted(stage, view, each)) > 1e-3 for each in (one, other))
    if family.kind != "z-image":  # whose answer is no multiple of the scale
        once, twice = Control(net, shown, 1.0), Control(net, shown, 0.6)
        assert apart(predicted(stage, view, once), predicted(stage, view, one, twice)) <= 1e-4
    assert predicted(stage, view, Control(net, shown, 0.0)).equal(predicted(stage, view))


def test_a_folder_is_known_before_it_loads_and_refused_where_it_does_not_fit(family: Case, tmp_path: Path) -> None:
    steering = steerings(family)[0]
    net, folder = steering.make(family.make().transformer), tmp_path / "net"
    net.save_pretrained(folder)

    info = inspect_controlnet(str(folder))

    own = model_of(family).info
    assert (info.kind, info.class_name) == (family.kind, type(net).__name__)
    assert info.misfit(own) == ""
    loaded = load_controlnet(info, torch.device("cpu"), torch.float32).state_dict()
    assert all(loaded[name].equal(weights) for name, weights in net.state_dict().items())
    title = model_of(family).family.title
    assert info.misfit(inspect_model(str(SDXL))) == (
        f"controlnet '{folder}' does not fit model '{SDXL}': it is made for {title}, and the model is a "
        f"Stable Diffusion XL"
    )
    heads = {"num_attention_heads": 8} if "num_attention_heads" in net.config else {"dim": 128}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **heads}))
    width = 128 if "dim" in heads else 8 * config["attention_head_dim"]
    assert f"it adds to tokens of {width} numbers, not 32" in inspect_controlnet(str(folder)).misfit(own)


@pytest.mark.parametrize(
    ("net", "changes", "line"),
    [
        ("FluxControlNetModel", {"num_mode": 10}, "is a union of several, chosen by a number"),
        ("FluxControlNetModel", {"conditioning_embedding_channels": 16}, "takes a hint in pixels"),
        ("SD3ControlNetModel", {"extra_conditioning_channels": 1}, "takes more than a prompt and a hint"),
        ("QwenImageControlNetModel", {"extra_condition_channels": 4}, "takes more than a prompt and a hint"),
        ("SanaControlNetModel", {}, "is a SanaControlNetModel; fusionkit uses diffusers' ControlNetModel, "),
    ],
)
def test_kinds_that_can_not_be_used_are_told(net: str, changes: dict[str, Any], line: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": net, **changes}))
    with pytest.raises(ModelError, match=line) as error:
        inspect_controlnet(str(tmp_path))
    assert len(str(error.value).splitlines()) == 1
