"""The contract can fail: each of these plugins breaks one promise, and the contract says which."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any
from unittest import SkipTest

import pytest
import torch
from PIL import ImageChops, ImageEnhance
from PIL.Image import Image
from pydantic import BaseModel, PrivateAttr
from torch import Tensor

from fusionkit import Field, Fused, Patches, Plugin, RunMemory, Stage, StageState, Step, View, hookimpl
from fusionkit.errors import FusionError
from fusionkit.testing import PluginContract
from fusionkit_gvcf import GuidedFusion, StyleAlignment
from fusionkit_gvcf.guided_fusion import guidance_map


def fails(broken: type[Plugin], test: str, match: str, **attributes: Any) -> None:
    """One test of the contract fails for a plugin, and says why."""
    contract = type("Contract", (PluginContract,), {"plugin": broken, **attributes})()
    with pytest.raises((AssertionError, FusionError), match=match):
        getattr(contract, test)()


class WritesIntoItsArgument(Plugin):
    @hookimpl(wrapper=True)
    def step(self, latents: Tensor) -> Generator[None, Tensor, Tensor]:
        following = yield
        latents.mul_(0.5)
        return following


class WritesIntoAnothersAnswer(Plugin):
    @hookimpl(wrapper=True)
    def views(self) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        groups = yield
        groups[0].weights.mul_(2)  # type: ignore[union-attr]
        return groups


class SetsAnAttributeOfAGroup(Plugin):
    @hookimpl(wrapper=True)
    def noise_prediction(self, patches: Patches) -> Generator[None, Tensor, Tensor]:
        patches.latents = patches.latents * 2
        return (yield)


def test_writing_into_inputs_is_caught() -> None:
    test = "test_inputs_are_not_changed"
    fails(WritesIntoItsArgument, test, "hook 'step' changed the argument 'latents' in place")
    fails(
        WritesIntoAnothersAnswer,
        test,
        r"changed the answer of the plugin before it\[0\].weights",
        before=(GuidedFusion(),),
    )
    guidance_map.cache_clear()  # one of these has written into it
    fails(SetsAnAttributeOfAGroup, test, r"changed the argument 'patches'\[0\].latents; answer a copy")


class UsesGlobalRandomness(Plugin):
    @hookimpl
    def init_noise(self, stage: Stage) -> Tensor:
        return torch.randn(stage.shape)


class SeedsGlobalRandomness(Plugin):
    @hookimpl
    def init_noise(self, stage: Stage) -> Tensor:
        torch.manual_seed(stage.recipe.seed)
        return stage.noise("init")


class Remembers(Plugin):
    _runs: list[int] = []

    @hookimpl(wrapper=True)
    def init_noise(self) -> Generator[None, Tensor, Tensor]:
        noise = yield
        self._runs.append(1)
        return noise.roll(len(self._runs), -1)


def test_other_randomness_than_the_seed_is_caught() -> None:
    test = "test_same_seed_same_result"
    fails(UsesGlobalRandomness, test, "global random numbers were used")
    fails(SeedsGlobalRandomness, test, "global random numbers were used or seeded")
    fails(Remembers, test, "two runs with one seed and one plugin object differ")


class DependsOnTheBatch(Plugin):
    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage) -> Generator[None, Tensor, Tensor]:
        prediction = yield
        size = stage.recipe.batch_size or 8
        return torch.cat([batch - 0.1 * batch.mean(0, keepdim=True) for batch in prediction.split(size)])


def test_a_batch_size_that_matters_is_caught() -> None:
    fails(DependsOnTheBatch, "test_batch_size_changes_nothing", "batch size changes the latents by")


class MixesNoiseLinearly(Plugin):
    @hookimpl(wrapper=True)
    def init_noise(self, stage: Stage) -> Generator[None, Tensor, Tensor]:
        noise = yield
        return 0.5 * noise + 0.5 * stage.noise("another")


class AveragesNoise(Plugin):
    @hookimpl(wrapper=True)
    def fuse(self, stage: Stage, at: Step, groups: Sequence[Patches]) -> Generator[None, Fused, Fused]:
        from fusionkit.loop.canvas import WeightedMean, view_noise

        fused = yield
        return replace(fused, noise=WeightedMean(groups, fused.prediction)(view_noise(stage, at, groups)))


class QuietInOnePlace(Plugin):
    @hookimpl(wrapper=True)
    def init_noise(self) -> Generator[None, Tensor, Tensor]:
        noise = (yield).clone()
        noise[..., 3, 5] *= 0.5
        return noise


def test_lost_variance_is_caught() -> None:
    test = "test_noise_has_unit_variance"
    fails(MixesNoiseLinearly, test, r"starting noise has variance 0\.[45]\d+ over all pixels, not 1")
    fails(AveragesNoise, test, r"noise of a step has variance 0\.\d+ over all pixels, not 1")
    fails(QuietInOnePlace, test, r"starting noise has variance 0\.\d+ at row 3, column 5, not 1")


class LeavesAHole(Plugin):
    @hookimpl
    def views(self, stage: Stage) -> Sequence[Patches]:
        height, width = stage.window
        return [Patches(tuple(View(0, left, height, width) for left in range(0, stage.canvas[1] - width + 1, width)))]


class WanderingViews(Plugin):
    _asked: list[int] = []

    @hookimpl(wrapper=True)
    def views(self) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        groups = yield
        self._asked.append(1)
        return [replace(groups[0], share=1 + len(self._asked))]


def test_holes_and_wandering_views_are_caught() -> None:
    test = "test_every_size_is_covered"
    fails(LeavesAHole, test, "176x64: .* latent pixels have no view")
    fails(WanderingViews, test, "two questions for one step's views get two answers")


class WrongShape(Plugin):
    @hookimpl
    def init_noise(self, stage: Stage) -> Tensor:
        return stage.noise("init", stage.shape[1:])


class WrongType(Plugin):
    @hookimpl(wrapper=True)
    def noise_prediction(self) -> Generator[None, Tensor, Tensor]:
        return (yield).double()


class WrongTypeInside(Plugin):
    @hookimpl(wrapper=True)
    def views(self) -> Generator[None, Sequence[Patches], Sequence[Patches]]:
        return [patches.weighted(torch.ones(1, 1, *patches.size).double()) for patches in (yield)]


class NotFinite(Plugin):
    @hookimpl(wrapper=True)
    def init_latents(self) -> Generator[None, Tensor, Tensor]:
        return (yield) / 0


def test_answers_that_do_not_fit_are_caught() -> None:
    test = "test_answers_fit"
    fails(WrongShape, test, "hook 'init_noise' answered .* expected .*asked: .*wrong-shape")
    fails(WrongType, test, "hook 'noise_prediction' answered .* torch.float64")
    fails(WrongTypeInside, test, "hook 'views' answered torch.float64")
    fails(NotFinite, test, "values that are not finite")


class Careless(Plugin, extra="allow"):
    strength: float = 0.5


class Idle(Plugin):
    strength: float = Field(default=0.5, description="Of nothing.")


def test_careless_options_are_caught() -> None:
    fails(Careless, "test_unknown_options_are_refused", "unknown option is accepted")
    fails(Careless, "test_options_are_described", "options without a description: strength")
    fails(Idle, "test_options_change_something", r"options \{\} change nothing")
    fails(StyleAlignment, "test_neutral_options_change_nothing", "change the latents by", neutral={"alpha": 0.1})


def test_a_heavy_import_is_caught() -> None:
    class Heavy(Plugin):
        pass

    Heavy.__module__ = "torch.nn"
    fails(Heavy, "test_import_is_light", "importing torch.nn imports torch")


def test_what_is_not_claimed_is_skipped() -> None:
    class Modest(PluginContract):
        plugin = Idle
        changes_latents = False
        keeps_coverage = False
        keeps_unit_variance = False
        imports_lightly = False

    for test in (
        Modest().test_neutral_options_change_nothing,
        Modest().test_options_change_something,
        Modest().test_every_size_is_covered,
        Modest().test_noise_has_unit_variance,
        Modest().test_import_is_light,
    ):
        with pytest.raises(SkipTest):
            test()


class AsksTwice(Plugin):
    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        return 0.5 * (stage.model.predict(stage, at, patches) + stage.model.predict(stage, at, patches))


class SavesSteps(Plugin):
    """Predicts at every other step; whoever only knows a bound says so."""

    _last: list[Tensor] = []

    @hookimpl
    def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        if at.index % 2 == 0:
            self._last[:] = [stage.model.predict(stage, at, patches)]
        return self._last[0]


class SaysSo(SavesSteps):
    @hookimpl
    def forward_passes(self, at: Step, patches: Patches) -> int:
        return 0 if at.index % 2 else 2 * len(patches.views)


class AsksElsewhere(Plugin):
    @hookimpl(wrapper=True)
    def fuse(self, stage: Stage, at: Step, groups: Sequence[Patches]) -> Generator[None, Fused, Fused]:
        fused = yield
        again = stage.model.predict(stage, at, groups[0])
        return replace(fused, prediction=fused.prediction + 0 * again.mean())


def test_forward_passes_that_lie_are_caught() -> None:
    test = "test_forward_passes_are_as_said"
    place = "sd, stage 1, step 1, group 0"
    fails(AsksTwice, test, f"^{place}: 'forward_passes' says 12, and 24 views went through a denoiser; count what")
    place = "sd, stage 1, step 2, group 0"
    fails(SavesSteps, test, f"^{place}: 'forward_passes' says 12, and 0 .* or say passes_are_exact = False")
    fails(AsksElsewhere, test, "^sd: 36 views went through a denoiser outside of 'noise_prediction'")
    # More than was said is wrong, bound or not.
    fails(AsksTwice, test, "says 12, and 24", passes_are_exact=False)
    for honest, exact in ((SaysSo, True), (SavesSteps, False)):
        contract = type("Contract", (PluginContract,), {"plugin": honest, "passes_are_exact": exact})()
        contract.test_forward_passes_are_as_said()


class Nested(BaseModel):
    one: int = Field(1, description="A number.")
    two: int = Field(default=2, description="Another number.")


class ForgetsTheName(Plugin):
    first: float = Field(0.5, description="Of nothing.")
    second: dict[str, Nested] = Field(default={}, description="Of nothing.")
    third: int = Field(..., description="Of nothing.")
    fourth: int = 4


def test_defaults_that_type_checkers_do_not_see_are_caught() -> None:
    fails(ForgetsTheName, "test_defaults_have_their_name", r"for: first of ForgetsTheName, one of Nested$")


class Lightens(Plugin):
    """Keeps the contract: pictures alone are changed, and by how much is an option."""

    by: float = Field(default=1.5, gt=0, description="Factor of the brightness.")

    @hookimpl(wrapper=True)
    def decode(self) -> Generator[None, Image, Image]:
        picture = yield
        return ImageEnhance.Brightness(picture).enhance(self.by)


class DecodesAtRandom(Plugin):
    @hookimpl(wrapper=True)
    def decode(self) -> Generator[None, Image, Image]:
        picture = yield
        return ImageChops.offset(picture, int(torch.randint(1, 1000, ())))


class EncodesOneSize(Plugin):
    @hookimpl
    def encode(self, stage: Stage, picture: Image) -> Tensor:
        return stage.model.encode(picture.resize(stage.plan.size))


class TestLightens(PluginContract):
    """A plugin that changes pictures and no latents keeps the contract like any other."""

    plugin = Lightens
    options = {"by": 1.2}
    neutral = {"by": 1.0}
    imports_lightly = False  # this module imports torch


def test_decoding_and_encoding_that_break_the_contract_are_caught() -> None:
    test = "test_pictures_fit"
    fails(DecodesAtRandom, test, "decoded and encoded twice, differs")
    fails(EncodesOneSize, test, r"hook 'encode' answered \(1, 4, 8, 8\).*expected \(1, 4, 4, 4\)")
    fails(Lightens, test, "neutral options {'by': 0.5} change the picture", neutral={"by": 0.5})
    fails(Lightens, "test_options_change_something", "change nothing; give `options` that do", options={"by": 1.0})


class KeepsToItself(Plugin):
    _total: int = PrivateAttr(0)

    @hookimpl(wrapper=True)
    def step(self) -> Generator[None, Tensor, Tensor]:
        self._total += 1
        return (yield) + 0.1 * self._total


class KeepsWhatCanNotBeWritten(Plugin):
    kept = RunMemory(list[Any])

    @hookimpl
    def step_done(self, stage: Stage) -> None:
        self.kept(stage).append(fails)


class DeclaresWhatCanNotBeWritten(Plugin):
    kept = StageState(Image)


def test_what_is_kept_beside_declarations_is_caught_where_a_run_goes_on() -> None:
    test = "test_goes_on_after_every_step"
    fails(
        KeepsToItself,
        test,
        r"sd: step 2 of stage 1 differs by 1\.0e-01 where the run goes on: 'keeps-to-itself' keeps what no checkpoint "
        r"holds \(_total\); declare it in the class: RunMemory",
    )
    fails(KeepsWhatCanNotBeWritten, test, r"'kept\[0\]' is a function; keep tensors, numbers, texts, and lists")
    fails(DeclaresWhatCanNotBeWritten, test, r"keeps what no checkpoint holds: 'kept' is of type Image")
