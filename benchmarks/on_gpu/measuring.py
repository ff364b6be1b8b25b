"""One measurement: a recipe run on models that are there, taken apart by the bench's own stopwatch."""

from __future__ import annotations

import signal
import statistics
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from time import perf_counter
from typing import Any

import torch
from pydantic import PrivateAttr

from fusionkit import Plugin, Stage, Step, hookimpl
from fusionkit.bench.measure import FORWARD, Stopwatch, peak_memory, synchronise
from fusionkit.bench.parts import AROUND, DECODING, FUSION, SCHEDULER, TEXT, Watch, taken_apart
from fusionkit.bench.passes import Passes
from fusionkit.models.inspect import info_of_pipeline
from fusionkit.models.load import wrap_pipelines
from fusionkit.recipe.made import changed, make_recipe
from fusionkit.runs.run import execute, prepare
from on_gpu.models import forget

NO_MEMORY = "out of memory"
PROMPT = "a fox in a wood"


class OutOfTime(BaseException):
    """The time that was given is over. No `Exception`: nobody on the way may take it for a failure of his own."""


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """End the block by `OutOfTime` at a moment of `perf_counter`, where the system has a clock that interrupts."""

    def ring(*_: object) -> None:
        raise OutOfTime

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(0.001, deadline - perf_counter()))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class StepTimes(Plugin):
    """Notes when each step of each stage has been computed."""

    device: Any
    _ends: dict[str, list[float]] = PrivateAttr(default_factory=dict)

    @hookimpl
    def step_done(self, stage: Stage, at: Step) -> None:
        """Wait for the device, and look at the clock."""
        synchronise(self.device)
        self._ends.setdefault(stage.plan.name, []).append(perf_counter())

    def seconds(self) -> dict[str, float]:
        """Seconds a step of each stage: the median of all steps but its first, which also prepares the stage."""
        pairs = {name: list(pairwise(ends)) for name, ends in self._ends.items()}
        return {name: statistics.median(b - a for a, b in each) for name, each in pairs.items() if each}


