"""The plugin `controlnet`: whose hint, at which steps, for which groups, and every bad input's line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from fusionkit import Patches, Plugin, RecipeError, Stage, StagePlan, Step, hookimpl
from fusionkit.recipe.problems import problems_of
from fusionkit.testing import execute_tiny, tiny_controlnet, tiny_model, tiny_pipeline, tiny_plan
from fusionkit.testing.tiny import KINDS, Kind, controlnet_for
from fusionkit_accdiffusion import ControlNet, DilatedSampling, ProgressiveUpscaling
from fusionkit_accdiffusion.annotators import ANNOTATORS

SMALL, LARGE = (64, 64), (128, 128)


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of tiny ControlNets: one a kind of model, and ones that fit none."""
    folder = tmp_path_factory.mktemp("nets")
    for kind in KINDS:
        tiny_controlnet(kind).save_pretrained(folder / kind)
    config = dict(tiny_pipeline("sd").unet.config)
    other = type(tiny_pipeline("sd").unet).from_config({**config, "cross_attention_dim": 24})
    controlnet_for(other).save_pretrained(folder / "other")
    (folder / "empty").mkdir()
    return {path.name: str(path) for path in folder.iterdir()}


class Two(Plugin):
    """Two stages, of one window and of the recipe's size; the second begins anew."""

    @hookimpl
    def plan_stages(self) -> list[StagePlan]:
        return [StagePlan(SMALL), StagePlan(LARGE)]


class Watch(Plugin):
    """Keeps the controls of every prediction."""

    seen: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Any:
        self.seen.append((stage.index, at.index, patches.kind, patches.controls))
        return (yield)


def seen_of(plugins: Sequence[Plugin], kind: Kind = "sd", **fields: Any) -> tuple[list[Any], Tensor, Any]:
    """The controls of every prediction of a run of two stages, its latents, and its plan."""
    seen: list[Any] = []
    # Of two wrappers, the first in the recipe is the inner one: it sees what the others have added.
    plan = tiny_plan([Watch(seen=seen), Two(), *plugins], kind, **{"size": LARGE, **fields})
    latents = execute_tiny(plan, kind)
    return seen, latents, plan


def striped(path: Path, size: tuple[int, int]) -> Path:
    """A picture with two stripes, dark and bright, one above the other."""
    pixels = np.full((size[1], size[0], 3), 60, np.uint8)
    pixels[size[1] // 2 :] = 180
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_the_hint_is_the_previous_stages_picture_annotated_and_enlarged(kind: Kind, nets: dict[str, str]) -> None:
    from fusionkit_accdiffusion.annotators import canny

    seen, latents, plan = seen_of([ControlNet(model=nets[kind], scale=0.7)], kind)
    assert [(stage, step, len(controls)) for stage, step, _, controls in seen] == [
        *((0, step, 0) for step in range(3)),
        *((1, step, 1) for step in range(3)),
    ]
    (control,) = seen[3][3]
    assert control.scale == 0.7
    edges = canny(tiny_model(kind).decode(plan.stages[1].previous), 0.3)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(edges)[None, None] / 255.0, (128, 128), mode="bicubic"
    ).clamp(0, 1)
    assert edges.any()
    assert control.hint.equal(expected.expand(1, 3, -1, -1))
    assert all(controls[0].hint is control.hint for *_, controls in seen[3:])
    _, without, _ = seen_of([], kind)
    assert (latents - without).abs().max() > 1e-3


def test_nothing_is_kept_after_a_stage_and_no_patches_keep_a_control(nets: dict[str, str]) -> None:
    kept: list[Any] = []

    class Outer(Plugin):
        """Looks at the groups when all is done."""

        @hookimpl(wrapper=True)
        def noise_prediction(self, patches: Patches) -> Any:
            answer = yield
            kept.append(patches.controls)
            return answer

    _, _, plan = seen_of([ControlNet(model=nets["sd"]), Outer()])
    assert kept == [()] * 6
    assert [stage.cache for stage in plan.stages] == [{}, {}]


