"""Runs that end after any of their steps and go on: the latents are those of a run that nobody ended, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from flow_plans import flow_plan
from torch import Tensor

from fusionkit import CheckpointError, Fusion, FusionError, Plugin, Recipe, RunMemory, Stage, Step, hookimpl
from fusionkit.models.schedulers.by_name import FLOW_NAMES, SHORT_NAMES
from fusionkit.runs.checkpoints.checkpoint import KEY, read_checkpoint
from fusionkit.testing.resuming import ended_runs, whole_run
from fusionkit.testing.tiny import tiny_pipeline, tiny_plan
from fusionkit_accdiffusion import DilatedSampling, PatchContentPrompts, ProgressiveUpscaling
from fusionkit_gvcf import StyleAlignment, VarianceCorrectedFusion
from fusionkit_magicfusion import SaliencyNoiseBlending
from fusionkit_multidiffusion import MultiDiffusion

SIZE = (96, 64)


@pytest.mark.parametrize("scheduler", SHORT_NAMES)
def test_every_scheduler_goes_on_after_every_step(scheduler: str) -> None:
    fields = {"scheduler": scheduler, "steps": 4, "size": SIZE}
    whole, ended = whole_run(tiny_plan(**fields)), ended_runs(lambda: tiny_plan(**fields))
    assert [(each.stage, each.done) for each in ended] == [(each.stage, each.done) for each in whole]
    assert len(whole) >= 4
    assert [str(here) for here, there in zip(ended, whole, strict=True) if not here.latents.equal(there.latents)] == []


@pytest.mark.parametrize("scheduler", [*FLOW_NAMES, *(n for n in SHORT_NAMES if n.startswith(("unipc", "dpm++-2m")))])
def test_every_scheduler_of_flows_goes_on_after_every_step(scheduler: str) -> None:
    fields: Any = {"scheduler": scheduler, "steps": 4, "size": SIZE}
    whole, ended = whole_run(flow_plan(**fields)), ended_runs(lambda: flow_plan(**fields))
    assert [(each.stage, each.done) for each in ended] == [(each.stage, each.done) for each in whole]
    assert len(whole) >= 4
    assert [str(here) for here, there in zip(ended, whole, strict=True) if not here.latents.equal(there.latents)] == []


UPSCALING = [
    ProgressiveUpscaling,
    lambda: MultiDiffusion(stride=32, jitter=8),
    DilatedSampling,
    lambda: PatchContentPrompts(levels=(1,)),
]
METHODS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "upscaling": (UPSCALING, {"size": (144, 128), "prompt": "a hill and a lake"}),
    "panorama": ([StyleAlignment, lambda: MultiDiffusion(stride=32), VarianceCorrectedFusion], {"size": (128, 64)}),
    "models": (
        [lambda: SaliencyNoiseBlending(models={"scene": {}, "cat": {"prompt": "a cat"}})],
        {"size": (96, 64), "models": ("scene", "cat")},
    ),
}


@pytest.mark.parametrize("scheduler", ["ddpm", "dpm++-2m-sde"])
@pytest.mark.parametrize("methods", METHODS)
def test_every_method_goes_on_after_every_step(methods: str, scheduler: str) -> None:
    makers, fields = METHODS[methods]

    def plan() -> Any:
        return tiny_plan([make() for make in makers], scheduler=scheduler, steps=2, **fields)

    whole, ended = whole_run(plan()), ended_runs(plan)
    assert len(ended) == len(whole) == 2 * len(plan().stages)
    assert [str(here) for here, there in zip(ended, whole, strict=True) if not here.latents.equal(there.latents)] == []


class EndsAfter:
    """A callback that ends a run when so many steps are done, before the next one is."""

    def __init__(self, done: int) -> None:
        self.left = done

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def fusion(**fields: Any) -> Fusion:
    given = {"prompt": "a hill", "size": SIZE, "steps": 4, "scheduler": "unipc", **fields}
    return Fusion.from_pipe(tiny_pipeline(), **given)


def kept(path: Path, done: int = 2, **fields: Any) -> Path:
    """The checkpoint of a run that ended after so many steps."""
    with pytest.raises(KeyboardInterrupt):
        fusion(**fields)(progress=False, checkpoint=path, callback=EndsAfter(done))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.checkpoint.safetensors"


def test_a_run_goes_on_from_its_file_and_leaves_the_picture_alone(path: Path) -> None:
    whole = fusion()(progress=False)
    kept(path)
    assert str(read_checkpoint(path).progress) == "step 2 of 4"
    steps: list[int] = []
    result = fusion()(
        progress=False, checkpoint=path, resume=True, callback=lambda stage, at, latents: steps.append(at.index)
    )
    assert steps == [2, 3]
    assert result.latents_hash == whole.latents_hash
    assert result.image.tobytes() == whole.image.tobytes()
    assert (result.forward_passes, result.batch_size) == (whole.forward_passes, whole.batch_size)
    assert result.denoising_seconds > read_checkpoint(path).spent.seconds > 0
    # All of it is kept until the picture is.
    assert read_checkpoint(path).progress.only_decoding_is_left
    result.save(path.parent / "a.png")
    assert [each.name for each in path.parent.iterdir()] == ["a.png"]


def test_a_run_without_a_checkpoint_begins(path: Path) -> None:
    whole, result = fusion()(progress=False), fusion()(progress=False, checkpoint=path, resume=True)
    assert result.latents_hash == whole.latents_hash


def test_what_does_not_change_the_picture_may_change(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = fusion()(progress=False)
    kept(path)
    result = fusion()(progress=False, checkpoint=path, resume=True, vae_tiling=False, batch_size=1)
    assert (result.latents - whole.latents).abs().max() < 1e-3
    told = capsys.readouterr().err
    assert told == "note: the picture may differ in its last bits: batch-size was not given and is 1\n"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"steps": 5}, "steps was 4 and is 5"),
        ({"seed": 3, "prompt": "a lake"}, 'prompt was "a hill" and is "a lake"; seed was 0 and is 3'),
        ({"scheduler": "ddim"}, 'scheduler was "unipc" and is "ddim"'),
        ({"plugins": [MultiDiffusion(stride=32)]}, "plugins was not given and is"),
    ],
)
def test_what_decides_the_picture_may_not_change(path: Path, changes: dict[str, Any], why: str) -> None:
    kept(path)
    with pytest.raises(CheckpointError) as caught:
        fusion(**changes)(progress=False, checkpoint=path, resume=True)
    line = str(caught.value)
    assert line.startswith(f"checkpoint '{path}' is of another run: {why}")
    assert line.endswith("; leave that as it was, or begin anew without --resume")
    assert "\n" not in line


def test_other_weights_are_refused(path: Path) -> None:
    kept(path)
    other = Fusion.from_pipe(tiny_pipeline(seed=1), prompt="a hill", size=SIZE, steps=4, scheduler="unipc")
    with pytest.raises(CheckpointError, match="is of another run: model 'model' has other weights; leave that"):
        other(progress=False, checkpoint=path, resume=True)


def rewritten(path: Path, **changes: Any) -> None:
    """Change what a checkpoint says."""
    import json

    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()[KEY])
    save_file(load_file(path), path, {KEY: json.dumps({**told, **changes})})


def test_another_version_of_the_file_or_of_what_draws_is_refused(path: Path) -> None:
    kept(path)
    identity = read_checkpoint(path).identity.to_json()
    rewritten(path, identity={**identity, "versions": {**identity["versions"], "diffusers": "0.1"}})
    with pytest.raises(CheckpointError, match=r"is of another run: diffusers was 0\.1 and is \d"):
        fusion()(progress=False, checkpoint=path, resume=True)
    rewritten(path, format=99)
    with pytest.raises(CheckpointError, match="has the format 99, and this version of fusionkit reads 1; go on with"):
        fusion()(progress=False, checkpoint=path, resume=True)


def test_a_damaged_file_is_refused_in_one_line(path: Path) -> None:
    whole = kept(path).read_bytes()
    for content in (b"", whole[:100], whole[:-1], b"a text", whole.replace(b"content", b"contemt")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            fusion()(progress=False, checkpoint=path, resume=True)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["latents", "scheduler", "plugins"])
def test_content_that_does_not_fit_is_refused(path: Path, what: str) -> None:
    kept(path)
    content = dict(read_checkpoint(path).content)
    wrong = {"latents": {"tensor": "nothing"}, "scheduler": {"dict": [["step", 1]]}, "plugins": [{"plugin": 7}]}
    rewritten(path, content={**content, what: wrong[what]})
    with pytest.raises(CheckpointError, match=r"^checkpoint '.*' does not fit this run: "):
        fusion()(progress=False, checkpoint=path, resume=True)


def test_the_furthest_of_several_is_gone_on_with_and_none_is_left(path: Path) -> None:
    kept(path, 1)
    kept(path, 3)
    kept(path.with_name("other.checkpoint.safetensors"), 1, seed=2)
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "a.checkpoint-2.safetensors",
        "a.checkpoint.safetensors",
        "other.checkpoint.safetensors",
    ]
    steps: list[int] = []
    result = fusion()(
        progress=False, checkpoint=path, resume=True, callback=lambda stage, at, latents: steps.append(at.index)
    )
    assert steps == [3]
    result.save(path.parent / "a.png")
    assert sorted(each.name for each in path.parent.iterdir()) == ["a.png", "other.checkpoint.safetensors"]


def test_a_checkpoint_alone_is_enough_where_its_models_can_be_loaded(path: Path, tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path / "tiny")
    recipe = Recipe(model=str(tmp_path / "tiny"), prompt="a hill", size=SIZE, steps=3, scheduler="ddpm")
    whole = Fusion.from_recipe(recipe).run(progress=False)
    with pytest.raises(KeyboardInterrupt):
        Fusion.from_recipe(recipe).run(progress=False, checkpoint=path, callback=EndsAfter(1))
    result = Fusion.resume(path, progress=False, vae_tiling=True)
    assert result.latents_hash == whole.latents_hash
    assert result.recipe.vae_tiling
    kept(path.with_name("pipe"))
    with pytest.raises(FusionError, match="a recipe needs a model"):
        Fusion.resume(path.with_name("pipe"), progress=False)
    assert Fusion.resume(path.with_name("pipe"), fusion(), progress=False).forward_passes > 0


class Counts(Plugin):
    """Adds its own sum of steps, kept from step to step, to the canvas."""

    by: int = 1
    total = RunMemory(int)

    @hookimpl(wrapper=True)
    def step(self, stage: Stage, at: Step) -> Any:
        latents = yield
        return latents + self.total.set(stage, self.total(stage) + self.by) * 1e-3


def test_two_plugins_of_one_kind_keep_apart() -> None:
    plan = tiny_plan([Counts(by=1), Counts(by=5)], steps=3)
    whole_run(plan)
    first, second = plan.recipe.plugins
    assert [plugin.total(plan.stages[0]) for plugin in (first, second)] == [3, 15]  # type: ignore[attr-defined]


class KeepsFunctions(Plugin):
    """Keeps what can't be written, and does not say so."""

    kept = RunMemory(list)  # type: ignore[type-abstract]

    @hookimpl
    def step_done(self, stage: Stage) -> None:
        self.kept(stage).append(test_two_plugins_of_one_kind_keep_apart)


def test_what_can_not_be_written_is_told_once_and_the_run_goes_on(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = fusion(plugins=[KeepsFunctions()])(progress=False, checkpoint=path, checkpoint_every=0)
    assert result.image.size == SIZE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "note: no checkpoints of this run: plugin 'keeps-functions' keeps what no checkpoint holds: 'kept[0]' is a "
        "function; keep tensors, numbers, texts"
    )
    assert list(path.parent.iterdir()) == []


def test_numbers_that_are_not_finite_are_not_kept(path: Path) -> None:
    class Breaks(Plugin):
        @hookimpl(wrapper=True)
        def step(self, at: Step) -> Any:
            latents: Tensor = yield
            return torch.full_like(latents, torch.nan) if at.index == 2 else latents

    with pytest.raises(FusionError, match=r"stage 1, step 3 of 4: .* not finite"):
        fusion(plugins=[Breaks()])(progress=False, checkpoint=path, checkpoint_every=None)
    assert list(path.parent.iterdir()) == []
