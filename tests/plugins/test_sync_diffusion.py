"""Synchronised windows: what moves, when and how far, and what a gradient needs of the core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fusionkit import Fused, Patches, Plugin, RecipeError, Stage, Step, hookimpl
from fusionkit.errors import ModelError
from fusionkit.loop.denoise import ask_views
from fusionkit.testing import execute_tiny, tiny_model, tiny_plan, tiny_run
from fusionkit_gvcf import GuidedFusion
from fusionkit_multidiffusion import MultiDiffusion, Ring
from fusionkit_syncdiffusion import SyncDiffusion
from fusionkit_syncdiffusion.likeness import unlikeness
from fusionkit_tinyworld.features import TinyworldFeatures

SIZE = (96, 64)


class Squares(SyncDiffusion, name="sync-diffusion"):
    """With the mean squared difference, scaled so that it moves something, and the moves kept."""

    seen: Any = None

    def unlikeness(self, stage: Stage, picture: Tensor, anchor: Tensor) -> Tensor:
        return 100 * (picture - anchor).square().mean()

    def moves(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
        moves = super().moves(stage, at, patches)
        if self.seen is not None:
            self.seen.append((at.index, moves))
        return moves


def moved(steps: int = 1, **options: Any) -> list[tuple[int, Tensor]]:
    seen: list[tuple[int, Tensor]] = []
    tiny_run([MultiDiffusion(stride=16), Squares(seen=seen, **options)], size=SIZE, steps=steps)
    return seen


def test_every_window_but_the_anchor_moves_in_the_middle_by_default() -> None:
    for anchor, still in ((0.5, 1), (0, 0), (1, 2)):
        ((_, moves),) = moved(anchor=anchor)
        assert [bool(each.any()) for each in moves] == [number != still for number in range(3)]


def test_frequency_threshold_and_decay() -> None:
    assert [index for index, _ in moved(6, frequency=2)] == [1, 3, 5]
    assert [index for index, _ in moved(6, frequency=2, threshold=4)] == [1, 3]
    assert [index for index, _ in moved(3, weight=0)] == []
    # The step's own number counts, and not how often windows have moved.
    full, half = (moved(2, frequency=2, decay=decay)[0][1] for decay in (1, 0.5))
    assert torch.allclose(half, 0.5 * full)


def test_the_move_is_the_gradient_downhill() -> None:
    plan = tiny_plan([MultiDiffusion(stride=16), (plugin := Squares(weight=1))], size=SIZE)
    stage, at = plan.stages[0], plan.stages[0].steps[0]
    stage.model = tiny_model()
    stage.models = {"model": stage.model}
    (patches,) = ask_views(stage, at, plan.hooks)
    patches.latents, patches.prompts = stage.noise("test", (3, 4, 8, 8)), ["a hill"] * 3
    with torch.inference_mode():
        moves = plugin.moves(stage, at, patches)

        def loss(latents: Tensor) -> float:
            pictures = []
            for number, each in ((0, latents), (1, patches.latents)):
                patches.latents, kept = each, patches.latents
                prediction = stage.model.predict(stage, at, patches)[number : number + 1]
                pictures.append(plugin.picture(stage, at, each[number : number + 1], prediction))
                patches.latents = kept
            return float(plugin.unlikeness(stage, *pictures))

        way = torch.zeros_like(moves)
        way[0] = moves[0] / moves[0].norm()
        slope = (loss(patches.latents + 0.01 * way) - loss(patches.latents - 0.01 * way)) / 0.02
    assert slope == pytest.approx(-float(moves[0].norm()), rel=0.02)


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpm++-2m", "ddpm"])
def test_windows_come_closer_to_the_anchor(scheduler: str) -> None:
    class Apart(Plugin):
        found: Any

        @hookimpl(wrapper=True)
        def fuse(self, stage: Stage, at: Step, groups: list[Patches]) -> Any:
            fused: Fused = yield
            latents = groups[0].latents
            pictures = Squares.picture(stage, at, latents, groups[0].prediction)
            self.found.append(float((pictures - pictures[1]).square().mean()))
            return fused

    distances = {}
    for weight in (0, 20):
        found: list[float] = []
        plugins = [MultiDiffusion(stride=16), Squares(weight=weight), Apart(found=found)]
        latents = tiny_run(plugins, size=SIZE, steps=4, scheduler=scheduler)
        assert latents.isfinite().all()
        distances[weight] = found[-1]
    assert distances[20] < distances[0]


def test_what_fuse_has_moved_the_step_is_taken_from() -> None:
    class Moved(Plugin):
        by: Any

        @hookimpl(wrapper=True)
        def fuse(self) -> Any:
            fused: Fused = yield
            fused.moved = self.by
            return fused

    latents = torch.zeros(1, 4, 8, 12)
    plan = tiny_plan([Moved(by=latents)], size=SIZE, steps=2)
    assert execute_tiny(plan).equal(tiny_run([], size=SIZE, steps=2))
    assert not tiny_run([Moved(by=latents + 1)], size=SIZE, steps=2).equal(tiny_run([], size=SIZE, steps=2))


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_a_gradient_leaves_the_model_as_it_was_and_asks_for_no_batch(kind: Any) -> None:
    model = tiny_model(kind)
    parts = [model.pipe.unet, model.pipe.vae]
    asked = [parameter.requires_grad for part in parts for parameter in part.parameters()]
    runs = [
        tiny_run([MultiDiffusion(stride=16), Squares()], kind, size=SIZE, steps=2, batch_size=size) for size in (1, 4)
    ]
    assert torch.allclose(*runs, atol=1e-4)
    assert [parameter.requires_grad for part in parts for parameter in part.parameters()] == asked
    assert all(parameter.grad is None for part in parts for parameter in part.parameters())


class Published(Plugin):
    """The published loop closure, which lacks the last window that a ring has."""

    @hookimpl(wrapper=True)
    def views(self) -> Any:
        (group,) = yield
        return [replace(group, views=group.views[:-1])]


@pytest.mark.parametrize(("stride", "width"), [(16, 128), (8, 96), (32, 160), (16, 64)])
def test_loop_closure_is_a_ring_and_its_anchor_follows(stride: int, width: int) -> None:
    window = 64
    between = list(range(0, width - window + 1, stride))
    crossing = [width - window + stride * number for number in range(1, window // stride)]
    for others, lefts in (([], between + crossing), ([Published()], between + crossing[:-1])):
        seen: list[tuple[int, Tensor]] = []
        plugins = [MultiDiffusion(stride=stride), Ring(), *others, Squares(seen=seen)]
        plan = tiny_plan(plugins, size=(width, window), steps=1)
        (patches,) = ask_views(plan.stages[0], plan.stages[0].steps[0], plan.hooks)
        assert [8 * view.left for view in patches.views] == lefts
        if others or stride < 32:
            continue  # a gradient of many windows takes its time
        execute_tiny(plan)
        ((_, moves),) = seen
        # The windows that cross the edge are at the list's end, and count for the middle of it.
        still = [number for number, each in enumerate(moves) if not each.any()]
        assert still == [len(lefts) // 2]
    assert len(crossing[:-1]) == window // stride - 2


def test_a_ring_that_is_turned_is_drawn_alike() -> None:
    class Turned(Plugin):
        """Begins with noise that is turned by a stride, and turns the canvas back."""

        by: int

        @hookimpl(wrapper=True)
        def init_noise(self) -> Any:
            return (yield).roll(self.by, -1)

    still, turned = (
        tiny_run(
            [MultiDiffusion(stride=16), Ring(), Squares(anchor=anchor), Turned(by=by)],
            size=(96, 64),
            steps=2,
            scheduler="ddim",
        )
        for by, anchor in ((0, 0), (4, 2 / 6))
    )
    # Six windows begin at 0, 2, ... 10; turned by two of them, the anchor is the one that was the first.
    assert float((turned.roll(-4, -1) - still).abs().max()) < 1e-3
    apart = tiny_run([MultiDiffusion(stride=16), Squares(anchor=0)], size=(96, 64), steps=2, scheduler="ddim")
    assert float((apart - still).abs().max()) > 1e-2


def test_the_weights_of_windows_count_for_moves_too() -> None:
    plain = tiny_run([MultiDiffusion(stride=16), Squares()], size=SIZE, steps=2)
    guided = tiny_run([MultiDiffusion(stride=16), GuidedFusion(), Squares()], size=SIZE, steps=2)
    assert not guided.equal(plain)


def test_embedded_worlds_judge_and_pass_gradients() -> None:
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for world in ("tinyworld", "vista"):
        asked = pictures[:1].clone().requires_grad_()
        value = unlikeness(world, torch.device("cpu"), asked, pictures[1:])
        (gradient,) = torch.autograd.grad(value.sum(), asked)
        assert 0 < float(value.detach()) < 4
        assert float(gradient.abs().max()) > 0
        assert float(unlikeness(world, torch.device("cpu"), pictures, pictures).abs().max()) == 0
    features = TinyworldFeatures.from_weights(None, "cpu")
    crops = ((pictures.permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8)
    exact = crops.float().permute(0, 3, 1, 2) / 127.5 - 1
    for here, there in zip(features.maps(crops.numpy()), features.layers(exact), strict=True):
        assert torch.allclose(here, there, atol=1e-5)


def test_a_network_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^sync-diffusion: there is no network that judges .* loss: FILE"):
        tiny_plan([SyncDiffusion()])
    with pytest.raises(RecipeError, match=r"^sync-diffusion: loss 'inception': this network tells nothing that grad"):
        tiny_plan([SyncDiffusion(loss="inception")])
    with pytest.raises(RecipeError, match=r"^sync-diffusion: loss 'eye' is no file .* there are: tinyworld, vista$"):
        tiny_plan([SyncDiffusion(loss="eye")])
    with pytest.raises(
        RecipeError, match=r"^sync-diffusion: loss: no such file '.*none\.safetensors'; it is made once"
    ):
        tiny_plan([SyncDiffusion(loss=str(tmp_path / "none.safetensors"))])
    with pytest.raises(RecipeError, match=r"^sync-diffusion: a gradient needs .* use offload: none in place of model$"):
        tiny_plan([SyncDiffusion(loss="vista")], offload="model")
    save_file({"x": torch.zeros(1)}, other := tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="does not hold LPIPS"):
        unlikeness(str(other), torch.device("cpu"), torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))


def test_lpips_of_a_file_is_that_of_torchmetrics(tmp_path: Path) -> None:
    from torchmetrics.functional.image.lpips import _LPIPS

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _LPIPS(pretrained=False, net="alex", pnet_rand=True)
    save_file({name: each.clone() for name, each in network.state_dict().items()}, file := tmp_path / "a.safetensors")
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    asked = pictures[:1].clone().requires_grad_()
    value = unlikeness(str(file), torch.device("cpu"), asked, pictures[1:])
    assert float(value.detach()) == pytest.approx(float(network(pictures[:1], pictures[1:])), rel=1e-5)
    assert float(torch.autograd.grad(value.sum(), asked)[0].abs().max()) > 0