def run(
    pipes: Mapping[str, Any],
    *,
    plugins: Sequence[Plugin] = (),
    warm_up: int = 2,
    decodings: Mapping[str, bool] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Measure one recipe on pipelines that are where they compute.

    Args:
        pipes: By name, the main one first.
        plugins: As in a recipe.
        warm_up: Steps that are run before, and not counted; 0 for none.
        decodings: Ways to decode the latents, by name, and whether each is in tiles; None is once, not in tiles.
        fields: Other fields of the recipe.

    Returns:
        `seconds-a-step` of each stage; `passes` of a run, the largest `batch`; `outside`, the part of the denoising,
        encoding text left aside, that the model's forward passes did not take; `parts` in seconds; `memory`, the peak
        of the denoising in bytes; and for each decoding its `seconds` and `memory`, or why it failed.
    """
    recipe = make_recipe(**{"prompt": PROMPT, "scheduler": "ddim", "guidance_scale": 7.5, **fields, "plugins": plugins})
    infos = {name: info_of_pipeline(pipe) for name, pipe in pipes.items()}
    models = wrap_pipelines(pipes, infos, vae_tiling=recipe.vae_tiling)
    main = next(iter(models.values()))
    device = main.device

    def planned(steps: int, *observers: Plugin) -> Any:
        return prepare(changed(recipe, {"steps": steps}), main.info, observers, device, infos=infos)

    if warm_up:
        execute(planned(warm_up), main, models)
    passes, times, clock = Passes(), StepTimes(device=device), Stopwatch(device)
    plan = planned(recipe.steps, Watch(clock=clock), times)
    with peak_memory(device) as memory, clock, passes.noted(models), taken_apart(plan, models, clock):
        latents = execute(plan, main, models)
    parts = {name: clock.seconds.get(name, 0.0) for name in (FORWARD, AROUND, TEXT, FUSION, SCHEDULER, DECODING)}
    # A ControlNet's hint needs a decoding between two stages.
    denoising = clock.total - parts[TEXT] - parts[DECODING]
    last = times.seconds().get(plan.stages[-1].plan.name)
    found = {
        "seconds-a-step": last,
        "stages": times.seconds(),
        "views-a-step": plan.views[-1] // len(plan.stages[-1].steps),
        "passes": passes.views,
        "batch": passes.largest // (2 if recipe.guidance_scale > 1 else 1),
        "outside": 1 - parts[FORWARD] / denoising,
        "parts": parts,
        "memory": memory.peak,
        "steps": recipe.steps,
        "size": "x".join(map(str, recipe.size)),
    }
    del plan, times
    decoded = {name: attempt(lambda tiled=tiled: decoding(main, latents, tiled)) for name, tiled in ways(decodings)}
    return {**found, "decoding": decoded}


def ways(decodings: Mapping[str, bool] | None) -> list[tuple[str, bool]]:
    """The ways to decode; by default one."""
    return list(({"whole": False} if decodings is None else decodings).items())


def decoding(model: Any, latents: Any, tiled: bool) -> dict[str, Any]:
    """Seconds and peak memory of making a picture of latents."""
    before, model.vae_tiling = model.vae_tiling, tiled
    try:
        forget(model.device)
        with peak_memory(model.device) as memory:
            began = perf_counter()
            model.decode(latents)
            seconds = perf_counter() - began
    finally:
        model.vae_tiling = before
    return {"seconds": seconds, "memory": memory.peak}


def attempt(measure: Callable[[], Any]) -> dict[str, Any]:
    """What was measured; or why it could not be, in one line: it takes nothing else with it.

    Raises:
        OutOfTime: The time is over.
    """
    try:
        return dict(measure())
    except Exception as error:  # noqa: BLE001
        # The models are other people's, and what fails here is what is measured: the next measurement goes on.
        failed = reason(error)
        if failed != NO_MEMORY:
            traceback.print_exc()
        error.__traceback__ = None  # it holds the tensors of all frames
    return {"failed": failed}


def reason(error: BaseException) -> str:
    """Why something failed, in one line; memory that was not there is told as such, whoever raised what about it."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(each, torch.OutOfMemoryError) for each in chain):
        return NO_MEMORY
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


def diffusers_run(pipe: Any, *, pictures: int, steps: int, window: int, warm_up: int = 2) -> dict[str, Any]:
    """The same figures of diffusers' own pipeline, drawing several pictures of one window's size in one batch.

    Args:
        pipe: A `StableDiffusionXLPipeline`, where it computes.
        pictures: How many.
        steps: Sampling steps.
        window: Pixels along one side.
        warm_up: Steps that are run before.
    """
    device, spent = pipe._execution_device, [0.0]
    ends: list[float] = []  # when each step ended, and how long the denoiser had worked by then
    worked: list[float] = []

    def note(_pipe: Any, _index: int, _timestep: Any, state: dict[str, Any]) -> dict[str, Any]:
        synchronise(device)
        ends.append(perf_counter())
        worked.append(spent[0])
        return state

    forward = pipe.unet.forward

    def timed(*args: Any, **kwargs: Any) -> Any:
        synchronise(device)
        began = perf_counter()
        answer = forward(*args, **kwargs)
        synchronise(device)
        spent[0] += perf_counter() - began
        return answer

    def draw(steps: int) -> None:
        ends.clear()
        worked.clear()
        settings = {"num_inference_steps": steps, "guidance_scale": 7.5, "output_type": "latent"}
        pipe([PROMPT] * pictures, height=window, width=window, callback_on_step_end=note, **settings)

    pipe.unet.forward = timed
    try:
        draw(warm_up)
        with peak_memory(device) as memory:
            draw(steps)
    finally:
        del pipe.unet.forward
    step = statistics.median(b - a for a, b in pairwise(ends))
    return {
        "seconds-a-step": step,
        "views-a-step": pictures,
        "passes": 2 * pictures * steps,
        "batch": pictures,
        "outside": 1 - (worked[-1] - worked[0]) / (ends[-1] - ends[0]),
        "memory": memory.peak,
        "steps": steps,
        "size": f"{window}x{window}",
    }
