"""The contract that every plugin keeps, as a class of tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import SkipTest

from pydantic import ValidationError

from fusionkit.errors import CanvasError, FusionError, RecipeError
from fusionkit.loop.denoise import ask_views, rounds_of
from fusionkit.loop.hookspecs import Wrapper, hookimpl
from fusionkit.loop.misfits import is_hookimpl
from fusionkit.loop.stage import Stage, StagePlan
from fusionkit.plugin import Plugin
from fusionkit.testing.drawn import Drawn, drawn, drawn_without
from fusionkit.testing.resuming import ended_runs
from fusionkit.testing.sources import unnamed_defaults
from fusionkit.testing.tiny import KINDS, SIZE, Kind, execute_tiny, tiny_model, tiny_plan, tiny_run
from fusionkit.testing.watch import Watch

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit.loop.manager import Manager
    from fusionkit.runs.plan import RunPlan

SIZES = ((64, 64), (176, 64), (64, 200), (136, 72), (152, 184))
"""Canvases in pixels: one window; wide; tall; one latent pixel more than the grid; prime numbers of latent pixels."""

DRAWS = 300
"""Of each noise, for its variance."""

ALL = 64
"""Views in a batch: as many as there are."""


class _Ring(Plugin):
    """Lets the edges of every stage meet."""

    @hookimpl(wrapper=True)
    def plan_stages(self) -> Wrapper[list[StagePlan]]:
        plans = yield
        return [replace(plan, wrap="xy") for plan in plans]


class PluginContract:
    """Subclass it, say which plugin, and pytest runs the whole contract on tiny random models.

    ```python
    class TestStyleAlignment(PluginContract):
        plugin = StyleAlignment
        options = {"alpha": 0.4}
        neutral = {"alpha": 0.0}
    ```

    Attributes:
        plugin: The class under test.
        options: Options to test it with, by their Python names; all else stays at its default.
        neutral: Options at which a run is exactly the run without the plugin; None where there are none.
        neutral_size: Canvas, in pixels, for the test of `neutral`.
        changes_latents: Whether it changes the picture at all; observers do not.
        before: Plugins that come before it in the recipe.
        models: Names of the recipe's models, for a plugin that needs several; the first is the main one.
        fields: Other fields of the recipe; the tiny models have windows of 64x64 pixels and a latent factor of 8.
        keeps_unit_variance: Whether the noise that it answers is N(0, 1), of the first canvas and of each step.
        passes_are_exact: Whether `forward_passes` says exactly how many views go through a denoiser; False where how
            many depends on the latents, and it says the most that there can be.
        keeps_coverage: Whether it works on any size that the latent factor divides.
        kinds: Which of the tiny models it is tested on: those that it suits, where `check` refuses others.
        imports_lightly: Whether importing its module leaves torch, numpy and diffusers alone, as a quick start needs.
    """

    plugin: ClassVar[type[Plugin]]
    options: ClassVar[Mapping[str, Any]] = {}
    neutral: ClassVar[Mapping[str, Any] | None] = None
    neutral_size: ClassVar[tuple[int, int]] = SIZE
    changes_latents: ClassVar[bool] = True
    before: ClassVar[Sequence[Plugin]] = ()
    models: ClassVar[Sequence[str]] = ("model",)
    fields: ClassVar[Mapping[str, Any]] = {}
    keeps_unit_variance: ClassVar[bool] = True
    passes_are_exact: ClassVar[bool] = True
    keeps_coverage: ClassVar[bool] = True
    kinds: ClassVar[Sequence[Kind]] = KINDS
    imports_lightly: ClassVar[bool] = True

    def test_neutral_options_change_nothing(self) -> None:
        """At its neutral options, a run gives exactly the latents of the run without the plugin."""
        if self.neutral is None:
            raise SkipTest(f"'{self.plugin.plugin_name}' says of no options that they change nothing")
        fields = {"models": self.models, **self.fields, "size": self.neutral_size}
        for kind in self.kinds:
            without = drawn_without(self.before, kind, {**fields, "models": self.models[:1]})
            difference = _largest(tiny_run([*self.before, self.plugin(**self.neutral)], kind, **fields), without)
            assert difference == 0, (
                f"{kind}: neutral options {dict(self.neutral)} change the latents by {difference:.1e}"
            )

    def test_options_change_something(self) -> None:
        """What is tested acts: its latents differ from those of the run without the plugin."""
        if not self.changes_latents:
            raise SkipTest(f"'{self.plugin.plugin_name}' only looks on")
        for kind in self.kinds:
            assert self._differs(kind), f"{kind}: options {dict(self.options)} change nothing; give `options` that do"

    def test_answers_fit(self) -> None:
        """Every hook's answer has the shape, type and device that the loop expects, and is finite."""
        for kind in self.kinds:
            watch, _ = self._watched(kind)
            for hook, tensor in watch.tensors():
                assert bool(tensor.isfinite().all()), f"{kind}: hook '{hook}' answered values that are not finite"
                assert str(tensor.dtype) == "torch.float32", f"{kind}: hook '{hook}' answered {tensor.dtype}"

    def test_pictures_fit(self) -> None:
        """Pictures and latents fit at any size, are the same twice, and as without it where its options are neutral."""
        if not self._has("decode", "encode"):
            raise SkipTest(f"'{self.plugin.plugin_name}' neither decodes nor encodes")
        for kind, size in product(self.kinds, SIZES):
            pictures = [_there_and_back(self._plan(kind, size=size), kind) for _ in range(2)]
            assert pictures[0] == pictures[1], f"{kind}, {size}: one canvas, decoded and encoded twice, differs"
            if self.neutral is not None:
                fields = {"models": self.models, **self.fields, "size": size}
                without = _there_and_back(tiny_plan(self.before, kind, **fields), kind)
                with_it = _there_and_back(tiny_plan([*self.before, self.plugin(**self.neutral)], kind, **fields), kind)
                assert with_it == without, f"{kind}, {size}: neutral options {dict(self.neutral)} change the picture"

    def test_forward_passes_are_as_said(self) -> None:
        """Of every group at every step, as many views go through a denoiser as `forward_passes` says."""
        for kind in self.kinds:
            passes = self._watched(kind)[0].passes
            plan = self._plan(kind)
            # As before a run: groups have no latents yet.
            said = {
                (stage.index, at.index, number): plan.hooks.ask("forward_passes", stage=stage, at=at, patches=group)
                for stage in plan.stages
                for step in stage.steps
                for number, (at, group) in enumerate(
                    (at, group)
                    for at in rounds_of(stage, step, plan.hooks)
                    for group in ask_views(stage, at, plan.hooks)
                )
            }
            for (index, step, number), real in passes.counted.items():
                place = f"{kind}, stage {index + 1}, step {step + 1}, group {number}"
                expected = said.get((index, step, number), 0)
                fits = real == expected or (real < expected and not self.passes_are_exact)
                assert fits, (
                    f"{place}: 'forward_passes' says {expected}, and {real} views went through a denoiser; "
                    "count what 'noise_prediction' asks of the models"
                    + ("" if real > expected else ", or say passes_are_exact = False where only a bound is known")
                )
            assert not passes.elsewhere, (
                f"{kind}: {passes.elsewhere} views went through a denoiser outside of 'noise_prediction', where "
                "'forward_passes' can't count them; ask models in that hook alone"
            )

    def test_inputs_are_not_changed(self) -> None:
        """No hook writes into what it was given, or into what the plugins before it answered."""
        for kind in self.kinds:
            watch, _ = self._watched(kind)
            assert not watch.faults, f"{kind}: {'; '.join(dict.fromkeys(watch.faults))}"

    def test_same_seed_same_result(self) -> None:
        """The seed decides the latents: no other randomness, and no memory of the run before."""
        for kind in self.kinds:
            first = self._drawn(kind, ALL)
            again = drawn(first.plugin, partial(self._plan, kind, batch_size=ALL), kind, other_seed=2)
            assert all(run.reproducible for run in (first, again)), (
                f"{kind}: torch's global random numbers were used or seeded; use stage.noise or stage.integers"
            )
            difference = _largest(first.latents, again.latents)
            assert difference == 0, f"{kind}: two runs with one seed and one plugin object differ by {difference:.1e}"

    def test_goes_on_after_every_step(self) -> None:
        """A run that ends after any step, and goes on from a checkpoint, gives the same latents to the last bit."""
        for kind in self.kinds:
            whole = self._drawn(kind, ALL).steps
            plugins: list[Plugin] = []

            def plan(kind: Kind = kind, plugins: list[Plugin] = plugins) -> RunPlan:
                plugins[:] = [*map(_afresh, self.before), self._plugin()]
                return tiny_plan(plugins, kind, self.models, **{**self.fields, "batch_size": ALL})

            def why(plugins: list[Plugin] = plugins) -> str:
                names = ", ".join(private_values(plugins[-1])) or "none of its attributes, so perhaps in its module"
                return (
                    f"'{self.plugin.plugin_name}' keeps what no checkpoint holds ({names}); declare it in the class: "
                    f"RunMemory until the run ends, StageState until the stage ends, StageCache what is made again"
                )

            try:
                ended = ended_runs(plan, kind)
            except FusionError as error:
                raise AssertionError(f"{kind}: a run that goes on fails ({error}): {why()}") from error
            assert len(ended) == len(whole), f"{kind}: {len(whole)} steps, and {len(ended)} where it goes on: {why()}"
            for here, there in zip(ended, whole, strict=True):
                difference = _largest(here.latents, there.latents)
                assert difference == 0, f"{kind}: {here} differs by {difference:.1e} where the run goes on: {why()}"

    def test_batch_size_changes_nothing(self) -> None:
        """Views one at a time, two at a time or all at once give the same latents, but for rounding."""
        for kind in self.kinds:
            alone, *others = (self._drawn(kind, size).latents for size in (1, 2, ALL))
            difference = max(_largest(alone, other) for other in others)
            assert difference < 1e-3, f"{kind}: the batch size changes the latents by {difference:.1e}"

    def test_devices_change_nothing(self) -> None:
        """Where two devices predict the views of a picture, the latents are the same to the last bit."""
        for kind in self.kinds[:1]:
            two = execute_tiny(self._plan(kind, batch_size=2, devices=["cpu", "cpu"]), kind)
            difference = _largest(self._drawn(kind, 2).latents, two)
            assert difference == 0, (
                f"{kind}: a second device changes the latents by {difference:.1e}; what is put on a model, or is a "
                "loss of its predictions, may keep something from one forward pass to another: see ViewMemory"
            )

    def test_unknown_options_are_refused(self) -> None:
        """A misspelt option is an error, not silence."""
        try:
            self.plugin.model_validate({**self.options, "no_such_option": 1})
        except ValidationError as error:
            refused = {each["type"] for each in error.errors()}
        else:
            refused = set()
        assert refused == {"extra_forbidden"}, "an unknown option is accepted; keep extra='forbid'"

    def test_options_are_described(self) -> None:
        """`fusionkit plugins NAME` says of each option what it does."""
        silent = [name for name, field in self.plugin.model_fields.items() if not field.description]
        assert not silent, f"options without a description: {', '.join(silent)}"

    def test_defaults_have_their_name(self) -> None:
        """Defaults are given as `Field(default=...)`: without the name, type checkers take an option for required."""
        silent = [f"{name} of {kind}" for kind, name in unnamed_defaults(self.plugin)]
        assert not silent, f"write Field(default=...), which type checkers read, for: {', '.join(silent)}"

    def test_options_survive_a_recipe(self) -> None:
        """The options, written to a recipe and read back, are the same."""
        written = self._plugin().options()
        assert self.plugin(**written).options() == written, f"{written} does not read back"

    def test_every_size_is_covered(self) -> None:
        """No canvas has a hole, and views are the same whenever they are asked for."""
        if not self.keeps_coverage:
            raise SkipTest(f"'{self.plugin.plugin_name}' does not claim to cover every size")
        for kind, size in product(self.kinds, SIZES):
            try:
                plan = self._plan(kind, size=size)
            except (CanvasError, RecipeError) as error:
                raise AssertionError(f"{kind}, {size[0]}x{size[1]}: {error}") from error
            for stage in plan.stages:
                asked = [
                    [(group.views, group.share) for group in plan.hooks.ask("views", stage=stage, at=stage.steps[0])]
                    for _ in range(2)
                ]
                assert asked[0] == asked[1], f"{size}: two questions for one step's views get two answers"

    def test_a_ring_is_covered(self) -> None:
        """A canvas whose edges meet has no hole either, and no view is longer than it."""
        if not self.keeps_coverage:
            raise SkipTest(f"'{self.plugin.plugin_name}' does not claim to cover every size")
        for size in SIZES[2:]:
            try:
                self._plan(self.kinds[0], after=[_Ring()], size=size)
            except (CanvasError, RecipeError) as error:
                raise AssertionError(f"{size[0]}x{size[1]}, a ring along both axes: {error}") from error

    def test_noise_has_unit_variance(self) -> None:
        """The starting noise, and the noise of the steps where the plugin makes it, have variance 1 within 2%."""
        if not self.keeps_unit_variance:
            raise SkipTest(f"'{self.plugin.plugin_name}' does not claim to keep the noise's variance")
        plan = self._plan(self.kinds[0])
        stage = plan.stages[0]
        stage.models = {name: tiny_model("sd", seed) for seed, name in enumerate(self.models)}
        stage.model = stage.models[self.models[0]]
        seeds = [replace(stage, recipe=stage.recipe.model_copy(update={"seed": seed})) for seed in range(DRAWS)]
        _check_variance("starting noise", [plan.hooks.ask("init_noise", stage=each) for each in seeds])
        _check_variance("noise of a step", [_step_noise(each, plan.hooks) for each in seeds])

    def test_import_is_light(self) -> None:
        """Importing the plugin's module does not import torch, numpy or diffusers."""
        if not self.imports_lightly:
            raise SkipTest(f"'{self.plugin.plugin_name}' may import what it likes")
        heavy = ("torch", "numpy", "diffusers", "transformers")
        code = f"import sys, {self.plugin.__module__}; print(*(m for m in {heavy} if m in sys.modules))"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        assert not found, f"importing {self.plugin.__module__} imports {found}; import them inside functions"

    def _differs(self, kind: Kind) -> bool:
        if self._has("decode", "encode"):
            without = tiny_plan(self.before, kind, self.models[:1], **self.fields)
            if _there_and_back(self._plan(kind), kind) != _there_and_back(without, kind):
                return True
        latents = drawn_without(self.before, kind, {**self.fields, "models": self.models[:1]})
        return _largest(self._watched(kind)[1], latents) > 0

    def _has(self, *hooks: str) -> bool:
        return any(is_hookimpl(self.plugin, hook) for hook in hooks)

    def _plugin(self) -> Plugin:
        return self.plugin(**self.options)

    def _plan(
        self, kind: Kind, *between: Plugin, plugin: Plugin | None = None, after: Sequence[Plugin] = (), **fields: Any
    ) -> RunPlan:
        plugins = [*self.before, *between, plugin or self._plugin(), *after]
        return tiny_plan(plugins, kind, self.models, **{**self.fields, **fields})

    @classmethod
    @lru_cache(maxsize=3 * len(KINDS))
    def _drawn(cls, kind: Kind, batch_size: int) -> Drawn:
        contract = cls()
        return drawn(contract._plugin(), partial(contract._plan, kind, batch_size=batch_size), kind, other_seed=1)

    @classmethod
    @lru_cache(maxsize=len(KINDS))
    def _watched(cls, kind: Kind) -> tuple[Watch, Tensor]:
        watch = Watch()
        plan = cls()._plan(kind, watch.innermost, after=[watch.passes.outermost])
        watch.on(plan.hooks)
        return watch, execute_tiny(plan, kind)