def test_the_hint_of_a_file_steers_every_stage(nets: dict[str, str], tmp_path: Path) -> None:
    path = striped(tmp_path / "stripes.png", (256, 256))
    seen, _, _ = seen_of([ControlNet(model=nets["sd"], from_=path)])
    for stage, _, _, (control,) in seen:
        side = (SMALL, LARGE)[stage][0]
        rows = control.hint[0, 0].amax(1).nonzero()[:, 0].tolist()
        assert control.hint.shape == (1, 3, side, side)
        assert rows
        assert all(abs(row - side / 2) <= 1 for row in rows), "edges lie between the stripes"


def test_annotator_none_shows_the_picture_itself(nets: dict[str, str], tmp_path: Path) -> None:
    path = striped(tmp_path / "stripes.png", LARGE)
    seen, _, _ = seen_of([ControlNet(model=nets["sd"], from_=path, annotator="none")])
    hint = seen[-1][3][0].hint
    assert hint[0, :, 0, 0].tolist() == pytest.approx([60 / 255] * 3)
    assert hint[0, :, -1, 0].tolist() == pytest.approx([180 / 255] * 3)


def test_start_and_end_are_as_in_diffusers(nets: dict[str, str]) -> None:
    def steps(**options: Any) -> list[int]:
        plugin = ControlNet(model=nets["sd"], annotator="none", **options)
        seen, _, _ = seen_of([plugin], steps=4, size=LARGE)
        return [step for stage, step, _, controls in seen if stage == 1 and controls]

    assert steps() == [0, 1, 2, 3]
    assert steps(start=0.5) == [2, 3]
    assert steps(start=0.3, end=0.9) == [2]
    assert steps(end=0.25) == [0]
    assert steps(scale=0) == []


def test_only_windows_are_steered(nets: dict[str, str]) -> None:
    seen, _, _ = seen_of([DilatedSampling(), ControlNet(model=nets["sd"])])
    kinds = {(kind, len(controls)) for stage, _, kind, controls in seen if stage == 1}
    assert kinds == {("window", 1), ("dilated", 0)}


def test_two_of_them_both_act(nets: dict[str, str], tmp_path: Path) -> None:
    path = striped(tmp_path / "stripes.png", LARGE)
    plugins = [
        ControlNet(model=nets["sd"], scale=0.4),
        ControlNet(model=nets["sd"], scale=0.3, from_=path, annotator="none"),
    ]
    seen, latents, _ = seen_of(plugins)
    second = seen[-1][3]
    assert sorted(control.scale for control in second) == [0.3, 0.4]
    by_scale = {control.scale: control for control in second}
    assert by_scale[0.3].hint.amin() > 0.2
    assert by_scale[0.4].hint.amin() == 0
    assert by_scale[0.3].net is by_scale[0.4].net, "one net is loaded once"
    for plugin in plugins:
        _, one, _ = seen_of([plugin])
        assert (latents - one).abs().max() > 1e-3


def test_a_test_can_feed_a_net_and_a_hint() -> None:
    given = torch.rand(1, 3, *LARGE, generator=torch.Generator().manual_seed(0))

    class Fed(ControlNet):
        """Fed by its test."""

        @hookimpl
        def check(self) -> list[str]:
            return []

        def net(self, stage: Stage) -> Any:
            return tiny_controlnet()

        def hint(self, stage: Stage) -> Tensor:
            return given

    seen, _, _ = seen_of([Fed(model="none")])
    (control,) = seen[-1][3]
    assert control.net is tiny_controlnet()
    assert control.hint is given


def test_upscaling_from_a_picture_steers_from_the_first_stage(nets: dict[str, str], tmp_path: Path) -> None:
    path = striped(tmp_path / "stripes.png", (96, 96))
    seen: list[Any] = []
    plugins = [Watch(seen=seen), ProgressiveUpscaling(from_=path), ControlNet(model=nets["sd"])]
    plan = tiny_plan(plugins, size=LARGE)
    execute_tiny(plan)
    assert {stage for stage, *_ in seen} == {0}
    assert all(len(controls) == 1 for *_, controls in seen)


def lines(plugin: Plugin, kind: Kind = "sd", plugins: Sequence[Plugin] = (Two(),), **fields: Any) -> list[str]:
    with pytest.raises(RecipeError) as error:
        tiny_plan([*plugins, plugin], kind, **{"size": LARGE, **fields})
    return error.value.problems


