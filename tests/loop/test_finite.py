"""NaN and infinity end a run at once: where, whose, and what to change; wherever they come from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fusionkit import Fused, Fusion, FusionError, NumericalError, Patches, Plugin, Result, Stage, Step, hookimpl
from fusionkit.loop.finite import Facts, is_finite
from fusionkit.runs.observers import Preview
from fusionkit.testing import tiny_model, tiny_pipeline, tiny_plan, tiny_run
from fusionkit.testing.tiny import controlnet_for

SIZE = (160, 80)
NAN = float("nan")


def broken(part: str, value: float = NAN, kind: Any = "sd") -> Any:
    """A tiny pipeline one of whose components has lost its weights."""
    pipe = deepcopy(tiny_pipeline(kind))
    with torch.inference_mode(False), torch.no_grad():
        next(getattr(pipe, part).parameters()).fill_(value)
    return pipe


def drawn(pipe: Any, plugins: Sequence[Plugin] = (), **changes: Any) -> Result:
    fields = {"size": SIZE, "steps": 3, "scheduler": "ddpm", "guidance_scale": 4.0, **changes}
    return Fusion.from_pipe(pipe, plugins=plugins)("a hill", progress=False, **fields)


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
@pytest.mark.parametrize("value", [NAN, float("inf")])
@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("unet", r"^stage 1, step 1 of 3: the prediction of the model has values that are not finite .*float32.*; "),
        (
            "text_encoder",
            r"^stage 1, step 1 of 3: the text encoder's answer to 'a hill' has values that are not",
        ),
        ("vae.decoder", "^the picture as the VAE decodes it has values that are not finite"),
    ],
)
def test_a_model_whose_weights_are_lost_is_named(kind: Any, part: str, value: float, line: str) -> None:
    pipe = deepcopy(tiny_pipeline(kind))
    component = pipe
    for name in part.split("."):
        component = getattr(component, name)
    with torch.no_grad():
        for weights in component.parameters():
            weights.fill_(value)
    with pytest.raises(NumericalError, match=line) as error:
        drawn(pipe)
    assert len(str(error.value).splitlines()) == 1
    assert "another copy of the model" in str(error.value)
    assert (error.value.latents is not None) == (part == "vae.decoder")


def test_the_steps_that_are_done_are_not_lost_where_decoding_fails() -> None:
    whole = drawn(tiny_pipeline())
    pipe = deepcopy(tiny_pipeline())
    with torch.no_grad():
        pipe.vae.decoder.conv_out.weight.fill_(NAN)
    with pytest.raises(NumericalError) as error:
        drawn(pipe)
    assert error.value.latents is not None
    assert error.value.latents.equal(whole.latents)
    assert error.value.decode_in_tiles is None


class Spoils(Plugin):
    """Answers NaN in one hook, at the second step where there are steps."""

    hook: str
    part: str = ""
    value: float = NAN

    def spoilt(self, hook: str, answer: Any, at: Step | None = None) -> Any:
        if hook != self.hook or (at is not None and at.index != 1):
            return answer
        if isinstance(answer, Fused):
            noise = torch.full_like(answer.prediction, self.value)
            return replace(answer, **{self.part: noise})
        answer = answer.clone()
        answer[..., 0, 0] = self.value
        return answer

    @hookimpl(wrapper=True)
    def init_noise(self) -> Generator[None, Tensor, Tensor]:
        return self.spoilt("init_noise", (yield))

    @hookimpl(wrapper=True)
    def init_latents(self) -> Generator[None, Tensor, Tensor]:
        return self.spoilt("init_latents", (yield))

    @hookimpl(wrapper=True)
    def noise_prediction(self, at: Step) -> Generator[None, Tensor, Tensor]:
        return self.spoilt("noise_prediction", (yield), at)

    @hookimpl(wrapper=True)
    def fuse(self, at: Step) -> Generator[None, Fused, Fused]:
        return self.spoilt("fuse", (yield), at)

    @hookimpl(wrapper=True)
    def step(self, at: Step) -> Generator[None, Tensor, Tensor]:
        return self.spoilt("step", (yield), at)


class Innocent(Spoils):
    """Wraps all hooks and changes nothing."""


@pytest.mark.parametrize("value", [NAN, float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("hook", "part", "where"),
    [
        ("init_noise", "", "before its first step"),
        ("init_latents", "", "before its first step"),
        ("noise_prediction", "", "step 2 of 3"),
        ("fuse", "prediction", "step 2 of 3"),
        ("fuse", "noise", "step 2 of 3"),
        ("step", "", "step 2 of 3"),
    ],
)
def test_the_plugin_that_answered_first_is_named_with_the_step(hook: str, part: str, where: str, value: float) -> None:
    plugins = [Innocent(hook="none"), Spoils(hook=hook, part=part, value=value), Innocent(hook="none")]
    line = f"^stage 1, {where}: the answer of plugin 'spoils' in hook '{hook}'.* not finite .*options of 'spoils'"
    with pytest.raises(NumericalError, match=line) as error:
        tiny_run(plugins)
    assert len(str(error.value).splitlines()) == 1


def test_a_model_is_not_blamed_for_what_it_was_given() -> None:
    with pytest.raises(NumericalError, match=r"^stage 1, step \d of 5: the prediction of the model .*; ") as error:
        drawn(tiny_pipeline(), guidance_scale=1e30, steps=5)
    assert "its weights" not in str(error.value)
    assert str(error.value).partition("; ")[2].startswith("it was given numbers up to ")
    assert "use a smaller guidance-scale, or leave out the plugins" in str(error.value)


def test_no_step_is_drawn_after_the_one_that_was_lost() -> None:
    seen: list[int] = []

    class Counts(Plugin):
        @hookimpl
        def step_done(self, at: Step) -> None:
            seen.append(at.index)

    with pytest.raises(NumericalError, match="step 2 of 30"):
        tiny_run([Spoils(hook="step"), Counts()], steps=30)
    assert seen == [0]


def test_a_guidance_scale_that_overflows_is_named() -> None:
    with pytest.raises(NumericalError, match=r"the guidance at scale 1e\+39 .*; use a smaller guidance-scale$"):
        tiny_run(guidance_scale=1e39)


class Largest(Plugin):
    """Fuses to the largest number there is, which is finite."""

    @hookimpl(wrapper=True)
    def fuse(self) -> Generator[None, Fused, Fused]:
        return replace((yield), prediction=torch.full((1, 4, 10, 20), 3.4e38))


def test_an_overflow_in_the_step_is_the_schedulers() -> None:
    with pytest.raises(NumericalError, match=r"step 1 of 3: the scheduler's step .*; use another scheduler"):
        tiny_run([Largest()], scheduler="ddim")


class Steered(Plugin):
    net: Any

    @hookimpl(wrapper=True)
    def noise_prediction(self, stage: Stage, patches: Patches) -> Generator[None, Tensor, Tensor]:
        from fusionkit.loop.stage import Control

        width, height = stage.plan.size
        patches.controls = (Control(self.net, torch.ones(1, 3, height, width)),)
        return (yield)


def test_a_controlnet_is_named() -> None:
    net = controlnet_for(deepcopy(tiny_pipeline().unet))
    with torch.inference_mode(False), torch.no_grad():
        net.controlnet_mid_block.weight.fill_(NAN)
    with pytest.raises(NumericalError, match="step 1 of 3: what the ControlNet adds has values that are not finite"):
        tiny_run([Steered(net=net)])


def test_of_several_models_the_one_is_named() -> None:
    class Both(Plugin):
        @hookimpl
        def noise_prediction(self, stage: Stage, at: Step, patches: Patches) -> Tensor:
            return sum(model.predict(stage, at, patches) for model in stage.models.values())  # type: ignore[return-value]

    fusion = Fusion.from_pipes({"scene": tiny_pipeline(), "toy": broken("unet")}, plugins=[Both()])
    with pytest.raises(NumericalError, match="the prediction of model 'toy' has values"):
        fusion("a hill", size=SIZE, steps=2, progress=False)


def test_what_fails_because_of_lost_numbers_is_not_the_cause() -> None:
    class Looks(Plugin):
        @hookimpl(wrapper=True)
        def fuse(self) -> Generator[None, Fused, Fused]:
            fused = yield
            if not bool(fused.prediction.isfinite().all()):
                raise ValueError("cannot convert float NaN to integer")
            return fused

    with pytest.raises(NumericalError, match="plugin 'spoils' in hook 'noise_prediction'"):
        tiny_run([Spoils(hook="noise_prediction"), Looks()])


def test_a_picture_to_start_from_is_looked_at_once_it_is_encoded() -> None:
    from PIL import Image

    pipe = deepcopy(tiny_pipeline())
    with torch.no_grad():
        pipe.vae.encoder.conv_in.weight.fill_(NAN)
    from fusionkit.models.load import wrap_pipeline

    with pytest.raises(NumericalError, match=r"^a picture, as the VAE encodes it, has values that are not finite"):
        wrap_pipeline(pipe).encode(Image.new("RGB", (64, 64)))


def test_float16_is_said_to_be_too_narrow() -> None:
    pipe = broken("unet").to(dtype=torch.float16)
    with pytest.raises(NumericalError, match=r"in float16\); float16 holds numbers up to 65504: use dtype: float32"):
        drawn(pipe)


def test_a_preview_that_cannot_be_decoded_is_left_out() -> None:
    lines: list[str] = []
    shown: list[Any] = []
    preview = Preview(every=1, show=lambda *each: shown.append(each), told=lines.append)
    fused = Fused(torch.zeros(1), denoised=torch.full((1, 4, 8, 8), NAN))
    stage = tiny_plan().stages[0]
    stage.model = tiny_model()
    preview.step_done(stage, Step(0, 3, torch.tensor(1)), torch.zeros(1, 4, 8, 8), fused)
    assert shown == []
    assert lines == [
        "no preview at stage 1, step 1 of 3: the canvas that is to be decoded has values that are not finite "
        "(NaN or infinity, in float32); nothing can be drawn of it"
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 7, 64, 1000])
def test_each_number_counts_and_the_largest_are_finite(dtype: torch.dtype, count: int) -> None:
    widest = torch.finfo(dtype).max
    values = torch.tensor([widest, -widest], dtype=dtype).repeat(count)[:count]
    assert bool(is_finite(values))
    for place in {0, count // 2, count - 1}:
        for lost in (NAN, float("inf"), -float("inf")):
            wrong = values.clone()
            wrong[place] = lost
            assert not bool(is_finite(wrong))
            assert not bool(is_finite(wrong.expand(3, -1).t()))
    assert bool(is_finite(values[:0]))


def test_facts_are_looked_at_in_their_order_and_once() -> None:
    def wrong(name: str) -> Callable[[str], FusionError]:
        return lambda where: NumericalError(f"{where}: {name}")

    facts = Facts()
    facts.note(torch.tensor(True), wrong("a"))
    facts.step_ends("first")
    facts.note(torch.tensor(False), wrong("b"))
    facts.note(torch.tensor([False]), wrong("c"))
    with pytest.raises(NumericalError, match=r"^second: b$"):
        facts.step_ends("second")
    facts.wait("third")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_not_waited_for_and_yet_nothing_is_missed() -> None:
    facts = Facts()
    one = torch.ones((), dtype=torch.bool, device="cuda")
    # The first memory that a GPU can copy to by itself is waited for, once in a process.
    facts.note(one, NumericalError)
    facts.wait("before")
    torch.cuda._sleep(2_000_000_000)  # clock cycles: about a second
    for step in range(2):
        facts.note(one & (step == 1), NumericalError)
        facts.step_ends(f"step {step}")
    with pytest.raises(NumericalError, match=r"^step 0$"):
        facts.wait("the end")