def _there_and_back(plan: RunPlan, kind: Kind) -> bytes:
    """A canvas as a picture, and that as latents; and the same for one of half the size, as of a stage before."""
    stage = plan.stages[-1]
    stage.models = {name: tiny_model(kind, seed) for seed, name in enumerate(plan.infos)}
    stage.model = next(iter(stage.models.values()))
    _, channels, height, width = stage.shape
    found = b""
    for shape in ((height, width), (max(1, height // 2), max(1, width // 2))):
        picture = stage.decode(stage.noise("contract", (1, channels, *shape)))
        found += picture.tobytes() + stage.encode(picture).numpy().tobytes()
    return found


def private_values(plugin: Plugin) -> list[str]:
    """The names of what a plugin object keeps beside its options."""
    private = {name for name, value in (plugin.__pydantic_private__ or {}).items() if value is not None}
    return sorted(private | (set(vars(plugin)) - set(type(plugin).model_fields)))


def _afresh(plugin: Plugin) -> Plugin:
    """Another object with the same options."""
    return type(plugin).model_validate({name: getattr(plugin, name) for name in type(plugin).model_fields})


def _step_noise(stage: Stage, hooks: Manager) -> Tensor | None:
    """The noise that `fuse` answers in the first step, for predictions of 0."""
    import torch

    at = stage.steps[0]
    groups = [replace(group) for group in hooks.ask("views", stage=stage, at=at)]
    for group in groups:
        group.latents = group.prediction = torch.zeros(len(group.views), stage.shape[1], *group.size)
    noise: Tensor | None = hooks.ask("fuse", stage=stage, at=at, groups=groups).noise
    return noise


def _check_variance(what: str, draws: Sequence[Tensor | None]) -> None:
    import torch

    found = [draw for draw in draws if draw is not None]
    if not found:
        return
    power = torch.cat(found).square().mean(dim=(0, 1))  # (H, W)
    assert abs(float(power.mean()) - 1) < 0.02, f"{what} has variance {float(power.mean()):.3f} over all pixels, not 1"
    # A pixel alone has fewer draws, so that its variance is known less well.
    worst = power.flatten()[(power - 1).abs().argmax()]
    y, x = divmod(int((power - 1).abs().argmax()), power.shape[1])
    assert abs(float(worst) - 1) < 0.25, f"{what} has variance {float(worst):.2f} at row {y}, column {x}, not 1"


def _largest(some: Tensor, others: Tensor) -> float:
    return float((some - others).abs().max())