def test_a_controlnet_of_the_wrong_family(nets: dict[str, str]) -> None:
    assert lines(ControlNet(model=nets["sd"]), "sdxl") == [
        f"controlnet: controlnet '{nets['sd']}' does not fit model 'StableDiffusionXLPipeline': it is made for Stable "
        "Diffusion 1 or 2, and the model is a Stable Diffusion XL"
    ]
    assert lines(ControlNet(model=nets["other"])) == [
        f"controlnet: controlnet '{nets['other']}' does not fit model 'StableDiffusionPipeline': its "
        "cross_attention_dim is 24, not 16"
    ]


def test_every_model_of_a_recipe_is_steered_and_must_fit(nets: dict[str, str]) -> None:
    (stage,) = tiny_plan(size=LARGE).stages
    stage.infos = {"scene": stage.info, "expert": replace(stage.info, name="other", cross_attention_dim=24)}
    assert [line for line in ControlNet(model=nets["sd"]).check(stage) if "fit" in line] == [
        f"controlnet: controlnet '{nets['sd']}' does not fit model 'other': its cross_attention_dim is 16, not 24"
    ]


def test_a_controlnet_that_is_not_there(nets: dict[str, str]) -> None:
    assert lines(ControlNet(model=nets["empty"])) == [
        f"controlnet: controlnet '{nets['empty']}' is no diffusers folder: it has no config.json"
    ]
    assert lines(ControlNet(model="no/where/to/be/found")) == [
        "controlnet: controlnet 'no/where/to/be/found': no such folder, and no hub id such as 'owner/name'"
    ]


def test_an_unknown_annotator() -> None:
    with pytest.raises(ValidationError) as error:
        ControlNet(model="m", annotator="cany")
    assert problems_of(error.value, ControlNet, "controlnet") == [
        f"'annotator' of controlnet must be one of {', '.join(ANNOTATORS)}, not 'cany'; did you mean 'canny'?"
    ]


def test_editors_and_the_docs_know_every_annotator() -> None:
    assert ControlNet.model_json_schema()["properties"]["annotator"]["enum"] == list(ANNOTATORS)
    page = Path(__file__).parents[2] / "docs" / "plugins" / "controlnet.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in ANNOTATORS if f"| `{name}` |" not in text] == []


def test_pictures_that_are_none(nets: dict[str, str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    net = nets["sd"]
    assert lines(ControlNet(model=net, from_="none.png")) == ["controlnet: picture of 'from' 'none.png' does not exist"]
    assert lines(ControlNet(model=net, from_=tmp_path)) == [
        f"controlnet: picture of 'from' '{tmp_path}' is a folder, not a picture"
    ]
    (line,) = lines(ControlNet(model=net, from_=broken))
    assert line.startswith(f"controlnet: picture of 'from' '{broken}' ")


def test_spans_that_hold_no_step(nets: dict[str, str]) -> None:
    net = nets["sd"]
    assert lines(ControlNet(model=net, start=0.5, end=0.5)) == ["controlnet: start 0.5 is not before end 0.5"]
    assert lines(ControlNet(model=net, start=0.5, end=0.6), steps=4) == [
        "controlnet: no step lies between start 0.5 and end 0.6 of 4 steps; move them apart"
    ]


def test_one_stage_has_no_stage_before_it(nets: dict[str, str], tmp_path: Path) -> None:
    assert lines(ControlNet(model=nets["sd"]), plugins=()) == [
        "controlnet: there is no picture of a stage before, as the run has one stage; give 'from' a file, or add "
        "progressive-upscaling and a larger size"
    ]
    path = striped(tmp_path / "stripes.png", LARGE)
    assert len(tiny_plan([ControlNet(model=nets["sd"], from_=path)]).stages) == 1


def test_missing_weights_of_an_annotator(nets: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (line,) = lines(ControlNet(model=nets["sd"], annotator="hed"))
    assert line.startswith("controlnet: annotator 'hed' needs ControlNetHED.pth of the hub's lllyasviel/Annotators")


def test_options_are_written_as_a_recipe_has_them() -> None:
    plugin = ControlNet.model_validate({"model": "a/b", "from": "x.png", "scale": 1})
    assert json.loads(json.dumps(plugin.options())) == {"model": "a/b", "from": "x.png", "scale": 1.0}
