"""The hooks `encode` and `decode`: where a run asks them, what they may do, and whose fault an error is."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageOps
from pydantic import PrivateAttr
from torch import Tensor

from fusionkit import (
    Fusion,
    NumericalError,
    OutOfMemory,
    Plugin,
    PluginError,
    Recipe,
    RecipeError,
    Stage,
    StagePlan,
    hookimpl,
)
from fusionkit.testing import tiny_model, tiny_pipeline, tiny_plan
from fusionkit.testing.tiny import execute_tiny

SIZE = (160, 80)


class Asked(Plugin):
    """Keeps what the hooks were asked about, and answers as without it."""

    _seen: list[Any] = PrivateAttr(default_factory=list)

    @hookimpl(wrapper=True)
    def encode(self, picture: Image.Image) -> Generator[None, Tensor, Tensor]:
        latents = yield
        self._seen.append(("encode", picture.size, tuple(latents.shape)))
        return latents

    @hookimpl(wrapper=True)
    def decode(self, latents: Tensor) -> Generator[None, Image.Image, Image.Image]:
        picture = yield
        self._seen.append(("decode", tuple(latents.shape), picture.size))
        return picture


class BeginsWith(Plugin):
    """Begins with a picture."""

    path: Path

    @hookimpl
    def plan_stages(self, recipe: Recipe) -> list[StagePlan]:
        assert recipe.size is not None
        return [StagePlan(recipe.size, picture=self.path)]

    @hookimpl(wrapper=True)
    def init_latents(self, stage: Stage, noise: Tensor) -> Generator[None, Tensor, Tensor]:
        yield
        assert stage.previous is not None
        return stage.scheduler.add_noise(stage.previous, noise, stage.scheduler.timesteps[0])


class Inverts(Plugin):
    """Turns the colours of all pictures over."""

    @hookimpl(wrapper=True)
    def decode(self) -> Generator[None, Image.Image, Image.Image]:
        return ImageOps.invert((yield))

    @hookimpl(wrapper=True)
    def encode(self, stage: Stage, picture: Image.Image) -> Generator[None, Tensor, Tensor]:
        yield
        return stage.model.encode(ImageOps.invert(picture))


def fusion(*plugins: Plugin) -> Fusion:
    return Fusion.from_pipe(tiny_pipeline(), plugins=plugins, prompt="a hill", size=SIZE, scheduler="ddpm", steps=3)


def test_a_run_asks_for_the_starting_picture_the_previews_and_the_finished_picture(tmp_path: Path) -> None:
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "start.png")
    asked, shown = Asked(), list[Image.Image]()
    result = fusion(BeginsWith(path=tmp_path / "start.png"), asked).run(
        progress=False, preview=lambda image, stage, at: shown.append(image), preview_every=1
    )
    decoded = ("decode", (1, 4, 10, 20), SIZE)
    assert asked._seen == [("encode", SIZE, (1, 4, 10, 20)), decoded, decoded, decoded]
    assert [image.size for image in (*shown, result.image)] == [SIZE] * 3


def test_all_pictures_are_those_that_the_hooks_answer(tmp_path: Path) -> None:
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "start.png")
    begins = BeginsWith(path=tmp_path / "start.png")
    plain, inverted = fusion(begins), fusion(begins, Inverts())
    shown: dict[str, Image.Image] = {}
    first = plain.run(progress=False)
    second = inverted.run(progress=False, preview=lambda image, *_: shown.update(preview=image), preview_every=2)
    # It began with other latents, and the picture of its own ones is turned over.
    assert not first.latents.equal(second.latents)
    assert ImageOps.invert(second.image).tobytes() == tiny_model().decode(second.latents).tobytes()
    assert shown["preview"].tobytes() != second.image.tobytes()


def test_a_stage_without_hooks_asks_the_model() -> None:
    plan = tiny_plan()
    latents = execute_tiny(plan)
    stage = plan.stages[0]
    stage.hooks = None
    picture = stage.decode(latents)
    assert picture.tobytes() == tiny_model().decode(latents).tobytes()
    assert stage.encode(picture).equal(tiny_model().encode(picture))


class InDecode(Plugin):
    """Does in `decode` what it is told to."""

    what: Any

    @hookimpl
    def decode(self, stage: Stage, latents: Tensor) -> Image.Image:
        picture: Image.Image = self.what(stage, latents)
        return picture


def refused(kind: type[Exception], what: Any) -> str:
    with pytest.raises(kind) as error:
        fusion(InDecode(what=what))(progress=False)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_errors_name_the_plugin() -> None:
    whose = "plugin 'in-decode' in hook 'decode'"
    assert refused(PluginError, lambda stage, latents: stage.decode(latents)) == (
        "plugin 'in-decode' failed in hook 'decode': RuntimeError: stage.decode asks hook 'decode' from within; "
        "use stage.model.decode there"
    )
    assert refused(PluginError, lambda stage, latents: stage.model.decode(latents.mul_(2))) == (
        f"{whose} changed the argument 'latents' in place; make a new tensor"
    )
    assert refused(NumericalError, lambda stage, latents: stage.model.decode(latents / 0)).startswith(
        f"{whose} says: the canvas that is to be decoded has values that are not finite"
    )
    assert refused(PluginError, lambda stage, latents: Image.new("L", SIZE)) == (
        "hook 'decode' answered a picture, L, 160x80; expected a picture of Pillow, RGB, 160x80 pixels "
        "(asked: in-decode)"
    )


class AfterStage(Plugin):
    """Does after a stage, or before the run, what it is told to."""

    what: Any
    early: bool = False

    @hookimpl
    def check(self, stage: Stage) -> None:
        if self.early:
            self.what(stage)

    @hookimpl
    def stage_done(self, stage: Stage) -> None:
        self.what(stage)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            lambda stage: stage.encode(Image.new("RGB", (65, 64))),
            "a picture of 65x64 pixels can't be encoded",
        ),
        (
            lambda stage: stage.encode("a.png"),
            "str can't be encoded; expected a picture of Pillow",
        ),
        (
            lambda stage: stage.encode(torch.zeros(3)),
            "Tensor can't be encoded; expected a picture",
        ),
        (
            lambda stage: stage.decode(torch.zeros(4, 8, 8)),
            "latents of (4, 8, 8) can't be decoded; expected a",
        ),
        (lambda stage: stage.decode(torch.zeros(2, 4, 8, 8)), "latents of (2, 4, 8, 8) can't be decoded; expected a"),
        (lambda stage: stage.decode(None), "NoneType can't be decoded; expected a tensor (1, 4, h, w)"),
    ],
)
def test_what_can_not_be_encoded_or_decoded_is_said_of_the_plugin_that_gave_it(what: Any, said: str) -> None:
    with pytest.raises(PluginError) as error:
        fusion(AfterStage(what=what))(progress=False)
    assert str(error.value).startswith(f"plugin 'after-stage' failed in hook 'stage_done': ValueError: {said}")


def test_before_the_model_loads_nothing_can_be_decoded() -> None:
    with pytest.raises(PluginError, match="hook 'check': ValueError: there is nothing to decode with before the model"):
        fusion(AfterStage(what=lambda stage: stage.decode(torch.zeros(1, 4, 8, 8)), early=True))(progress=False)


def test_what_a_model_says_of_other_latents_is_said_of_the_plugin() -> None:
    said = refused(PluginError, lambda stage, latents: stage.model.decode(latents[:, :2]))
    assert said.startswith("plugin 'in-decode' in hook 'decode' says: the model's vae fails at its work")


def test_a_starting_picture_that_can_not_be_encoded_is_refused_before_the_run(tmp_path: Path) -> None:
    class Small(BeginsWith):
        @hookimpl
        def plan_stages(self, recipe: Recipe) -> list[StagePlan]:
            return [StagePlan(SIZE, picture=self.path, picture_size=(65, 64), name="first")]

    Image.new("RGB", SIZE).save(tmp_path / "start.png")
    with pytest.raises(RecipeError, match=r"^picture size of stage 'first' 65x64 is not divisible by 8.*try 64x64$"):
        fusion(Small(path=tmp_path / "start.png"))(progress=False)


class EncodesNaN(Plugin):
    """Answers latents that are no numbers."""

    @hookimpl(wrapper=True)
    def encode(self) -> Generator[None, Tensor, Tensor]:
        return (yield) * float("nan")


def test_encoded_numbers_that_are_not_finite_are_named_at_once(tmp_path: Path) -> None:
    Image.new("RGB", SIZE).save(tmp_path / "start.png")
    with pytest.raises(NumericalError, match=r"^the answer of plugin 'encodes-na-n' in hook 'encode' has values"):
        fusion(BeginsWith(path=tmp_path / "start.png"), EncodesNaN())(progress=False)


def test_a_preview_that_a_plugin_spoils_ends_the_run_with_the_plugins_name() -> None:
    spoils = InDecode(what=lambda stage, latents: 1 / 0)
    with pytest.raises(PluginError) as error:
        fusion(spoils).run(progress=False, preview=lambda *_: None, preview_every=1)
    assert str(error.value) == "plugin 'in-decode' failed in hook 'decode': ZeroDivisionError: division by zero"


def test_where_memory_runs_out_in_decoding_the_hook_is_asked_again_in_tiles() -> None:
    asked: list[bool] = []

    def runs_out_untiled(stage: Stage, latents: Tensor) -> Image.Image:
        asked.append(stage.model.vae_tiling)
        if not stage.model.vae_tiling:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return ImageOps.invert(stage.model.decode(latents))

    with pytest.raises(OutOfMemory, match=r"^decoding: the memory of 'cpu' ran out; use vae-tiling: true") as error:
        fusion(InDecode(what=runs_out_untiled))(progress=False)
    assert error.value.latents is not None
    assert error.value.decode_in_tiles is not None
    result = error.value.decode_in_tiles()
    assert asked == [False, True]
    assert result.recipe.vae_tiling
    tiled = tiny_model()
    tiled.vae_tiling = True
    assert ImageOps.invert(result.image).tobytes() == tiled.decode(error.value.latents).tobytes()
